#!/usr/bin/env bash
# Runs the tests in C and those of Python on one Python after the other, and prints what each
# came to. The latter are run, too, where one in C has failed.
#
#   tools/test_pythons.sh [VERSION...]    default: 3.10 3.11 3.12 3.13 3.14 3.15
#
# A version is looked for on PATH, in ~/.pyenv, and in the folder that tools/pythons.sh makes: a
# Debian in which it is installed is entered by chroot (as root), with a copy of this tree in its
# /mnt. One that is not there is said to be missing. Each has an environment of its own, which
# is kept; warnings of the compiler are errors. The logs are in build/pythons/; the arguments of
# pytest are TEST_ARGS. False if a test failed.
set -euo pipefail
cd "$(dirname "$0")/.."
pythons=${PYSLAB_PYTHONS:-$HOME/.cache/pyslab/pythons}
logs=build/pythons
mkdir -p "$logs"
[ $# -gt 0 ] || set -- 3.10 3.11 3.12 3.13 3.14 3.15

# find_python VERSION: prints the interpreter's path, if this machine has it.
find_python() {
  local path
  for path in "$(command -v "python$1" || true)" "$HOME/.pyenv/versions/$1".*/bin/"python$1" \
              "$pythons/python$1/bin/python$1"; do
    # pyenv puts names on PATH that do not start
    if [ -x "$path" ] && "$path" -c '' 2>/dev/null; then echo "$path"; return; fi
  done
}

test_here() {
  if [ "$1" = 3.13t ]; then
    tools/cffi_wheel.sh "$2" "$PWD/$logs/wheels"
    # later ones have no wheel for it, and are built from Rust
    printf '%s\n' 'hypothesis<6.156' 'mypy<1.20' >"$logs/constraints.txt"
    export PIP_CONSTRAINT="$PWD/$logs/constraints.txt" PIP_PREFER_BINARY=1
    export PIP_FIND_LINKS="${PIP_FIND_LINKS:-} $PWD/$logs/wheels"
  fi
  make_tests PYTHON="$2" VENV=".venv-$1"
}

# make_tests VARIABLE...: false if a test failed. The text of it is run in the chroot, too.
make_tests() {
  local failed=0
  make c-tests CI=true "$@" || failed=1
  make -o c-tests test CI=true TEST_ARGS="${TEST_ARGS:-}" "$@" || failed=1
  return $failed
}

# In a mount namespace of its own, so that nothing stays mounted whatever happens.
test_in_chroot() {
  local root=$2 work=$2/mnt/pyslab-$1 name
  mkdir -p "$work"
  find "$work" -mindepth 1 -maxdepth 1 ! -name '.venv*' ! -name build -exec rm -rf {} +
  tar c --exclude='./.venv*' --exclude=./build --exclude=./.git . | tar x -C "$work"
  for name in resolv.conf pip.conf ssl/certs/ca-certificates.crt; do
    if [ -e "/etc/$name" ]; then cp -L "/etc/$name" "$root/etc/$name"; fi
  done
  version=$1 root=$root tests=$(declare -f make_tests) \
    unshare --mount --propagation private bash -euc '
    mount --rbind /proc "$root/proc"
    mount --rbind /sys "$root/sys"
    mount --rbind /dev "$root/dev"
    mount -t tmpfs tmpfs "$root/tmp"
    unset PIP_FIND_LINKS CMAKE_C_COMPILER_LAUNCHER # of files that are not in there
    export TEST_ARGS="${TEST_ARGS:-}"
    exec chroot "$root" bash -c "cd /mnt/pyslab-$version && $tests
      make_tests PYTHON=python$version VENV=.venv-$version"'
}

# summary LOG: how pytest and ctest ended.
summary() {
  local passed tests
  passed=$(grep -E '^(=+ )?[0-9]+ (passed|failed|error).* in [0-9.]+s' "$1" | tail -n 1 | tr -d =)
  tests=$(grep -E '% tests passed.* out of [0-9]+$' "$1" | tail -n 1 | sed 's/tests/C tests/')
  echo "${passed:-no test of Python was run}; ${tests:-no test in C was run}"
}

status=0
for version in "$@"; do
  log=$logs/$version.log python=$(find_python "$version")
  if [ -n "$python" ]; then
    test_here "$version" "$python" >"$log" 2>&1 || status=1
  else
    root=$(dirname "$(ls -d "$pythons"/*/usr/bin/"python$version" 2>/dev/null | head -n 1)")/../..
    if [ ! -e "$root/usr/bin/python$version" ]; then
      echo "$version: missing (make pythons has 3.14 and 3.15)"
      continue
    fi
    test_in_chroot "$version" "$(cd "$root" && pwd)" >"$log" 2>&1 || status=1
  fi
  echo "$version: $(summary "$log")"
done
exit "$status"
