# Every target says in a line what it does. `make` alone lists them.
.DEFAULT_GOAL := help
.PHONY: help env demo test check bench down
MAKEFLAGS += --no-print-directory
# The environment's programs first; a user's own Ansible settings must not leak in.
export PATH := $(CURDIR)/.venv/bin:$(PATH)
unexport ANSIBLE_CONFIG ANSIBLE_COLLECTIONS_PATH PYTHONPATH
LOCAL := ansible-playbook -i inventories/local

help: ## lists the targets
	@sed -n 's/^\([a-z]*\):.*## /  make \1\t/p' $(MAKEFILE_LIST) | expand -t 16

env: ## makes .venv from the committed lock, with any Python >= 3.12 that runs
	@tools/bootstrap

demo: env ## builds and starts the local platform, deploys the sample application on it, shows it scale
	@echo "demo: the whole walkthrough on this machine (first time up to 20 minutes, then about 3)"
	@$(LOCAL) site.yml
	@$(LOCAL) demo.yml

test: env ## runs every test: checks, unit, integration on the local platform, molecule
	@echo "test: checks, unit tests, then integration tests and molecule on the local platform"
	@pytest -n 3 --dist loadfile --no-loadscope-reorder $(TEST)

check: env ## lints, type-checks and unit-tests in parallel, in under two minutes
	@echo "check: linters, types, sanity of the built artifact and unit tests, side by side"
	@python tools/check.py $(CHECK)

bench: env ## measures the collection against what people do without it; PARTS=ae picks parts
	@echo "bench: against a script of the walkthrough's own commands, ratios in one run"
	@python tests/bench/bench.py $(PARTS)

# A platform that has crashed goes with whatever is in its database. DOWN="-e teardown_policy=cancel" ends what is unfinished.
down: env ## removes the local platform: processes, mounts, addresses, rules and files
	@echo "down: leaves the machine as it was before 'make demo' (build caches stay)"
	@$(LOCAL) teardown.yml -e teardown_scope=platform -e teardown_confirm=local -e teardown_unreadable=abandon $(DOWN)
