//! What `wit/` bounds in words only, for the components that stand on either side of it: sizes, and the form of keys.

#![no_std]

/// The largest message to or from HQ, in bytes (`wit/network.wit`).
pub const MAX_BODY: usize = 64 * 1024;
/// The largest record (`wit/storage.wit`).
pub const MAX_VALUE: usize = 256 * 1024;
/// The longest key (`wit/storage.wit`).
pub const MAX_KEY: usize = 128;
/// The most bytes of one sample (`wit/entropy.wit`).
pub const MAX_SAMPLE: usize = 4096;

/// Whether a text is of the form that keys have, `[a-z0-9/_-]{1,128}`.
#[must_use]
pub fn is_key(text: &str) -> bool {
    (1..=MAX_KEY).contains(&text.len())
        && text
            .bytes()
            .all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'/' | b'_' | b'-'))
}

/// How many bytes a call for `len` of them gets.
#[must_use]
pub fn sample_len(len: u32) -> usize {
    usize::try_from(len).unwrap_or(MAX_SAMPLE).min(MAX_SAMPLE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_has_1_to_128_characters_of_its_alphabet() {
        extern crate std;
        for key in ["a", "device/0-9_z", &"k".repeat(MAX_KEY)] {
            assert!(is_key(key), "{key}");
        }
        for key in ["", "A", "a.b", "a b", "ä", &"k".repeat(MAX_KEY + 1)] {
            assert!(!is_key(key), "{key}");
        }
    }

    #[test]
    fn a_sample_is_cut_to_what_one_call_gives() {
        assert_eq!([0, 1, 4096, u32::MAX].map(sample_len), [0, 1, 4096, 4096]);
    }
}
