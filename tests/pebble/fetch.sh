#!/usr/bin/env bash
# Fetches Pebble, the ACME test server, from Debian testing into a folder of its own and prints the program's path.
#
# Debian 12 carries 2.4.0, which knows neither ARI nor profiles; testing's build runs on Debian 12 as it is. The lists
# and the package stay in the folder: the system's own sources, lists and packages are not touched. Where testing's
# build is not to be had or does not run, this fails, and 2.4.0 (`apt-get install pebble`) is the floor: the tests for
# ARI and profiles then say that they were left out.
#
# usage: tests/pebble/fetch.sh FOLDER
set -euo pipefail

dest=${1:?usage: tests/pebble/fetch.sh FOLDER}
program=$dest/usr/bin/pebble
if [ -x "$program" ]; then
  echo "$program"
  exit 0
fi

keyring=/usr/share/keyrings/debian-archive-keyring.gpg
[ -f "$keyring" ] || { echo "$0: this is not Debian: no $keyring" >&2; exit 1; }
# Wherever this system gets its own packages, it gets this one.
mirror=$(sed -n 's/^URIs: *//p' /etc/apt/sources.list.d/*.sources 2> /dev/null | head -n 1)
if [ -z "$mirror" ]; then
  mirror=$(sed -n 's/^deb \(\[[^]]*\] *\)\{0,1\}\([^ ]*\).*/\2/p' /etc/apt/sources.list 2> /dev/null | head -n 1)
fi
[ -n "$mirror" ] || { echo "$0: no package source found under /etc/apt" >&2; exit 1; }

mkdir -p "$(dirname "$dest")"
tmp=$(mktemp -d "$dest.XXXXXX")
trap 'rm -rf "$tmp"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
mkdir -p "$tmp/lists/partial" "$tmp/cache/archives/partial"
echo "deb [signed-by=$keyring] ${mirror%% *} testing main" > "$tmp/src.list"
private=(-qq
  -o Dir::Etc::sourcelist="$tmp/src.list" -o Dir::Etc::sourceparts=/dev/null
  -o Dir::State::lists="$tmp/lists" -o Dir::Cache="$tmp/cache"
  -o APT::Sandbox::User="$(id -un)" -o Acquire::Languages=none
  -o Acquire::IndexTargets::deb::DEP-11::DefaultEnabled=false)
apt-get "${private[@]}" update >&2
(cd "$tmp" && apt-get "${private[@]}" download pebble >&2)
dpkg-deb -x "$tmp"/pebble_*.deb "$tmp/x"
# A later build may want a newer C library than this system's.
"$tmp/x/usr/bin/pebble" -version > /dev/null 2>&1 || { echo "$0: testing's Pebble does not run here" >&2; exit 1; }
rm -rf "$dest"
mv "$tmp/x" "$dest"
echo "$program"
