# Two commands matter: `make explore` serves the page, `make test` runs every test. Each is complete
# on a fresh machine that has Python 3.11 or newer and make: the environment is made in .venv, with
# the versions of constraints.txt.

PYTHON ?= python3
PORT ?=
ARGS ?=

VENV := .venv
RUN := $(VENV)/bin/python -m
BASE := $(VENV)/.base-installed
DEV := $(VENV)/.dev-installed
# Python compiles what it imports, and keeps it whatever the environment says: tests start hundreds
# of processes. To compile all that is installed takes pip 20 s.
unexport PYTHONDONTWRITEBYTECODE
PIP := $(RUN) pip --disable-pip-version-check install -qq --no-compile --constraint constraints.txt

.DEFAULT_GOAL := help
.PHONY: help dev collected explore test test-page test-behind test-ptx test-ptx12 test-kernels wheels test-gpu browser lint format bench warm clean

help:
	@echo "make explore   serve the explorer on this machine (PORT=5006 to choose the port)"
	@echo "make test      run all tests (ARGS='-k als' to choose; MFVIZ_DATA_DIR for real ratings)"
	@echo "make test-ptx  compile every CUDA kernel for 7.5 to 12.0; no GPU needed (test-ptx12: 7.0 to 9.0)"
	@echo "make test-gpu  run every CUDA solver on this machine's GPU (PYTHON= what has numba-cuda, MINUTES=8)"
	@echo "make lint      check style and types (make format to mend the style)"
	@echo "make bench     measure the page, the solvers and the cost of watching on this machine"
	@echo "make dev       the environment that tests and lint need; they make it by themselves, too"
	@echo "make warm      compile the kernels once, ahead of the first run"
	@echo "make clean     remove the environment and all caches"

explore: $(BASE)
	@$(RUN) mfviz explore $(if $(PORT),--port $(PORT)) $(ARGS)

# Tests with a browser hold the page to deadlines, and leave half of two cores idle: the others run
# behind them at the lowest priority, and tell at their end what they found; so does what is ALSO to
# be made, one after the other. What a file prepares is prepared once: a file stays with one worker.
# Code 5 says that ARGS chose no test of that half.
test: $(DEV) browser
	@$(MAKE) --no-print-directory --keep-going --jobs 3 test-page test-behind $(ALSO)

test-page:
	@$(RUN) pytest -m ui -o testpaths="tests/notebook tests/ui" $(ARGS) || [ $$? -eq 5 ]

test-behind:
	@nice -n 19 $(RUN) pytest -n 2 --dist loadfile --no-loadscope-reorder \
	  -m "not ui" $(ARGS) >.tests-behind.log 2>&1; \
	code=$$?; cat .tests-behind.log; [ $$code -eq 0 ] || [ $$code -eq 5 ]

# The CUDA wheels exclude each other, so each kind has an environment of its own, which finds all
# else in .venv; it gets no more than compiling needs. What runs without them is left to other tests.
test-ptx: WHEELS := 13
test-ptx12: WHEELS := 12
test-ptx: .venv-cuda13/.compiles
test-ptx12: .venv-cuda12/.compiles
test-ptx test-ptx12: $(DEV)
	@MFVIZ_COMPILES=1 .venv-cuda$(WHEELS)/bin/python -m pytest -n 2 --dist loadgroup \
	  tests/cuda/test_ptx.py $(ARGS)

