//! Facts for the HQ role, and its orders.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::net::IpAddr;

use super::config::FALLBACK;
use super::names::Label;
use super::records::{Key, Record, Stored};
use crate::peer::{
    Answer, Authorization, CaAnswer, CaProblem, DnsAnswer, Failure, OrderReport, Request,
    SuggestedWindow,
};
use crate::time::{Span, Timestamp};
use crate::types::{
    CertName, DeviceId, Digest, Ed25519Public, ExchangeId, Malformed, ShortText, Thumbprint,
};
use crate::wire::message::{
    AddressAnswer, Contact, ContactAnswer, Enrol, EnrolAnswer, OrderAnswer, PollAnswer, Problem,
    RetireAnswer, for_people,
};
use crate::wire::problem::ProblemKind;
use crate::wire::trust::Grant;
use crate::x509::{Chain, ChainError};

/// Whose records a decision is about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Subject {
    /// A device.
    Device(DeviceId),
    /// HQ's own certificate.
    Own,
}

/// A fact.
#[derive(Clone, Debug)]
pub enum Event {
    /// A message came whose syntax, signature and signer are right.
    Received(Box<Received>),
    /// Something came that no rule has to look at.
    Refused(Box<Refusal>),
    /// A CA or the zone answered an exchange.
    Answered {
        /// Whose exchange.
        subject: Subject,
        /// Which.
        exchange: ExchangeId,
        /// What it said.
        heard: Heard,
    },
    /// The time has come that the subject's summary named.
    Due(Subject),
    /// The operator decided something.
    Commanded {
        /// About whom.
        subject: Subject,
        /// What.
        order: OperatorOrder,
    },
}

/// A message from a device.
#[derive(Clone, Debug)]
pub struct Received {
    /// What it says.
    pub message: Message,
    /// SHA-256 of its bytes.
    pub digest: Digest,
    /// Where it came from: /24 or /48, in text form.
    pub prefix: String,
    /// How busy HQ is.
    pub load: Load,
}

/// How busy HQ is, approximately.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Load {
    /// The operator trusts the network that the message came from.
    pub trusted: bool,
    /// Enrolments accepted in the past hour from the same source prefix.
    pub enrolled_from_prefix: u32,
    /// Enrolments accepted in the past hour in all.
    pub enrolled_in_all: u32,
    /// Of those, per model.
    pub enrolled_by_model: Vec<(String, u32)>,
    /// First-issue orders waiting for quota.
    pub queued: u32,
}

/// What a message says.
#[derive(Clone, Debug)]
pub enum Message {
    /// Unsigned, before the device has keys.
    Contact {
        /// The message.
        contact: Contact,
        /// HQ's nonce for the answer.
        hq_nonce: String,
    },
    /// Signed by the key that it shows.
    Enrol(Box<Enrolment>),
    /// Signed by a device that HQ knows.
    Member(MemberMessage),
}

/// An `enrol` and what was checked on the way.
#[derive(Clone, Debug)]
pub struct Enrolment {
    /// The identity key, which signed the message.
    pub key: Ed25519Public,
    /// Its thumbprint.
    pub thumbprint: Thumbprint,
    /// The message.
    pub enrol: Enrol,
    /// When HQ's nonce was given at the earliest; none if it was not given here, or is too old.
    pub given: Option<Timestamp>,
    /// The grant it shows, if it shows one; or why that does not hold.
    pub grant: Option<Result<Grant, String>>,
    /// The digest of the claim code that it shows.
    pub claim: Option<Digest>,
    /// The digest of the unit that it says it is.
    pub unit: Option<Digest>,
    /// What the device is called if it is new.
    pub candidates: Candidates,
}

/// Names drawn for a device that may be new: drawn before anything is read, so that the rounds of
/// `reads` ask for the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidates {
    /// Its id.
    pub device: DeviceId,
    /// Its label: the first free one is taken.
    pub labels: Vec<Label>,
}

/// A message of an enrolled device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberMessage {
    /// The device.
    pub device: DeviceId,
    /// The counter in its continuity token; none if the token was not made here for this device.
    pub counter: Option<u64>,
    /// What it says.
    pub body: MemberBody,
}

