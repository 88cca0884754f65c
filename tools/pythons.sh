#!/usr/bin/env bash
# Gets the Pythons that a stable Debian does not have, into a folder that is kept.
#
#   tools/pythons.sh [FOLDER]     default: ~/.cache/pyslab/pythons
#
# sid/          a minimal Debian unstable with python3.14 and python3.15, to chroot into
#               (debootstrap, 40 seconds; run as root)
# python3.13t/  CPython 3.13 from Debian's sources, built without the GIL (20 minutes)
#
# What is there already is left alone: remove a folder to have it made again. The mirror is the
# one that apt on this machine uses.
set -euo pipefail
folder=${1:-$HOME/.cache/pyslab/pythons}
mkdir -p "$folder"
mirror=$(apt-get indextargets --format '$(SITE)' 'Created-By: Packages' | grep -v security | sort -u | head -n 1)

if [ ! -e "$folder/sid/usr/bin/python3.15" ]; then
  packages=python3.14,python3.14-dev,python3.14-venv,python3.15,python3.15-dev,python3.15-venv
  rm -rf "$folder/sid"
  debootstrap --variant=minbase --include="$packages,gcc,g++,make,ca-certificates" \
    sid "$folder/sid" "$mirror"
fi

if [ ! -e "$folder/python3.13t/bin/python3.13t" ]; then
  build=$(mktemp -d)
  trap 'rm -rf "$build"' EXIT
  (
    cd "$build"
    printf 'deb-src %s testing main\n' "$mirror" > sources.list
    mkdir lists
    options=(-o Dir::Etc::SourceList="$build/sources.list" -o Dir::Etc::SourceParts=/dev/null
             -o Dir::State::Lists="$build/lists")
    apt-get "${options[@]}" -qq update
    apt-get "${options[@]}" -qq source --download-only python3.13
    tar xf python3.13_*.orig.tar.?z
    cd Python-3.13*/
    ./configure -q --disable-gil --prefix="$folder/python3.13t"
    make -s -j"$(nproc)"
    make -s install
  )
fi
ls -d "$folder"/sid/usr/bin/python3.1? "$folder"/python3.13t/bin/python3.13t
