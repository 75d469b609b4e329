module cutover.dev/lab

go 1.26.0
