# Each does all of its set-up, as root or as anybody, on a Debian machine with Go.

.PHONY: demo test services services-down lint golden bench

demo: ## generate a daemon, build it, run it, use it, stop it, remove it
	go run ./scripts/demo

test: ## every check and every test
	./scripts/test.sh

services: ## start the servers that tests need, installing them; prints what to export
	@./scripts/services.sh up

services-down: ## end these servers and remove their data
	./scripts/services.sh down

lint: ## gofmt, go vet, staticcheck, golangci-lint, shellcheck
	./scripts/lint.sh

golden: ## write what is recorded anew: golden projects, module pins
	go test ./... -update

bench: ## daemongen, and what it writes, beside what people write by hand; ratios; CHART=docs/bench.svg draws them
	BENCH_CHART=$(abspath $(CHART)) ./scripts/services.sh run mysql postgres amqp zmq rivals -- \
		go test -timeout 60m -run '^$$' -bench . ./cmd/daemongen ./generator ./templates ./bench
