# orderflow. Anything longer than three lines stands as a script in deploy/.
.DEFAULT_GOAL := help
MODULES := schemas pkg services
TOOLS := GOWORK=off go -C deploy/tools

.PHONY: help run test check check-schemas chaos bench clean fmt tidy

help: ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: ## build every service into bin/ and run them all with a broker, a database and a demo; needs Go only
	@go build -o bin/ ./services/...
	@exec bin/local

test: ## everything: set-up, checks, unit and property tests under -race, fuzzing, journeys on kfake and on a real Kafka, a short chaos
	@deploy/test.sh

check: ## the quick half of test: lint, vet, tidy, each module alone, format, length of files
	@deploy/setup.sh go
	@deploy/check.sh

check-schemas: ## refuse a schema that cannot read what released versions wrote; hold topics.yaml, migrations and examples against the code that uses them
	@go test -count=1 ./pkg/registry/... ./schemas/... ./pkg/event/... ./pkg/bus/... ./pkg/source/...

chaos: ## kill and freeze everything under load and prove that nothing was lost; MINUTES=5 SEED=1 RATE=30, MUTANTS=1 or OUTAGES=1
	@deploy/setup.sh all
	@go build -o bin/ ./services/chaos
	@MINUTES=$(MINUTES) SEED=$(SEED) RATE=$(RATE) MUTANTS=$(MUTANTS) OUTAGES=$(OUTAGES) REPORT=$(REPORT) bin/chaos

bench: ## run every benchmark once over, with allocations
	@go test -run '^$$' -bench . -benchmem ./pkg/... ./services/...

clean: ## remove what was built, fetched and stored, .local with its data included
	@rm -rf bin .local deploy/kafka/libs deploy/kafka/target deploy/registry/dist deploy/registry/target deploy/python/venv

fmt: ## format and sort imports
	@$(TOOLS) build -o ../../bin/ github.com/golangci/golangci-lint/v2/cmd/golangci-lint
	@bin/golangci-lint fmt $(MODULES:%=./%/...)

tidy: ## bring go.mod, go.sum and go.work in order
	@go work sync
	@for m in $(MODULES) deploy/tools; do (cd $$m && GOWORK=off go mod tidy) || exit 1; done
