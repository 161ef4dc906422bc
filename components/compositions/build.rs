//! Lists the parts: every component in `components/`, with its built bytes.

use std::env;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

fn main() {
    // Unwrap safety: cargo always sets them for build scripts.
    let here = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").expect("set by cargo"));
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("set by cargo"));
    let built = here.join(BUILT);
    let mut names = parts(&here.join(".."));
    names.sort();
    let (mut list, mut each) = (String::new(), String::new());
    for name in names {
        let path = built.join(format!("{name}.wasm"));
        println!("cargo::rerun-if-changed={}", path.display());
        match path.canonicalize() {
            Ok(path) if path.is_file() => {
                let bytes = format!("include_bytes!({path:?})");
                write_line(&mut list, &format!("(\"otscert:{name}\", {bytes}),"));
                write_line(&mut each, &name.replace('-', "_"));
            }
            Ok(_) | Err(_) => println!(
                "cargo::error=the component {name} is not built: there is no file {}; run `./x component` (or `just \
                 component`) first",
                path.display(),
            ),
        }
    }
    let text = format!(
        "/// Every part: the name that a `.wac` file gives it, and its bytes.\n\
         pub const PARTS: &[(&str, &[u8])] = &[\n{list}];\n\
         /// Calls a macro with the names of all parts, so that a part without a test does not compile.\n\
         #[macro_export]\n\
         macro_rules! for_each_part {{ ($with:ident) => {{ $with! {{\n{each}}} }} }}\n"
    );
    fs::write(out.join("parts.rs"), text).expect("OUT_DIR can be written to");
}

/// The folders that hold a component.
fn parts(components: &Path) -> Vec<String> {
    println!("cargo::rerun-if-changed={}", components.display());
    let folders = fs::read_dir(components).expect("this folder's own parent");
    let names = folders.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    names
        .filter(|name| name != APART)
        .filter(|name| {
            let manifest = components.join(name).join("Cargo.toml");
            fs::read_to_string(manifest).is_ok_and(|text| text.contains(COMPONENT))
        })
        .collect()
}

fn write_line(text: &mut String, line: &str) {
    // Unwrap safety: writing to a string cannot fail.
    writeln!(text, "{line}").expect("a string");
}

/// Where `guest/build/component.sh` puts them, from this crate's folder.
const BUILT: &str = "../../target/component";
/// What makes a crate a component.
const COMPONENT: &str = "crate-type = [\"cdylib\"]";
/// Stands in the shipped component's place at HQ, in tests of HQ; it is part of no composition.
const APART: &str = "refuse-all";
