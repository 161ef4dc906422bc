//! Stored records: a header, a postcard body, a checksum.
//!
//! What is in storage comes back years later, to another version, perhaps torn by a power cut, or
//! from a backup under another key. So every record says what it is before its body is looked at:
//!
//! ```text
//! offset  bytes  what
//!      0      4  "OTSC"
//!      4      1  format version, this file's `VERSION`
//!      5      1  kind, `RecordKind`
//!      6      4  length n of the body, little-endian
//!     10      n  body, postcard
//!   10+n     16  first half of SHA-256 over everything before it
//! ```
//!
//! The checksum finds accidents, not attackers: whoever can write the storage owns the box. A
//! record that does not read is an error for people, never an empty record: a box that took a torn
//! key for "no key yet" would make itself a stranger to HQ.

mod reader;

use alloc::vec::Vec;
use core::fmt;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::crypto::Crypto;

/// What a record holds. The numbers are stored: they are never changed and never used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum RecordKind {
    /// Device: its state, with the identity key.
    Device = 1,
    /// Device: the chain in use and its TLS key.
    DeviceCredential = 2,
    /// Device: the signed `retire` that survives a reset.
    RetireOutbox = 3,
    /// Device: a seed that one boot leaves for the next.
    SavedSeed = 4,
    /// HQ: one device.
    HqDevice = 16,
    /// HQ: which device an identity key belongs to.
    HqKey = 17,
    /// HQ: which device a name belongs to.
    HqName = 18,
    /// HQ: which device and order a TLS key or signature nonce was seen with.
    HqTlsKey = 19,
    /// HQ: what concerns HQ itself.
    HqOwn = 20,
    /// HQ: the last answer to one device, as signed.
    HqAnswer = 21,
    /// HQ: the chain of one device, or of HQ itself.
    HqChain = 22,
    /// HQ: which CSR a signature's `r` was seen in.
    HqSignature = 23,
    /// HQ: a claim code and the device it let in.
    HqClaim = 24,
    /// HQ: a unit of the factory and the device it is.
    HqUnit = 25,
}

/// Why stored bytes do not read as a record.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// The bytes do not begin as any record does.
    #[error(
        "reading the stored {expected} record: these bytes are no record of otscert; something \
         else wrote them, restore them from a backup or remove them"
    )]
    NotARecord {
        /// The record that was to be read.
        expected: RecordKind,
    },
    /// Another version of this software wrote the record.
    #[error(
        "reading a stored record: its format version is {got}, this software reads {expected}; \
         run the version that wrote it, or a newer one"
    )]
    UnknownVersion {
        /// What this software reads.
        expected: u8,
        /// What stands in the record.
        got: u8,
    },
    /// It is a record, but not the one asked for.
    #[error(
        "reading the stored {expected} record: under its key stands a record of kind {got}; the \
         storage mixed up its keys, restore it from a backup"
    )]
    OtherKind {
        /// The record that was to be read.
        expected: RecordKind,
        /// The number of the kind that is there.
        got: u8,
    },
    /// The record is shorter or longer than it says.
    #[error(
        "reading the stored {kind} record: it should have {expected} bytes and has {got}; the \
         storage lost or added some, restore it from a backup"
    )]
    Truncated {
        /// The record that was to be read.
        kind: RecordKind,
        /// The length that the header gives, or the shortest possible.
        expected: usize,
        /// The length found.
        got: usize,
    },
    /// The checksum does not fit.
    #[error(
        "reading the stored {kind} record: its checksum does not fit; the storage changed it, \
         restore it from a backup"
    )]
    Checksum {
        /// The record that was to be read.
        kind: RecordKind,
    },
    /// The record is whole, but its body is not what this software expects.
    #[error(
        "reading the stored {kind} record: it is whole, but its body does not read ({reason}); \
         it was written by other software or by a faulty version of this one"
    )]
    Body {
        /// The record that was to be read.
        kind: RecordKind,
        /// For people.
        reason: &'static str,
    },
}

/// Makes a record of a value. The storage refuses what is too large, so `seal` need not.
///
/// # Panics
///
/// If the value has no postcard form: a sequence that does not know its length, or a `Serialize`
/// that fails. Derived ones over `Vec`, `String`, `Option` and `BTreeMap` do neither, and the
/// machine stores nothing else.
#[expect(
    clippy::unwrap_used,
    reason = "no type that the machine stores can fail to encode"
)]
pub fn seal<T: Serialize + ?Sized>(kind: RecordKind, value: &T, crypto: &dyn Crypto) -> Vec<u8> {
    // Unwrap safety: see `# Panics`.
    framed(kind, &postcard::to_allocvec(value).unwrap(), crypto)
}

/// A record with that body.
fn framed(kind: RecordKind, body: &[u8], crypto: &dyn Crypto) -> Vec<u8> {
    // A body beyond 4 GiB does not fit into the memory of wasm32.
    let len = body.len() as u32;
    let mut record = Vec::with_capacity(HEADER + body.len() + CHECKSUM);
    record.extend_from_slice(MAGIC);
    record.push(VERSION);
    record.push(kind as u8);
    record.extend_from_slice(&len.to_le_bytes());
    record.extend_from_slice(body);
    let checksum = crypto.sha256(&[&record]);
    record.extend_from_slice(&checksum[..CHECKSUM]);
    record
}

/// Reads a record.
///
/// # Errors
///
/// If the bytes are not a whole and unchanged record of this kind and version, with a body that
/// reads as `T` to its last byte.
pub fn open<T: DeserializeOwned>(
    kind: RecordKind,
    bytes: &[u8],
    crypto: &dyn Crypto,
) -> Result<T, RecordError> {
    let (mut reader, frame) = framed_reader(kind, bytes, crypto);
    let value = reader::read(&mut reader);
    match verdict(kind, &reader, frame) {
        None => Ok(value),
        Some(error) => Err(error),
    }
}

