# Two commands do everything: `make fit` and `make test`. Both install into .venv first.
PYTHON ?= python3
VENV = .venv
BIN = $(VENV)/bin
RUN ?= runs/faces

.PHONY: fit test lint clean
.DEFAULT_GOAL := help

help:
	@echo "make fit    install, render heads, train, print the table, write $(RUN)/figures"
	@echo "make test   install, lint, type-check and run everything that must hold"
	@echo "make clean  remove what both have made"

# constraints.txt keeps to tested versions, and torch to one that is not a download of gigabytes.
$(VENV)/.installed: pyproject.toml constraints.txt
	@echo "installing into $(VENV) (a few minutes the first time)"
	@test -d $(VENV) || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --disable-pip-version-check --progress-bar off -c constraints.txt -e '.[dev]' | grep -v 'already satisfied'
	@touch $@

fit: $(VENV)/.installed
	$(BIN)/pyro-dcign fit $(if $(wildcard $(RUN)/config.toml),--resume,--out) $(RUN)

lint: $(VENV)/.installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# One file after another on each core: threads of two processes on the same cores wait for each other.
test: lint
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n auto --dist loadfile

clean:
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis
