#!/bin/sh
# Sees to the tools that `make counts` needs: installs them with apt-get if root runs this.
set -eu
missing=""
for tool in valgrind strace; do
    command -v "$tool" >/dev/null || missing="$missing $tool"
done
[ -z "$missing" ] && exit 0
if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
    echo "make counts needs$missing: install them, or run it as root where apt-get is" >&2
    exit 1
fi
apt-get update -qq
# shellcheck disable=SC2086
DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends $missing