/// A reader of the body, and what is wrong with the frame. If anything is, the body is empty: such
/// a record is read as one whose body is faulty, and thrown away as it is.
#[inline(never)]
fn framed_reader<'a>(
    kind: RecordKind,
    bytes: &'a [u8],
    crypto: &dyn Crypto,
) -> (reader::Reader<'a>, Option<RecordError>) {
    match checked_body(kind, bytes, crypto) {
        Ok(body) => (reader::Reader::new(body), None),
        Err(error) => (reader::Reader::new(&[]), Some(error)),
    }
}

/// What is wrong with a record that was read.
#[inline(never)]
fn verdict(
    kind: RecordKind,
    reader: &reader::Reader<'_>,
    frame: Option<RecordError>,
) -> Option<RecordError> {
    let body = || {
        reader
            .verdict()
            .map(|reason| RecordError::Body { kind, reason })
    };
    frame.or_else(body)
}

/// Arrays of bytes in records, each byte for itself and without their length, as serde derives it;
/// one reader serves every length.
pub(crate) mod fixed {
    use core::fmt;

    use serde::de::{Error, SeqAccess, Visitor};
    use serde::ser::SerializeTuple;
    use serde::{Deserializer, Serializer};

    pub(crate) fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        let mut tuple = serializer.serialize_tuple(bytes.len())?;
        for byte in bytes {
            tuple.serialize_element(byte)?;
        }
        tuple.end()
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>, const N: usize>(
        deserializer: D,
    ) -> Result<[u8; N], D::Error> {
        let mut bytes = [0; N];
        fill(&mut bytes, deserializer)?;
        Ok(bytes)
    }

    pub(crate) fn fill<'de, D: Deserializer<'de>>(
        bytes: &mut [u8],
        deserializer: D,
    ) -> Result<(), D::Error> {
        deserializer.deserialize_tuple(bytes.len(), Fill(bytes))
    }

    struct Fill<'a>(&'a mut [u8]);

    impl<'de> Visitor<'de> for Fill<'_> {
        type Value = ();

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            write!(f, "{} bytes", self.0.len())
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
            for (at, slot) in self.0.iter_mut().enumerate() {
                let byte = seq.next_element()?;
                *slot = byte.ok_or_else(|| A::Error::invalid_length(at, &"more bytes"))?;
            }
            Ok(())
        }
    }
}

/// The kind that the header names, if there is one: for tools that look at any record.
#[must_use]
pub fn kind_of(bytes: &[u8]) -> Option<RecordKind> {
    let header = bytes.first_chunk::<HEADER>()?;
    if !header.starts_with(MAGIC) || header[4] != VERSION {
        return None;
    }
    RecordKind::ALL
        .into_iter()
        .find(|kind| *kind as u8 == header[5])
}

impl RecordKind {
    /// Every kind.
    pub const ALL: [Self; 14] = [
        Self::Device,
        Self::DeviceCredential,
        Self::RetireOutbox,
        Self::SavedSeed,
        Self::HqDevice,
        Self::HqKey,
        Self::HqName,
        Self::HqTlsKey,
        Self::HqOwn,
        Self::HqAnswer,
        Self::HqChain,
        Self::HqSignature,
        Self::HqClaim,
        Self::HqUnit,
    ];

    /// For people.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Device => "device",
            Self::DeviceCredential => "device credential",
            Self::RetireOutbox => "retire outbox",
            Self::SavedSeed => "saved seed",
            Self::HqDevice => "HQ device",
            Self::HqKey => "HQ key",
            Self::HqName => "HQ name",
            Self::HqTlsKey => "HQ TLS key",
            Self::HqOwn => "HQ own",
            Self::HqAnswer => "HQ answer",
            Self::HqChain => "HQ chain",
            Self::HqSignature => "HQ signature",
            Self::HqClaim => "HQ claim code",
            Self::HqUnit => "HQ unit",
        }
    }
}

impl fmt::Display for RecordKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The body of a record whose frame is right.
fn checked_body<'a>(
    kind: RecordKind,
    bytes: &'a [u8],
    crypto: &dyn Crypto,
) -> Result<&'a [u8], RecordError> {
    let truncated = |expected| RecordError::Truncated {
        kind,
        expected,
        got: bytes.len(),
    };
    // A torn write leaves the beginning of a record, so what is there must begin as one.
    let there = bytes.len().min(MAGIC.len());
    if bytes[..there] != MAGIC[..there] {
        return Err(RecordError::NotARecord { expected: kind });
    }
    let Some(header) = bytes.first_chunk::<HEADER>() else {
        return Err(truncated(HEADER + CHECKSUM));
    };
    let [_, _, _, _, version, number, len @ ..] = *header;
    if version != VERSION {
        return Err(RecordError::UnknownVersion {
            expected: VERSION,
            got: version,
        });
    }
    if number != kind as u8 {
        return Err(RecordError::OtherKind {
            expected: kind,
            got: number,
        });
    }
    let len = u32::from_le_bytes(len) as usize;
    let expected = len.saturating_add(HEADER + CHECKSUM);
    if bytes.len() != expected {
        return Err(truncated(expected));
    }
    let (covered, checksum) = bytes.split_at(HEADER + len);
    if crypto.sha256(&[covered])[..CHECKSUM] != *checksum {
        return Err(RecordError::Checksum { kind });
    }
    Ok(&covered[HEADER..])
}

const MAGIC: &[u8; 4] = b"OTSC";
const VERSION: u8 = 1;
const HEADER: usize = 10;
const CHECKSUM: usize = 16;
