//! What a box stores. Three records; each is replaced as a whole, so that none is ever half new.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use core::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::crypto::Secret;
use crate::factory::ClaimCode;
use crate::peer::Endpoint;
use crate::record::RecordKind;
use crate::time::Timestamp;
use crate::types::{CertName, DeviceId, Digest, Ed25519Public, ExchangeId, NameMode};
use crate::wire::message::Window;

/// Key of [`DeviceRecord`].
pub const DEVICE_KEY: &str = "device";
/// Key of [`CredentialRecord`].
pub const CREDENTIAL_KEY: &str = "credential";
/// Key of the list of [`Retirement`].
pub const OUTBOX_KEY: &str = "retire-outbox";

/// The keys and what stands under them.
pub const KEYS: [(&str, RecordKind); 3] = [
    (DEVICE_KEY, RecordKind::Device),
    (CREDENTIAL_KEY, RecordKind::DeviceCredential),
    (OUTBOX_KEY, RecordKind::RetireOutbox),
];

/// Who the box is and what it is doing.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct DeviceRecord {
    /// Rises with every start of an instance; kept over factory reset.
    pub boot_count: u64,
    /// Exchanges begun so far; kept over factory reset.
    pub exchanges: u64,
    /// Versions of the credential so far; kept over factory reset.
    pub versions: u64,
    /// The latest moment that has surely passed.
    pub floor: Timestamp,
    /// The highest epoch of a delegation seen.
    pub epoch: u64,
    /// The code on the label, if somebody typed it; forgotten at a factory reset.
    #[serde(with = "crate::factory::claim_code::stored")]
    pub claim_code: Option<ClaimCode>,
    /// How far it has come.
    pub phase: Phase,
}

/// How far a box has come.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Phase {
    /// No keys yet; perhaps a `contact` outstanding.
    Fresh(Option<Pending>),
    /// An identity key, and a request for a name (or the contact before it).
    Enrolling(Identity, Option<Pending>),
    /// A name; perhaps a TLS key that a certificate is wanted for.
    Enrolled(Box<Member>, Option<Pursuit>),
}

/// The identity key.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Identity {
    /// Seed of the Ed25519 key.
    pub seed: Secret<32>,
    /// Its public key.
    pub public: Ed25519Public,
}

/// The one request that is outstanding. Sent again unchanged until HQ has answered it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pending {
    /// Which message it is.
    pub endpoint: Endpoint,
    /// The exchange it goes by.
    pub exchange: ExchangeId,
    /// Its exact bytes.
    pub body: Vec<u8>,
    /// SHA-256 of them: the `req` of the answer.
    pub digest: Digest,
}

/// What enrolment brought.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Member {
    /// The identity key.
    pub identity: Identity,
    /// What HQ calls the device.
    pub device: DeviceId,
    /// The grant, as HQ signed it.
    pub grant: Vec<u8>,
    /// The names to ask certificates for.
    pub names: Vec<CertName>,
    /// How the name is used.
    pub mode: NameMode,
    /// The continuity token of the last answer.
    pub token: String,
    /// The request that is outstanding.
    pub pending: Option<Pending>,
    /// The addresses that HQ has, in word mode.
    pub reported: Vec<IpAddr>,
    /// HQ has forgotten this box, or takes no token that it has: it makes contact and enrols
    /// again, showing the grant.
    pub reinstating: bool,
    /// Orders that failed in a row.
    pub failures: u32,
}

/// A TLS key that a certificate is wanted for.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Pursuit {
    /// The P-256 scalar.
    pub key: Secret<32>,
    /// The CSR, DER.
    pub csr: Vec<u8>,
    /// Whether HQ has taken the order.
    pub ordered: bool,
}

/// What is served, and what was before it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct CredentialRecord {
    /// Rises with every change.
    pub version: u64,
    /// In use.
    pub current: Certificate,
    /// The one before, in case the host's server cannot use the current one.
    pub previous: Option<Certificate>,
}

/// A chain with its key.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Certificate {
    /// Leaf first, DER.
    pub chain: Vec<Vec<u8>>,
    /// The P-256 scalar.
    pub key: Secret<32>,
    /// The names it holds.
    pub names: Vec<CertName>,
    /// Its end.
    pub not_after: Timestamp,
    /// When HQ would like it renewed.
    pub window: Window,
    /// The moment inside that window at which this box will.
    pub renew_at: Timestamp,
}

/// A signed `retire` that survives a reset.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Retirement {
    /// Whose.
    pub device: DeviceId,
    /// The request.
    pub pending: Pending,
}

/// Most retirements that wait for delivery; the oldest gives way.
pub const MAX_OUTBOX: usize = 4;
