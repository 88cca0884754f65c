#!/usr/bin/env bash
# Gets the Pythons that a stable Debian does not have, into a folder that is kept.
#
#   tools/pythons.sh [FOLDER]     default: ~/.cache/pyslab/pythons
#   tools/pythons.sh --tsan [FOLDER]   python3.13t-tsan alone, see tools/tsan_python.sh
#
# sid/             a minimal Debian unstable with python3.14 and python3.15, to chroot into
#                  (debootstrap, as root; 1 minute, 0.8 GB)
# python3.13t/ …   CPython from Debian's sources, built without the GIL (10 minutes each);
#                  those of 3.14 and 3.15 where the mirror has them
# python3.13t-tsan/   the same with ThreadSanitizer
#
# What is there already is left alone: remove a folder to have it made again. A folder gets its
# name when it is whole, so that one that was interrupted is made again. The mirror is the one
# that apt on this machine uses. tools/test_pythons.sh runs the tests on all of them.
set -euo pipefail
only_tsan=
if [ "${1:-}" = --tsan ]; then only_tsan=yes; shift; fi
folder=${1:-$HOME/.cache/pyslab/pythons}
mkdir -p "$folder"
folder=$(cd "$folder" && pwd)
build=$(mktemp -d)
trap 'rm -rf "$build" "$folder"/*.part' EXIT

mirror=$(apt-get indextargets --format '$(LABEL) $(SITE)' 'Created-By: Packages' |
  sed -n 's/^Debian //p' | head -n 1)
if [ -z "$mirror" ]; then
  echo "apt knows no mirror of Debian: on Debian, run apt-get update first" >&2
  exit 1
fi

get_sid() {
  command -v debootstrap >/dev/null || { echo "needs debootstrap: apt-get install it" >&2; return 1; }
  local python=python3.14,python3.14-dev,python3.14-venv,python3.15,python3.15-dev,python3.15-venv
  debootstrap --variant=minbase --include="$python,gcc,g++,make,ca-certificates" \
    sid "$folder/sid.part" "$mirror"
  rm -rf "$folder/sid.part/var/cache/apt/archives"/*.deb
  mv "$folder/sid.part" "$folder/sid"
}

install_options=()
# get_free_threaded VERSION SUITE NAME OPTION...: false if the sources are not to be had.
get_free_threaded() {
  local version=$1 work=$build/$3 made=$folder/$3
  mkdir -p "$work/lists"
  cd "$work"
  printf 'deb-src %s %s main\n' "$mirror" "$2" > sources.list
  shift 3
  local options=(-qq -o Dir::Etc::SourceList="$work/sources.list" -o Dir::Etc::SourceParts=/dev/null
                 -o Dir::State::Lists="$work/lists" -o APT::Sandbox::User=root)
  apt-get "${options[@]}" update
  apt-get "${options[@]}" source --download-only "python$version" >apt.log 2>&1 || return 1
  tar xf python"$version"_*.orig.tar.?z
  cd Python-"$version"*/
  ./configure -q --disable-gil --prefix="$made" "$@"
  make -s -j"$(nproc)"
  make -s install DESTDIR="$work/out" "${install_options[@]}"
  mv "$work/out$made" "$made.part"
  mv "$made.part" "$made"
}

if [ -n "$only_tsan" ]; then
  if [ ! -e "$folder/python3.13t-tsan" ]; then
    export TSAN_OPTIONS=report_bugs=0 # the interpreter runs while it is built
    # It is slow: no pip and no .pyc files, which venv and the first import make.
    install_options=(COMPILEALL_OPTS=--help)
    get_free_threaded 3.13 testing python3.13t-tsan --with-thread-sanitizer --disable-test-modules \
      --without-ensurepip
  fi
  exit
fi
if [ ! -e "$folder/sid" ]; then get_sid; fi
for pair in 3.13:testing 3.14:sid 3.15:sid; do
  version=${pair%:*}
  if [ ! -e "$folder/python${version}t" ]; then
    set +e # and on again inside: the left side of || would be without it
    (set -e; get_free_threaded "$version" "${pair#*:}" "python${version}t")
    [ $? = 0 ] || echo "python${version}t: not made: no sources on the mirror, or they do not build" >&2
    set -e
  fi
done
ls -d "$folder"/sid/usr/bin/python3.1? "$folder"/python*t/bin/python3.1?t
