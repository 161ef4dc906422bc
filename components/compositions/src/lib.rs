//! The parts of compositions as bytes, the compositions of this project, and what puts them together.
//!
//! A composition is a `.wac` file (the composition language of the Bytecode Alliance's `wac`) over named parts. It is
//! put together when it is asked for, which takes milliseconds, so that a test can also put together what should be
//! refused. The shipped component goes in byte for byte: its digest inside is that of the file.
//!
//! [`compose`] refuses a composition that asks for more than it may: a part whose imports nobody gives is refused by
//! the import's name, and so is an import of the whole beyond what is allowed.

use std::collections::BTreeMap;

use indexmap::IndexMap;
use wac_graph::EncodeOptions;
use wac_parser::Document;
use wac_types::{BorrowedPackageKey, Package, Types};

include!(concat!(env!("OUT_DIR"), "/parts.rs"));

/// A device on a stock WASI 0.2 runtime.
pub const DEVICE: &str = include_str!("../device.wac");
/// The same, with the attenuator before its network.
pub const DEVICE_PINNED: &str = include_str!("../device-pinned.wac");
/// The shipped component on doubles, for tests.
pub const DOUBLES: &str = include_str!("../doubles.wac");
/// The attenuator before a double, for its test.
pub const PINNED: &str = include_str!("../pinned.wac");

/// A composition that may import nothing runs anywhere.
pub const NOTHING: &[&str] = &[];
/// One that may import standard interfaces runs on a stock runtime.
pub const WASI: &[&str] = &["wasi:"];

/// The name of the shipped component in a `.wac` file.
pub const COMPONENT: &str = "otscert:component";

/// What a composition may be made of, by name.
#[derive(Debug, Clone)]
pub struct Parts(BTreeMap<String, Vec<u8>>);

/// Why a composition is not made.
#[derive(Debug, thiserror::Error)]
pub enum ComposeError {
    /// The `.wac` file does not parse.
    #[error("the composition does not parse: {reason}")]
    Syntax {
        /// Where and why.
        reason: String,
    },
    /// A part is not a component.
    #[error("`{part}` is no component: {reason}")]
    NoComponent {
        /// The part, by name.
        part: String,
        /// Why.
        reason: String,
    },
    /// A part imports something that the composition gives nobody.
    #[error(
        "`{part}` asks for `{import}`, which the composition does not give it: give it, or use a part that does not ask"
    )]
    ForeignImport {
        /// The part, by name.
        part: String,
        /// The import, by name.
        import: String,
    },
    /// The parts do not fit.
    #[error("the composition cannot be put together: {reason}")]
    Resolve {
        /// Why.
        reason: String,
    },
    /// What came out is no component.
    #[error("the composition cannot be written: {reason}")]
    Encode {
        /// Why.
        reason: String,
    },
}

impl Parts {
    /// The shipped component and every part that this tree builds.
    #[must_use]
    pub fn built() -> Self {
        let mut parts = Self(BTreeMap::new());
        parts.put(COMPONENT, otscert_component::COMPONENT.to_vec());
        for (name, bytes) in PARTS {
            parts.put(name, bytes.to_vec());
        }
        parts
    }

    /// Puts a part in, in the place of one of that name.
    pub fn put(&mut self, name: &str, bytes: Vec<u8>) {
        self.0.insert(name.to_owned(), bytes);
    }
}

/// Puts a composition together. As a whole it may import what begins with one of `allowed`.
///
/// # Errors
///
/// [`ComposeError`]; for an import that is not allowed with its name, and that of the part that asks for it.
pub fn compose(wac: &str, parts: &Parts, allowed: &[&str]) -> Result<Vec<u8>, ComposeError> {
    let document = Document::parse(wac).map_err(|error| ComposeError::Syntax {
        reason: error.to_string(),
    })?;
    let packages: IndexMap<_, _> = parts
        .0
        .iter()
        .map(|(name, bytes)| {
            let key = BorrowedPackageKey::from_name_and_version(name, None);
            (key, bytes.clone())
        })
        .collect();
    let resolution = document.resolve(packages).map_err(refusal)?;
    for (import, _kind, _node) in resolution.graph().imports() {
        if !allowed.iter().any(|start| import.starts_with(start)) {
            return Err(ComposeError::ForeignImport {
                part: importer(parts, import),
                import: import.to_owned(),
            });
        }
    }
    let options = EncodeOptions {
        define_components: true,
        validate: true,
        ..EncodeOptions::default()
    };
    resolution
        .encode(options)
        .map_err(|error| ComposeError::Encode {
            reason: with_causes(&error),
        })
}

#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "wac's own errors, some fifty, which people read and nobody decides on"
)]
fn refusal(error: wac_parser::resolution::Error) -> ComposeError {
    use wac_parser::resolution::Error;
    match error {
        Error::MissingInstantiationArg { name, package, .. } => ComposeError::ForeignImport {
            part: package,
            import: name,
        },
        Error::PackageParseFailure { name, source, .. } => ComposeError::NoComponent {
            part: name,
            reason: format!("{source:#}"),
        },
        other => ComposeError::Resolve {
            reason: with_causes(&other),
        },
    }
}

/// The first part that asks for an import.
fn importer(parts: &Parts, import: &str) -> String {
    let asks = |(name, bytes): (&String, &Vec<u8>)| {
        let mut types = Types::default();
        let package = Package::from_bytes(name, None, bytes.clone(), &mut types).ok()?;
        types[package.ty()]
            .imports
            .contains_key(import)
            .then(|| name.clone())
    };
    parts
        .0
        .iter()
        .find_map(asks)
        .unwrap_or_else(|| "the composition itself".to_owned())
}

fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(source) = cause {
        text.push_str(": ");
        text.push_str(&source.to_string());
        cause = source.source();
    }
    text
}
