//! The two nonces that HQ gives: one that needs no record, and one that counts.
//!
//! Both are `base64url(u64 big-endian ‖ first 16 bytes of HMAC-SHA-256)`, keyed by a key that never
//! leaves HQ, over a tag that keeps the two apart.

use alloc::string::String;
use alloc::vec::Vec;

use super::Config;
use crate::time::{Span, Timestamp};
use crate::types::DeviceId;
use crate::wire::base64url;

/// HQ's nonce in a `contact` answer. Stateless, so that strangers cannot fill a table: it is bound
/// to ten minutes. It is not bound to a network: a box whose two connections leave by different
/// ones could never enrol (docs/adr/0010).
#[must_use]
pub fn contact_nonce(config: &Config, now: Timestamp) -> String {
    write(config, CONTACT, &[], bucket(now))
}

/// When the span of ten minutes began in which the nonce of an `enrol` was given; none if it was
/// not given here, or before the two spans that precede the current one.
#[must_use]
pub fn contact_nonce_given(config: &Config, nonce: &str, now: Timestamp) -> Option<Timestamp> {
    let given = read(config, CONTACT, &[], nonce)?;
    let current = bucket(now);
    (current.saturating_sub(BUCKETS_BACK)..=current)
        .contains(&given)
        .then(|| Timestamp::from_millis(given * BUCKET.millis()))
}

/// How long until a `contact` brings a nonce of another span.
#[must_use]
pub fn until_next_span(now: Timestamp) -> Span {
    Span::from_millis(BUCKET.millis() - now.millis() % BUCKET.millis())
}

/// The continuity token of a device: the server's nonce after enrolment.
#[must_use]
pub fn continuity_token(config: &Config, device: &DeviceId, counter: u64) -> String {
    write(config, CONTINUITY, device.as_str().as_bytes(), counter)
}

/// The counter in a continuity token; none if it was not made here for this device.
#[must_use]
pub fn continuity_counter(config: &Config, device: &DeviceId, token: &str) -> Option<u64> {
    read(config, CONTINUITY, device.as_str().as_bytes(), token)
}

fn bucket(now: Timestamp) -> u64 {
    now.millis() / BUCKET.millis()
}

fn write(config: &Config, tag: &[u8], whom: &[u8], number: u64) -> String {
    let number = number.to_be_bytes();
    let mut bytes = Vec::from(number);
    bytes.extend_from_slice(&mac(config, tag, whom, &number));
    base64url::encode(&bytes)
}

fn read(config: &Config, tag: &[u8], whom: &[u8], text: &str) -> Option<u64> {
    let bytes = base64url::decode(text).ok()?;
    let (number, given) = bytes.split_first_chunk::<8>()?;
    let right = config.crypto.equal(given, &mac(config, tag, whom, number));
    right.then(|| u64::from_be_bytes(*number))
}

/// The number stands before the text of unknown length, so that no two inputs run together.
fn mac(config: &Config, tag: &[u8], whom: &[u8], number: &[u8; 8]) -> [u8; MAC] {
    let whole = config
        .crypto
        .hmac_sha256(config.token_key.expose(), &[tag, number, whom]);
    let mut half = [0; MAC];
    half.copy_from_slice(&whole[..MAC]);
    half
}

const MAC: usize = 16;
const CONTACT: &[u8] = b"contact";
const CONTINUITY: &[u8] = b"continuity";
const BUCKET: Span = Span::from_minutes(10);
const BUCKETS_BACK: u64 = 2;
