#!/bin/sh
# Tries the assessment kit on this machine: one board for three units, restarts of the program for power cycles, few
# samples. All of that is overridden below and said in the output; what is left is the verdict on this clock. Further
# arguments go to `judge`. Exits with 1 where the clock is refused, as it is on every virtual machine
# (--danger-virtual overrides that, too).
#
#   SAMPLES=200000 ROWS=100   how many of each, for each unit
set -eu

cd "$(dirname "$0")/../.."
program=${CARGO_TARGET_DIR:-target}/debug/otscert-device
units=$(mktemp -d)
trap 'rm -rf "$units"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

for unit in u1 u2 u3; do
  "$program" assess collect --out "$units" --unit-name $unit --samples "${SAMPLES:-200000}" | sed -n 1p
  row=0
  while [ $row -lt "${ROWS:-100}" ]; do
    "$program" assess restart --out "$units" --unit-name $unit --process-restarts > "$units/said"
    row=$((row + 1))
  done
  cat "$units/said"
done
"$program" assess judge "$units" --id trial --models trial --cause "a trial of the kit, on one machine" \
  --out "$units/trial.json" --danger-few --danger-one-board --danger-process-restarts --danger-busy "$@"
