PYTHON ?= python3

.PHONY: setup check test demo bench

setup check test demo bench:
	$(PYTHON) scripts/project.py $@ $(ARGS)
