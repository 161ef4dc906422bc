//! What HQ's parts say to each other: the contract's types in Rust, checked.
//!
//! WIT types stop at `convert.rs` and `host/`; from there on everything is one of these.

use std::fmt;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

pub use otscert_hq_ca::{CaAnswer, CaOperation};

/// An instant by the wall clock: milliseconds since 1970-01-01T00:00:00Z.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(u64);

impl Timestamp {
    /// The instant that many milliseconds after 1970.
    #[must_use]
    pub const fn from_millis(ms: u64) -> Self {
        Self(ms)
    }

    /// Milliseconds since 1970.
    #[must_use]
    pub const fn as_millis(self) -> u64 {
        self.0
    }

    /// The instant `ms` milliseconds later; the last there is, if that is beyond it.
    #[must_use]
    pub const fn plus_millis(self, ms: u64) -> Self {
        Self(self.0.saturating_add(ms))
    }

    /// The instant `ms` milliseconds earlier; 1970, if that is before it.
    #[must_use]
    pub const fn minus_millis(self, ms: u64) -> Self {
        Self(self.0.saturating_sub(ms))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ms", self.0)
    }
}

/// An instant as the component sees it. HQ's clock is always trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    /// The wall clock.
    pub wall: Timestamp,
    /// Milliseconds since an arbitrary instant of this process; never goes back.
    pub monotonic_ms: u64,
}

/// Whom or what records, exchanges and history belong to: `device/…` or `own`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Subject(String);

/// Text that is no subject.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{got:?} is no subject: expected 1 to {MAX_KEY_BYTES} characters of a-z, 0-9, /, _ and -")]
pub struct NotASubject {
    got: String,
}

impl Subject {
    /// As text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Subject {
    type Error = NotASubject;

    fn try_from(text: String) -> Result<Self, NotASubject> {
        if is_key(&text) {
            Ok(Self(text))
        } else {
            Err(NotASubject {
                got: excerpt(&text),
            })
        }
    }
}

impl std::str::FromStr for Subject {
    type Err = NotASubject;

    fn from_str(text: &str) -> Result<Self, NotASubject> {
        Self::try_from(text.to_owned())
    }
}

impl From<Subject> for String {
    fn from(subject: Subject) -> Self {
        subject.0
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Names one exchange for as long as its answer may arrive.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Exchange {
    /// Whose records it belongs to.
    pub subject: Subject,
    /// Unique per subject, never used again.
    pub number: u64,
}

impl fmt::Display for Exchange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}#{}", self.subject, self.number)
    }
}

/// A key of a stored record: `[a-z0-9/_-]{1,128}`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RecordKey(String);

/// Text that is no key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{got:?} is no record key: expected 1 to {MAX_KEY_BYTES} characters of a-z, 0-9, /, _ and -"
)]
pub struct NotAKey {
    got: String,
}

impl RecordKey {
    /// As text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for RecordKey {
    type Error = NotAKey;

    fn try_from(text: String) -> Result<Self, NotAKey> {
        if is_key(&text) {
            Ok(Self(text))
        } else {
            Err(NotAKey {
                got: excerpt(&text),
            })
        }
    }
}

impl fmt::Display for RecordKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Which message a device sent; decides the path of the HTTP request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Endpoint {
    /// Before the device has keys.
    Contact,
    /// Identity key and credential.
    Enrol,
    /// A CSR.
    Order,
    /// Where do I stand?
    Poll,
    /// The device's LAN addresses.
    Address,
    /// Factory reset or transfer.
    Retire,
}

/// How busy HQ is, approximately.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Load {
    /// The operator trusts the network that the message came from.
    pub trusted: bool,
    /// Enrolments accepted in the past hour from the same source prefix.
    pub enrolled_from_prefix: u32,
    /// Enrolments accepted in the past hour in all.
    pub enrolled_in_all: u32,
    /// Of those, per model as devices say it: the most frequent ones.
    pub enrolled_by_model: Vec<(String, u32)>,
    /// First-issue orders waiting for quota.
    pub queued: u32,
}

/// A message from a device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// The path it came by.
    pub endpoint: Endpoint,
    /// Source prefix (/24 or /48) in text form.
    pub source_prefix: String,
    /// How busy HQ is.
    pub load: Load,
    /// The message; the caller has limited it to [`MAX_MESSAGE_BYTES`].
    pub body: Vec<u8>,
}

