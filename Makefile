# make demo   install into .venv, compile a pruned language model, check it, let it write
# make models what PyPI ships for the test and the page about a real model; without it that test is skipped
# make test   lint, types, import contracts, and every test that needs no GPU
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin

.PHONY: demo test lint models test-gpu clean

demo: $(VENV)/installed
	$(BIN)/python -m examples.charlm.demo

test: $(VENV)/installed-test lint
	$(BIN)/python -m pytest -n auto

lint: $(VENV)/installed-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# Uses .venv where there is one, and $(PYTHON) as it is on a GPU machine that already has everything.
test-gpu:
	SPRNNC_REQUIRE_GPU=1 $(if $(wildcard $(BIN)/python),$(BIN)/python,$(PYTHON)) -m pytest tests/gpu

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV) || { echo "make: python3 needs its venv module (Debian: apt-get install python3-venv)"; exit 1; }
	$(BIN)/python -m pip install -q --upgrade pip

$(VENV)/installed: pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip install -q -e .
	touch $@

$(VENV)/installed-test: pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip install -q -e '.[test]'
	touch $@ $(VENV)/installed

# Without what silero-vad and pyannote-audio depend on, torch above all: only files that they ship are read.
models: $(VENV)/installed-test
	$(BIN)/python -m pip install -q --no-deps silero-vad==6.2.3 pyannote-audio==4.0.7
	$(BIN)/python -m pip install -q 'onnxruntime>=1.20'

clean:
	rm -rf $(VENV) build dist *.egg-info
