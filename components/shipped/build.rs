//! Says where the built component is, so that the crate can include its bytes.

use std::env;
use std::path::{Path, PathBuf};

fn main() {
    println!("cargo::rerun-if-env-changed={OVERRIDE}");
    let path = match env::var_os(OVERRIDE) {
        Some(path) => PathBuf::from(path),
        None => {
            // Unwrap safety: cargo always sets it for build scripts.
            let here = env::var_os("CARGO_MANIFEST_DIR").expect("set by cargo");
            Path::new(&here).join(BUILT)
        }
    };
    println!("cargo::rerun-if-changed={}", path.display());
    match path.canonicalize() {
        Ok(path) if path.is_file() => {
            println!("cargo::rustc-env=OTSCERT_COMPONENT_FILE={}", path.display());
        }
        Ok(_) | Err(_) => println!(
            "cargo::error=the component is not built: there is no file {}; run `./x component` (or `just \
             component`) first, or name another file with {OVERRIDE}",
            path.display(),
        ),
    }
}

/// Names another component file than the one this tree builds.
const OVERRIDE: &str = "OTSCERT_COMPONENT";
/// Where `guest/build/component.sh` puts it, from this crate's folder.
const BUILT: &str = "../../target/component/otscert.wasm";
