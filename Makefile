# Everything a fresh machine needs is set up on the first call: a virtual environment with tested versions.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: run test test-reference test-parity lint bench screenshots clean

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "rpnviz needs Python 3.11 or newer, this is %d.%d: make PYTHON=python3.11" % sys.version_info[:2])'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -q --disable-pip-version-check -c constraints.txt -e '.[test,dev,fast]'
	touch $(STAMP)

run: $(STAMP)
	$(BIN)/rpnviz

# One thread of torch per process: its threads would wait for each other's cores.
test: $(STAMP)
	OMP_NUM_THREADS=1 QT_QPA_PLATFORM=offscreen $(BIN)/python -m pytest -n auto

test-reference: $(STAMP)
	$(BIN)/python -m pytest tests/reference

# Against torchvision, Keras and mmdetection themselves: wheels without their dependencies, which would replace torch by
# gigabytes; what else they import comes with them.
PARITY := torchvision==0.28.0 pillow==13.0.0 \
  keras==3.15.1 absl-py==2.5.1 ml-dtypes==0.6.0 namex==0.1.0 optree==0.20.0 \
  mmdet==3.3.0 mmengine==0.10.7 mmcv-lite==2.1.0 addict==2.4.0 pyyaml==6.0.4 six==1.17.0 termcolor==3.3.0

$(VENV)/parity/.installed: $(STAMP) Makefile
	rm -rf $(VENV)/parity
	$(BIN)/python -m pip install -q --disable-pip-version-check --no-deps --target $(VENV)/parity $(PARITY)
	touch $@

test-parity: $(VENV)/parity/.installed
	PYTHONPATH=$(VENV)/parity $(BIN)/python -m pytest tests/parity

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(STAMP)
	for script in benchmarks/bench_*.py; do $(BIN)/python $$script || exit 1; done

screenshots: $(STAMP)
	QT_QPA_PLATFORM=offscreen $(BIN)/python -m tools.make_screenshots
	QT_QPA_PLATFORM=offscreen $(BIN)/python -m tools.make_screenshots --large

clean:
	rm -rf $(VENV) build dist