/// What an enrolled device says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MemberBody {
    /// It asks for a certificate; or why its CSR does not hold.
    Order(Result<Csr, String>),
    /// It asks where things stand.
    Poll {
        /// Version of its firmware.
        firmware: ShortText,
        /// How often it has started, if it says.
        boot_count: Option<u64>,
        /// SHA-256 of the leaf it serves.
        serving: Option<Digest>,
        /// Why it could not use the last certificate.
        trouble: Option<String>,
    },
    /// It reports its LAN addresses.
    Address(Vec<IpAddr>),
    /// It gives up its name.
    Retire,
}

/// A CSR that holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Csr {
    /// PKCS #10, DER.
    pub der: Vec<u8>,
    /// SHA-256 of it.
    pub digest: Digest,
    /// The names it asks for, sorted.
    pub names: Vec<CertName>,
    /// SHA-256 of its key.
    pub spki: Digest,
    /// SHA-256 of its signature's `r`.
    pub signature_r: Digest,
}

/// A refusal that needs no rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Whom the message says it is from; empty if it does not.
    pub sub: String,
    /// SHA-256 of the message.
    pub digest: Digest,
    /// What for.
    pub kind: ProblemKind,
    /// For people.
    pub detail: String,
}

/// What a CA or the zone said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Heard {
    /// How an order stands.
    Order(OrderReport),
    /// What an order wants proved.
    Authorizations(Vec<Authorization>),
    /// A challenge was taken note of.
    Accepted,
    /// A chain that reads, or why it does not.
    Chain(Result<Chain, ChainError>),
    /// When to renew.
    Window(Option<SuggestedWindow>),
    /// A certificate was revoked.
    Revoked,
    /// The CA refused.
    Problem(CaProblem),
    /// The quota ledger did not let it out.
    Deferred {
        /// The soonest moment to try again.
        not_before: Timestamp,
        /// For people.
        reason: String,
    },
    /// The zone did it.
    DnsDone,
    /// Whether every server shows the record.
    DnsVisible(bool),
    /// The zone refused: for people.
    DnsRefused(String),
    /// Nobody answered.
    Failed(Failure),
    /// An answer of HQ: nothing that HQ asks for.
    FromHq,
}

/// What an operator may want.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OperatorOrder {
    /// Revoke, withdraw, cut off.
    Retire,
    /// The device that is challenged is all right.
    Accept,
    /// Ask the box for a new key and certificate.
    Renew,
    /// HQ's own certificate: order one with this CSR; or why it does not hold.
    OwnCsr(Result<Csr, String>),
    /// What the factory made is to be known here.
    Import(Import),
    /// The claim code is to let another device in.
    ReleaseClaim(Digest),
}

/// What the factory made, at most [`MAX_IMPORT`] of it at a time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Import {
    /// Claim codes, by their digests.
    Claims {
        /// The digests.
        codes: Vec<Digest>,
        /// The model that they are for; none: any.
        model: Option<ShortText>,
    },
    /// Units that the maker vouches for.
    Units {
        /// Their model.
        model: ShortText,
        /// Their serials and what they are known by here.
        units: Vec<(Digest, ShortText)>,
    },
    /// Keys that a firmware release makes without entropy, by the SHA-256 of their SPKI.
    StarvedKeys {
        /// The release, for people.
        release: ShortText,
        /// The digests.
        keys: Vec<Digest>,
    },
}

/// Most things that are imported at a time: as many as a decision reads.
pub const MAX_IMPORT: usize = super::step::MAX_READS * super::step::MAX_ROUNDS;

/// What follows from an event.
#[derive(Clone, Debug)]
pub struct Step {
    /// What is to be done. Writes stand before the submissions that rely on them.
    pub effects: Vec<Effect>,
    /// How the event was taken.
    pub verdict: Verdict,
}

/// How an event was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It was waited for, or always means something.
    Taken,
    /// A harmless repeat, or an answer that came too late.
    NoOp,
    /// It cannot happen here; whoever sent it has a fault.
    Unexpected,
}

