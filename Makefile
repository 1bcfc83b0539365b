# Two commands: `make demo` shows Rondo at work, `make test` proves it. Nothing else is to be typed.
.PHONY: help demo test unit ssh e2e lint setup engine clean

help: ## Show what can be made
	@grep -E '^[a-z0-9]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 12

setup: ## Python environment in .venv
	@scripts/setup

engine:
	@scripts/docker

demo: setup engine ## Two servers as containers, the example shop deployed to both over SSH
	@.venv/bin/inv demo

test: setup engine ## Everything: style, types, unit, ssh, the lab, the browser
	@scripts/test

unit: setup ## Only what needs no server: a few seconds
	@scripts/packages iproute2
	@.venv/bin/pytest tests/unit

ssh: setup ## Only what needs a throwaway sshd
	@scripts/packages openssh-server
	@.venv/bin/pytest tests/ssh

e2e: setup engine ## Only what needs the lab
	@scripts/packages chromium libnss3-tools
	@.venv/bin/pytest tests/e2e

lint: setup ## Style and types of the code, and the rendered files
	@.venv/bin/ruff check && .venv/bin/ruff format --check && .venv/bin/mypy
	@.venv/bin/shellcheck -s sh src/rondo/remote/*.sh scripts/*

clean: ## Remove the labs, their images and everything made here
	@if [ -x .venv/bin/inv ] && command -v docker >/dev/null && docker info >/dev/null 2>&1; then \
		.venv/bin/inv lab.down --images; \
		for lab in .rondo/lab-*; do \
			if [ -d "$$lab" ]; then RONDO_LAB="$${lab#.rondo/lab-}" .venv/bin/inv lab.down --images; fi; \
		done; \
	fi
	rm -rf .venv .rondo build .pytest_cache .mypy_cache .ruff_cache .hypothesis
