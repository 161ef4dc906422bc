#!/bin/sh
# What cargo calls in place of rustc for the crates of this workspace while coverage is measured. Everybody else's
# crates stay as they are built for the tests.
#
# Branches are counted by an option that only a nightly compiler takes by itself; RUSTC_BOOTSTRAP makes this one take
# it too. What is measured is therefore not what is shipped, but the same source. Nothing is inlined from one crate into
# another: it would not be counted there.
rustc=$1
shift
RUSTC_BOOTSTRAP=1 exec "$rustc" "$@" -C instrument-coverage -Z coverage-options=branch \
  -Z cross-crate-inline-threshold=0