/// An order to the driver.
#[derive(Clone, Debug)]
pub enum Effect {
    /// Store a record.
    Write {
        /// Its key.
        key: Key,
        /// The record.
        record: Record,
        /// From then on it reads as absent.
        expires: Option<Timestamp>,
    },
    /// Forget a record.
    Remove(Key),
    /// Ask a CA or the zone.
    Submit {
        /// Whose exchange.
        subject: Subject,
        /// Which.
        exchange: ExchangeId,
        /// What.
        request: Request,
    },
    /// Replace what lists and the scheduler see of a subject.
    Summarise(Summary),
    /// Add a row of history.
    Note(Note),
    /// Answer the request.
    Reply(Reply),
}

/// The answer to a request.
#[derive(Clone, Debug)]
pub enum Reply {
    /// Sign and send.
    Fresh {
        /// What to say.
        body: ReplyBody,
        /// Keep the signed bytes under this device's `answer/` key, for the same request again.
        remember: Option<DeviceId>,
    },
    /// Send these bytes, signed long ago, again.
    Again(Stored),
}

/// What to say.
#[derive(Clone, Debug)]
pub enum ReplyBody {
    /// To `contact`.
    Contact(ContactAnswer),
    /// To `enrol`.
    Enrol(EnrolAnswer),
    /// To `order`.
    Order(OrderAnswer),
    /// To `poll`.
    Poll(PollAnswer),
    /// To `address`.
    Address(AddressAnswer),
    /// To `retire`.
    Retire(RetireAnswer),
    /// A refusal.
    Problem(Problem),
}

/// What lists, the scheduler and metrics see of a subject.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Summary {
    /// Whom it is about.
    pub subject: Subject,
    /// Name of the state.
    pub state: &'static str,
    /// For people: why it is there and what comes next.
    pub reason: String,
    /// The granted name.
    pub name: Option<String>,
    /// Model, as the device says.
    pub model: String,
    /// End of the certificate.
    pub not_after: Option<Timestamp>,
    /// Send [`Event::Due`] then.
    pub wake_at: Option<Timestamp>,
    /// Last message from the device.
    pub last_contact: Option<Timestamp>,
}

/// A row of history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// Whom it is about.
    pub subject: Subject,
    /// Stable word.
    pub kind: NoteKind,
    /// For people.
    pub text: String,
}

/// What happened, for filters and metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum NoteKind {
    /// A device got its name.
    Enrolled,
    /// HQ had forgotten a device and took it back.
    Restored,
    /// A device that HQ knows enrolled again: it had lost its token, or HQ the key it was made with.
    Rejoined,
    /// A device asked for a certificate.
    Ordered,
    /// The CA made an order.
    OrderCreated,
    /// The CA has validated every name.
    Validated,
    /// The CSR went to the CA.
    Finalized,
    /// The first certificate is there.
    Issued,
    /// A certificate that follows another is there.
    Renewed,
    /// The CA said when to renew.
    WindowRead,
    /// Something failed; what happens next stands in the text.
    Failed,
    /// The CA or the quota ledger said: later.
    Deferred,
    /// Two boxes use one identity.
    Challenged,
    /// A unit enrolled with another identity while the one before lives.
    UnitAgain,
    /// A device counts fewer starts than before: its storage is a copy, or it is one.
    BootCountBack,
    /// What the factory made was imported.
    Imported,
    /// The operator accepted a challenged device.
    Accepted,
    /// A device reported other addresses.
    AddressChanged,
    /// A device runs another firmware.
    Firmware,
    /// A device could not use its certificate.
    Trouble,
    /// The operator or HQ asks for a new key.
    RenewAsked,
    /// A key was used before, by another device or for another order.
    KeyReused,
    /// The name was given up.
    Retired,
    /// A certificate was revoked.
    Revoked,
}

impl Load {
    /// Enrolments in the past hour of the model that stands in the config under that name.
    pub(super) fn enrolled_of(&self, model: &str) -> u32 {
        let mut counts = self.enrolled_by_model.iter();
        match counts.find(|(name, _)| name == model) {
            Some((_, count)) => *count,
            // Boxes call themselves what they like where the operator lists no models.
            None if model == FALLBACK => self.enrolled_in_all,
            None => 0,
        }
    }
}

