# Every target makes its own .venv when there is none; a changed pyproject.toml reinstalls.
PYTHON ?= $(shell python3.11 -c '' 2>/dev/null && echo python3.11 || echo python3)
BIN := .venv/bin

.PHONY: help demo test check bench gpu ptx parity clean
.NOTPARALLEL:
.DELETE_ON_ERROR:

help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "%-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: .venv/installed-examples  ## train LeNet on real digits
	$(BIN)/python examples/lenet.py

test: .venv/installed-test  ## all tests that need no PyTorch
	$(BIN)/python -m pytest

check: .venv/installed-test  ## lint, format, strict types, then the tests
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest

bench: .venv/installed-bench  ## step times against PyTorch and JAX
	$(BIN)/python benchmarks/steps.py

gpu: .venv/installed-test .venv/installed-cuda  ## check and time everything on this machine's GPU
	$(BIN)/python benchmarks/gpu.py

ptx: .venv/installed-test .venv/installed-cuda  ## GPU kernels through NVVM; needs no GPU
	$(BIN)/python -m pytest tests/codegen/cuda/test_ptx.py tests/codegen/cuda/test_driver.py

parity: .venv/installed-parity  ## the tests that ask PyTorch live
	$(BIN)/python -m pytest -m parity

clean:  ## remove the environment and every cache
	rm -rf .venv build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(BIN)/python:
	$(PYTHON) -m venv .venv

# .venv/installed-NAME: this project, editable, with its extra NAME.
.venv/installed-%: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[$*]'
	@touch $@
