# `./x RECIPE` installs what a recipe needs and runs it; `just RECIPE` only runs it. Both, one comment line per recipe.

set positional-arguments

[private]
default:
    @just --list --unsorted

# Plays a box's life on this machine, with an HQ and a test CA (--once: one pass; --boards: four boards, with Chromium)
demo *args: component
    @cargo build --locked --workspace --bins
    @"${CARGO_TARGET_DIR:-target}/debug/demo" "$@"

# Tries the assessment kit on this machine's clock; fails where the clock is refused, as on a virtual machine
assess *args: component
    @cargo build --locked --workspace --bins
    @host-device/assess/trial.sh "$@"

# Builds the component and runs every test (or those that match what is given)
test *args: component
    cargo build --locked --workspace --bins --tests
    cargo test --locked --workspace --no-fail-fast "$@"

# Checks everything that a change must pass besides the tests
check: fmt-check shell-check deny clippy doc

# Builds the component and every program
build: component
    cargo build --locked --workspace --bins

# Builds target/component/otscert.wasm, prints its size and SHA-256
component:
    @guest/build/component.sh

# Formats the Rust code
fmt:
    cargo fmt --all
    cargo fmt --manifest-path tests/fuzz/Cargo.toml

# Fails where the Rust code is not formatted
fmt-check:
    cargo fmt --all --check
    cargo fmt --manifest-path tests/fuzz/Cargo.toml --check

# Reads the shell scripts for mistakes
shell-check:
    git ls-files -z x '*.sh' .ci/run | xargs -0 shellcheck

# Lints all Rust code, warnings denied
clippy: component
    cargo clippy --locked --workspace --all-targets -- -D warnings
    tests/fuzz/run.sh lint

# Builds the API documentation, warnings denied
doc: component
    RUSTDOCFLAGS="-D warnings" cargo doc --locked --workspace --no-deps --document-private-items

# Checks the licences, sources and bans of every crate in Cargo.lock (deny.toml)
deny:
    cargo deny --locked check --hide-inclusion-graph bans licenses sources

# Checks every crate against the RustSec advisories (fetches them, so not part of `check`)
advisories:
    cargo deny --locked check advisories

# Prints the sizes of what is shipped; fails where the component is over its limit
sizes: component
    .ci/sizes.sh

# Computes a starved box's key from its sibling's knowledge, and fails to compute a healthy one's
attack-sibling: build
    @"${CARGO_TARGET_DIR:-target}/debug/attack" sibling

# Recomputes the state of a box from recorded traffic, and fails where HQ's seed was sealed
attack-recorder: build
    @"${CARGO_TARGET_DIR:-target}/debug/attack" recorder

# Simulates boxes, HQ, a CA and a network in virtual time (--seeds N --devices M --days D); a failing seed leaves a log
sim *args: component
    @cargo build --locked --workspace --bins --tests
    @"${CARGO_TARGET_DIR:-target}/debug/sim" "$@"

# Replays an event log natively and on the component (--check), or steps through it in the terminal
replay *args: component
    @cargo build --locked --workspace --bins
    @"${CARGO_TARGET_DIR:-target}/debug/otscert-replay" "$@"

# Searches every order of events between boxes, HQ and a CA within bounds, and prints what holds (about 8 minutes)
model *args:
    cargo test --locked -p otscert-model -- --ignored --nocapture --test-threads 1 "$@"

# Breaks the machine's rules one by one in a copy, and shows which test notices (--quick: those that CI breaks)
sabotage *args:
    @cargo run --locked --quiet -p otscert-sabotage -- "$@"

# Measures which branches of the machine its tests take, and names each gap with its reason (--again: the last counts)
coverage *args:
    @cargo build --locked --quiet -p otscert-coverage
    @"${CARGO_TARGET_DIR:-target}/debug/otscert-coverage" "$@"

# Changes the machine's code bit by bit and names each change that no test notices (-f FILE: those of one file)
mutants *args:
    @tests/mutants/run.sh "$@"

# Runs every fuzz target for SECONDS each
fuzz SECONDS="30":
    tests/fuzz/run.sh "$1"

# Follows the quick start of docs/OPERATIONS.md word for word on hosts of its own (Linux, root)
quickstart-test: build
    tests/quickstart/run.sh

# Runs the tests of boards, among them those that need a real browser (./x installs Chromium for it)
e2e-boards: component
    cargo build --locked --workspace --bins --tests
    cargo test --locked --workspace --test end_to_end boards -- --nocapture

# Runs a device under a runtime that knows nothing of this project: jco, from npm, on node (./x installs it)
e2e-wasi: component
    cargo build --locked --workspace --bins --tests
    cargo test --locked --workspace --test composition -- --ignored --nocapture jco

# Builds the browser sandbox: static files in target/sandbox/ (with jco, from npm, on node; ./x installs it)
sandbox: component
    @node components/sandbox/build.mjs

# Builds the sandbox, serves it on loopback at PORT (0: a free one) and prints the URL
sandbox-serve PORT="0": sandbox
    @node components/sandbox/serve.mjs "$1"

# Type-checks the sandbox and tests its runs: the file it runs is the shipped one, a seed gives one log
sandbox-test: sandbox
    "$OTSCERT_JCO/node_modules/.bin/tsc" -p components/sandbox
    node --test components/sandbox/tests/

# Walks the sandbox in a real browser: stories, every fault, logs in and out, by keyboard (screenshots in target/screenshots/)
e2e-sandbox: sandbox
    cargo build --locked --workspace --bins --tests
    cargo test --locked --workspace --test end_to_end -- --ignored --nocapture sandbox::

# Records runs of the sandbox and replays them natively and on wasmtime: the same hashes, or it fails
sandbox-replay: sandbox
    @cargo build --locked --workspace --bins --tests
    components/sandbox/replay.sh

# Puts a composition together: `just compose device --output device.wasm` (components/README.md)
compose *args: component
    @cargo run --quiet --locked -p otscert-compositions --bin otscert-compose -- "$@"

# Removes what was built here (what ./x installed stays in its cache folder)
clean:
    cargo clean
