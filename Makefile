# Every target brings what it needs; on a fresh machine `make run` or `make test` is all there is to do.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready

.PHONY: help run test check audit format bench fuzz recordings hosts soak docs docs-run train clean

help:
	@echo "make run     run the pipeline on the embedded recording"
	@echo "make test    run the test suite"
	@echo "make check   lint, formatting and types, and make audit"
	@echo "make audit   look the pinned packages up in a data base of known vulnerabilities"
	@echo "make format  format the code"
	@echo "make bench   measure speed, as ratios in one run; PEERS=\"PYTHON ...\" measures others too"
	@echo "make fuzz    10 000 damaged recordings of each format, 100 000 messages (about ten minutes)"
	@echo "make soak    an hour of a run: its memory, its clock, its ledger; MINUTES=... for another time"
	@echo "make docs    build the documentation as a site in out/site, and check its links"
	@echo "make docs-run  run the commands that the documentation shows, in fresh clones"
	@echo "make hosts RECORDING=...  three hosts in network namespaces, cut and killed (needs root)"
	@echo "make recordings FOLDER=...  hold all recordings below it to what is known of them"
	@echo "make train   train the embedded model again (about an hour on two cores)"
	@echo "make train NAME=...  train models/recipes/NAME.toml on its simulated set (minutes)"
	@echo "make clean   remove the environment and all caches"

run: $(READY)
	$(BIN)/pipeline run pipeline.toml

test: $(READY)
	$(BIN)/python -m pytest -n 2 --dist worksteal

check: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m benchmarks.audit

audit: $(READY)
	$(BIN)/python -m benchmarks.audit

format: $(READY)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(READY)
	$(BIN)/pipeline bench --json out/bench.json $(foreach python,$(PEERS),--peers $(python))

fuzz: $(READY)
	$(BIN)/python -m benchmarks.fuzz
	$(BIN)/python -m benchmarks.fuzz_queue

docs: $(READY)
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet -f docs/site/mkdocs.yml
	$(BIN)/python -m pytest -q tests/test_docs_site.py

docs-run: $(READY)
	$(BIN)/python docs/run_commands.py --fresh docs/tutorial.md docs/tutorial-own.md
	$(BIN)/python docs/run_commands.py

soak: $(READY)
	$(BIN)/python -m benchmarks.soak $(MINUTES)

hosts: $(READY)
	$(BIN)/python -m benchmarks.hosts $(RECORDING)

recordings: $(READY)
	$(BIN)/python -m benchmarks.recordings $(FOLDER)

train: $(READY)
	$(BIN)/pipeline train models/recipes/$(or $(NAME),dvs_gesture).toml --variant simulated

clean:
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find pipeline stages models tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +

$(READY): pyproject.toml constraints.txt
	@echo "making $(VENV): about two minutes and 2 GB"
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable ".[dev]"
	touch $@
