//! Names: drawn by HQ, never derived from anything that the device is.
//!
//! **Address mode**: a label of 128 random bits. Nobody can guess one, none is ever drawn twice.
//!
//! **Word mode**: `nifty-heron`. Whoever guesses words must miss nearly always, so at most a
//! sixteenth of all names of a length may ever be in use. HQ reads single records, so it cannot
//! count names. Instead the names that may be given at all are fixed: after its first words a name
//! may end in 16 of the 256 nouns only, which ones being a function of HQ's token key. A name drawn
//! that way is one of a sixteenth of its length by construction, however many boxes there are, and
//! an outsider, without the key, cannot tell which sixteenth. When names of two words become rare
//! (six drawn at random are all taken) three words are used, then four.

use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;

use serde::{Deserialize, Serialize};

use super::event::Candidates;
use super::words::{ADJECTIVES, NOUNS, word};
use super::{Config, Subject};
use crate::entropy::Generator;
use crate::types::{DeviceId, DnsName, Malformed, NameMode, base32};

/// The first label of a granted name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Label(String);

impl Label {
    /// Parses a label.
    ///
    /// # Errors
    ///
    /// If it is not one DNS label.
    pub fn parse(text: &str) -> Result<Self, Malformed> {
        match text.contains('.') {
            true => Err(Malformed::new("label", "one DNS label", text)),
            false => DnsName::parse(text).map(|name| Self(name.to_string())),
        }
    }

    /// The label of a granted name.
    #[must_use]
    pub fn of(name: &DnsName) -> Self {
        Self(name.first_label().to_string())
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether HQ could have drawn it. A grant for any other name was signed by somebody else with
    /// HQ's key, who would like to be `login` or `www`.
    #[must_use]
    pub fn is_drawn(&self, mode: NameMode) -> bool {
        match mode {
            NameMode::Address => {
                self.0.len() == LABEL_CHARS
                    && self
                        .0
                        .bytes()
                        .all(|c| matches!(c, b'a'..=b'z' | b'2'..=b'7'))
            }
            NameMode::Word => {
                let known = |part: &str, list| (0..=u8::MAX).any(|at| word(list, at) == part);
                let parts: Vec<&str> = self.0.split('-').collect();
                let Some((noun, adjectives)) = parts.split_last() else {
                    return false;
                };
                (1..MOST_WORDS).contains(&adjectives.len())
                    && known(noun, NOUNS)
                    && adjectives.iter().all(|part| known(part, ADJECTIVES))
            }
        }
    }

    /// The name in HQ's zone. The zone's length leaves room, so this never fails for a label that
    /// HQ drew.
    #[must_use]
    pub fn in_zone(&self, config: &Config) -> Option<DnsName> {
        config.zone.child(&self.0).ok()
    }
}

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Candidates {
    /// Draws names for a device that may be new.
    #[must_use]
    pub fn draw(config: &Config, mode: NameMode, random: &mut Generator) -> Self {
        let device = DeviceId::from_random(&random.bytes(config.crypto));
        let labels = match mode {
            NameMode::Address => {
                alloc::vec![Label(base32(&random.bytes::<LABEL_BYTES>(config.crypto)))]
            }
            NameMode::Word => {
                let lengths = WORDS
                    .into_iter()
                    .flat_map(|(words, n)| core::iter::repeat_n(words, n));
                lengths
                    .map(|words| draw_words(config, words, random))
                    .collect()
            }
        };
        Self { device, labels }
    }

    /// The subject that the device becomes if it is new.
    #[must_use]
    pub fn subject(&self) -> Subject {
        Subject::Device(self.device.clone())
    }
}

/// A name of that many words.
fn draw_words(config: &Config, words: usize, random: &mut Generator) -> Label {
    let drawn: [u8; MOST_WORDS] = random.bytes(config.crypto);
    let (adjectives, last) = drawn.split_at(words.clamp(2, MOST_WORDS) - 1);
    let choice = last.first().copied().unwrap_or_default() % NOUNS_PER_START;
    let noun = allowed_noun(config, adjectives, choice);
    let mut parts: Vec<&str> = adjectives
        .iter()
        .map(|place| word(ADJECTIVES, *place))
        .collect();
    parts.push(word(NOUNS, noun));
    Label(parts.join("-"))
}

/// One of the nouns that a name may end in after these adjectives: of each 16 neighbours one.
fn allowed_noun(config: &Config, adjectives: &[u8], choice: u8) -> u8 {
    let mac = config
        .crypto
        .hmac_sha256(config.token_key.expose(), &[b"words", adjectives]);
    choice * NOUNS_PER_START + mac[usize::from(choice)] % NOUNS_PER_START
}

/// Words in a name, and how many names of that length are tried, in this order.
const WORDS: [(usize, usize); 3] = [(2, 6), (3, 4), (4, 2)];
/// The most names that are drawn for one device.
pub const MAX_CANDIDATES: usize = 12;
const MOST_WORDS: usize = 4;
const NOUNS_PER_START: u8 = 16;
/// 128 bits.
const LABEL_BYTES: usize = 16;
/// As many in base32.
const LABEL_CHARS: usize = 26;
