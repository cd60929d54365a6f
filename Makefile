# Everything happens in .venv beside this file. `make run` and `make test` need nothing but Python 3.11+ and make.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet
# One more than the two cores this is meant for: a quarter of the time tests wait for other processes.
JOBS ?= 3

# What is quick and needs no model: the pure parts of each room, and the house as a whole.
FAST := tests/records tests/texts/test_answers.py tests/texts/test_minhash.py tests/texts/test_values.py tests/texts/test_alignment.py \
    tests/texts/test_programs.py tests/texts/test_grams.py tests/texts/test_secrets.py tests/statistics tests/report tests/select/test_guard.py \
    tests/select/test_duplicates.py tests/select/test_baselines.py tests/select/test_long_window.py tests/select/test_zip.py \
    tests/select/test_entropy_law.py tests/select/test_budget.py tests/select/test_balance.py tests/search/test_search_budget.py \
    tests/search/test_search_readers.py tests/search/test_search_replies.py tests/search/test_search_rewards.py tests/search/test_search_tree.py \
    tests/probe/test_choosing.py tests/probe/test_steps.py tests/probe/test_chain_trace.py tests/decode/test_mappings.py tests/decode/test_labels.py \
    tests/evaluate/test_fusion_scoring.py tests/evaluate/test_own_items.py tests/synthesize/test_tool_checks.py \
    tests/synthesize/test_tool_grounding.py tests/synthesize/test_pairs.py tests/synthesize/test_fusion_documents.py tests/sandbox/test_codec.py \
    tests/models/test_asking.py tests/trace/test_ability.py tests/trace/test_answer_layouts.py tests/trace/test_answer_log.py \
    tests/trace/test_trace_roster.py tests/trace/test_trace_connections.py tests/cli/test_completion.py tests/test_docs.py tests/test_docs_site.py \
    tests/test_house.py tests/test_settings.py tests/test_nothing_silent.py

.PHONY: run test test-fast lint format bench docs dist clean

run: $(VENV)/.installed
	$(BIN)/luthier run

test: $(VENV)/.installed-dev
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(JOBS)

test-fast: $(VENV)/.installed-dev
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(JOBS) -m "not slow and not weights" $(FAST)

lint: $(VENV)/.installed-dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check --no-cache .  # a cached verdict does not see that another file has moved
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/.installed-dev
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: $(VENV)/.installed-dev
	for file in benchmarks/*.py; do $(BIN)/python $$file --quick || exit 1; done

docs: $(VENV)/.installed-docs
	$(BIN)/python -m pytest tests/test_docs.py tests/test_docs_site.py
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

# The source archive, the wheel that is built from it, and the wheel in an environment that has nothing else.
dist: $(VENV)/.installed-dev
	rm -rf dist build/empty
	$(BIN)/python -m build
	$(PYTHON) -m venv build/empty
	build/empty/bin/python -m pip --disable-pip-version-check install --quiet dist/*.whl
	cd build && empty/bin/luthier --version && empty/bin/luthier doctor && \
	empty/bin/python -c "import luthier; print(len([getattr(luthier, name) for name in luthier.__all__]), 'front doors open')"

clean:
	rm -rf $(VENV) build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: pyproject.toml | $(VENV)/bin/python
	$(PIP) --editable .
	touch $@

$(VENV)/.installed-docs: $(VENV)/.installed-dev
	$(PIP) --editable '.[docs]'
	touch $@

$(VENV)/.installed-dev: pyproject.toml | $(VENV)/bin/python
	$(PIP) --editable '.[dev]'
	touch $@ $(VENV)/.installed
