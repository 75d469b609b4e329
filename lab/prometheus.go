package main

// prometheusProgram scrapes the pods of every application that cutover deploys.
func (l *lab) prometheusProgram() *program {
	return &program{
		name: "prometheus",
		path: "/usr/bin/prometheus",
		args: []string{
			"--config.file=" + in("etc", "prometheus.yml"), "--storage.tsdb.path=" + in("prometheus"),
			"--storage.tsdb.retention.time=1d", "--web.listen-address=:9090", "--log.level=warn",
		},
		files: []string{in("etc", "prometheus.yml")},
		ports: []int{9090},
		ready: answers("http://127.0.0.1:9090/-/ready", nil),
	}
}

// prometheusConfig asks often, so that a deploy of a few seconds shows.
func (l *lab) prometheusConfig() string {
	return `global: {scrape_interval: 2s, scrape_timeout: 2s}
scrape_configs:
- job_name: pods
  http_sd_configs: [{url: "http://127.0.0.1:9091", refresh_interval: 1s}]
`
}

// targetsProgram tells Prometheus which pods there are.
func (l *lab) targetsProgram() *program {
	pki := func(name string) string { return in("pki", name) }
	return &program{
		name:  "targets",
		path:  in("bin", "targets"),
		args:  []string{"-ca=" + pki("ca.crt"), "-cert=" + pki("admin.crt"), "-key=" + pki("admin.key")},
		files: []string{pki("ca.crt"), pki("admin.crt"), pki("admin.key")},
		ports: []int{9091},
		ready: answers("http://127.0.0.1:9091", nil),
	}
}
