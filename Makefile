# What people type. Every target that needs something installed gets it by itself (scripts/setup says what it does).
.DEFAULT_GOAL := help
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c

DEMO_FOR ?=
DEMO_FLAGS := $(if $(DEMO_FOR),--for $(DEMO_FOR),)
ARGS ?=
TARGET ?= decode
MINUTES ?= 20
ROUNDS ?= 50
SEEDS ?= 1000
EXAMPLES ?= 30
BROKERS ?= benches/brokers.toml

.PHONY: help demo run test attack lint sim fmt bench micro micro-quick bench-store compare fuzz api-fuzz docs client release crash scale slow-subscriber

help: ## Show this list.
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

demo: ## Three washing machines that are made, enrolled, claimed and talking (DEMO_FOR=30s ends by itself).
	@scripts/setup build
	cargo build --quiet --package mooring
	target/debug/mooring demo $(DEMO_FLAGS) $(ARGS)

run: ## The server, with its data in ./data (ARGS="--config mooring.toml").
	@scripts/setup build
	cargo build --quiet --package mooring
	target/debug/mooring run $(ARGS)

test: lint ## Everything that must be true before a change lands.
	@scripts/setup test
	cargo test --workspace --quiet --no-run
	cargo test --workspace --no-fail-fast

attack: ## The attack list: every test that is named for an attack, a line each.
	@scripts/setup test
	cargo test --workspace --quiet --no-run
	@scripts/attacks

lint: ## Formatting, clippy with the workspace's lints, shell scripts' syntax.
	@scripts/setup build
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --quiet -- -D warnings
	@for script in scripts/* .ci/run; do bash -n "$$script"; done

sim: ## Simulated clients, shards and crashes under so many seeds (SEEDS=1000).
	@scripts/setup build
	MOORING_SIM_SEEDS=$(SEEDS) cargo test --package mooring-log --test simulation -- --nocapture

fmt: ## Format the code.
	cargo fmt --all

bench: ## Measure this machine.
	@scripts/setup build
	cargo run --release --package mooring-bench -- $(ARGS)

micro: ## Instructions of the hot paths, and the change against docs/micro.json (ARGS=--write replaces that).
	@scripts/setup measure
	cargo build --quiet --release --manifest-path benches/micro/Cargo.toml
	benches/micro/target/release/mooring-micro --json docs/micro.json --markdown docs/benchmarks-micro.md $(ARGS)

micro-quick: ## The same in a build that takes a third of the time, against docs/micro-quick.json: what CI prints.
	@scripts/setup measure
	cargo build --quiet --profile quick --manifest-path benches/micro/Cargo.toml
	benches/micro/target/quick/mooring-micro --json docs/micro-quick.json $(ARGS)

bench-store: ## The log, fjall, redb and sled on the workload of a queue (ARGS="--messages 100000 --runs 3").
	@scripts/setup measure
	cargo build --quiet --release --manifest-path benches/store/Cargo.toml
	benches/store/target/release/mooring-store-bench $(ARGS)

compare: ## Side by side with other brokers, into docs/benchmarks.md (BROKERS=my.toml adds some; see benches/README.md).
	@scripts/setup measure
	cargo build --release --package mooring --package mooring-bench
	cargo build --release --manifest-path benches/peers/rumqttd/Cargo.toml
	PATH="$$PATH:/usr/sbin" target/release/mooring-bench compare --brokers $(BROKERS) --markdown docs/benchmarks.md \
		--json target/compare.json $(ARGS)

fuzz: ## Look for inputs that break a rule (TARGET=decode, filter, session or log; MINUTES=20).
	@scripts/setup build
	scripts/fuzz $(TARGET) $(MINUTES)

api-fuzz: ## schemathesis against the API's description: no 5xx, no undocumented answer (EXAMPLES=30).
	@scripts/setup build
	cargo build --quiet --package mooring
	scripts/api-fuzz $(EXAMPLES)

docs: ## Write again what is generated: the OpenAPI description, the app's types of it and the example configuration.
	@scripts/setup build
	cargo run --quiet --package mooring -- config example > docs/mooring.example.toml
	cargo run --quiet --package mooring -- openapi > docs/openapi.json
	@$(MAKE) --no-print-directory client

client: ## Write the app's types of the API again, from docs/openapi.json.
	@scripts/setup client
	@cp app/generate.mjs target/app/
	node target/app/generate.mjs docs/openapi.json app/src/api/schema.d.ts

release: ## The binary that ships: target/release/mooring.
	@scripts/setup build
	cargo build --release --package mooring

crash: ## Load and SIGKILL, ROUNDS=50 times, each checked against what was acknowledged (MOORING_CRASH_SEED replays the choices).
	@scripts/setup build
	MOORING_CRASH_ROUNDS=$(ROUNDS) cargo test --package mooring --test crash -- --nocapture

scale: ## What many at once cost: 10,000 devices that enrol and are revoked, 10,000 people with 100,000 devices who read.
	@scripts/setup test
	MOORING_SCALE=full cargo test --profile bench --package mooring --test suite scale:: -- --nocapture --test-threads 1

slow-subscriber: ## What a subscriber that never reads costs the server and others: a minute each with and without one, at QoS 0 and 1.
	@scripts/setup build
	MOORING_SLOW_SECONDS=60 cargo test --package mooring --test slow_subscriber -- --nocapture --test-threads 1
