# Two commands on a fresh machine: `make demo` and `make test`. Both set up .venv first, as root or not.
PYTHON ?= python3
VENV ?= .venv
CHECK ?= .venv-check
PHRASE ?= computer
ARGS ?=
TEST ?=
SECONDS ?= 60
GRAPHS ?= 1000

BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
TORCH := $(shell sed -n 's/^torch==//p' constraints.txt)
C_FILES := find firmware_export kws examples tests -name '*.[ch]'
SOURCES := pyproject.toml setup.py constraints.txt kws/runtime/build.py $(wildcard firmware_export/runtime/*.[ch] kws/runtime/*.[ch])

# Images of containers set it; then every process would compile every module anew, which costs the tests minutes.
unexport PYTHONDONTWRITEBYTECODE

# Each file's tests in one process, in the order that tests/support/order.py gives.
PYTEST := $(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder --durations 10

.PHONY: help demo quick test check random-graphs fuzz format bench clean
help:
	@echo "make demo                      a detector for 'computer' from text alone, in about 15 minutes"
	@echo "make demo PHRASE='hey marvin'  the same for another phrase (ARGS='--seed 1 ...' goes to kws quickstart)"
	@echo "make test                      all tests (TEST='-k frontend' for some)"
	@echo "make quick                     the tests that train and emulate nothing, in 90 seconds on two cores"
	@echo "make check                     ruff, format check, mypy strict"
	@echo "make random-graphs             1,000 random graphs (GRAPHS=1000) on every engine and emulated processor"
	@echo "make fuzz SECONDS=600          fuzzes the C runtime and the .kws loader, each target so long"
	@echo "make bench                     the side-by-side benchmarks"

demo: $(VENV)/.demo
	$(BIN)/kws quickstart "$(PHRASE)" $(if $(wildcard ../shared/corpus/manifest.csv),--real ../shared/corpus) $(ARGS)

# Where there are no builds of them (see below), the variable is empty and the tests of these runtimes are left out.
test quick: export KWS_TFLITE_RUNTIME = $(shell ls "$(CURDIR)/.venv-tflite/bin/python" 2>/dev/null)
test: $(VENV)/.dev .venv-tflite/.done
	$(PYTEST) $(TEST)

quick: $(VENV)/.dev .venv-tflite/.done
	$(PYTEST) -m "not train and not emulator and not slow" -n 3 $(TEST)

check: $(CHECK)/.done
	$(CHECK)/bin/ruff check .
	$(CHECK)/bin/ruff format --check .
	$(C_FILES) | xargs $(CHECK)/bin/clang-format --dry-run --Werror
	$(CHECK)/bin/mypy

random-graphs: $(VENV)/.dev
	KWS_RANDOM_GRAPHS=$(GRAPHS) $(BIN)/python -m pytest -n 2 tests/graph/test_engines_agree.py tests/firmware_export/simulate/test_graph.py \
	  tests/firmware_export/tflite/test_tflite.py tests/firmware_export/onnx/test_onnx_writer.py -k "random_graphs_give or without_dsp or any_small_graph or any_chunks"

# With CC=clang (LLVM's, with its compiler-rt) libFuzzer drives, else tests/fuzz/driver.c.
fuzz: $(VENV)/.dev
	KWS_FUZZ_SECONDS=$(SECONDS) KWS_FUZZ_EXAMPLES=$$((20 * $(SECONDS))) \
	  $(BIN)/python -m pytest -s tests/firmware_export/c/test_c_fuzz.py tests/detector/test_model_file_damage.py

format: $(CHECK)/.done
	$(CHECK)/bin/ruff check --fix .
	$(CHECK)/bin/ruff format .
	$(C_FILES) | xargs $(CHECK)/bin/clang-format -i

bench: $(VENV)/.dev
	$(BIN)/python benchmarks/frontend.py
	$(BIN)/python benchmarks/listening.py
	$(BIN)/python benchmarks/instructions.py
	$(BIN)/python benchmarks/layout.py

$(VENV)/bin/python $(CHECK)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(None if sys.version_info >= (3, 11) else "kws needs Python 3.11 or newer; try: make PYTHON=python3.12")'
	$(PYTHON) -m venv $(patsubst %/bin/python,%,$@)

# Without a GPU the CPU build of torch is asked for first: the default one brings several GB of CUDA libraries.
$(VENV)/.torch: $(VENV)/bin/python constraints.txt
	@echo "Installing torch $(TORCH) into $(VENV) ..."
	@if nvidia-smi -L >/dev/null 2>&1; then $(PIP) install -c constraints.txt torch; \
	 else $(PIP) install -c constraints.txt "torch==$(TORCH)+cpu" 2>/dev/null || $(PIP) install -c constraints.txt torch; fi
	@touch $@

$(VENV)/.demo: $(VENV)/.torch $(SOURCES)
	@echo "Installing kws into $(VENV) ..."
	@PIP_CONSTRAINT=constraints.txt $(PIP) install -e ".[train,export,synth]"
	@touch $@

$(VENV)/.dev: $(VENV)/.torch $(SOURCES)
	@echo "Installing kws and its test tools into $(VENV) ..."
	@PIP_CONSTRAINT=constraints.txt $(PIP) install -e ".[train,export,simulate,synth,dev]"
	@touch $@ $(VENV)/.demo

# Of torch mypy reads the types alone: its CPU build, without what it needs to run.
$(CHECK)/.done: $(CHECK)/bin/python constraints.txt requirements-check.txt
	@echo "Installing ruff, mypy and what they read into $(CHECK) ..."
	@pip="$(CHECK)/bin/python -m pip --disable-pip-version-check --quiet install --no-compile --no-deps -c constraints.txt"; \
	 { $$pip "torch==$(TORCH)+cpu" 2>/dev/null || $$pip torch; } && $$pip -r requirements-check.txt
	@touch $@

# Older runtimes that the export's tests feed: they need numpy < 2 and Python 3.11 at most, so an environment of their own.
.venv-tflite/.done: $(VENV)/bin/python constraints-tflite.txt
	@if $(BIN)/python -c 'import sys, platform; sys.exit(sys.version_info[:2] > (3, 11) or platform.system() != "Linux")'; then \
	  echo "Installing older runtimes into .venv-tflite ..."; \
	  $(BIN)/python -m venv .venv-tflite && .venv-tflite/bin/python -m pip --disable-pip-version-check --quiet install --no-deps -r constraints-tflite.txt; \
	 else echo "the older runtimes have no builds for this Python: their tests are not run"; mkdir -p .venv-tflite; fi
	@touch $@

clean:
	rm -rf build dist *.egg-info kws/_runtime*.so .pytest_cache .mypy_cache .ruff_cache .hypothesis
