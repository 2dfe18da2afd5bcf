# The whole daily life of the project. Everything runs in .venv, made from locks with hashes.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.ready

.PHONY: setup demo test check bench bench-routing docs format clients lock sbom audit-deps clean

setup: $(STAMP)

$(STAMP): requirements-dev.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "stepdown needs Python 3.11 or newer; say which with: make PYTHON=python3.12 setup"; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "Setting up $(VENV) from requirements-dev.lock ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $(STAMP)

test: $(STAMP)
	@$(BIN)/python -m pytest

check: $(STAMP)
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy

format: $(STAMP)
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

demo: $(STAMP)
	@$(BIN)/python scripts/demo.py

bench: $(STAMP)
	@for name in decide startup ledger dispatch overhead calibration expectations watch size; do \
		echo; echo "== python -m bench.$$name"; $(BIN)/python -m bench.$$name || exit 1; done

# Recorded outcomes under routing policies: tables on the screen, pictures in OUT. bench/routing/data.py says what DATA holds.
DATA ?= $(or $(STEPDOWN_DATA),../shared/data)/outcomes
OUT  ?= docs/plots
bench-routing: $(STAMP)
	@$(BIN)/python -m bench.routing.suite --data "$(DATA)" --out "$(OUT)"
	@$(BIN)/python -m bench.routing.watching --data "$(DATA)" --out "$(OUT)"

docs: $(STAMP)
	@$(BIN)/python scripts/reference.py

# The real agents and SDKs that the journeys drive; the tests that need one which is missing skip with their reason.
# Not npm ci: it wants the packages of all platforms in the lock, and some are not to be had everywhere.
JOURNEYS := tests/journeys
UV       := $(BIN)/python -m uv
clients: $(STAMP)
	@if command -v npm >/dev/null; then npm install --no-save --no-fund --no-audit --loglevel=error --prefix $(JOURNEYS); \
		else echo "npm is not here: the journeys with Claude Code, Codex, OpenCode and Qwen Code will be skipped"; fi
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r $(JOURNEYS)/requirements-uv.lock
	@for name in sdks aider; do $(UV) venv --quiet --allow-existing --python $(BIN)/python $(JOURNEYS)/.venv-$$name \
		&& $(UV) pip sync --quiet --require-hashes --python $(JOURNEYS)/.venv-$$name $(JOURNEYS)/requirements-$$name.lock || exit 1; done

# Anew from pyproject.toml, only with releases at least a week old, without addresses.
lock: $(STAMP)
	@$(BIN)/python -m pip install --quiet uv
	@for group in "" dev; do $(BIN)/uv pip compile --quiet --universal --generate-hashes --no-header --no-annotate --no-emit-index-url \
		--exclude-newer "$$(date -u -d '7 days ago' +%F)" $${group:+--group $$group --all-extras} pyproject.toml \
		-o requirements$${group:+-$$group}.lock; done
	@for name in sdks aider uv; do $(UV) pip compile --quiet --universal --generate-hashes --no-header --no-annotate --no-emit-index-url \
		--python-version 3.11 --exclude-newer "$$(date -u -d '7 days ago' +%F)" $(JOURNEYS)/requirements-$$name.in \
		-o $(JOURNEYS)/requirements-$$name.lock; done

# What a running stepdown consists of, as CycloneDX in JSON.
SBOM ?= sbom.json
sbom: $(STAMP)
	@$(BIN)/python scripts/sbom.py "$(SBOM)"

# What is known against the locked releases. It asks the network for advisories, so it is a step of its own and no test.
audit-deps: $(STAMP)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r $(JOURNEYS)/requirements-uv.lock
	@$(UV) tool run pip-audit --strict --disable-pip --require-hashes -r requirements.lock

clean:
	rm -rf $(VENV) $(JOURNEYS)/node_modules $(JOURNEYS)/.venv-* .pytest_cache .mypy_cache .ruff_cache .hypothesis
