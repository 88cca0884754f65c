#!/usr/bin/env bash
# Runs under ThreadSanitizer what threads do with objects they share: CPython without a GIL and the
# module, both built with it.
#
#   tools/tsan_python.sh [CALLS]     calls of the fuzz; default: 40000
#
# What is run: each program of tests/faults/shared_programs.py, each trick of the stale-view suite
# (tests/faults/tricks.py) in eight threads, and tests/faults/fuzz.py; each in a process of its own.
# What the sanitizer finds in CPython itself is in tests/faults/tsan_python.supp, with the reason.
#
# The interpreters are those of tools/pythons.sh. That with ThreadSanitizer has no pip, which would
# take it minutes: the module is built and installed by the plain one, in an environment that the
# other is given as PYTHONPATH. cffi is built twice: the plain interpreter uses it while the module is
# built, and the one with ThreadSanitizer has to see how it orders what threads do. NumPy is not
# built with ThreadSanitizer, which sees its locks, and not what it reads and writes.
#
# The environment and the logs are in build/tsan-python, and stay. False if a program fails or the
# sanitizer has something to say.
set -euo pipefail
cd "$(dirname "$0")/.."
calls=${1:-40000}
pythons=${PYSLAB_PYTHONS:-$HOME/.cache/pyslab/pythons}
plain=$pythons/python3.13t/bin/python3.13t
sanitized=$pythons/python3.13t-tsan/bin/python3.13t
work=$PWD/build/tsan-python
wheels=$PWD/build/pythons/wheels # tools/test_pythons.sh keeps cffi's there, too
mkdir -p "$wheels" "$work/wheels"

[ -x "$plain" ] || tools/pythons.sh "$pythons"
[ -x "$sanitized" ] || tools/pythons.sh --tsan "$pythons"
if [ ! -e "$work/venv/.made" ]; then
  "$plain" -m venv "$work/venv"
  tools/cffi_wheel.sh "$plain" "$wheels"
  { "$plain" tools/requirements.py build; echo numpy; } >"$work/requirements.txt"
  "$work/venv/bin/python" -m pip install --quiet --prefer-binary --find-links "$wheels" \
    -r "$work/requirements.txt"
  CFLAGS=-fsanitize=thread LDFLAGS=-fsanitize=thread tools/cffi_wheel.sh "$plain" "$work/wheels"
  "$work/venv/bin/python" -m pip install --quiet --no-index --no-deps --upgrade \
    --target "$work/sanitized" "$work"/wheels/cffi-*.whl
  touch "$work/venv/.made"
fi
# Not into the environment, where CMake's helper would load it.
PATH="$work/venv/bin:$PATH" "$work/venv/bin/python" -m pip install --quiet --no-build-isolation \
  --no-deps --upgrade --target "$work/sanitized" \
  --config-settings=cmake.define.PYSLAB_SANITIZE=thread \
  --config-settings=cmake.define.PYSLAB_BUILD_DRIVER=OFF \
  --config-settings=cmake.build-type=RelWithDebInfo --config-settings=install.strip=false \
  --config-settings=build-dir="$work/build" .

# Without the detector of deadlocks, which ends a program that holds 64 locks, as a fork does.
export TSAN_OPTIONS="detect_deadlocks=0 exitcode=66 print_suppressions=0"
TSAN_OPTIONS+=" suppressions=$PWD/tests/faults/tsan_python.supp"
export PYTHONPATH=$work/sanitized:$work/venv/lib/python3.13t/site-packages
export PYTHONDONTWRITEBYTECODE= PYTHONPYCACHEPREFIX=$work/pycache # to compile takes it long
export OPENBLAS_NUM_THREADS=1 # NumPy's own threads have no part in this

passed=0 failed=0
check() { # NAME ARGUMENT...: counts a program that ends well, and tells where the log of another is
  local name=$1 status=0
  shift
  "$sanitized" -X faulthandler "$@" >"$work/$name.log" 2>&1 || status=$?
  if [ $status = 0 ]; then
    passed=$((passed + 1))
    return
  fi
  failed=$((failed + 1))
  echo "$name: exit $status, $(grep -c '^WARNING: ThreadSanitizer' "$work/$name.log") reports:" \
    "$work/$name.log"
  grep '^SUMMARY: ThreadSanitizer' "$work/$name.log" | sort | uniq -c | head -n 20 || true
}

programs="from tests.faults import shared_programs, sharing;"
tricks="from tests.faults import tricks; exec(f'from tests.faults import {tricks.MODULES}');"
for name in $("$sanitized" -c "$programs print(*sharing.PROGRAMS)"); do
  check "$name" -c "$programs sharing.run('$name')"
done
for name in $("$sanitized" -c "$tricks print(*tricks.of_many_threads())"); do
  check "$name" -W ignore -c "$tricks tricks.run_threads('$name')"
done
check fuzz -m tests.faults.fuzz --calls "$calls" --seed 1
echo "under ThreadSanitizer: $passed passed, $failed failed"
[ "$failed" = 0 ]
