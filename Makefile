# `make run` shows Weir at work; `make test` checks everything.

SHELL := /bin/bash
VENV := .build/venv
# The binary carries Swift's libraries, so it runs where no toolchain is, and calls them without indirection; and it
# goes without the run-time check for overlapping accesses, which debug builds and all tests keep.
RELEASE := -c release --static-swift-stdlib -Xswiftc -enforce-exclusivity=unchecked

.PHONY: run test test-slow format lint tools bench bench-check docs release clean

## Build Weir and start the demo: the gateway before a sample ML API.
run: release
	exec .build/release/weir demo

release:
	swift build $(RELEASE) --product weir

## What the tests need besides Swift: Debian packages, and a Python environment under .build.
tools:
	@scripts/install-tools $(VENV)

## Formatting, a build with warnings as errors, and every test that takes less than 10 s.
test: tools lint bench-check
	swift build --build-tests
	swift build --product weir
	scripts/docs
	WEIR_VENV=$(CURDIR)/$(VENV) swift test --skip-build

## The tests that take longer: sanitizers, a 1 GB upload, the benchmarks' own check.
test-slow: tools
	scripts/test-slow

lint:
	swift format lint --strict --recursive Sources Tests Examples/App Snippets Benchmarks/Sources Package.swift

## The documentation of the libraries, as docc makes it, under .build/docs.
docs:
	scripts/docs

format:
	swift format --in-place --recursive Sources Tests Examples/App Snippets Benchmarks/Sources Package.swift

## That the benchmarks still run, and that a decision still allocates nothing and the middleware little.
bench-check:
	python3 Benchmarks/run.py check

## Measure against the peers; docs/performance.md says what is measured.
bench: tools
	python3 Benchmarks/run.py

clean:
	swift package clean
