#!/usr/bin/env bash
# Runs under ThreadSanitizer what threads do with objects they share: CPython without a GIL and the
# module, both built with it.
#
#   tools/tsan_python.sh [CALLS]     calls of the fuzz; default: 40000
#
# What is run: each program of tests/faults/shared_programs.py in a process of its own, then
# tests/faults/fuzz.py. What the sanitizer finds in CPython itself is in
# tests/faults/tsan_python.supp, with the reason. The interpreter is kept in the folder of
# tools/pythons.sh, its environment and the logs in build/tsan-python. False if a program fails or
# the sanitizer has something to say.
set -euo pipefail
cd "$(dirname "$0")/.."
calls=${1:-40000}
interpreter=${PYSLAB_PYTHONS:-$HOME/.cache/pyslab/pythons}/python3.13t-tsan/bin/python3.13t
work=$PWD/build/tsan-python
python=$work/venv/bin/python
wheels=$PWD/build/pythons/wheels
mkdir -p "$work" "$wheels"

[ -x "$interpreter" ] || tools/pythons.sh --tsan
# What pip and compilers' helpers do is not looked at.
export TSAN_OPTIONS="report_bugs=0"
tools/cffi_wheel.sh "$interpreter" "$wheels"
if [ ! -e "$work/venv/.made" ]; then
  "$interpreter" -m venv "$work/venv"
  "$python" tools/requirements.py build >"$work/requirements.txt"
  "$python" -m pip install --quiet --prefer-binary --find-links "$wheels" -r "$work/requirements.txt"
  touch "$work/venv/.made"
fi
PATH="$work/venv/bin:$PATH" "$python" -m pip install --quiet --no-build-isolation --no-deps \
  --force-reinstall --config-settings=cmake.define.PYSLAB_SANITIZE=thread \
  --config-settings=cmake.define.PYSLAB_BUILD_DRIVER=OFF \
  --config-settings=build-dir="$work/build" .

export TSAN_OPTIONS="exitcode=66 suppressions=$PWD/tests/faults/tsan_python.supp print_suppressions=0"
passed=0 failed=0
check() { # NAME COMMAND...: counts a program that ends well, and shows the log of one that does not
  local name=$1
  shift
  if "$@" >"$work/$name.log" 2>&1; then
    passed=$((passed + 1))
  else
    echo "$name: exit $?, $(grep -c '^WARNING: ThreadSanitizer' "$work/$name.log") reports: $work/$name.log"
    grep '^SUMMARY: ThreadSanitizer' "$work/$name.log" | sort | uniq -c | head -n 20 || true
    failed=$((failed + 1))
  fi
}
programs=$("$python" -c "from tests.faults import shared_programs, sharing; print(*sharing.PROGRAMS)")
for name in $programs; do
  check "$name" "$python" -c "from tests.faults import shared_programs, sharing; sharing.run('$name')"
done
check fuzz "$python" -m tests.faults.fuzz --calls "$calls" --seed 1
echo "under ThreadSanitizer: $passed passed, $failed failed"
[ "$failed" = 0 ]
