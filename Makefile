# make train   evolve two state-action pairs that teach a network to balance CartPole
# make test    run the tests
# make lint    check style and types
# make docs    build the documentation site in site/
#
# The first call makes a virtual environment in .venv and installs into it. ARGS goes to
# the command: make train ARGS="--seed 1", make test ARGS="-m slow". PYTHON names the
# Python to use: make train PYTHON=/opt/python/bin/python3.12. EXTRAS names the extras to
# install: make test EXTRAS=dev,pgx,craftax

ARGS =
EXTRAS ?= dev
PYTHON =
VENV = .venv
BIN = $(VENV)/bin
INSTALLED = $(VENV)/.neuroevo-installed

train: $(INSTALLED)
	$(BIN)/neuroevo train --encoding dataset $(ARGS)

test: $(INSTALLED)
	$(BIN)/python -m pytest $(ARGS)

lint: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

docs: $(INSTALLED)
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet --strict

# Versions as in pyproject.toml. Debian and Ubuntu ship ensurepip apart, and without it
# a virtual environment has no pip.
FITS = import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))

$(INSTALLED): pyproject.toml
	@if $(BIN)/python -m pip --version >/dev/null 2>&1; then exit 0; fi; \
	fitting=; chosen=; \
	for python in $(PYTHON) python3 python3.13 python3.12 python3.11; do \
		$$python -c '$(FITS)' >/dev/null 2>&1 || continue; \
		fitting=$${fitting:-$$python}; \
		$$python -c 'import ensurepip, venv' >/dev/null 2>&1 || continue; \
		chosen=$$python; \
		break; \
	done; \
	if [ -z "$$fitting" ]; then \
		echo "make: found no Python 3.11, 3.12 or 3.13: install one of them," \
			"or name it: make train PYTHON=/path/to/python3" >&2; \
		exit 1; \
	fi; \
	if [ -z "$$chosen" ]; then \
		echo "make: $$fitting cannot make virtual environments; on Debian and" \
			"Ubuntu: apt install python3-venv" >&2; \
		exit 1; \
	fi; \
	echo "making a virtual environment in $(VENV) with $$chosen"; \
	$$chosen -m venv $(VENV)
	@echo "installing into $(VENV): about 1 GB, some minutes"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[$(EXTRAS)]'
	@touch $(INSTALLED)

.PHONY: train test lint docs
