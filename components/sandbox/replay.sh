#!/bin/sh
# Records runs of the sandbox and replays each natively and on the component. From the root of the repository.
set -eu
logs=target/sandbox-logs
rm -rf "$logs"
node components/sandbox/record.mjs "$logs"
for log in "$logs"/*.jsonl; do
  "${CARGO_TARGET_DIR:-target}/debug/otscert-replay" --check "$log"
done
