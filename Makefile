# make demo    a backup from beginning to end, on a PostgreSQL that it brings along
# make test    every test, on PostgreSQL 14 to 18 and an AWS stand-in that it brings along
# make soak    the tests that look for trouble, in their long form: hours
# make lint    formatting, clippy, licences, the stack's template
# make build   the release build of the command line: target/release/lifeboat
# make bench   Lifeboat beside pg_dump, restic and others: an hour or two; BENCH="--quick" for a minute's look (docs/performance.md)
# make bench-docs puts what was measured, target/{bench,sizes,scaling,ranges}.json as far as they are there, into docs/performance.md
# make layer   PostgreSQL's client programs as a Lambda layer, in infra/client-tools/build; ARCH=arm64 (default), x86_64 or all
# make bed-down stops what a test or demo left running
#
# make functions   the Lambda functions, for arm64 or ARCH=x86_64: target/lambda, then .aws-sam/build
# make deploy      the stack, from what was built; asks for its settings the first time, and keeps them in samconfig.toml
# make invoke F=backup E=functions/backup/events/daily.json    calls a function of the stack and prints its answer
# make logs F=backup    its log of the last hour, and what follows
# These four want cargo-lambda, AWS SAM's command line and AWS' own (version 2); docs/deploy.md tells the rest. STACK names the stack.
#
# All it takes is Rust, Python 3, Node with npm and a C toolchain; what else is needed is put into .bed, checked by hash.
# The layer takes more, and Debian 12: infra/client-tools/README.md.
# On Debian, with bison, flex and perl, tests run on PostgreSQL's own regression-test database too; elsewhere they say that
# they were skipped, as do those of poolers without pgbouncer and those of full disks without the right to mount one.

SHELL := /bin/bash
BED := tests/bed/bed
# Without OpenSSL's headers it is built from source, which takes a minute more and wants perl.
TLS := $(shell pkg-config --exists openssl 2>/dev/null || echo --features vendored-tls)

.PHONY: build bench bench-docs layer test soak demo lint bed-down functions deploy invoke logs

ARCH ?= arm64
STACK ?= lifeboat
CONFIG := $(CURDIR)/samconfig.toml
export SAM_CLI_TELEMETRY ?= 0

build:
	cargo build --locked --release -p lifeboat-cli $(TLS)

layer:
	@for arch in $(if $(filter all,$(ARCH)),arm64 x86_64,$(ARCH)); do \
		infra/client-tools/make-layer $$arch && infra/client-tools/check $$arch || exit; \
	done

bench:
	@trap '$(BED) down' EXIT; \
	mkdir -p target && benches/bench.py --json target/bench.json --markdown target/bench.md $(BENCH)

bench-docs:
	@set --; for part in bench sizes scaling ranges; do \
		[ ! -e target/$$part.json ] || set -- "$$@" --$$part target/$$part.json; \
	done; \
	[ $$# -gt 0 ] || { echo "nothing was measured: there is none of target/{bench,sizes,scaling,ranges}.json" >&2; exit 1; }; \
	benches/results.py "$$@" && benches/plots.py "$$@"

# A failed assertion says where it stands; a backtrace below it only hides what it says.
test:
	@trap '$(BED) down' EXIT; \
	$(BED) up all > /dev/null && RUST_BACKTRACE=0 cargo test --locked --workspace $(TLS)

soak:
	@trap '$(BED) down' EXIT; \
	$(BED) up all > /dev/null && LIFEBOAT_SOAK=1 cargo test --locked --workspace $(TLS)
	infra/client-tools/make-layer x86_64
	tests/ci/functions release

# A development build: `make test` uses the same.
demo:
	cargo build --locked -p lifeboat-cli $(TLS)
	@python3 tests/demo/demo.py target/debug/lifeboat

lint:
	cargo fmt --all --check
	cargo clippy --locked --workspace --all-targets $(TLS) -- -D warnings
	@tests/ci/deny
	@tests/ci/stack

bed-down:
	$(BED) down

functions:
	@infra/make-functions $(ARCH)

deploy:
	@[ -f .aws-sam/build/template.yaml ] || { echo "nothing is built: make functions" >&2; exit 1; }
	@if [ -f $(CONFIG) ]; then \
		sam deploy --config-file $(CONFIG); \
	else \
		cp infra/samconfig.toml $(CONFIG) && sam deploy --guided --stack-name $(STACK) --config-file $(CONFIG) \
			--parameter-overrides Architecture=$$(cat target/lambda/architecture) || { rm -f $(CONFIG); exit 1; }; \
	fi

# A backup may take a quarter of an hour: the command waits, and asks only once.
invoke:
	@[ -n "$(F)" ] || { echo "say which function: make invoke F=backup E=functions/backup/events/daily.json" >&2; exit 2; }
	@answer=$$(mktemp) && trap "rm -f $$answer" EXIT && \
	failed=$$(AWS_MAX_ATTEMPTS=1 aws lambda invoke --function-name $(STACK)-$(F) --cli-binary-format raw-in-base64-out \
		--cli-read-timeout 920 $(if $(E),--payload file://$(E)) --query FunctionError --output text "$$answer") && \
	cat "$$answer" && echo && [ "$$failed" = None ]

logs:
	@[ -n "$(F)" ] || { echo "say which function: make logs F=backup" >&2; exit 2; }
	aws logs tail /aws/lambda/$(STACK)-$(F) --since 1h --format short --follow