# Beside `make test ALSO=test-kernels`: with the lowest priority, in one process, as the cores are
# busy and each more would import all anew; told at its end.
test-kernels:
	@code=0; for kind in 13 12; do \
	  if [ -e .venv-cuda$$kind/.compiles ]; then \
	    nice -n 19 $(MAKE) --no-print-directory test-ptx$${kind#13} ARGS="-n 0" || code=1; \
	  else echo "NOT COMPILED with CUDA $$kind: its wheels (tests/cuda/wheels$$kind.txt) are not here."; \
	  fi; done >.tests-kernels.log 2>&1; cat .tests-kernels.log; exit $$code

wheels: | $(VENV)/bin/python
	@$(MAKE) --no-print-directory --keep-going .venv-cuda13/.compiles .venv-cuda12/.compiles || \
	  echo "Not all CUDA wheels can be had here: kernels are compiled with those that can." >&2

.venv-cuda%/.compiles: tests/cuda/wheels%.txt constraints.txt | $(VENV)/bin/python
	@test -x $(@D)/bin/python || $(VENV)/bin/python -m venv --without-pip $(@D)
	@$(@D)/bin/python -c 'import sys; open(sys.argv[1] + "/dev.pth", "w").write(sys.argv[2])' \
	  $$(for p in $(@D) $(VENV); do $$p/bin/python -c \
	  'import sysconfig; print(sysconfig.get_path("purelib"))'; done)
	@PIP_PYTHON=$(@D)/bin/python $(PIP) --no-deps --requirement $<
	@touch $@

# The PYTHON that has all of GPU_NEEDS is taken as it is, with neither a page nor a network; else an
# environment is made. MINUTES is for machines that are lent, REPORT a file that grows with the tests.
GPU_NEEDS := click hypothesis numba_cuda numpy pandas param platformdirs psutil pyarrow pytest tqdm
test-gpu: WHEELS := 13
test-gpu: OTHER = .venv-cuda$(WHEELS)
test-gpu:
	@missing=$$($(PYTHON) -c 'import importlib.util as u, sys; \
	  print(*[m for m in sys.argv[1:] if not u.find_spec(m)])' $(GPU_NEEDS)) || missing=$(PYTHON); \
	if [ -z "$$missing" ]; then python="$(PYTHON)"; else python=$(OTHER)/bin/python; \
	  echo "$(PYTHON) lacks $$missing: the tests run in $(OTHER)"; \
	  $(MAKE) --no-print-directory $(OTHER)/.runs || exit; fi; \
	MFVIZ_GPU_MINUTES="$(MINUTES)" MFVIZ_GPU_REPORT="$(REPORT)" \
	  $$python -m pytest -v tests/gpu $(ARGS)

.venv-cuda%/.runs: .venv-cuda%/.compiles $(DEV)
	@PIP_PYTHON=$(@D)/bin/python $(PIP) 'numba-cuda[cu$*]' nvidia-ml-py
	@touch $@

browser: $(BASE)
	@$(RUN) mfviz.browser || { \
	  if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	    echo "Installing Chromium for the page tests ..."; \
	    apt-get update -qq && \
	    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
	      chromium fonts-liberation >/dev/null; \
	  else false; fi; } || \
	  echo "Without a browser the page tests are skipped: install Chromium or Chrome, or name one" \
	       "with CHROMIUM=/path/to/it."

dev: $(DEV)

# What Python makes of the tests, and of all that they import, is kept for all who run them.
collected: $(DEV)
	@$(RUN) pytest --collect-only -qq | tail -n 1

lint: $(DEV)
	@$(RUN) ruff check .
	@$(RUN) ruff format --check .
	@nice -n 19 $(RUN) mypy

format: $(DEV)
	@$(RUN) ruff check --fix .
	@$(RUN) ruff format .

bench: $(DEV) browser
	@$(RUN) mfviz bench $(or $(ARGS),all)

warm: $(BASE)
	@$(RUN) mfviz warm

clean:
	rm -rf $(VENV) .venv-cuda12 .venv-cuda13 .ptx build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis .bench
	find mfviz apps tests -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	  echo "mfviz needs Python 3.11 or newer; $(PYTHON) is" \
	       "$$($(PYTHON) -V 2>/dev/null || echo missing)." \
	       "Name another: make $(MAKECMDGOALS) PYTHON=python3.12" >&2; exit 2; }
	@echo "Making the environment in $(VENV), once; this takes a minute or two ..."
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); \
	  echo "'$(PYTHON) -m venv' failed. On Debian and Ubuntu: apt install python3-venv" >&2; exit 2; }

# hatchling comes first and pinned, so that building the project asks for nothing more.
$(BASE): pyproject.toml constraints.txt | $(VENV)/bin/python
	@$(PIP) hatchling
	@$(PIP) --no-build-isolation --editable .
	@touch $@

$(DEV): $(BASE)
	@echo "Installing what the tests need ..."
	@$(PIP) --no-build-isolation --editable '.[dev,notebook]'
	@touch $@