impl Subject {
    /// Parses what `Display` writes.
    ///
    /// # Errors
    ///
    /// If it is neither `own` nor `device/…`.
    pub fn parse(text: &str) -> Result<Self, Malformed> {
        match text.strip_prefix(DEVICE) {
            Some(id) => DeviceId::parse(id).map(Self::Device),
            None if text == OWN => Ok(Self::Own),
            None => Err(Malformed::new("subject", "device/… or own", text)),
        }
    }

    /// What it is, for lists.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Device(_) => "device",
            Self::Own => OWN,
        }
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Device(id) => write!(f, "{DEVICE}{id}"),
            Self::Own => f.write_str(OWN),
        }
    }
}

/// What peers say for people ends up in records and history: it is cut to a length here.
impl From<Answer> for Heard {
    fn from(answer: Answer) -> Self {
        match answer {
            Answer::Hq(_) => Self::FromHq,
            Answer::Failed(Failure {
                kind,
                detail,
                retry_after,
            }) => Self::Failed(Failure {
                kind,
                detail: for_people(&detail),
                retry_after,
            }),
            Answer::Ca(CaAnswer::Order(report)) => {
                let problem = report.problem.map(cut);
                Self::Order(OrderReport { problem, ..report })
            }
            Answer::Ca(CaAnswer::Authorizations(list)) => {
                let cut = |it: Authorization| Authorization {
                    problem: it.problem.map(cut),
                    ..it
                };
                Self::Authorizations(list.into_iter().map(cut).collect())
            }
            Answer::Ca(CaAnswer::Accepted) => Self::Accepted,
            Answer::Ca(CaAnswer::Chain(chain)) => Self::Chain(Chain::read(chain)),
            Answer::Ca(CaAnswer::RenewalWindow(window)) => Self::Window(window),
            Answer::Ca(CaAnswer::Revoked) => Self::Revoked,
            Answer::Ca(CaAnswer::Problem(problem)) => Self::Problem(cut(problem)),
            Answer::Ca(CaAnswer::Deferred { not_before, reason }) => Self::Deferred {
                not_before,
                reason: for_people(&reason),
            },
            Answer::Dns(DnsAnswer::Done) => Self::DnsDone,
            Answer::Dns(DnsAnswer::Visible(visible)) => Self::DnsVisible(visible),
            Answer::Dns(DnsAnswer::Refused(reason)) => Self::DnsRefused(for_people(&reason)),
        }
    }
}

fn cut(problem: CaProblem) -> CaProblem {
    CaProblem {
        detail: for_people(&problem.detail),
        ..problem
    }
}

impl NoteKind {
    /// The stable word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Enrolled => "enrolled",
            Self::Restored => "restored",
            Self::Rejoined => "rejoined",
            Self::Ordered => "ordered",
            Self::OrderCreated => "order-created",
            Self::Validated => "validated",
            Self::Finalized => "finalized",
            Self::Issued => "issued",
            Self::Renewed => "renewed",
            Self::WindowRead => "window-read",
            Self::Failed => "failed",
            Self::Deferred => "deferred",
            Self::Challenged => "challenged",
            Self::UnitAgain => "unit-again",
            Self::BootCountBack => "boot-count-back",
            Self::Imported => "imported",
            Self::Accepted => "accepted",
            Self::AddressChanged => "address-changed",
            Self::Firmware => "firmware",
            Self::Trouble => "trouble",
            Self::RenewAsked => "renew-asked",
            Self::KeyReused => "key-reused",
            Self::Retired => "retired",
            Self::Revoked => "revoked",
        }
    }
}

impl ReplyBody {
    /// When to come back, for the host's `Retry-After`.
    #[must_use]
    pub const fn retry_after(&self) -> Option<Span> {
        match self {
            Self::Contact(_) | Self::Enrol(_) | Self::Retire(_) => None,
            Self::Order(answer) => Some(answer.binding.retry_after),
            Self::Poll(answer) => Some(answer.binding.retry_after),
            Self::Address(answer) => Some(answer.binding.retry_after),
            Self::Problem(problem) => problem.retry_after,
        }
    }
}

const DEVICE: &str = "device/";
const OWN: &str = "own";
