# Two commands set everything up: `make demo` runs the main job on a real chest CT, `make test` runs the tests.
# Python packages go into .venv, with the versions of requirements.lock; nothing else of the machine is touched.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready
# The Slicer module's tests need wheels that exist for Linux; elsewhere they skip and say so.
SLICER := $(if $(filter Linux,$(shell uname -s)),$(VENV)/.slicer-ready)

.PHONY: demo test test-slow lint type bench sbom audit starter clean

demo: $(READY)
	$(BIN)/simcrop demo

test: $(READY) $(SLICER)
	$(BIN)/python -m pytest

test-slow: $(READY) $(SLICER)
	$(BIN)/python -m pytest -m slow

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

type: $(READY)
	$(BIN)/mypy
	$(BIN)/mypy --platform win32
	$(BIN)/mypy --platform darwin
	MYPYPATH=SimCroPSlicer:training $(BIN)/mypy SimCroPSlicer/SimCroPSlicer.py SimCroPSlicer/SimCroPSlicerLib/*.py \
		SimCroPSlicer/SimCroPViewer/*.py

bench: $(READY)
	$(BIN)/simcrop bench

# Every pinned package as CycloneDX JSON.
sbom: $(READY)
	$(BIN)/python tools/sbom.py > sbom.cdx.json

# Pinned packages against faults known by name, and against the published advisories where these can be reached.
audit: $(READY)
	$(BIN)/python tools/audit.py $(VENV)/audit

# The packaged weights from nothing: about two hours on two cores. A killed run goes on where it stopped. SCANS is the
# folder of the three openly licensed CTs that the starter may see (docs/model-card-starter.md).
TRAIN := $(BIN)/simcrop-train
starter: $(READY)
	$(TRAIN) phantoms runs/phantoms -n 1000
	$(TRAIN) phantoms runs/heldout -n 16 --first-seed 100000
	$(TRAIN) phantoms runs/style-b -n 80 --first-seed 100000 --style b
	$(TRAIN) real runs/real --scans $(SCANS) -n 60
	$(TRAIN) run training/recipes/starter-grounding.yaml --output runs/grounding \
		--synthetic runs/phantoms --real runs/real --held-out runs/heldout
	$(TRAIN) run training/recipes/starter-segmentation.yaml --output runs/segmentation \
		--synthetic runs/phantoms --real runs/real --held-out runs/heldout \
		--encoder runs/grounding/grounding.safetensors
	$(TRAIN) calibrate runs/grounding/grounding.safetensors --held-out runs/style-b \
		--output runs/starter/grounding.safetensors
	cp runs/segmentation/segmentation.safetensors runs/starter/

$(READY): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Python 3.11 or newer is needed: install it, or say which: make PYTHON=/path/to/python3.12"; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' || \
		{ echo "Python's venv is missing: apt-get install python3-venv (Debian, Ubuntu)"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --requirement requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --editable .
	touch $(READY)

$(VENV)/.slicer-ready: requirements-slicer.lock $(READY)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --requirement requirements-slicer.lock
	@$(BIN)/python -c 'import PySide6.QtGui, vtkmodules.vtkRenderingOpenGL2' || \
		{ echo "System libraries are missing: apt-get install libegl1 libgl1 libxkbcommon0 (Debian, Ubuntu)"; exit 1; }
	touch $@

clean:
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache
