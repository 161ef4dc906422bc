//! A chain of two certificates, signed deterministically: rcgen signs with fresh randomness.

use otscert_machine::crypto::{Crypto, Secret};

use super::CRYPTO;
use super::cast::{Cast, NAME};

/// Leaf for `*.` [`NAME`] and the TLS key, then the intermediate that signed it.
pub(crate) fn chain(cast: &Cast) -> Vec<Vec<u8>> {
    let ca = cast.ca_key();
    let (ca_point, tls_point) = (point(&ca), point(&cast.tls_key()));
    let key_id = &CRYPTO.sha256(&[&ca_point])[..20];

    let names = tlv(0x30, &[&tlv(0x82, &[b"*.", NAME.as_bytes()])]);
    let usage = tlv(0x30, &[&[0x06, 8, 0x2b, 6, 1, 5, 5, 7, 3, 1]]);
    let authority = tlv(0x30, &[&tlv(0x80, &[key_id])]);
    let leaf = [
        extension(&[0x55, 0x1d, 0x11], &names),
        extension(&[0x55, 0x1d, 0x25], &usage),
        extension(&[0x55, 0x1d, 0x23], &authority),
    ];
    let constraints = tlv(0x30, &[&[0x01, 1, 0xff]]);
    let subject_key = tlv(0x04, &[key_id]);
    let intermediate = [
        extension(&[0x55, 0x1d, 0x13], &constraints),
        extension(&[0x55, 0x1d, 0x0e], &subject_key),
    ];
    let (root, issuer) = (name("otscert vectors root"), name("otscert vectors CA"));
    vec![
        certificate(&ca, 2, &issuer, &tlv(0x30, &[]), &tls_point, &leaf.concat()),
        certificate(&ca, 1, &root, &issuer, &ca_point, &intermediate.concat()),
    ]
}

fn certificate(
    key: &Secret<32>,
    serial: u8,
    issuer: &[u8],
    subject: &[u8],
    public: &[u8; 65],
    extensions: &[u8],
) -> Vec<u8> {
    let validity = tlv(
        0x30,
        &[
            &tlv(0x17, &[b"261122230000Z"]),
            &tlv(0x17, &[b"270106225959Z"]),
        ],
    );
    let spki = tlv(0x30, &[EC_P256, &tlv(0x03, &[&[0], public])]);
    let body = tlv(
        0x30,
        &[
            &tlv(0xa0, &[&[0x02, 1, 2]]),
            &[0x02, 1, serial],
            ECDSA_SHA256,
            issuer,
            &validity,
            subject,
            &spki,
            &tlv(0xa3, &[&tlv(0x30, &[extensions])]),
        ],
    );
    let signature = CRYPTO.p256_sign(key, &body, &[serial; 32]).unwrap();
    let (r, s) = signature.split_at(32);
    let signature = tlv(0x30, &[&integer(r), &integer(s)]);
    tlv(
        0x30,
        &[&body, ECDSA_SHA256, &tlv(0x03, &[&[0], &signature])],
    )
}

fn extension(id: &[u8], value: &[u8]) -> Vec<u8> {
    tlv(0x30, &[&tlv(0x06, &[id]), &tlv(0x04, &[value])])
}

fn name(common: &str) -> Vec<u8> {
    let attribute = tlv(
        0x30,
        &[&[0x06, 3, 0x55, 4, 3], &tlv(0x0c, &[common.as_bytes()])],
    );
    tlv(0x30, &[&tlv(0x31, &[&attribute])])
}

fn integer(bytes: &[u8]) -> Vec<u8> {
    let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
    let bytes = &bytes[zeros..];
    match bytes[0] & 0x80 {
        0 => tlv(0x02, &[bytes]),
        _ => tlv(0x02, &[&[0], bytes]),
    }
}

fn point(scalar: &Secret<32>) -> [u8; 65] {
    CRYPTO.p256_public(scalar).unwrap()
}

fn tlv(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let content = parts.concat();
    let len = content.len();
    let mut out = vec![tag];
    match len {
        0..=0x7f => out.push(len as u8),
        0x80..=0xff => out.extend([0x81, len as u8]),
        _ => out.extend([0x82, (len >> 8) as u8, len as u8]),
    }
    out.extend(content);
    out
}

/// id-ecPublicKey, secp256r1.
const EC_P256: &[u8] = &[
    0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48,
    0xce, 0x3d, 0x03, 0x01, 0x07,
];
/// ecdsa-with-SHA256.
const ECDSA_SHA256: &[u8] = &[
    0x30, 0x0a, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02,
];
