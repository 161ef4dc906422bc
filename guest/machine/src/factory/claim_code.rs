//! The code on the label: who can read it may have a name.
//!
//! Crockford's base32 with its check symbol: 16 to 26 symbols (80 to 130 bits) and one more, which is
//! the number that the others spell modulo 37. Letters that look like digits are read as those; case,
//! hyphens and blanks carry no meaning. Printed in groups of four.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::crypto::{Crypto, Secret};
use crate::types::{Digest, Malformed};

/// A code whose check symbol is right. Secret: never printed by `Debug`, wiped on drop.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct ClaimCode(String);

impl ClaimCode {
    /// Draws a code of [`FEWEST`] symbols from random bytes, 5 bits of each. None where its check
    /// symbol would be none of the 32 that stand on a keyboard's letters and digits: draw again.
    #[must_use]
    pub fn draw(random: &[u8; FEWEST]) -> Option<Self> {
        Self::from_random(random)
    }

    /// As [`ClaimCode::draw`], with [`MOST`] symbols: enough to seal under, meant for a QR code.
    #[must_use]
    pub fn draw_long(random: &[u8; MOST]) -> Option<Self> {
        Self::from_random(random)
    }

    fn from_random(random: &[u8]) -> Option<Self> {
        let symbol = |byte: &u8| char::from(SYMBOLS[usize::from(byte % 32)]);
        let mut text: String = random.iter().map(symbol).collect();
        let check = check(&text);
        if check >= 32 {
            return None;
        }
        text.push(char::from(SYMBOLS[check]));
        Some(Self(text))
    }

    /// Reads a code as a person typed it.
    ///
    /// # Errors
    ///
    /// If a symbol is none, there are too few or too many, or the check symbol is not theirs: it was
    /// mistyped. The error does not repeat the code.
    pub fn parse(text: &str) -> Result<Self, Malformed> {
        let wrong = |expected, got| Malformed::new("claim code", expected, got);
        let mut symbols = String::with_capacity(MOST + 1);
        for c in text.chars() {
            match c.to_ascii_uppercase() {
                '-' | ' ' | '\u{a0}' => continue,
                'O' => symbols.push('0'),
                'I' | 'L' => symbols.push('1'),
                c if c.is_ascii() && SYMBOLS.contains(&(c as u8)) => symbols.push(c),
                _ => return Err(wrong("letters and digits as on the label", "other signs")),
            }
            if symbols.len() > MOST + 1 {
                return Err(wrong("at most 27 letters and digits", "more"));
            }
        }
        let Some(last) = symbols.pop() else {
            return Err(wrong("the code on the label", "nothing"));
        };
        if symbols.len() < FEWEST {
            return Err(wrong("at least 17 letters and digits", "fewer"));
        }
        let data = symbols.bytes().all(|symbol| value(symbol) < 32);
        if !data || check(&symbols) != value(last as u8) {
            return Err(wrong(
                "the code on the label",
                "one with a letter or digit mistyped",
            ));
        }
        symbols.push(last);
        Ok(Self(symbols))
    }

    /// The symbols, upper case, without hyphens: as it travels in `enrol`.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// The symbols in groups of four, as they are printed.
    #[must_use]
    pub fn printed(&self) -> String {
        let mut text = String::new();
        for (index, c) in self.0.chars().enumerate() {
            if index > 0 && index % 4 == 0 {
                text.push('-');
            }
            text.push(c);
        }
        text
    }

    /// Bits that it was drawn from: 5 for each symbol but the check symbol.
    #[must_use]
    pub fn bits(&self) -> u16 {
        u16::try_from((self.0.len() - 1) * 5).unwrap_or(u16::MAX)
    }

    /// Seals random bytes of the owner's browser; the script of the box's set-up page does the same.
    /// `nonce` is fresh and random: it makes the key one for these bytes alone.
    #[must_use]
    pub fn seal_companion(
        &self,
        crypto: &dyn Crypto,
        nonce: &[u8; 32],
        seed: &Secret<32>,
    ) -> Vec<u8> {
        let key = self.companion_key(crypto, nonce);
        crypto.aead_seal(&key, &[0; 12], &[], seed.expose())
    }

    /// Opens what [`ClaimCode::seal_companion`] made. None if it was sealed under another code or
    /// changed since; and under a code that could be guessed: whoever recorded it would do so offline.
    #[must_use]
    pub fn open_companion(
        &self,
        crypto: &dyn Crypto,
        nonce: &[u8; 32],
        sealed: &[u8],
    ) -> Option<Secret<32>> {
        if self.bits() < ENOUGH_TO_SEAL {
            return None;
        }
        super::open_seed(crypto, &self.companion_key(crypto, nonce), &[], sealed)
    }

    fn companion_key(&self, crypto: &dyn Crypto, nonce: &[u8; 32]) -> Secret<32> {
        let prk = crypto.hkdf_extract(nonce, &[self.0.as_bytes()]);
        crypto.hkdf_expand(&prk, COMPANION_TAG)
    }

    /// What HQ keeps of it. A plain hash will do: nobody guesses 80 bits.
    #[must_use]
    pub fn digest(&self, crypto: &dyn Crypto) -> Digest {
        Digest::new(crypto.sha256(&[DIGEST_TAG, self.0.as_bytes()]))
    }
}

impl fmt::Debug for ClaimCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClaimCode(redacted)")
    }
}

/// How a record holds a code that may not be there: as text, empty for none. Nothing is refused here,
/// since the reader of records knows no such way out (`record/reader.rs`): what is no code is none.
pub(crate) mod stored {
    use super::{ClaimCode, Deserialize, Deserializer, Serialize, Serializer, String};

    pub(crate) fn serialize<S: Serializer>(
        code: &Option<ClaimCode>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        let text = code.as_ref().map(ClaimCode::expose).unwrap_or_default();
        text.serialize(serializer)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<ClaimCode>, D::Error> {
        let text = String::deserialize(deserializer)?;
        Ok(ClaimCode::parse(&text).ok())
    }
}

/// The number that the symbols spell, modulo 37.
fn check(symbols: &str) -> usize {
    symbols.bytes().fold(0, |rest, symbol| {
        (rest * 32 + value(symbol)) % SYMBOLS.len()
    })
}

/// What a symbol counts; 37 for none.
fn value(symbol: u8) -> usize {
    let found = SYMBOLS.iter().position(|known| *known == symbol);
    found.unwrap_or(SYMBOLS.len())
}

/// Fewest symbols, without the check symbol.
pub const FEWEST: usize = 16;
/// Most symbols, without the check symbol.
pub const MOST: usize = 26;
/// Crockford's symbols in the order of their values; the last five only check.
const SYMBOLS: &[u8; 37] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ*~$=U";
const DIGEST_TAG: &[u8] = b"otscert claim v1\0";
const COMPANION_TAG: &[u8] = b"otscert companion v1";
/// Bits of a code that something may be sealed under.
const ENOUGH_TO_SEAL: u16 = 128;
