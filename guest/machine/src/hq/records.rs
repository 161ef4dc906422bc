//! What HQ stores. A decision reads the few records that it touches, by exact key:
//!
//! | key | what | read |
//! | --- | --- | --- |
//! | `device/<id>` | a device: standing, continuity, issuance | at every decision about it |
//! | `answer/<id>` | the last answer, as signed | when the last request comes again |
//! | `chain/<id>`, `chain/own` | the chain in use | when it is sent, revoked or asked about |
//! | `key/<thumbprint>` | the device of an identity key | at `enrol` |
//! | `name/<label>` | the device of a label, for ever | at `enrol` |
//! | `tls/<digest>` | the device of a TLS key, for ever | at `order` |
//! | `sig/<digest>` | the CSR that a signature's `r` was seen in | at `order` |
//! | `claim/<digest>` | a claim code and the device it let in | when imported, and at `enrol` |
//! | `unit/<digest>` | a unit of the factory and the device it is | when vouched for, and at `enrol` |
//! | `own` | HQ's own certificate | at decisions about it |

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::admission::Admitted;
use super::continuity::Continuity;
use super::event::Subject;
use super::issuance::Line;
use super::names::Label;
use crate::crypto::Crypto;
use crate::entropy::Grade;
use crate::record::{self, RecordError, RecordKind};
use crate::time::Timestamp;
use crate::types::{
    CertName, DeviceId, Digest, DnsName, Ed25519Public, NameMode, ShortText, Thumbprint, base32,
    text_of,
};
use crate::wire::trust::Grant;

/// The key of a record.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Key {
    /// A device.
    Device(DeviceId),
    /// The last answer to a device.
    Answer(DeviceId),
    /// The chain of a device, or of HQ itself.
    Chain(Subject),
    /// An identity key.
    Identity(Thumbprint),
    /// A label.
    Name(Label),
    /// A TLS key, by the SHA-256 of its SPKI.
    Tls(Digest),
    /// A signature, by the SHA-256 of its `r`.
    Signature(Digest),
    /// A claim code, by its digest.
    Claim(Digest),
    /// A unit that the factory made, by the digest of model and serial.
    Unit(Digest),
    /// HQ's own certificate.
    Own,
}

/// What stands under a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Record {
    /// Under [`Key::Device`].
    Device(Box<DeviceRecord>),
    /// Under [`Key::Answer`].
    Answer(Stored),
    /// Under [`Key::Chain`].
    Chain(Vec<Vec<u8>>),
    /// Under [`Key::Identity`].
    Identity(DeviceId),
    /// Under [`Key::Name`].
    Name(NameRecord),
    /// Under [`Key::Tls`].
    Tls(TlsRecord),
    /// Under [`Key::Signature`].
    Signature(Digest),
    /// Under [`Key::Claim`].
    Claim(ClaimRecord),
    /// Under [`Key::Unit`].
    Unit(UnitRecord),
    /// Under [`Key::Own`].
    Own(Box<OwnRecord>),
}

/// A device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceRecord {
    /// What HQ calls it.
    pub id: DeviceId,
    /// Its identity key.
    pub key: Ed25519Public,
    /// Kind of box, as it says.
    pub model: ShortText,
    /// Version of its firmware, as it said last.
    pub firmware: ShortText,
    /// How its name is used.
    pub mode: NameMode,
    /// Its name.
    pub name: DnsName,
    /// Serial of the grant.
    pub serial: u64,
    /// Epoch of the key that signed the grant it was given last.
    pub grant_epoch: u64,
    /// Why it was let in.
    pub admitted: Admitted,
    /// Its serial, if it said one.
    pub unit: Option<ShortText>,
    /// How often it had started, as it said last.
    pub boot_count: u64,
    /// It has shown a key that its firmware makes without entropy: whoever has the image knows its keys.
    pub starved: bool,
    /// Grade of the entropy behind its identity key.
    pub grade: Grade,
    /// The sources of that entropy.
    pub sources: Vec<ShortText>,
    /// When it enrolled first.
    pub enrolled: Timestamp,
    /// Its last message.
    pub last_contact: Timestamp,
    /// Where that came from.
    pub prefix: String,
    /// Which requests were answered.
    pub continuity: Continuity,
    /// How often HQ learnt from it that HQ had lost state.
    pub restored: u32,
    /// Whether it may go on.
    pub standing: Standing,
    /// Its LAN addresses, in word mode, sorted.
    pub addresses: Vec<IpAddr>,
    /// The operator wants a new key and certificate.
    pub renew_asked: bool,
    /// Its certificate, and the way to the next.
    pub line: Line,
}

