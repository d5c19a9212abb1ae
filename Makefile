PYTHON ?= python3

.PHONY: setup check fix test test-fast demo bench

setup check fix test test-fast demo bench:
	$(PYTHON) scripts/project.py $@ $(ARGS)
