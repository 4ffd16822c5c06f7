# `make run` shows Weir at work; `make test` checks everything.

SHELL := /bin/bash
VENV := .build/venv
# The binary contains Swift's libraries, so it runs without a toolchain and calls them without indirection. It omits the
# run-time check for overlapping accesses, which debug builds and all tests keep.
RELEASE := -c release --static-swift-stdlib -Xswiftc -enforce-exclusivity=unchecked

.PHONY: run test test-slow format lint tools bench bench-check docs release clean

## Build Weir and start the demo: the gateway in front of a sample ML API.
run: release
	exec .build/release/weir demo

release:
	swift build $(RELEASE) --product weir

## Install what the tests need besides Swift: Debian packages, and a Python environment under .build.
tools:
	@scripts/install-tools $(VENV)

## Check the formatting and the comments, build with warnings as errors, and run every test that takes less than 10 s.
test: tools lint bench-check
	swift build --build-tests
	swift build --product weir
	scripts/docs
	WEIR_VENV=$(CURDIR)/$(VENV) swift test --skip-build

## Run the tests that take longer: sanitizers, a 1 GB upload, failovers, all examples, a short benchmark.
test-slow: tools
	scripts/test-slow

lint:
	swift format lint --strict --recursive Sources Tests Examples/App Snippets Benchmarks/Sources Package.swift
	scripts/lint-comments Sources Tests Examples/App Snippets Benchmarks/Sources
	scripts/lint-docs Sources/Weir Sources/WeirHTTP Sources/WeirHummingbird Sources/WeirRedis Sources/WeirJWT Sources/WeirTesting

## Build the documentation of the libraries with docc, under .build/docs.
docs:
	scripts/docs

format:
	swift format --in-place --recursive Sources Tests Examples/App Snippets Benchmarks/Sources Package.swift

## Check that the benchmarks still run, that a decision allocates nothing, and that the middleware allocates little.
bench-check:
	python3 Benchmarks/run.py check

## Measure against the peers; docs/performance.md says what is measured.
bench: tools
	python3 Benchmarks/run.py

clean:
	swift package clean
