# What people and CI call. `make test` is everything; `make check` is what to run before a commit.

CARGO ?= cargo
CACHE := $(if $(XDG_CACHE_HOME),$(XDG_CACHE_HOME),$(HOME)/.cache)/llm-gateway-ci
# Seconds for which each fuzz target runs.
SECONDS ?= 600
FUZZ_TARGETS := prompt sse authorization route_table config journal
# The programs that are released.
PROGRAMS := -p llm-gateway -p llm-proxy -p llm-operator -p llm-keys -p llm-download -p llm-sim

.PHONY: help build check format lint deny unit test real programs integration sdk count bench scale \
	generate fuzz

help: ## List the targets
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 14

build: ## Build the programs as they are released
	$(CARGO) build --release --locked --bins $(PROGRAMS)

check: format lint deny unit ## Formatting, lints, licences, unit tests

format:
	$(CARGO) fmt --all --check

lint:
	$(CARGO) clippy --workspace --all-targets --locked --quiet -- -D warnings

deny:
	.ci/real/cargo-deny.sh
	$(CACHE)/cargo-deny/bin/cargo-deny --log-level error check bans licenses sources

unit:
	$(CARGO) test --workspace --locked --quiet --lib --bins
	$(CARGO) test --workspace --locked --quiet --doc

test: check integration sdk count ## Everything that CI runs

real: ## Build the Kubernetes that tests run on, once, into the cache
	.ci/real/kubernetes.sh >/dev/null
	.ci/real/node.sh >/dev/null
	.ci/real/foreign-crds.sh >/dev/null

programs:
	$(CARGO) build --locked --quiet --bins $(PROGRAMS)

integration: real programs ## Everything from outside; wants root for a node in namespaces of its own
	$(CARGO) test --workspace --locked --quiet --tests --no-fail-fast

sdk: programs ## The real SDKs, an OIDC provider and curl against a running gateway
	proxy/standalone/tests/sdk/run

count: ## Instructions and system calls per request, which repeat and so gate CI
	.ci/real/debian.sh valgrind strace
	$(CARGO) build --release --locked --quiet -p llm-gateway -p llm-bench
	target/release/llm-bench count --gateway target/release/llm-gateway

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

fuzz: ## Fuzz what parses strangers' bytes, SECONDS=600 each
	.ci/real/cargo-fuzz.sh
	cd proxy && for target in $(FUZZ_TARGETS); do \
	  RUSTC_BOOTSTRAP=1 $(CACHE)/cargo-fuzz/bin/cargo-fuzz run $$target -- \
	    -max_total_time=$(SECONDS) -timeout=10 -rss_limit_mb=4096 || exit 1; \
	done
