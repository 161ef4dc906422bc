#!/usr/bin/env bash
# Prints the sizes of what is shipped and fails where the component is over its limit.
set -euo pipefail
cd "$(dirname "$0")/.."

component_limit=400000 # bytes; a device without a compiler carries it in flash

cargo build --locked --release --package otscert-device --package otscert-hq --bins
release=${CARGO_TARGET_DIR:-target}/release

component=$(wc -c < target/component/otscert.wasm)
printf '%-16s %9d bytes  (%d compressed; limit %d)\n' otscert.wasm "$component" \
  "$(gzip -9 < target/component/otscert.wasm | wc -c)" "$component_limit"
for program in otscert-device otscert-hq; do
  printf '%-16s %9d bytes\n' "$program" "$(wc -c < "$release/$program")"
done

# Memory in use, measured by the program that also starts what it measures.
if [ -f tests/src/bin/sizes.rs ]; then
  cargo run --quiet --locked --release --package otscert-tests --bin sizes
fi

if [ "$component" -gt "$component_limit" ]; then
  echo "the component is $((component - component_limit)) bytes over its limit" >&2
  exit 1
fi
