# `make` alone lists what there is.

# Any of these can be given on the command line: make train TASK=walker_walk
TASK = cup_catch
CONFIG = $(if $(filter gpu,$(DEVICE)),default,cpu)
ARGS =
LOGDIR = ~/planet_tf
# Without it, a run's folder is named after task, config and seed.
GIVEN = $(if $(filter command,$(origin LOGDIR)),--logdir='$(LOGDIR)')

# A graphics driver's version file alone is no sign of a GPU: containers show
# their host's. /dev/nvidiactl is there where one can be used.
DEVICE := $(shell \
    if [ -e /dev/nvidiactl ] || nvidia-smi -L 2>/dev/null | grep -q '^GPU'; \
    then echo gpu; else echo cpu; fi)

RUN = .venv/bin/python
# A GPU that appears later needs other packages, hence a stamp for each.
READY = .venv/ready-$(DEVICE)
# None counts where .venv's Python has gone, or is another since.
WORKS := $(shell $(RUN) -c 'import pip' 2>/dev/null && echo yes)

.PHONY: help
help:  ## List the targets
	@grep -hE '^[a-z]+:.*##' Makefile | sed -E 's/:.*##/\t/' | expand -t 14
	@echo
	@echo 'make train TASK=walker_walk CONFIG=default ARGS="--seed=1"'
	@echo 'make test ARGS="tests/test_gif.py"'
	@echo 'PYTHON=/path/to/python3.12 chooses the Python of .venv.'

.PHONY: setup
setup: $(READY)  ## Install everything into .venv; the others do so first

$(READY): requirements.txt scripts/setup.sh $(if $(WORKS),,again)
	@PYTHON='$(PYTHON)' bash scripts/setup.sh $(DEVICE)
	@touch $@

.PHONY: again
again:

.PHONY: train
train: setup  ## Train on TASK, in LOGDIR; the same command continues
	@$(RUN) -m planet_tf.train --config=$(CONFIG) --task=$(TASK) $(GIVEN) $(ARGS)

.PHONY: test
test: setup  ## Run the tests
	@$(RUN) -m pytest $(ARGS)

.PHONY: lint
lint: setup  ## Check style and format
	@$(RUN) -m ruff check
	@$(RUN) -m ruff format --check

.PHONY: format
format: setup  ## Put the code into the format that lint asks for
	@$(RUN) -m ruff check --fix
	@$(RUN) -m ruff format

.PHONY: tensorboard
tensorboard: setup  ## Show the runs in LOGDIR
	@$(RUN) -m tensorboard.main --logdir='$(LOGDIR)'

.PHONY: report
report: setup  ## Remake results/report and results/earlier/report
	@$(RUN) -m scripts.compare_results --out=results/report \
	    $(patsubst %/config.yaml,%,$(wildcard results/cpu/*/config.yaml))
	@$(RUN) -m scripts.compare_results --out=results/earlier/report \
	    $(patsubst %/config.yaml,%,$(wildcard results/learning_parity/*/config.yaml \
	    results/earlier/*/config.yaml))

.PHONY: clean
clean:  ## Remove .venv and caches; runs are kept
	rm -rf .venv build *.egg-info .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -prune -exec rm -rf {} +
