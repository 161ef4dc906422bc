#!/usr/bin/env bash
# Builds the Rust standard library for wasm32-unknown-unknown from Debian's source and prints the sysroot's path.
#
# For machines that cannot fetch rustup's own build of it. Debian's rustc-web and rust-web-src are one compiler and
# its matching library source; rustup's toolchain gives cargo and the two linkers. No network is used: the source
# carries the library's own dependencies. The result is kept per compiler version, in a folder of the user's cache.
#
# usage: guest/build/sysroot.sh          (GUEST_RUSTC names another compiler than /usr/bin/rustc)
set -euo pipefail

target=wasm32-unknown-unknown
rustc=${GUEST_RUSTC:-/usr/bin/rustc}
cache=${OTSCERT_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/otscert}

[ -x "$rustc" ] || { echo "$0: no compiler at $rustc: install Debian's rustc-web" >&2; exit 1; }
src=$("$rustc" --print sysroot)/lib/rustlib/src/rust/library
[ -d "$src" ] || { echo "$0: no library source at $src: install Debian's rust-web-src" >&2; exit 1; }
version=$("$rustc" -vV)
host=$(printf "%s\n" "$version" | sed -n "s/^host: //p")
linkers=$(env -u RUSTC rustc --print sysroot)/lib/rustlib/$host/bin
for linker in rust-lld wasm-component-ld; do
  [ -x "$linkers/$linker" ] || { echo "$0: no $linker in $linkers: use a toolchain from rustup" >&2; exit 1; }
done

# The sysroot is a pure function of these, and the number is raised when this script changes what it makes.
key=$(printf "%s\n" "$version" "linkers: $linkers" "recipe: 2")
dest=$cache/wasm-std-$(printf '%s' "$key" | cksum | cut -d ' ' -f 1)
if [ -f "$dest/key" ] && [ "$(< "$dest/key")" = "$key" ]; then
  echo "$dest"
  exit 0
fi

echo "sysroot.sh: building the wasm standard library (about a minute, once per compiler version)" >&2
mkdir -p "$cache"
tmp=$(mktemp -d "$cache/wasm-std.XXXXXX")
trap 'rm -rf "$tmp"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
mkdir -p "$tmp/crate/src"
# Built for size, as the component is: 9 KB less in it than with rustup's build, which is for speed.
printf '#![no_std]\n' > "$tmp/crate/src/lib.rs"
cat > "$tmp/crate/Cargo.toml" <<'TOML'
[package]
name = "sysroot-dummy"
version = "0.0.0"
edition = "2021"

[workspace]

[profile.release]
opt-level = "z"
codegen-units = 1
debug = false
panic = "abort"
incremental = false
TOML

vendored=()
if [ -d "$src/vendor" ]; then
  vendored=(--offline
    --config 'source.crates-io.replace-with="std-vendor"'
    --config "source.std-vendor.directory='$src/vendor'")
fi
# embed-bitcode: without it the component's `lto = "fat"` fails. The remapped path is what rustup's own build shows.
(cd "$tmp/crate" && env -u RUSTC_WRAPPER -u CARGO_ENCODED_RUSTFLAGS \
  RUSTC="$rustc" RUSTC_BOOTSTRAP=1 CARGO_TARGET_DIR="$tmp/target" \
  RUSTFLAGS="-C embed-bitcode=yes --remap-path-prefix=${src%/library}=/rustc/src" \
  cargo build --quiet -Zbuild-std=std,panic_abort -Zbuild-std-features=optimize_for_size --release --target "$target" "${vendored[@]}") >&2

mkdir -p "$tmp/root/lib/rustlib/$target/lib" "$tmp/root/lib/rustlib/$host/bin"
find "$tmp/target/$target/release/deps" -name '*.rlib' ! -name 'libsysroot_dummy*' \
  -exec cp {} "$tmp/root/lib/rustlib/$target/lib/" \;
# rustc looks for its linkers here, and Debian's has none.
ln -s "$linkers/rust-lld" "$linkers/wasm-component-ld" "$tmp/root/lib/rustlib/$host/bin/"
printf '%s\n' "$key" > "$tmp/root/key"
rm -rf "$dest"
mv "$tmp/root" "$dest"
echo "$dest"
