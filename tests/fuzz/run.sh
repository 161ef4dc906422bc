#!/usr/bin/env bash
# Builds every fuzz target and runs each for SECONDS. libFuzzer's coverage needs only stable flags of rustc and a C++
# compiler; no nightly and no sanitizer: the code has no `unsafe` to watch.
#
# usage: tests/fuzz/run.sh SECONDS [TARGET...]     corpora are kept in target/fuzz/corpus
#        tests/fuzz/run.sh lint                    clippy, warnings denied
set -euo pipefail

seconds=${1:?usage: tests/fuzz/run.sh SECONDS [TARGET...], or lint}
shift
cd "$(dirname "$0")/../.."
targets=("$@")
[ ${#targets[@]} -gt 0 ] || targets=(message payload csr chain record dns device_step system)

export CARGO_TARGET_DIR=target/fuzz
RUSTFLAGS="-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=3 -Cllvm-args=-sanitizer-coverage-inline-8bit-counters"
RUSTFLAGS="$RUSTFLAGS -Cllvm-args=-sanitizer-coverage-pc-table -Ccodegen-units=1 --cfg fuzzing"
host=$(rustc -vV | sed -n 's/^host: //p')
export RUSTFLAGS
# With --target the flags do not reach build scripts and procedural macros.
how=(--quiet --release --locked --target "$host" --manifest-path tests/fuzz/Cargo.toml)
if [ "$seconds" = lint ]; then
  # As for a run, so that what is built for one serves the other.
  exec cargo clippy "${how[@]}" --all-targets -- -D warnings
fi
[ -d "target/fuzz/$host/release/deps" ] || echo "building the fuzz targets, for coverage and optimised (2 to 4 minutes, once)"
cargo build "${how[@]}"

for target in "${targets[@]}"; do
  corpus=target/fuzz/corpus/$target
  mkdir -p "$corpus"
  echo "fuzzing $target for $seconds s"
  # Seeds: the messages of the test vectors, for the targets that take messages.
  seeds=()
  case $target in message | payload) seeds=(docs/vectors) ;; esac
  log=target/fuzz/$target.log
  if ! "target/fuzz/$host/release/$target" "$corpus" "${seeds[@]}" -max_total_time="$seconds" -max_len=8192 -timeout=10 \
    -print_final_stats=1 -artifact_prefix="target/fuzz/$target-" > "$log" 2>&1; then
    tail -40 "$log"
    echo "fuzzing $target found a fault: the input is target/fuzz/$target-*; run it again by naming the file" >&2
    exit 1
  fi
  sed -n 's/^stat::number_of_executed_units: */  runs: /p; s/^#[0-9]*\tDONE */  /p' "$log"
done
echo "fuzz: ${#targets[@]} targets, no fault"
