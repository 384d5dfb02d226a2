# make demo    a backup from beginning to end, on a PostgreSQL that it brings along
# make test    every test, on PostgreSQL 14 to 18 and an AWS stand-in that it brings along
# make soak    the tests that look for trouble, in their long form: hours
# make lint    formatting, clippy, licences
# make build   the release build of the command line: target/release/lifeboat
# make layer   PostgreSQL's client programs as a Lambda layer, in infra/client-tools/build; ARCH=arm64 (default), x86_64 or all
# make bed-down stops what a test or demo left running
#
# All it takes is Rust, Python 3, Node with npm and a C toolchain; what else is needed is put into .bed, checked by hash.
# The layer takes more, and Debian 12: infra/client-tools/README.md.
# On Debian, with bison, flex and perl, tests run on PostgreSQL's own regression-test database too; elsewhere they say that
# they were skipped, as do those of poolers without pgbouncer and those of full disks without the right to mount one.

SHELL := /bin/bash
BED := tests/bed/bed
# Without OpenSSL's headers it is built from source, which takes a minute more and wants perl.
TLS := $(shell pkg-config --exists openssl 2>/dev/null || echo --features vendored-tls)

ARCH ?= arm64

.PHONY: build layer test soak demo lint bed-down

build:
	cargo build --locked --release -p lifeboat-cli $(TLS)

layer:
	@for arch in $(if $(filter all,$(ARCH)),arm64 x86_64,$(ARCH)); do \
		infra/client-tools/make-layer $$arch && infra/client-tools/check $$arch || exit; \
	done

test:
	@trap '$(BED) down' EXIT; \
	$(BED) up all > /dev/null && cargo test --locked --workspace $(TLS)

soak:
	@trap '$(BED) down' EXIT; \
	$(BED) up all > /dev/null && LIFEBOAT_SOAK=1 cargo test --locked --workspace $(TLS)

# A development build: `make test` uses the same.
demo:
	cargo build --locked -p lifeboat-cli $(TLS)
	@python3 tests/demo/demo.py target/debug/lifeboat

lint:
	cargo fmt --all --check
	cargo clippy --locked --workspace --all-targets $(TLS) -- -D warnings
	@tests/ci/deny

bed-down:
	$(BED) down
