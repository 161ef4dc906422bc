#!/bin/sh
# Changes the machine's code, one small change at a time, and names each that no test notices.
#
#   tests/mutants/run.sh                                       all of them: most of a day on two cores
#   tests/mutants/run.sh -f guest/machine/src/hq/token.rs      those of one file
#   tests/mutants/run.sh --in-diff FILE                        those of the lines that a diff touches
#
# What it found stays in target/mutants/mutants.out/. It builds in a folder of its own: cargo knows a crate by name and
# version, and would take broken code for the tree's own.
set -eu
cd "$(dirname "$0")/../.."

out=${CARGO_TARGET_DIR:-target}/mutants
mkdir -p "$out"
out=$(cd "$out" && pwd)
# Incremental, without debug information: a change is built in a third of the time.
export CARGO_TARGET_DIR="$out/build" CARGO_INCREMENTAL=1 CARGO_PROFILE_DEV_DEBUG=0
# The flag that ends a test binary at its first failure is one that Rust's harness hides from a stable compiler, unless the
# process has this variable. Only the tests get it: with it, dependencies would build otherwise.
host=$(rustc -vV | sed -n 's/^host: //p' | tr 'a-z-' 'A-Z_')
export "CARGO_TARGET_${host}_RUNNER=env RUSTC_BOOTSTRAP=1"
export INSTA_UPDATE=no PROPTEST_DISABLE_FAILURE_PERSISTENCE=true RUST_BACKTRACE=0
# Cut-offs are computed by the compiler, which would compute one without an end for ever.
exec cargo mutants --config tests/mutants/mutants.toml --package otscert-machine --jobs 1 --output "$out" \
    --build-timeout 300 "$@"
