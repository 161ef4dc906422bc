//! The shipped component: its bytes, its digest, and what a host checks before it runs one.
//!
//! Both hosts run the same file (DESIGN 2.1). This crate carries it, checks that a component asks for nothing beyond
//! the contract in `wit/`, and holds the engine settings that both hosts share (DESIGN 2.3).

mod check;
mod engine;

use sha2::{Digest, Sha256};

pub use check::{LoadError, Role, load, require};
pub use engine::{EpochTicker, Limits, engine_config};

/// The component this build carries.
pub const COMPONENT: &[u8] = include_bytes!(env!("OTSCERT_COMPONENT_FILE"));

/// The SHA-256 of [`COMPONENT`] in lower-case hexadecimal.
#[must_use]
pub fn sha256_hex() -> String {
    sha256_hex_of(COMPONENT)
}

/// The SHA-256 of a component file in lower-case hexadecimal.
#[must_use]
pub fn sha256_hex_of(bytes: &[u8]) -> String {
    Sha256::digest(bytes)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_digest_is_sha_256_in_lower_case_hexadecimal() {
        // FIPS 180-2, appendix B.1.
        assert_eq!(
            sha256_hex_of(b"abc"),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
        assert_eq!(sha256_hex(), sha256_hex_of(COMPONENT));
    }
}
