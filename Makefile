# `make demo` and `make test` set up everything they need in .venv; nothing else has to be installed first.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt

.PHONY: demo test check lint types clean

demo: $(VENV)/installed-bench
	$(BIN)/edgeau demo --out demo

# Without the restart of a worker that dies: pytest-xdist 3.8 then waits for ever instead of naming the test it died in.
test: $(VENV)/installed-dev
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses 2 --dist loadfile --max-worker-restart 0

check: lint types test

lint: $(VENV)/installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

# mypy sees the package as users import it: edgeau.train is train/, and so on.
types: $(VENV)/installed-dev
	mkdir -p build/mypy/edgeau
	for layer in train export optimize runtime benchmarks; do ln -sfn ../../../$$layer build/mypy/edgeau/$$layer; done
	MYPYPATH=build/mypy $(BIN)/mypy --namespace-packages --explicit-package-bases -p edgeau

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/installed-bench: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(INSTALL) --editable '.[bench]'
	touch $@

$(VENV)/installed-dev: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(INSTALL) --editable '.[dev]'
	touch $@ $(VENV)/installed-bench

clean:
	rm -rf $(VENV) build demo .mypy_cache .ruff_cache .pytest_cache
