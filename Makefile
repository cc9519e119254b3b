# SPDX-License-Identifier: BSD-3-Clause

# Verbs only: each calls scripts, meson does the building. `make` alone lists them.

.PHONY: help build unit instructions e2e e2e-asan vm fuzz coverage asan tsan lint test soak mutants install demo clean-demo clean

help: ## this list
	@sed -n 's/^\([a-z0-9-]*\):.*## /\1\t/p' Makefile | expand -t 16

build: ## programs in build/bin, plugins in build/plugins
	@devtools/setup build && devtools/build obj

unit: ## unit tests
	@devtools/setup unit && tests/run unit

instructions: ## what the bursts execute for a frame, against tests/instructions/expected
	@devtools/setup instructions && tests/run instructions

e2e: ## whole programs with real packets
	@devtools/setup e2e && tests/run e2e

e2e-asan: ## the same, not in `make test`, with plugins that have the address sanitizer
	@devtools/setup e2e-asan && tests/run e2e-asan

vm: ## guests with a machine of their own, and real packets
	@devtools/setup vm && devtools/vm-parts >/dev/null && tests/run vm

fuzz: ## every fuzz target for FUZZ_SECONDS (30)
	@devtools/setup fuzz && tests/run fuzz

asan: ## unit tests under address and undefined-behaviour sanitizers
	@devtools/setup asan && tests/run asan

tsan: ## unit tests under the thread sanitizer
	@devtools/setup tsan && tests/run tsan

coverage: ## lines that the fuzz targets' corpora and the unit tests reach
	@devtools/setup coverage && tests/run coverage

lint: ## format, layers, sizes, headers, forbidden tokens
	@devtools/setup lint && devtools/lint

test: ## all of these; the last line counts
	@devtools/setup test && devtools/vm-parts >/dev/null && \
		tests/run unit instructions asan tsan fuzz coverage e2e vm

soak: ## the long tests in their full length (hours); results in docs/soak.csv
	@devtools/setup soak && devtools/build obj && devtools/with-hugepages tests/soak

mutants: ## break the code on purpose, and see the tests fail
	@devtools/setup mutants && tests/mutants/run

install: build ## daemon, plugins, headers, documents to PREFIX (/usr/local), below DESTDIR
	@devtools/install

demo: ## ping, then packets a second, through a vDPDK device (YES=1: ask nothing)
	@devtools/setup --announce demo && devtools/build obj && exec /usr/bin/python3 devtools/demo.py

clean-demo: ## remove what a killed run left
	@/usr/bin/python3 devtools/demo.py --clean && devtools/hugepages --restore

clean: ## remove build/
	@rm -rf build
