# make quickstart   installs into .venv, fine-tunes and certifies the packaged model, prints where the results lie
# make test         installs into .venv and runs the tests but those marked slow, in two processes of one thread each
# make test-slow    the tests marked slow: exhaustive sweeps, killed and distributed programs, long searches; CI runs both
# make test-loggers   those of Weights & Biases, MLflow and accelerate, which have an environment of their own, .venv-loggers, on top of .venv
# make test-all     test and test-slow at once; all three list their slowest 20
# make lint         ruff, mypy and the direction of imports
# make demo-generative   certifies and attacks the packaged captioner's answers; minutes on two cores, goes on if stopped
# make benchmark-training   all training methods side by side, in two processes of one thread; hours; stopped, it goes on where it
#                   was: ARGS="--minutes 60 --only tuning runs" does a part of it, see benchmarks/training.py
# make benchmark-semantic   semantic certificates against pictures of controlled change, into benchmarks/results
# make docs         the documentation as a site, into site/; its builder has an environment of its own, .venv-docs
# make docs-figures figures of the documentation, drawn anew from benchmarks/results; pictures of the page and the explorer, from small runs
# make help         this list
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
DOCS_VENV := .venv-docs
LOGGERS_VENV := .venv-loggers
QUICKSTART := configs/emoji/quickstart.yaml
# Bytecode is written whatever the shell says: else each process rewrites the assertions of all tests anew.
PYTEST := OMP_NUM_THREADS=1 PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder --durations=20

.PHONY: help quickstart demo-generative test test-slow test-loggers test-all lint format benchmark-semantic benchmark-training docs docs-figures clean

help:
	@sed -n 's/^# \(make \|      \)/\1/p' $(firstword $(MAKEFILE_LIST))

$(INSTALLED): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "hrvlm needs Python >= 3.11; name one with: make PYTHON=/path/to/python3.11 $(MAKECMDGOALS)"; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --editable ".[test,lint]"
	touch $@

quickstart: $(INSTALLED)
	$(BIN)/python train.py fit --config $(QUICKSTART)

# Certified accuracy over radii with and without the oracle's error, then the curve of attacks over their budget.
demo-generative: $(INSTALLED)
	for name in action equivalence; do \
		$(BIN)/python certify.py run --checkpoint emoji-captioner --config configs/certify/oracle_$$name.yaml \
			--output runs/generative/$$name && $(BIN)/python certify.py verify runs/generative/$$name || exit 1; \
	done
	$(BIN)/python certify.py targeted-attack --checkpoint emoji-captioner --config configs/certify/targeted_attack_emoji.yaml \
		--output runs/generative/targeted_attack

test: $(INSTALLED)
	$(PYTEST) -m "not slow"

test-slow: $(INSTALLED)
	$(PYTEST) -m slow

# In .venv itself every command with a model would wait for wandb, which timm imports where it is installed.
$(LOGGERS_VENV)/.installed: $(INSTALLED) Makefile
	rm -rf $(LOGGERS_VENV)
	$(BIN)/python -m venv --without-pip $(LOGGERS_VENV)
	under=$$($(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))') && \
		echo "import site; site.addsitedir('$$under')" > \
		"$$($(LOGGERS_VENV)/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/under.pth"
	$(BIN)/python -m pip --python $(LOGGERS_VENV)/bin/python install --quiet --no-warn-conflicts \
		"wandb>=0.19" "mlflow-skinny>=3.5" sqlalchemy alembic "accelerate>=1.10"
	touch $@

test-loggers: $(LOGGERS_VENV)/.installed
	OMP_NUM_THREADS=1 PYTHONDONTWRITEBYTECODE= $(LOGGERS_VENV)/bin/python -m pytest -m slow tests/callbacks/test_logged_figures.py
	OMP_NUM_THREADS=1 PYTHONDONTWRITEBYTECODE= $(LOGGERS_VENV)/bin/python -m pytest -k device \
		tests/generative/test_several_devices.py tests/generative/test_transformers_precision.py

test-all: $(INSTALLED)
	$(PYTEST)

lint: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	$(BIN)/mypy

format: $(INSTALLED)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

benchmark-training: $(INSTALLED)
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/training.py $(ARGS) & other=$$!; \
		OMP_NUM_THREADS=1 $(BIN)/python benchmarks/training.py $(ARGS); code=$$?; wait $$other && exit $$code

benchmark-semantic: $(INSTALLED)
	$(BIN)/python benchmarks/semantic.py

$(DOCS_VENV)/.installed: scripts/docs/requirements.txt
	test -x $(DOCS_VENV)/bin/python || $(PYTHON) -m venv $(DOCS_VENV)
	$(DOCS_VENV)/bin/python -m pip install --quiet --requirement $<
	touch $@

docs: $(DOCS_VENV)/.installed
	NO_MKDOCS_2_WARNING=1 PATH="$(CURDIR)/$(DOCS_VENV)/bin:$$PATH" $(DOCS_VENV)/bin/mkdocs build --quiet --strict
	@echo "site/index.html; with search: $(PYTHON) -m http.server --directory site"

docs-figures: $(INSTALLED)
	$(BIN)/python scripts/docs/figures.py

clean:
	rm -rf $(VENV) $(DOCS_VENV) $(LOGGERS_VENV) site build *.egg-info .mypy_cache .ruff_cache .pytest_cache