/// Whether a device may go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Standing {
    /// It may.
    Good,
    /// Two boxes use its identity. Whoever has the current token goes on for a grace.
    Challenged {
        /// Since when.
        since: Timestamp,
    },
    /// The operator accepted it: the next new request on an old token is taken for the device's.
    Pardoned,
    /// Its name was given up; it never comes back.
    Retired {
        /// When.
        at: Timestamp,
        /// By whom.
        by: RetiredBy,
    },
}

/// Who gave a name up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum RetiredBy {
    /// The device.
    Device,
    /// The operator.
    Operator,
}

/// Whose a label is. Never removed: a label is never given to another device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NameRecord {
    /// The device.
    pub device: DeviceId,
    /// When it was given up, if it was.
    pub retired: Option<Timestamp>,
}

/// Whose a TLS key is. Never removed: a key is never certified twice.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TlsRecord {
    /// The subject, as text.
    pub subject: String,
    /// A certificate was issued for it.
    pub certified: bool,
}

/// A claim code that was issued. The code itself is nowhere.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClaimRecord {
    /// The model that it is for; none: any.
    pub model: Option<ShortText>,
    /// When it was imported.
    pub imported: Timestamp,
    /// The device that it let in last.
    pub device: Option<DeviceId>,
}

/// A unit that showed itself, or that the maker vouched for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnitRecord {
    /// Its model.
    pub model: ShortText,
    /// Its serial.
    pub serial: ShortText,
    /// When a voucher with its serial was imported, if one was.
    pub vouched: Option<Timestamp>,
    /// The device that it is now.
    pub device: Option<DeviceId>,
    /// When it enrolled lately.
    pub enrolled: Vec<Timestamp>,
}

/// HQ's own certificate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OwnRecord {
    /// The names asked for last.
    pub names: Vec<CertName>,
    /// The certificate, and the way to the next.
    pub line: Line,
}

/// An answer as it was signed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stored {
    /// SHA-256 of the request.
    pub request: Digest,
    /// Slug of the problem; none: it was no refusal.
    pub problem: Option<String>,
    /// When the device was told to come back, in seconds.
    pub retry_after_s: Option<u32>,
    /// The signed bytes.
    pub body: Vec<u8>,
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Device(id) => write!(f, "device/{id}"),
            Self::Answer(id) => write!(f, "answer/{id}"),
            Self::Chain(Subject::Device(id)) => write!(f, "chain/{id}"),
            Self::Chain(Subject::Own) => f.write_str("chain/own"),
            Self::Identity(thumbprint) => write!(f, "key/{}", base32(thumbprint.bytes())),
            Self::Name(label) => write!(f, "name/{label}"),
            Self::Tls(digest) => write!(f, "tls/{}", base32(digest.bytes())),
            Self::Signature(digest) => write!(f, "sig/{}", base32(digest.bytes())),
            Self::Claim(digest) => write!(f, "claim/{}", base32(digest.bytes())),
            Self::Unit(digest) => write!(f, "unit/{}", base32(digest.bytes())),
            Self::Own => f.write_str("own"),
        }
    }
}

impl Key {
    /// The key of a subject's own record.
    #[must_use]
    pub fn of(subject: &Subject) -> Self {
        match subject {
            Subject::Device(id) => Self::Device(id.clone()),
            Subject::Own => Self::Own,
        }
    }

