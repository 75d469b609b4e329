# The targets a person types: demo, check, test, bench, gates, soak, lab-up, lab-down.

# Every module is built by itself, as whoever uses it does; only `go run ./lab`
# needs the workspace.
export GOWORK = off
# As the lab compiles Kubernetes: what both are made of is compiled once.
export GOFLAGS = -trimpath '-gcflags=all=-dwarf=false -l'
export CGO_ENABLED = 0
LAB = env -u GOWORK go run ./lab

MODULES = . example lab

# With a cluster and an engine of your own: make demo KUBECONFIG=… REGISTRY=…
ifeq ($(origin KUBECONFIG) $(origin REGISTRY),command line command line)
export KUBECONFIG REGISTRY
stage =
ENTER = true
# Only the lab's processes can be killed.
outages = -api-server=false -kubelet=false
else
stage = lab-up
ENTER = eval "$$($(LAB) env)"
endif

.PHONY: demo check test bench gates soak lab-up lab-down format vet lint unit e2e

## demo: three deploys of the example under load, ending with a table
demo: $(stage)
	$(ENTER) && go run ./ci/e2e/demo

## check: the inner loop: format, vet, lint, unit tests
check: format vet lint unit

## test: everything, through a real engine and a real cluster
test: $(stage) check e2e

## bench: how long a deploy takes beside kubectl, and how many requests it sends
bench: $(stage)
	$(ENTER) && go run ./ci/e2e/bench

## gates: how soon users are back when a bad release is caught, each by its gate
gates: $(stage)
	$(ENTER) && go run ./ci/e2e/gates

# How many deploys soak kills, and more of its flags: make soak N=10 SOAK=-part=kills
N = 100
SOAK =

## soak: kills, a failing cluster and heavy traffic, for some hours
soak: $(stage)
	$(ENTER) && go run ./ci/e2e/soak -n=$(N) $(outages) $(SOAK)

lab-up:
	$(LAB) up

lab-down:
	$(LAB) down

format:
	@unformatted=$$(git ls-files '*.go' | xargs gofmt -l) && \
	if [ -n "$$unformatted" ]; then echo "not formatted; type gofmt -w on:"; echo "$$unformatted"; exit 1; fi

vet:
	set -e; for m in $(MODULES); do go -C $$m vet ./...; done
	go vet -tags=e2e ./ci/e2e/...

lint:
	set -e; go -C lint build -o ../build/staticcheck honnef.co/go/tools/cmd/staticcheck; \
	for m in $(MODULES); do (cd $$m && $(CURDIR)/build/staticcheck -tags=e2e ./...); done

unit:
	set -e; for m in $(MODULES); do go -C $$m test ./...; done

e2e:
	$(ENTER) && go test -tags=e2e -count=1 -timeout=60m -v ./ci/e2e
