# make bench   set up .venv and run the main job: the benchmark against other allocators
# make test    set up .venv and run every test
# make bench-malloc   whole programs under pyslab and other mallocs (about a quarter of an hour)
#
# All build and install the package first, if anything it is made of has changed.
# Also: make docs | lint | programs | c-tests | asan | tsan | deaths | counts | wheels | release
#       make damaged-records | install-c | clean
#       make pythons | test-pythons | parallel-tests | tsan-python   other interpreters
#       make aarch64 | musl | large-pages   other machines
#       make bench-dask | dask-deaths   Dask's workers with shared heaps

PYTHON ?= python3
VENV   ?= .venv
BIN     = $(VENV)/bin
BENCH_ARGS ?= --json bench/results/bench.json --svg bench/results/bench.svg
BENCH_MALLOC_ARGS ?= --json bench/results/malloc.json --svg bench/results/malloc.svg

# Whatever the wheel is made of.
SOURCES := CMakeLists.txt pyproject.toml $(shell find csrc src bench/driver -type f \
             -not -path '*/__pycache__/*' -not -name '*.pyc')

.PHONY: bench bench-malloc test docs docs-check docs-pictures programs lint c-tests asan tsan \
        deaths counts damaged-records wheels release install-c pythons test-pythons \
        parallel-tests tsan-python aarch64 musl large-pages bench-dask dask-deaths clean
.DELETE_ON_ERROR:

bench: $(VENV)/.stamp-install
	@mkdir -p bench/results
	$(BIN)/python -m pyslab bench $(BENCH_ARGS)

bench-malloc: $(VENV)/.stamp-install
	@mkdir -p bench/results
	$(BIN)/python bench/workloads/run.py $(BENCH_MALLOC_ARGS)

# The files with tests of Python are shared by a process for each processor, and one more, as some
# tests wait; what is asked for is run in one.
TEST_JOBS ?= $(if $(TEST_ARGS),0,$(shell nr=$$(nproc); echo $$((nr < 8 ? nr + 1 : 8))))

test: $(VENV)/.stamp-install c-tests
	$(BIN)/python -m pytest -n $(TEST_JOBS) --dist loadfile $(TEST_ARGS)

bench-dask: $(VENV)/.stamp-install
	$(BIN)/python bench/dask/run.py $(BENCH_DASK_ARGS)

dask-deaths: $(VENV)/.stamp-install
	PYSLAB_DASK_KILLS=50 $(BIN)/python -m pytest tests/dask/test_deaths.py

# --- other Pythons: as root, because of chroot; not in CI -------------------------

PYTHONS ?= 3.10 3.11 3.12 3.13 3.14 3.15

pythons:
	tools/pythons.sh

test-pythons:
	TEST_ARGS="$(TEST_ARGS)" tools/test_pythons.sh $(PYTHONS)

# The unit tests, each in 8 threads at once; not in CI. It is for a Python without a GIL, and in the
# environment that test-pythons has made for it.
parallel-tests: $(VENV)/.stamp-parallel $(VENV)/.stamp-install
	$(BIN)/python -m pytest -p tests.parallel --parallel-threads 8 $(if $(TEST_ARGS),$(TEST_ARGS),tests/unit)

$(VENV)/.stamp-parallel: $(VENV)/.stamp-tools
	$(BIN)/python tools/requirements.py parallel > $(VENV)/requirements-parallel.txt
	$(BIN)/python -m pip install --quiet -r $(VENV)/requirements-parallel.txt
	@touch $@

# Threads that share objects, under ThreadSanitizer, on a Python without a GIL that is built with it.
tsan-python:
	tools/tsan_python.sh $(CALLS)

# --- libpyslab.so, for programs without Python: make install-c PREFIX=/usr/local --------

PREFIX ?= /usr/local
LIBRARY = build/library

install-c:
	cmake -S . -B $(LIBRARY) -DPYSLAB_BUILD_LIBRARY=ON -DPYSLAB_BUILD_DRIVER=OFF \
	  -DCMAKE_BUILD_TYPE=Release -DCMAKE_INSTALL_PREFIX="$(PREFIX)" >/dev/null
	cmake --build $(LIBRARY) --target pyslab >/dev/null
	cmake --install $(LIBRARY) >/dev/null

# --- lint -----------------------------------------------------------------------

