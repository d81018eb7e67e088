# make demo | make test | make check | make docs: each creates .venv when it is missing and asks nothing.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
DEMO := demo

.PHONY: demo test check docs format clean

# Python compiles what is imported; pip would compile all 25,000 files of the libraries first.
PIP_INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile

$(VENV)/.demo: pyproject.toml
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(PIP_INSTALL) --editable '.[label]'
	@touch $@

$(VENV)/.dev: pyproject.toml
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(PIP_INSTALL) --editable '.[dev]'
	@touch $@ $(VENV)/.demo

demo: $(VENV)/.demo
	$(BIN)/python -m dataset_tools.extract --source demo --out $(DEMO) --count 72 --seed 7
	@echo "The labelling page is on http://127.0.0.1:7860 (Ctrl-C ends it; votes are kept in $(DEMO)/)."
	$(BIN)/python -m labeling_app --manifest $(DEMO)/data_manifest.parquet --open --port 7860

test: $(VENV)/.dev
	$(BIN)/python -m tests.browser
	$(BIN)/python -m tests.s3_server
	$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder --max-worker-restart 0

check: $(VENV)/.dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

docs: $(VENV)/.dev
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet
	@echo "The documentation is in build/site/index.html."

format: $(VENV)/.dev
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean:
	rm -rf $(VENV) $(DEMO) runs build *.egg-info
