//! Certificates made by hand: deterministic, with any dates. Nobody checks their signature.

use otscert_crypto::RustCrypto;
use otscert_machine::crypto::Crypto;
use otscert_machine::time::Timestamp;
use otscert_machine::types::CertName;

/// A leaf for that key and those names, alive between two instants in seconds.
pub(crate) fn chain(
    public: &[u8; 65],
    names: &[CertName],
    start: u64,
    end: u64,
    serial: u64,
) -> Vec<Vec<u8>> {
    let alternative: Vec<Vec<u8>> = names
        .iter()
        .map(|name| tlv(0x82, &[name.to_string().as_bytes()]))
        .collect();
    let usage = tlv(0x30, &[&[0x06, 8, 0x2b, 6, 1, 5, 5, 7, 3, 1]]);
    let authority = tlv(
        0x30,
        &[&tlv(0x80, &[&RustCrypto.sha256(&[b"ca key"])[..20]])],
    );
    let extensions = [
        extension(&[0x55, 0x1d, 0x11], &tlv(0x30, &[&alternative.concat()])),
        extension(&[0x55, 0x1d, 0x25], &usage),
        extension(&[0x55, 0x1d, 0x23], &authority),
    ];
    let spki = tlv(0x30, &[EC_P256, &tlv(0x03, &[&[0], public])]);
    let body = tlv(
        0x30,
        &[
            &tlv(0xa0, &[&[0x02, 1, 2]]),
            &serial_number(serial),
            ECDSA_SHA256,
            &name("test CA"),
            &tlv(0x30, &[&time(start), &time(end)]),
            &tlv(0x30, &[]),
            &spki,
            &tlv(0xa3, &[&tlv(0x30, &[&extensions.concat()])]),
        ],
    );
    let signature = tlv(0x30, &[&[0x02, 1, 1], &[0x02, 1, 1]]);
    vec![tlv(
        0x30,
        &[&body, ECDSA_SHA256, &tlv(0x03, &[&[0], &signature])],
    )]
}

/// Positive whatever the number: it begins with a one.
fn serial_number(serial: u64) -> Vec<u8> {
    let bytes = serial.to_be_bytes();
    let zeros = bytes.iter().take(7).take_while(|byte| **byte == 0).count();
    tlv(0x02, &[&[0x01], &bytes[zeros..]])
}

fn time(seconds: u64) -> Vec<u8> {
    let text = Timestamp::from_seconds(seconds).to_string();
    let digits: String = text.chars().filter(char::is_ascii_digit).collect();
    tlv(0x17, &[format!("{}Z", &digits[2..]).as_bytes()])
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

fn tlv(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let content = parts.concat();
    let mut out = vec![tag];
    match content.len() {
        len @ 0..128 => out.push(len as u8),
        len @ 128..256 => out.extend([0x81, len as u8]),
        len => out.extend([0x82, (len >> 8) as u8, len as u8]),
    }
    out.extend(content);
    out
}

const EC_P256: &[u8] = &[
    0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48,
    0xce, 0x3d, 0x03, 0x01, 0x07,
];
const ECDSA_SHA256: &[u8] = &[
    0x30, 0x0a, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02,
];
