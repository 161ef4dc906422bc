#!/usr/bin/env bash
# Builds the component and puts it at target/component/otscert.wasm. Beside it, for tests: the double that refuses
# everything, with which a test shows that HQ really runs its component; and the machine's primitives as a component of
# their own, for published vectors, built as the component is so that what the vectors show holds for it. And the parts
# of compositions (components/README.md): doubles, the attenuator, what stands on WASI.
#
# A file is replaced only when its bytes change, and in one step, so that crates which include it are not rebuilt for
# nothing and never see half of it. The build has a target folder of its own: it may use another compiler than the
# native build, and neither should invalidate the other or wait for its lock.
#
# usage: guest/build/component.sh        (OTSCERT_WASM_STD=source: never use the toolchain's own wasm library)
set -euo pipefail

cd "$(dirname "$0")/../.."
target=wasm32-unknown-unknown

flags=()
if [ "${OTSCERT_WASM_STD:-}" = source ] \
  || ! compgen -G "$(rustc --print target-libdir --target $target)/libcore-*.rlib" > /dev/null; then
  flags+=(--sysroot "$(guest/build/sysroot.sh)")
  export RUSTC=${GUEST_RUSTC:-/usr/bin/rustc}
fi
# 64 KiB of stack instead of 1 MiB: an instance is mapped and wiped as a whole (docs/adr/0003).
flags+=(-C link-arg=-zstack-size=65536)
# Call and data addresses take the bytes they need instead of five each: a tenth of the file.
flags+=(-C link-arg=--compress-relocations)
# Copies of more than one word by `memory.copy`, which is a third of the bytes that unrolled loads and stores take; and
# loops as they are written: what LLVM adds to spare multiplications is more code and no faster (docs/adr/0003).
flags+=(-C "llvm-args=-max-store-memcpy=1 -max-store-memmove=1 -max-store-memset=1 -disable-lsr")
# SHA-2 in rolled loops: less than half the code, and hashing is little of what a call costs (docs/adr/0003).
flags+=(--cfg 'sha2_backend_soft="compact"')
# Nothing about the builder's machine gets into the file.
flags+=("--remap-path-prefix=$PWD=/otscert" "--remap-path-prefix=${CARGO_HOME:-$HOME/.cargo}/registry/src=/registry")

# This form takes paths with spaces; with --target the flags do not reach build scripts and procedural macros.
CARGO_ENCODED_RUSTFLAGS=$(printf '%s\037' "${flags[@]}")
export CARGO_ENCODED_RUSTFLAGS=${CARGO_ENCODED_RUSTFLAGS%?}
export CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER=wasm-component-ld
CARGO_TARGET_DIR=target/guest cargo build --locked --package otscert-guest --package otscert-refuse-all \
  --profile component --target $target
# By itself, and as nothing but a component: natively it is a library too, and next to one the component's own crates
# would be compiled in another way.
CARGO_TARGET_DIR=target/guest cargo rustc --locked --package otscert-guest-crypto --crate-type cdylib \
  --profile component --target $target
# By themselves as well: features that their crates want of others must not reach the component.
parts=(contract-types entropy-fixed network-script storage-memory network-pinned entropy-wasi network-wasi storage-wasi
  runner)
CARGO_TARGET_DIR=target/guest cargo build --locked "${parts[@]/#/--package=otscert-}" --profile component --target $target

place() { # built file, name
  local built=target/guest/$target/component/$1 wanted=target/component/$2 sum
  if ! cmp -s "$built" "$wanted"; then
    mkdir -p "$(dirname "$wanted")"
    cp "$built" "$wanted.new.$$"
    mv -f "$wanted.new.$$" "$wanted"
  fi
  if command -v sha256sum > /dev/null; then sum=$(sha256sum "$wanted"); else sum=$(shasum -a 256 "$wanted"); fi
  printf '%s  %d bytes  sha256:%s\n' "$wanted" "$(wc -c < "$wanted")" "${sum%% *}"
}
for part in "${parts[@]}"; do
  built=otscert-$part.wasm
  place "${built//-/_}" "$part.wasm"
done
place otscert_refuse_all.wasm refuse-all.wasm
place otscert_guest_crypto.wasm guest-crypto.wasm
place otscert_guest.wasm otscert.wasm
