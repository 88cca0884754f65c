#!/usr/bin/env bash
# Makes a wheel of cffi for Python 3.13t, which PyPI has not: cffi's setup.py refuses that Python by
# a check, and without it cffi builds and works there.
#
#   tools/cffi_wheel.sh PYTHON FOLDER     nothing is done if FOLDER has one already
#
# The sources are had by another Python, python3, for the same reason.
set -euo pipefail
if ls "$2"/cffi-*-cp313t-*.whl >/dev/null 2>&1; then exit; fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m pip download --quiet --no-deps --no-binary cffi --dest "$work" cffi
tar xf "$work"/cffi-*.tar.gz -C "$work"
sed -i 's/^if FREE_THREADED_BUILD and .*/if False:/' "$work"/cffi-*/setup.py
"$1" -m pip wheel --quiet --no-deps --wheel-dir "$2" "$work"/cffi-*/
