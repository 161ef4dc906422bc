//! The machine's primitives, one by one, so that published vectors can be run where they matter: in the guest.
//!
//! [`run`] is the same code for a native test and, behind `wit/`, for the component that is built beside the shipped
//! one, by the same compiler with the same flags and profile. Everything goes through the trait `Crypto` of the real
//! provider, and the DER of a signature through the reader that HQ checks requests with.

#[cfg(target_arch = "wasm32")]
mod bindings;

use std::fmt;

use otscert_crypto::RustCrypto;
use otscert_machine::crypto::{Crypto, Secret};
use otscert_machine::x509::csr;

/// A primitive, with its arguments in their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Primitive {
    /// Message.
    Sha256,
    /// Key, message.
    HmacSha256,
    /// Salt, input, info. Gives the first block of the output: the trait expands to 32 bytes.
    HkdfSha256,
    /// Key. Gives the first 256 bytes of the stream.
    ChaCha20Stream,
    /// Key, nonce, additional data, plain text.
    AeadSeal,
    /// Key, nonce, additional data, cipher text with tag. Gives 1 and the plain text, or 0.
    AeadOpen,
    /// Seed.
    Ed25519Public,
    /// Seed, message.
    Ed25519Sign,
    /// Public key, message, signature. Gives 1 or 0, as all that verify.
    Ed25519Verify,
    /// Scalar. Gives 1 and the point, or 0.
    P256Public,
    /// Scalar, message, extra. Gives 1 and the signature, or 0.
    P256Sign,
    /// Public key, message, signature as `r ‖ s`.
    P256Verify,
    /// Public key, message, signature in DER.
    P256VerifyDer,
}

/// Why there is no result: whoever asked erred.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unusable {
    /// There is none of that name.
    NoSuchPrimitive(String),
    /// It takes other arguments.
    Arguments(Primitive),
}

impl Primitive {
    /// All there are.
    pub const ALL: [Self; 13] = [
        Self::Sha256,
        Self::HmacSha256,
        Self::HkdfSha256,
        Self::ChaCha20Stream,
        Self::AeadSeal,
        Self::AeadOpen,
        Self::Ed25519Public,
        Self::Ed25519Sign,
        Self::Ed25519Verify,
        Self::P256Public,
        Self::P256Sign,
        Self::P256Verify,
        Self::P256VerifyDer,
    ];

    /// Its name in the component's interface.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sha256 => "sha256",
            Self::HmacSha256 => "hmac-sha256",
            Self::HkdfSha256 => "hkdf-sha256",
            Self::ChaCha20Stream => "chacha20-stream",
            Self::AeadSeal => "aead-seal",
            Self::AeadOpen => "aead-open",
            Self::Ed25519Public => "ed25519-public",
            Self::Ed25519Sign => "ed25519-sign",
            Self::Ed25519Verify => "ed25519-verify",
            Self::P256Public => "p256-public",
            Self::P256Sign => "p256-sign",
            Self::P256Verify => "p256-verify",
            Self::P256VerifyDer => "p256-verify-der",
        }
    }
}

/// Runs a primitive of the real provider.
///
/// # Errors
///
/// If the arguments are not those of the primitive.
pub fn run(primitive: Primitive, arguments: &[Vec<u8>]) -> Result<Vec<u8>, Unusable> {
    result_of(primitive, arguments).ok_or(Unusable::Arguments(primitive))
}

