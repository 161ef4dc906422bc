//! The protocol on the wire: strict JSON, base64url, JWS, and each message (docs/PROTOCOL.md).
//!
//! Bytes from outside go through three doors, each of which can only be passed once:
//! [`json`] (syntax, duplicate members, depth), [`jws`] (envelope, header, signature) and
//! [`message`] (the members of each message). What comes out is a checked type; the roles never see
//! text. The same types are written back to bytes by the same modules, and the test vectors in
//! `docs/vectors/` pass through both directions.

pub mod base64url;
pub mod json;
pub mod jws;
pub mod message;
pub mod problem;
pub mod trust;
pub mod voucher;

/// Largest message in either direction, bytes.
pub const MAX_MESSAGE: usize = 64 * 1024;
