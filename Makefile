# `make bench` and `make test` are all that a newcomer needs; each makes its own environment in .venv.

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help bench test test-torch test-clients check format docs generate constraints clean

python := .venv/bin/python
pins := pyproject.toml constraints.txt scripts/venv.sh

help:  ## list these commands
	@sed -n 's/^\([a-z-]*\):.*##/\1 -/p' Makefile

bench: .venv/.local  ## what shorter reasoning saves and costs: four methods, 60 questions, a real model
	@sh scripts/bench.sh

test: .venv/.dev  ## the tests that need no torch
	$(python) -m pytest -rs -m "not torch" --ignore=tests/clients

test-torch: .venv/.train  ## the tests that need torch
	$(python) -m pytest -rs -m torch --ignore=tests/clients

test-clients: .venv/.dev .venv-clients/.clients  ## the gateway tried with real clients (PONDER_VLLM=... adds a real vLLM)
	.venv-clients/bin/python -m pytest -c tests/clients/pytest.ini tests/clients

check: .venv/.dev  ## style, types, import rules, size caps, generated pages, documentation
	$(python) -m ruff check .
	$(python) -m ruff format --check .
	$(python) -m mypy
	$(python) -m pytest tests/test_imports.py
	$(python) scripts/docs.py --check
	$(python) -m sphinx -q -E -W --keep-going docs docs/_build

format: .venv/.dev  ## mend the style
	$(python) -m ruff check --fix .
	$(python) -m ruff format .

docs: generate  ## build the documentation into docs/_build
	$(python) -m sphinx -q -W --keep-going docs docs/_build
	@echo "open docs/_build/index.html"

generate: .venv/.dev  ## write the pages that come from the code
	$(python) scripts/docs.py

constraints: .venv/.dev  ## pin the newest versions of everything
	$(python) scripts/constraints.py

clean:  ## remove the environment and everything that was built; runs/ stays
	rm -rf .venv .venv-clients build dist docs/_build .mypy_cache .ruff_cache .pytest_cache .hypothesis

.venv/.local: $(pins)
	@sh scripts/venv.sh local

.venv/.dev: $(pins)
	@sh scripts/venv.sh dev

.venv/.train: .venv/.dev
	@sh scripts/venv.sh train

.venv-clients/.clients: tests/clients/requirements.txt tests/clients/constraints.txt scripts/venv.sh
	@sh scripts/venv.sh clients
