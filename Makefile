# `make bench` runs the main job, `make test` the tests; each makes .venv and installs what it needs.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
STUDY ?= quickstart
STORED ?= results/reference/cpu-2-cores/benchmarks
PIP := $(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt
# what a GPU machine without a network has already: the wheelhouse leaves it out
WHEELHOUSE_WITHOUT ?= torch triton nvidia-* cuda-* numpy scipy pandas pyarrow matplotlib seaborn numba llvmlite pillow \
  contourpy fonttools kiwisolver
# nvidia-ml-py asks the driver for clocks and is no part of CUDA: what is named here is left out by no pattern
WHEELHOUSE_ALSO ?= pytest hypothesis nvidia-ml-py
WHEELHOUSE_FROM_SOURCE ?= fvcore iopath
# the newest Triton, and that of torch 2.11, whose interpreter needs an older NumPy
TRITONS := 3.9.0 3.6.0
NUMPY-3.6.0 := numpy<2.4
export OMP_WAIT_POLICY ?= passive
export GOMP_SPINCOUNT ?= 20000

.PHONY: bench test test-triton $(TRITONS:%=test-triton-%) gpu lint docs benchmarks compare faults wheelhouse clean

bench: $(VENV)/.bench
	$(BIN)/smdim-bench run $(STUDY)

test: $(VENV)/.test
	$(BIN)/pytest -q -n auto --maxprocesses 4 --dist worksteal

# the Triton scan without a GPU, for each Triton in an environment of its own because torch for CPUs brings none: against
# float64 in the interpreter, then compiled for GPUs and compared with results/reference/triton/. Minutes.
test-triton:
	$(MAKE) --no-print-directory --jobs 2 --output-sync=target $(TRITONS:%=test-triton-%)

$(TRITONS:%=test-triton-%): test-triton-%: $(VENV)-triton-%/.test
	TRITON_INTERPRET=1 $(VENV)-triton-$*/bin/python -m pytest -q tests/architectures/scan/test_triton_scan.py
	TRITON_DEFAULT_FP_FUSION=1 $(VENV)-triton-$*/bin/python tools/triton_table.py

# the first minutes on a device, in nine steps of eight minutes in all: in an environment with torch for its GPU, or with
# `OFFLINE=1` by the machine's own Python and torch, beside the wheels of `make wheelhouse`.
# `make gpu GPU=--tiny` tries the steps themselves
gpu: $(if $(OFFLINE),$(VENV)-gpu/.offline,$(VENV)/.test)
	$(if $(OFFLINE),PYTHONPATH=$(CURDIR):$(abspath $(VENV)-gpu) $(PYTHON),$(BIN)/python) tools/first_minutes.py $(GPU)

lint: $(VENV)/.lint
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# README, docs/ and what they link to as a site of plain files: build/site/index.html, or with a search box through
# `python3 -m http.server --directory build/site`. No network once MkDocs is installed
docs: $(VENV)-docs/.docs
	NO_MKDOCS_2_WARNING=1 $(VENV)-docs/bin/mkdocs build --strict --quiet
	@echo build/site/index.html

benchmarks: $(VENV)/.benchmarks
	$(BIN)/pytest tests/benchmarks -q -s --benchmark-columns=median,iqr,rounds --benchmark-disable-gc

# `make compare` beside the stored run; `make compare SAVE=name` stores this one as well
compare: $(VENV)/.benchmarks
	$(BIN)/pytest tests/benchmarks/test_cost_benchmark.py -q --benchmark-columns=median,iqr,rounds --benchmark-sort=name \
	  --benchmark-disable-gc --benchmark-storage=file://$(STORED) --benchmark-compare $(if $(SAVE),--benchmark-save=$(SAVE))

# fifty kills in a study of forty cells, two runners, slurm and ray, mutated input; half an hour
faults: $(VENV)/.faults
	$(BIN)/pytest tests/faults -q -s -p no:cacheprovider

# `make wheelhouse PYTHON=3.12`: here PYTHON is the version on the other machine; any python3 does the work
wheelhouse: $(VENV)-wheelhouse/.pip
	$(VENV)-wheelhouse/bin/python tools/wheelhouse.py wheelhouse --python $(if $(filter 3.%,$(PYTHON)),$(PYTHON),3.12) \
	  --without "$(WHEELHOUSE_WITHOUT)" --also "$(WHEELHOUSE_ALSO)" --from-source "$(WHEELHOUSE_FROM_SOURCE)"

$(VENV)-wheelhouse/.pip:
	python3 -m venv $(VENV)-wheelhouse
	@touch $@

$(VENV)-docs/.docs: constraints.txt
	$(PYTHON) -m venv $(VENV)-docs
	$(VENV)-docs/bin/pip install --quiet --disable-pip-version-check --constraint constraints.txt mkdocs-material
	@touch $@

# torch goes first and alone, pinned, so that no later requirement can swap its build
$(VENV)/.bench: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	@echo "installing torch and the harness into $(VENV) (once)"
	$(PIP) torch
	$(PIP) --editable .
	@touch $@

$(VENV)/.test: $(VENV)/.bench
	$(PIP) --editable ".[test]"
	@touch $@

$(TRITONS:%=$(VENV)-triton-%/.test): $(VENV)-triton-%/.test: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)-triton-$*
	sed 's/^numpy==.*/$(or $(NUMPY-$*),&)/' constraints.txt > $(VENV)-triton-$*/constraints.txt
	$(VENV)-triton-$*/bin/pip install --quiet --disable-pip-version-check \
	  --constraint $(VENV)-triton-$*/constraints.txt torch
	$(VENV)-triton-$*/bin/pip install --quiet --disable-pip-version-check \
	  --constraint $(VENV)-triton-$*/constraints.txt triton==$* numpy pytest
	@touch $@

$(VENV)-gpu/.offline: $(wildcard wheelhouse/*.whl)
	@test -n "$^" || { echo "wheelhouse/ holds no wheels; make them with make wheelhouse where there is a network" >&2; exit 2; }
	rm -rf $(VENV)-gpu
	$(PYTHON) -m pip install --quiet --disable-pip-version-check --no-index --no-deps --target $(VENV)-gpu $^
	@touch $@

$(VENV)/.faults: $(VENV)/.bench
	$(PIP) --editable ".[faults]"
	@touch $@

$(VENV)/.lint: $(VENV)/.bench
	$(PIP) --editable ".[lint]"
	@touch $@

$(VENV)/.benchmarks: $(VENV)/.bench
	$(PIP) --editable ".[benchmarks]"
	@touch $@

clean:
	rm -rf $(VENV) $(VENV)-triton* $(VENV)-docs $(VENV)-gpu $(VENV)-wheelhouse wheelhouse build dist *.egg-info
	rm -rf .pytest_cache .mypy_cache .ruff_cache
