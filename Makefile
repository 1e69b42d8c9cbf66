# Each does all of its set-up, as root or as anybody, on a Debian machine with Go.

.PHONY: demo test lint golden bench

demo: ## generate a daemon, build it, run it, use it, stop it, remove it
	go run ./scripts/demo

test: ## every check and every test
	./scripts/test.sh

lint: ## gofmt, go vet, staticcheck, golangci-lint, shellcheck
	./scripts/lint.sh

golden: ## write what is recorded anew: golden projects, module pins
	go test ./... -update

bench: ## daemongen new beside a program that does the bare minimum
	go test -run '^$$' -bench . ./cmd/daemongen ./generator