fn result_of(primitive: Primitive, arguments: &[Vec<u8>]) -> Option<Vec<u8>> {
    let crypto = RustCrypto;
    Some(match (primitive, arguments) {
        (Primitive::Sha256, [message]) => crypto.sha256(&[message]).to_vec(),
        (Primitive::HmacSha256, [key, message]) => crypto.hmac_sha256(key, &[message]).to_vec(),
        (Primitive::HkdfSha256, [salt, input, info]) => {
            let prk = crypto.hkdf_extract(salt, &[input]);
            crypto.hkdf_expand(&prk, info).expose().to_vec()
        }
        (Primitive::ChaCha20Stream, [key]) => {
            let mut stream = vec![0; STREAM];
            crypto.chacha20_stream(&secret(key)?, &mut stream);
            stream
        }
        (Primitive::AeadSeal, [key, nonce, aad, plain]) => {
            crypto.aead_seal(&secret(key)?, &fixed(nonce)?, aad, plain)
        }
        (Primitive::AeadOpen, [key, nonce, aad, sealed]) => {
            maybe(crypto.aead_open(&secret(key)?, &fixed(nonce)?, aad, sealed))
        }
        (Primitive::Ed25519Public, [seed]) => crypto.ed25519_public(&secret(seed)?).to_vec(),
        (Primitive::Ed25519Sign, [seed, message]) => {
            crypto.ed25519_sign(&secret(seed)?, message).to_vec()
        }
        (Primitive::Ed25519Verify, [public, message, signature]) => {
            verdict(crypto.ed25519_verify(&fixed(public)?, message, &fixed(signature)?))
        }
        (Primitive::P256Public, [scalar]) => maybe(crypto.p256_public(&secret(scalar)?)),
        (Primitive::P256Sign, [scalar, message, extra]) => {
            maybe(crypto.p256_sign(&secret(scalar)?, message, &fixed(extra)?))
        }
        (Primitive::P256Verify, [public, message, signature]) => {
            verdict(crypto.p256_verify(&fixed(public)?, message, &fixed(signature)?))
        }
        (Primitive::P256VerifyDer, [public, message, der]) => {
            let public = fixed(public)?;
            // As the bit string of a request holds it: no unused bits.
            let bits = [&[0], &der[..]].concat();
            let signature = csr::read_signature(&bits);
            verdict(signature.is_ok_and(|(r, s)| {
                let joined: Option<[u8; 64]> = fixed(&[r, s].concat());
                joined.is_some_and(|joined| crypto.p256_verify(&public, message, &joined))
            }))
        }
        (
            Primitive::Sha256
            | Primitive::HmacSha256
            | Primitive::HkdfSha256
            | Primitive::ChaCha20Stream
            | Primitive::AeadSeal
            | Primitive::AeadOpen
            | Primitive::Ed25519Public
            | Primitive::Ed25519Sign
            | Primitive::Ed25519Verify
            | Primitive::P256Public
            | Primitive::P256Sign
            | Primitive::P256Verify
            | Primitive::P256VerifyDer,
            _,
        ) => return None,
    })
}

fn verdict(holds: bool) -> Vec<u8> {
    vec![u8::from(holds)]
}

fn maybe(bytes: Option<impl AsRef<[u8]>>) -> Vec<u8> {
    bytes.map_or_else(|| vec![0], |bytes| [&[1], bytes.as_ref()].concat())
}

fn secret(bytes: &[u8]) -> Option<Secret<32>> {
    fixed(bytes).map(Secret::new)
}

fn fixed<const N: usize>(bytes: &[u8]) -> Option<[u8; N]> {
    bytes.try_into().ok()
}

impl fmt::Display for Unusable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoSuchPrimitive(name) => write!(f, "there is no primitive {name:?}"),
            Self::Arguments(primitive) => {
                let name = primitive.name();
                write!(f, "{name} takes other arguments: their number or lengths")
            }
        }
    }
}

impl std::error::Error for Unusable {}

/// What the world's export is implemented on.
#[cfg(target_arch = "wasm32")]
struct GuestCrypto;

#[cfg(target_arch = "wasm32")]
impl bindings::Guest for GuestCrypto {
    fn run(primitive: String, arguments: Vec<Vec<u8>>) -> Result<Vec<u8>, String> {
        let found = Primitive::ALL
            .into_iter()
            .find(|one| one.name() == primitive);
        found
            .ok_or(Unusable::NoSuchPrimitive(primitive))
            .and_then(|primitive| run(primitive, &arguments))
            .map_err(|error| error.to_string())
    }
}

/// Four blocks of ChaCha20.
const STREAM: usize = 256;