    const fn kind(&self) -> RecordKind {
        match self {
            Self::Device(_) => RecordKind::HqDevice,
            Self::Answer(_) => RecordKind::HqAnswer,
            Self::Chain(_) => RecordKind::HqChain,
            Self::Identity(_) => RecordKind::HqKey,
            Self::Name(_) => RecordKind::HqName,
            Self::Tls(_) => RecordKind::HqTlsKey,
            Self::Signature(_) => RecordKind::HqSignature,
            Self::Claim(_) => RecordKind::HqClaim,
            Self::Unit(_) => RecordKind::HqUnit,
            Self::Own => RecordKind::HqOwn,
        }
    }
}

impl Record {
    /// Reads the bytes that stand under a key.
    ///
    /// # Errors
    ///
    /// If they are not a whole record of the kind that belongs there.
    pub fn open(key: &Key, bytes: &[u8], crypto: &dyn Crypto) -> Result<Self, RecordError> {
        let kind = key.kind();
        match key {
            Key::Device(_) => record::open(kind, bytes, crypto).map(Self::Device),
            Key::Answer(_) => record::open(kind, bytes, crypto).map(Self::Answer),
            Key::Chain(_) => record::open(kind, bytes, crypto).map(Self::Chain),
            Key::Identity(_) => record::open(kind, bytes, crypto).map(Self::Identity),
            Key::Name(_) => record::open(kind, bytes, crypto).map(Self::Name),
            Key::Tls(_) => record::open(kind, bytes, crypto).map(Self::Tls),
            Key::Signature(_) => record::open(kind, bytes, crypto).map(Self::Signature),
            Key::Claim(_) => record::open(kind, bytes, crypto).map(Self::Claim),
            Key::Unit(_) => record::open(kind, bytes, crypto).map(Self::Unit),
            Key::Own => record::open(kind, bytes, crypto).map(Self::Own),
        }
    }

    /// Writes the record.
    #[must_use]
    pub fn seal(&self, crypto: &dyn Crypto) -> Vec<u8> {
        match self {
            Self::Device(value) => record::seal(RecordKind::HqDevice, value, crypto),
            Self::Answer(value) => record::seal(RecordKind::HqAnswer, value, crypto),
            Self::Chain(value) => record::seal(RecordKind::HqChain, value, crypto),
            Self::Identity(value) => record::seal(RecordKind::HqKey, value, crypto),
            Self::Name(value) => record::seal(RecordKind::HqName, value, crypto),
            Self::Tls(value) => record::seal(RecordKind::HqTlsKey, value, crypto),
            Self::Signature(value) => record::seal(RecordKind::HqSignature, value, crypto),
            Self::Claim(value) => record::seal(RecordKind::HqClaim, value, crypto),
            Self::Unit(value) => record::seal(RecordKind::HqUnit, value, crypto),
            Self::Own(value) => record::seal(RecordKind::HqOwn, value, crypto),
        }
    }
}

impl DeviceRecord {
    /// Whom decisions about it are about.
    #[must_use]
    pub fn subject(&self) -> Subject {
        Subject::Device(self.id.clone())
    }

    /// Whether its name was given up.
    #[must_use]
    pub const fn is_retired(&self) -> bool {
        match self.standing {
            Standing::Good | Standing::Challenged { .. } | Standing::Pardoned => false,
            Standing::Retired { .. } => true,
        }
    }

    /// HQ's word that the name is its own.
    pub(super) fn grant(&self, key: Thumbprint, issued: Timestamp) -> Grant {
        Grant {
            key,
            device: self.id.clone(),
            mode: self.mode,
            name: self.name.clone(),
            serial: self.serial,
            issued,
        }
    }

    /// The names its certificates hold.
    #[must_use]
    pub fn cert_names(&self) -> Vec<CertName> {
        let wildcard = match self.mode {
            NameMode::Address => true,
            NameMode::Word => false,
        };
        alloc::vec![CertName {
            wildcard,
            base: self.name.clone()
        }]
    }
}

impl TlsRecord {
    pub(super) fn new(subject: &Subject, certified: bool) -> Self {
        Self {
            subject: text_of(subject),
            certified,
        }
    }

    pub(super) fn is_of(&self, subject: &Subject) -> bool {
        self.subject == text_of(subject)
    }
}