/// What an operator may want.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OperatorOrder {
    /// Revoke, withdraw, cut off.
    Retire,
    /// The device that was challenged or is pending is all right.
    Accept,
    /// Ask the box for a new key and certificate at its next contact.
    Renew,
    /// HQ's own certificate: order one with this CSR (DER). Only for subject `own`.
    OwnCsr(Vec<u8>),
    /// Claim codes are to be known here, by their digests; at most [`MAX_IMPORT`]. Only for subject `own`, as the rest.
    ImportClaims {
        /// The digests.
        codes: Vec<[u8; 32]>,
        /// The model that they are for; none: any.
        model: Option<String>,
    },
    /// The maker vouches for units: `otscert-voucher+jws`.
    ImportVoucher(Vec<u8>),
    /// Keys that a firmware release makes on a box without entropy are to be refused; at most [`MAX_IMPORT`].
    ImportStarvedKeys {
        /// The release, for people.
        release: String,
        /// SHA-256 of each key's SubjectPublicKeyInfo.
        keys: Vec<[u8; 32]>,
    },
    /// The claim code of that digest is to let another device in.
    ReleaseClaim([u8; 32]),
}

/// Most things that are imported at once.
pub const MAX_IMPORT: usize = otscert_machine::hq::event::MAX_IMPORT;

/// A fact for the registrar.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input {
    /// A message from a device.
    Request(Request),
    /// What came back for an exchange.
    Answered {
        /// The exchange.
        exchange: Exchange,
        /// What came back.
        answer: Answer,
    },
    /// The wake-up time of a subject's summary has come.
    Due(Subject),
    /// The operator.
    Command {
        /// Whom it is about.
        subject: Subject,
        /// What.
        order: OperatorOrder,
    },
}

/// What the component wants done; stored as JSON in the outbox.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Operation {
    /// At a CA.
    Ca(CaOperation),
    /// On the zone.
    Dns(DnsOperation),
}

/// Something that HQ's DNS serves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum DnsRecord {
    /// One value of a TXT set.
    Txt {
        /// Owner name, absolute, without the final dot.
        owner: String,
        /// One value of the set.
        value: String,
        /// After this moment the server drops it by itself.
        expires: Timestamp,
    },
    /// A live label in address mode.
    Label(String),
    /// A name in word mode; the set is replaced as a whole.
    Addresses {
        /// Owner name, absolute, without the final dot.
        name: String,
        /// Its addresses.
        addresses: Vec<IpAddr>,
    },
}

/// One operation on the zone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum DnsOperation {
    /// Adds the record; twice is the same as once.
    Publish(DnsRecord),
    /// Removes it; removing what is not there is no error.
    Withdraw(DnsRecord),
    /// Asks every authoritative server whether the record is served.
    Visible(DnsRecord),
}

/// Outcome of a [`DnsOperation`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum DnsAnswer {
    /// Stored, and served by this server.
    Done,
    /// Whether every authoritative server has it.
    Visible(bool),
    /// The zone is not served here, or the provider refused: for people.
    Refused(String),
}

/// Why an exchange brought no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FailureKind {
    /// No connection.
    Unreachable,
    /// Connected, but no answer in time.
    TimedOut,
    /// The peer's TLS key or certificate is not the one expected.
    UntrustedPeer,
    /// The answer is larger than the limit.
    TooLarge,
    /// The peer speaks another protocol, or not ours.
    NotUnderstood,
    /// HQ's own config makes this exchange impossible.
    Misconfigured,
    /// HQ was asked to stop while the exchange was under way.
    Cancelled,
}

/// An exchange that brought no answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Failure {
    /// What the machine decides on.
    pub kind: FailureKind,
    /// For people: what was attempted, what happened.
    pub detail: String,
    /// The soonest moment to try again, milliseconds from now, if the peer said so.
    pub retry_after_ms: Option<u64>,
}

/// What came back for an exchange; stored as JSON in the outbox while it waits to be told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Answer {
    /// From a CA.
    Ca(CaAnswer),
    /// From the zone.
    Dns(DnsAnswer),
    /// From nobody.
    Failed(Failure),
}

