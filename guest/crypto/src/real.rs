//! The real provider.

use alloc::vec::Vec;

use chacha20::ChaCha20;
use chacha20::cipher::{KeyIvInit, StreamCipher};
use chacha20poly1305::aead::{Aead, Payload};
use chacha20poly1305::{ChaCha20Poly1305, KeyInit};
use ecdsa::hazmat::sign_prehashed_rfc6979;
use ed25519_dalek::Signer;
use hkdf::{Hkdf, HkdfExtract};
use hmac::{Hmac, Mac};
use p256::ecdsa::VerifyingKey;
use p256::ecdsa::signature::hazmat::PrehashVerifier;
use p256::elliptic_curve::point::AffineCoordinates;
use p256::elliptic_curve::sec1::ToSec1Point;
use p256::{AffinePoint, NistP256, NonZeroScalar};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use otscert_machine::crypto::{Crypto, Secret, Security};

/// The real provider: every primitive is what its name says.
#[derive(Clone, Copy, Debug, Default)]
pub struct RustCrypto;

impl Crypto for RustCrypto {
    fn security(&self) -> Security {
        Security::Real
    }

    fn sha256(&self, parts: &[&[u8]]) -> [u8; 32] {
        let mut hash = Sha256::new();
        for part in parts {
            hash.update(part);
        }
        hash.finalize().into()
    }

    #[expect(clippy::unwrap_used, reason = "a key of any length is allowed")]
    fn hmac_sha256(&self, key: &[u8], parts: &[&[u8]]) -> [u8; 32] {
        // Unwrap safety: HMAC takes a key of any length (RFC 2104 section 2).
        let mut mac = <Hmac<Sha256> as KeyInit>::new_from_slice(key).unwrap();
        for part in parts {
            mac.update(part);
        }
        mac.finalize().into_bytes().into()
    }

    fn hkdf_extract(&self, salt: &[u8], parts: &[&[u8]]) -> Secret<32> {
        let mut extract = HkdfExtract::<Sha256>::new(Some(salt));
        for part in parts {
            extract.input_ikm(part);
        }
        Secret::new(extract.finalize().0.into())
    }

    #[expect(clippy::unwrap_used, reason = "both lengths are fixed")]
    fn hkdf_expand(&self, prk: &Secret<32>, info: &[u8]) -> Secret<32> {
        let mut okm = [0; 32];
        // Unwrap safety: the key is as long as the hash, and the output is one block of 255.
        Hkdf::<Sha256>::from_prk(prk.expose())
            .unwrap()
            .expand(info, &mut okm)
            .unwrap();
        Secret::new(okm)
    }

    fn chacha20_stream(&self, key: &Secret<32>, out: &mut [u8]) {
        out.fill(0);
        ChaCha20::new(key.expose().into(), &NONCE_ZERO.into()).apply_keystream(out);
    }

    #[expect(clippy::unwrap_used, reason = "no slice of the machine is that long")]
    fn aead_seal(&self, key: &Secret<32>, nonce: &[u8; 12], aad: &[u8], plain: &[u8]) -> Vec<u8> {
        let cipher = ChaCha20Poly1305::new(key.expose().into());
        // Unwrap safety: it fails beyond 256 GiB only (RFC 8439 section 2.8); no such slice exists
        // in a machine whose messages end at 64 KiB and whose records end at 256 KiB.
        cipher
            .encrypt(nonce.into(), Payload { msg: plain, aad })
            .unwrap()
    }

    fn aead_open(
        &self,
        key: &Secret<32>,
        nonce: &[u8; 12],
        aad: &[u8],
        sealed: &[u8],
    ) -> Option<Vec<u8>> {
        let cipher = ChaCha20Poly1305::new(key.expose().into());
        cipher
            .decrypt(nonce.into(), Payload { msg: sealed, aad })
            .ok()
    }

    fn ed25519_public(&self, seed: &Secret<32>) -> [u8; 32] {
        ed25519_dalek::SigningKey::from_bytes(seed.expose())
            .verifying_key()
            .to_bytes()
    }

    fn ed25519_sign(&self, seed: &Secret<32>, message: &[u8]) -> [u8; 64] {
        ed25519_dalek::SigningKey::from_bytes(seed.expose())
            .sign(message)
            .to_bytes()
    }

    fn ed25519_verify(&self, public: &[u8; 32], message: &[u8], signature: &[u8; 64]) -> bool {
        let signature = ed25519_dalek::Signature::from_bytes(signature);
        ed25519_dalek::VerifyingKey::from_bytes(public)
            .is_ok_and(|key| key.verify_strict(message, &signature).is_ok())
    }

    fn p256_public(&self, scalar: &Secret<32>) -> Option<[u8; 65]> {
        let scalar = p256_scalar(scalar)?;
        let point = p256::PublicKey::from_secret_scalar(&scalar).to_sec1_point(false);
        point.as_bytes().try_into().ok()
    }

    fn p256_sign(&self, scalar: &Secret<32>, message: &[u8], extra: &[u8; 32]) -> Option<[u8; 64]> {
        // Not `SigningKey`: loading one computes the public key, which costs as much as signing.
        let scalar = p256_scalar(scalar)?;
        let hash = self.sha256(&[message]);
        let (signature, _) = sign_prehashed_rfc6979::<NistP256, Sha256>(&scalar, &hash, extra);
        Some(signature.normalize_s().to_bytes().into())
    }

    fn p256_verify(&self, public: &[u8; 65], message: &[u8], signature: &[u8; 64]) -> bool {
        let Some(key) = p256_point(public) else {
            return false;
        };
        let hash = self.sha256(&[message]);
        p256::ecdsa::Signature::from_slice(signature)
            .is_ok_and(|signature| key.verify_prehash(&hash, &signature).is_ok())
    }

    fn p256_valid(&self, public: &[u8; 65]) -> bool {
        p256_point(public).is_some()
    }

    fn equal(&self, a: &[u8], b: &[u8]) -> bool {
        a.ct_eq(b).into()
    }
}

/// A scalar in 1..n.
fn p256_scalar(scalar: &Secret<32>) -> Option<NonZeroScalar> {
    NonZeroScalar::from_repr((*scalar.expose()).into()).into_option()
}

/// A point on the curve. The curve's order is prime, so any point but infinity, which has no
/// uncompressed encoding, has the right order (SP 800-56A section 5.6.2.3.3).
fn p256_point(public: &[u8; 65]) -> Option<VerifyingKey> {
    let [UNCOMPRESSED, coordinates @ ..] = public else {
        return None;
    };
    // Not `VerifyingKey::from_sec1_bytes`: it brings the reading of compressed points along, and
    // with it square roots.
    let (x, y) = coordinates.split_at(FIELD_BYTES);
    let (x, y): ([u8; FIELD_BYTES], [u8; FIELD_BYTES]) = (x.try_into().ok()?, y.try_into().ok()?);
    let point = AffinePoint::from_coordinates(&x.into(), &y.into()).into_option()?;
    VerifyingKey::from_affine(point).ok()
}

/// A key is used for one call, so the nonce need not differ.
const NONCE_ZERO: [u8; 12] = [0; 12];
/// SEC 1 section 2.3.3.
const UNCOMPRESSED: u8 = 0x04;
const FIELD_BYTES: usize = 32;
