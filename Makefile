# Scripts in tools/dev and test do most of the work; each has a --help.

.DEFAULT_GOAL := help
.PHONY: help run shop dev dev-down bench-devloop test lint fmt build image e2e tail-events fuzz fuzz-http bench bench-floor outbox growth chaos soak upgrade generate dashboards shop-picture alerts clean

VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
FUZZTIME ?= 30s
SEED ?= 1
SEEDS ?= 30
MINUTES ?= 30
PICTURE ?= bin/soak.png
FLOOR_PICTURE ?= bin/floor.png
UPGRADES ?= 3
REQUESTS ?= 100000
EVENTS ?= 1000000
USERS ?= 10000,100000,1000000
export FUZZTIME

help: ## show this list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: ## run the service locally, with a private PostgreSQL and RabbitMQ unless the environment names others
	@tools/dev/run

shop: ## run the sample shop of docs/front-ends.md in front of make run
	@tools/dev/shop

dev: ## run it in a kind cluster with its dependencies, and with each saved change; lists missing programs (docker, kind, tilt, …); SETTINGS=--debugger
	@tools/dev/loop $(SETTINGS)

dev-down: ## delete the kind cluster of make dev
	@tools/dev/loop --down

tail-events: ## print the events of the running service as they arrive
	@tools/dev/events

test: ## run all checks and tests
	@tools/dev/test

lint: ## check Go, shell and Starlark code, workflows and prose
	@tools/dev/lint

fmt: ## format the Go code, and fix what the linters can fix
	@tools/dev/lint --fix

build: ## build bin/user-service
	@CGO_ENABLED=0 go build -tags grpcnotrace -trimpath -ldflags "-s -w -X main.version=$(VERSION)" -o bin/user-service ./cmd/user-service

image: ## build the image user-service:VERSION with docker
	@docker build --build-arg VERSION="$(VERSION)" --build-arg REVISION="$$(git rev-parse HEAD)" --build-arg CREATED="$$(date -u +%FT%TZ)" --tag "user-service:$(VERSION)" .

e2e: ## test image and chart on the cluster of KUBECONFIG, or on a new kind cluster
	@test/e2e/run

bench-devloop: ## measure on the cluster of KUBECONFIG how long a saved change needs until it runs
	@test/devloop/run

generate: ## generate files from the code, such as .env.example, docs/events.md and the dashboards
	@go test ./pkg/config ./pkg/telemetry -update
	@go run ./tools/reference .
	@go test ./cmd/user-service -run TestTheReference -update
	@go run ./tools/dashboards charts/user-service/dashboards

fuzz: ## run each fuzz target for FUZZTIME (30s)
	@tools/dev/fuzz

fuzz-http: ## send REQUESTS=100000 random requests from the OpenAPI description and SEED=1, and check each answer against the description
	@tools/dev/with-services go test ./test/fuzz -count=1 -v -timeout 3h -args -seed $(SEED) -requests $(REQUESTS)

bench: ## run the benchmarks, and the floods of docs/benchmarks.md with the flags FLOODS
	@tools/dev/with-services go test -run '^$$' -bench . -skip 'Flood|WhereHashes' -benchmem ./...
	@SERVICES_PG_FSYNC=on tools/dev/with-services go test -run '^$$' -bench Flood ./test/bench -args $(FLOODS)

bench-floor: ## compare the service with the smallest program that serves the same requests; flags COMPARE
	@mkdir -p bin
	@tools/dev/with-services go run ./test/bench/compare -picture $(FLOOR_PICTURE) $(COMPARE)

outbox: ## publish an outbox of EVENTS=1000000 events while users work, and check rate, memory and queries
	@SERVICES_PG_FSYNC=on tools/dev/with-services go test ./test/load -run Outbox -count=1 -v -timeout 2h -args -rows $(EVENTS)

growth: ## compare the rows that each hot query reads in databases with USERS=10000,100000,1000000 users
	@tools/dev/with-services go test ./test/growth -count=1 -v -timeout 3h -args -users $(USERS)

chaos: ## inject faults while clients work, and check that no data is lost: SEEDS=30 in a row from SEED=1 on, up to two minutes each
	@tools/dev/with-services go test ./test/chaos -count=1 -v -timeout 3h -args -seed $(SEED) -seeds $(SEEDS) -length 60s -restarts 10

soak: ## run a mixed load and faults for MINUTES=30, check that resource use stays steady, and draw it into PICTURE
	@tools/dev/with-services go test -tags soak ./test/chaos -run TestResourcesStaySteady -count=1 -v -timeout 10h -args -seed $(SEED) -minutes $(MINUTES) -picture $(abspath $(PICTURE))

upgrade: ## upgrade an old build and roll it back under faults, and kill each migration at each command; needs the whole git history; SEED=1 UPGRADES=3
	@tools/dev/with-services go test -tags upgrade ./test/chaos -run 'TestAnUpgrade|TestAKilledMigration' -count=1 -v -timeout 1h -args -seed $(SEED) -seeds $(UPGRADES) -length 60s -everywhere

dashboards: ## draw the dashboards under ten faults into docs/images, with the Grafana at GRAFANA_URL and its GRAFANA_TOKEN if set
	@test -n "$(GRAFANA_URL)" || command -v chromium >/dev/null || tools/dev/packages chromium
	@GRAFANA_URL="$(GRAFANA_URL)" tools/dev/with-services go test -tags draw ./test/observability -run TestDraw -count=1 -timeout 45m

shop-picture: ## draw the picture of the shop in docs/tutorial.md; needs Chromium
	@tools/dev/with-services go test -tags draw ./test/gateway -run TestDrawTheShop -count=1

alerts: ## fire and clear each alert by a real fault, with a minute of the rules shortened to a second
	@tools/dev/with-services go test -tags alerts ./test/observability -run TestAlertsFireAndClearUnderFaults -count=1 -v -timeout 20m

clean: ## delete build results
	@rm -rf bin .bin