# Versions are pinned in pyproject.toml: another clang-format would format otherwise.
LINT_C = $(shell git ls-files '*.c' '*.h' '*.cc' '*.cpp' '*.hpp')
TIDY_C = $(filter-out csrc/python/module/prelude.c,$(filter csrc/%.c,$(LINT_C)))
TIDY_FLAGS = -std=gnu11 -D_GNU_SOURCE -DPYSLAB_CORE -DPYSLAB_CHECK_LEVEL=2 \
             -DPYSLAB_PRETEND_PAGE_KIB=64 -Icsrc -Icsrc/include \
             -isystem $(shell $(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("include"))')

lint: $(VENV)/.stamp-lint
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy src/pyslab tests/typing/api.py
	$(BIN)/clang-format --dry-run -Werror $(LINT_C)
	printf '%s\n' $(TIDY_C) | xargs -P2 -n6 sh -c '$(BIN)/clang-tidy --quiet "$$@" -- $(TIDY_FLAGS)' sh

$(VENV)/.stamp-lint: $(VENV)/.stamp-tools
	$(BIN)/python tools/requirements.py lint > $(VENV)/requirements-lint.txt
	$(BIN)/python -m pip install --quiet -r $(VENV)/requirements-lint.txt
	@touch $@

# --- the site, in build/site: warnings are errors, links between pages are checked -----

docs: $(VENV)/.stamp-docs $(VENV)/.stamp-install
	$(BIN)/sphinx-build -q -E -W --keep-going -b html -c docs/site -d build/site-cache . build/site
	@echo "build/site/index.html"

# Headings, links, words for pictures; and in chromium, if it is here: search from file:, telephones,
# no JavaScript, with screenshots in build/site-check. A minute; not in CI.
docs-check: docs
	$(BIN)/python tools/site_check $(DOCS_CHECK_ARGS)

# The committed drawings, by tools/drawings/; and docs/pictures/*.svg, of arenas, with PNGs of them
# in build/pictures to look at.
docs-pictures: $(VENV)/.stamp-install
	PYTHONPATH=tools $(BIN)/python -m drawings
	$(BIN)/python tools/docs_pictures.py

$(VENV)/.stamp-docs: $(VENV)/.stamp-tools
	$(BIN)/python tools/requirements.py docs > $(VENV)/requirements-docs.txt
	$(BIN)/python -m pip install --quiet -r $(VENV)/requirements-docs.txt
	@touch $@

# Servers, interpreters and tools of the system on the malloc library; not in CI.
programs: $(VENV)/.stamp-install
	$(BIN)/python -m tests.malloc.system $(PROGRAMS_ARGS)

$(VENV)/.stamp-tools: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python tools/requirements.py bench test build > $(VENV)/requirements.txt
	$(BIN)/python -m pip install --quiet -r $(VENV)/requirements.txt
	@touch $@

# Built in the environment just made, so that a change costs a compilation, not a set-up.
$(VENV)/.stamp-install: $(VENV)/.stamp-tools $(SOURCES)
	$(BIN)/python -m pip install --quiet --no-build-isolation --no-deps --force-reinstall \
	  --config-settings=cmake.define.PYSLAB_WERROR=$(if $(CI),ON,OFF) .
	@touch $@

# --- the C tests, plain and under the sanitizers ------------------------------

CMAKE = $(BIN)/cmake
C_TESTS = $(CMAKE) -S . -DPYSLAB_BUILD_TESTS=ON -DPYSLAB_BUILD_DRIVER=OFF -DPYSLAB_WERROR=ON \
          -DCMAKE_BUILD_TYPE=RelWithDebInfo
RUN_C_TESTS = $(BIN)/ctest -j2 --output-on-failure --test-dir

c-tests: $(VENV)/.stamp-tools
	$(C_TESTS) -B build/c -DPYSLAB_CHECK_LEVEL=2 >/dev/null
	$(CMAKE) --build build/c -j2 >/dev/null
	$(RUN_C_TESTS) build/c

asan: $(VENV)/.stamp-tools
	$(C_TESTS) -B build/asan -DPYSLAB_CHECK_LEVEL=1 -DPYSLAB_SANITIZE=address,undefined >/dev/null
	$(CMAKE) --build build/asan -j2 >/dev/null
	$(RUN_C_TESTS) build/asan

# Without its own detector of deadlocks, which ends a program that holds 64 locks: fork() takes all.
# The order of locks is checked by csrc/base/lock.h.
tsan: $(VENV)/.stamp-tools
	$(C_TESTS) -B build/tsan -DPYSLAB_CHECK_LEVEL=1 -DPYSLAB_SANITIZE=thread >/dev/null
	$(CMAKE) --build build/tsan -j2 >/dev/null
	TSAN_OPTIONS=detect_deadlocks=0 $(RUN_C_TESTS) build/tsan

# The C tests for another processor, and with another C library; not in CI. They need Debian's
# packages gcc-aarch64-linux-gnu and qemu-user, or musl-tools. What qemu cannot do is in a list.
aarch64: $(VENV)/.stamp-tools
	$(C_TESTS) -B build/aarch64 -DPYSLAB_CHECK_LEVEL=2 \
	  -DCMAKE_TOOLCHAIN_FILE=cmake/aarch64-linux-gnu.cmake >/dev/null
	$(CMAKE) --build build/aarch64 -j2 >/dev/null
	PATH="$(abspath $(BIN)):$$PATH" \
	  $(BIN)/python tools/c_tests_elsewhere.py build/aarch64 tests/c/qemu.txt

musl: $(VENV)/.stamp-tools
	$(C_TESTS) -B build/musl -DPYSLAB_CHECK_LEVEL=2 -DCMAKE_C_COMPILER=musl-gcc >/dev/null
	$(CMAKE) --build build/musl -j2 >/dev/null
	$(RUN_C_TESTS) build/musl

# The C tests as on a system with pages of 16 and 64 KiB; not in CI. What is refused there is in a
# list.
large-pages: $(VENV)/.stamp-tools
	for kib in 16 64; do \
	  $(C_TESTS) -B build/pages-$$kib -DPYSLAB_CHECK_LEVEL=2 -DPYSLAB_PRETEND_PAGE_KIB=$$kib \
	    >/dev/null && $(CMAKE) --build build/pages-$$kib -j2 >/dev/null && \
	  PATH="$(abspath $(BIN)):$$PATH" \
	    $(BIN)/python tools/c_tests_elsewhere.py build/pages-$$kib tests/c/large_pages.txt || exit 1; \
	done

# Ten thousand deaths of processes that share arenas; not in CI.
deaths: c-tests
	build/c/test_random_death 10000

# Ten thousand damaged record files, read under the address sanitizer; not in CI.
damaged-records: $(VENV)/.stamp-tools
	$(C_TESTS) -B build/asan -DPYSLAB_CHECK_LEVEL=1 -DPYSLAB_SANITIZE=address,undefined >/dev/null
	$(CMAKE) --build build/asan -j2 --target test_read >/dev/null
	DAMAGED_FILES=10000 build/asan/test_read

# --- instructions, locks, page faults, system calls: counted, with bounds -------

counts: $(VENV)/.stamp-install
	tests/counts/tools.sh
	$(CMAKE) -S . -DPYSLAB_BUILD_COUNTS=ON -DPYSLAB_BUILD_DRIVER=OFF -DPYSLAB_WERROR=ON \
	  -DCMAKE_BUILD_TYPE=Release -B build/counts >/dev/null
	$(CMAKE) --build build/counts -j2 >/dev/null
	$(BIN)/python -m pytest -m counts tests/counts $(COUNTS_ARGS)

# --- a release, all but the upload: sdist, wheels, site, notes and sums in dist/ ---------

release: $(VENV)/.stamp-tools
	$(BIN)/python tools/release.py check
	rm -rf dist
	$(MAKE) wheels WHEELS_ARGS="$(WHEELS_ARGS) --aarch64"
	$(WHEELS)/tools/bin/python -m twine check --strict dist/*.tar.gz dist/*.whl
	$(MAKE) docs
	$(BIN)/python tools/release.py collect

# --- wheels for the Pythons of this machine, in dist/ ----------------------------

# An environment of its own: the zig that compiles them is 100 MB to fetch; not in CI.
WHEELS = build/wheels

wheels: $(WHEELS)/.stamp-tools
	$(WHEELS)/tools/bin/python tools/requirements.py build > $(WHEELS)/requirements.txt
	$(WHEELS)/tools/bin/python tools/wheels $(WHEELS_ARGS)

$(WHEELS)/.stamp-tools: pyproject.toml
	@mkdir -p $(WHEELS)
	$(PYTHON) -m venv $(WHEELS)/tools
	$(WHEELS)/tools/bin/python -m pip install --quiet --upgrade pip
	$(WHEELS)/tools/bin/python tools/requirements.py build wheels > $(WHEELS)/requirements-tools.txt
	$(WHEELS)/tools/bin/python -m pip install --quiet -r $(WHEELS)/requirements-tools.txt
	@touch $@

clean:
	rm -rf build $(VENV) bench/results
