# `make demo` and `make test` set up everything they need in .venv; nothing else has to be installed first.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt
# Without the restart of a worker that dies: pytest-xdist 3.8 then waits for ever instead of naming the test it died in.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses 2 --dist loadfile --max-worker-restart 0

.PHONY: demo test retest quick test-oldest check lint types docs dist fuzz kill-test clean

demo: $(VENV)/installed-demo
	$(BIN)/edgeau demo --out demo

test: $(VENV)/installed-dev
	$(PYTEST)

# Only what failed last time.
retest: $(VENV)/installed-dev
	$(PYTEST) --last-failed --last-failed-no-failures none

# Without the tests that take five seconds or more.
quick: $(VENV)/installed-dev
	$(PYTEST) -m "not slow"

# What runs on a device, on Python 3.8 and the oldest libraries.
test-oldest: dist
	tests/oldest/run dist/*.whl build/oldest

# Mutates everything that is read, each reader for so many seconds or executions, whichever ends first.
FUZZ_SECONDS ?= 60
FUZZ_EXECUTIONS ?= inf
fuzz: $(VENV)/installed-dev
	OMP_NUM_THREADS=1 $(BIN)/python tests/fuzz $(FUZZ_SECONDS) $(FUZZ_EXECUTIONS)

# Ends verbs that write at random moments, by signals and by a full disk; nothing may be lost.
kill-test: $(VENV)/installed-dev
	OMP_NUM_THREADS=1 $(BIN)/python tests/attacks/kills.py 200

check: lint types docs test

lint: $(VENV)/installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

# mypy sees the package as users import it: edgeau.train is train/, and so on.
types: $(VENV)/installed-dev
	mkdir -p build/mypy/edgeau
	for layer in train export optimize runtime benchmarks; do ln -sfn ../../../$$layer build/mypy/edgeau/$$layer; done
	MYPYPATH=build/mypy $(BIN)/mypy --namespace-packages --explicit-package-bases -p edgeau

# The API reference from the docstrings, in build/docs. What would leave a reader without an answer is an error.
docs: $(VENV)/installed-dev
	$(BIN)/python docs/build.py

# The wheel is built from the unpacked sdist. The metadata that setuptools leaves here would hide the installed one.
dist: $(VENV)/installed-dev
	rm -rf dist && mkdir -p build
	$(BIN)/python -m build --no-isolation --outdir dist > build/dist.log
	rm -rf edgeau.egg-info
	ls -l dist

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/installed-demo: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(INSTALL) --editable '.[demo]'
	touch $@

$(VENV)/installed-dev: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(INSTALL) --editable '.[dev]'
	touch $@ $(VENV)/installed-demo

clean:
	rm -rf $(VENV) build dist demo .mypy_cache .ruff_cache .pytest_cache