/// How a request was answered. Only `http/problem.rs` makes an HTTP status of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// Answered.
    Ok,
    /// Not a message of this protocol.
    Malformed,
    /// A signature, credential or token that does not hold.
    Unauthorized,
    /// Valid, and refused by a rule.
    Forbidden,
    /// In conflict with what HQ knows.
    Conflict,
    /// Too much, too often.
    Limited,
    /// HQ cannot just now.
    Unavailable,
}

/// The answer to a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// The model of the device that the request made known here, if it made one.
    pub enrolled: Option<String>,
    /// What kind it is.
    pub outcome: Outcome,
    /// The stable `type` of the problem document, for logs and metrics; empty if `Ok`.
    pub problem: String,
    /// Signed message.
    pub body: Vec<u8>,
    /// Retry-After in seconds, if one is meant.
    pub retry_after_s: Option<u32>,
}

/// All that lists, scheduler and metrics query about a subject.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Summary {
    /// Whom it is about.
    pub subject: Subject,
    /// `device` or `own`.
    pub kind: String,
    /// Name of the state.
    pub state: String,
    /// For people: why it is there and what comes next.
    pub reason: String,
    /// The granted name, without `*.`.
    pub name: Option<String>,
    /// Model, as the device says.
    pub model: String,
    /// End of the certificate.
    pub not_after: Option<Timestamp>,
    /// When the registrar wants to hear `due`.
    pub wake_at: Option<Timestamp>,
    /// Last message from the device.
    pub last_contact: Option<Timestamp>,
}

/// A row of history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    /// Whom it is about.
    pub subject: Subject,
    /// Stable word, for filters and metrics.
    pub kind: String,
    /// For people.
    pub text: String,
}

/// What follows from an input, besides the records and submissions of the same call.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Decision {
    /// For a request always, otherwise never.
    pub reply: Option<Reply>,
    /// Summaries that changed.
    pub summaries: Vec<Summary>,
    /// History.
    pub notes: Vec<Note>,
}

/// Whether `text` has the form that the contract gives to keys and subjects.
fn is_key(text: &str) -> bool {
    (1..=MAX_KEY_BYTES).contains(&text.len())
        && text
            .bytes()
            .all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'/' | b'_' | b'-'))
}

/// Enough of a foreign text to recognise it by in an error.
fn excerpt(text: &str) -> String {
    text.chars().take(MAX_EXCERPT_CHARS).collect()
}

/// A message of the protocol, either way.
pub const MAX_MESSAGE_BYTES: usize = 64 * 1024;
/// A stored record.
pub const MAX_RECORD_BYTES: usize = 256 * 1024;
/// A record's key, and a subject.
pub const MAX_KEY_BYTES: usize = 128;
const MAX_EXCERPT_CHARS: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_and_subjects_have_the_form_of_the_contract() {
        for good in ["own", "device/0af_-9", &"a".repeat(MAX_KEY_BYTES)] {
            assert!(good.parse::<Subject>().is_ok(), "{good}");
            assert!(RecordKey::try_from(good.to_owned()).is_ok(), "{good}");
        }
        for bad in [
            "",
            "Device/1",
            "device 1",
            "device/ä",
            "a.b",
            &"a".repeat(MAX_KEY_BYTES + 1),
        ] {
            assert!(bad.parse::<Subject>().is_err(), "{bad}");
            assert!(RecordKey::try_from(bad.to_owned()).is_err(), "{bad}");
        }
    }

    #[test]
    fn operations_and_answers_come_back_from_their_json() {
        let record = DnsRecord::Addresses {
            name: "nifty.fleet.test".into(),
            addresses: vec!["192.168.1.7".parse().unwrap(), "fd12::7".parse().unwrap()],
        };
        let operation = Operation::Dns(DnsOperation::Publish(record));
        let json = serde_json::to_string(&operation).unwrap();
        assert_eq!(
            json,
            r#"{"dns":{"publish":{"addresses":{"name":"nifty.fleet.test","addresses":["192.168.1.7","fd12::7"]}}}}"#
        );
        assert_eq!(serde_json::from_str::<Operation>(&json).unwrap(), operation);

        let answer = Answer::Failed(Failure {
            kind: FailureKind::TimedOut,
            detail: "new-order at le".into(),
            retry_after_ms: Some(5),
        });
        let json = serde_json::to_string(&answer).unwrap();
        assert_eq!(serde_json::from_str::<Answer>(&json).unwrap(), answer);
    }
}
