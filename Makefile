# What people and CI call. `make test` is everything; `make check` is what to run before a commit.

CARGO ?= cargo
# Prints the folder of cargo-deny, cargo-fuzz and cargo-nextest.
TOOLS := .ci/real/rust-tools.sh
# Seconds for which each fuzz target runs.
SECONDS ?= 600
FUZZ_TARGETS := prompt sse authorization route_table config journal
# The programs that are released.
PROGRAMS := -p llm-gateway -p llm-proxy -p llm-operator -p llm-keys -p llm-download -p llm-sim

.PHONY: help build check format lint deny unit doc test soak integration sdk real count bench scale \
	generate fuzz

help: ## List the targets
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 14

build: ## Build the programs as they are released
	$(CARGO) build --release --locked --bins $(PROGRAMS)

check: format deny lint unit doc ## Formatting, licences, lints, unit tests

format:
	$(CARGO) fmt --all --check

deny:
	$$($(TOOLS))/cargo-deny --log-level error check bans licenses sources

lint:
	$(CARGO) clippy --workspace --all-targets --locked --quiet -- -D warnings

unit:
	$$($(TOOLS))/cargo-nextest nextest run --workspace --locked --lib --bins

doc: ## The examples in the documentation of the source
	$(CARGO) test --workspace --locked --quiet --doc

test: ## Everything that CI runs, side by side; ends with a table of where the time went
	.ci/test

soak: ## The tests that repeat, as often as it takes to find a rare fault
	SOAK=1 .ci/test tests cluster

integration: ## Every test of the source; wants root for a node in namespaces of its own
	.ci/test tests cluster

sdk: ## The real SDKs, an OIDC provider and curl against a running gateway
	.ci/test sdk

count: ## Instructions and system calls per request, which repeat and so gate CI
	.ci/test count

real: ## Build the Kubernetes that tests run on, once, into the cache
	.ci/real/kubernetes.sh >/dev/null
	.ci/real/node.sh >/dev/null
	.ci/real/foreign-crds.sh >/dev/null

bench: build ## Throughput and latency against bare Pingora and nginx
	.ci/real/debian.sh nginx
	$(CARGO) build --release --locked --quiet -p llm-bench
	target/release/llm-bench run --gateway target/release/llm-gateway

scale: build real ## Thousands of models and keys on a real API server, with five proxies
	$(CARGO) build --release --locked --quiet -p llm-scale
	target/release/llm-scale

generate: ## Write the definitions of the custom resources and their reference pages
	$(CARGO) run --locked --quiet -p llm-crd --bin crdgen -- crds --dir charts/nebari-llm-serving/crds
	$(CARGO) run --locked --quiet -p llm-crd --bin crdgen -- docs --dir docs/reference

fuzz: ## Fuzz what parses untrusted bytes, SECONDS=600 each
	tools=$$($(TOOLS)) && cd proxy && for target in $(FUZZ_TARGETS); do \
	  RUSTC_BOOTSTRAP=1 $$tools/cargo-fuzz run $$target -- \
	    -max_total_time=$(SECONDS) -timeout=10 -rss_limit_mb=4096 || exit 1; \
	done
