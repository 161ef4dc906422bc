//! What this crate says of the contract in `wit/`: the WIT types, checked and without generated code.

use std::fmt;
use std::time::Duration;

use rustls_pki_types::CertificateDer;
use serde::Serialize;
use zeroize::Zeroizing;

/// How far the board's wall clock can be believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClockTrust {
    /// It was never set since power-on; only its progress means anything.
    Unset,
    /// It does not run ahead of the true time, but may lag.
    Bounded,
    /// It is kept by something the board trusts.
    Trusted,
}

/// An instant as the board sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    /// Milliseconds since 1970 by the wall clock.
    pub wall_ms: u64,
    /// How far `wall_ms` can be believed.
    pub trust: ClockTrust,
    /// Milliseconds since an instant of the board's choice; never goes back.
    pub monotonic_ms: u64,
}

/// Which message of the protocol an exchange carries; decides the path at HQ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Endpoint {
    /// Before the box has keys: HQ's time, seed and nonce.
    Contact,
    /// Identity key and credential, for a grant.
    Enrol,
    /// A CSR for the granted names.
    Order,
    /// Where do I stand?
    Poll,
    /// The box's LAN addresses.
    Address,
    /// Factory reset or transfer.
    Retire,
}

impl Endpoint {
    /// The last segment of the path at HQ.
    #[must_use]
    pub fn path(self) -> &'static str {
        match self {
            Self::Contact => "contact",
            Self::Enrol => "enrol",
            Self::Order => "order",
            Self::Poll => "poll",
            Self::Address => "address",
            Self::Retire => "retire",
        }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.path())
    }
}

/// Names one exchange for as long as its answer may arrive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ExchangeId(pub u64);

/// Whom a box talks to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Peer {
    /// The maker's HQ.
    Hq,
    /// A second operator, who is asked for a seed.
    Seeder,
}

/// A message that the machine wants sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Submission {
    /// Names the answer.
    pub exchange: ExchangeId,
    /// Whom it is for.
    pub peer: Peer,
    /// Which message it is.
    pub endpoint: Endpoint,
    /// The message, at most [`MAX_BODY`] bytes.
    pub body: Vec<u8>,
}

/// What came back for an exchange.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// HQ, or whoever stands in its place, answered.
    Hq {
        /// HTTP status, for people only.
        status: u16,
        /// The body, at most [`MAX_BODY`] bytes.
        body: Vec<u8>,
    },
    /// Nobody answered.
    Failed(Failure),
}

/// An exchange that brought no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// What the machine decides on.
    pub kind: FailureKind,
    /// For people: what was attempted, what happened, whose fault.
    pub detail: String,
    /// The soonest moment to try again, if the peer said so.
    pub retry_after: Option<Duration>,
}

/// Why an exchange brought no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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
    /// This box's own config makes the exchange impossible.
    Misconfigured,
    /// The program was asked to stop while the exchange was under way.
    Cancelled,
}

/// A fact for the machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input {
    /// First input of a new instance.
    Resumed(u64),
    /// A wake-up time has come.
    Woke,
    /// An exchange brought an answer, or failed.
    Answered(ExchangeId, Answer),
    /// The box's LAN addresses, all of them.
    Addresses(Vec<String>),
    /// Somebody asks for a factory reset.
    Reset,
    /// Somebody asks for a new certificate with a new key.
    Renew,
    /// The server could not use the credential of that version.
    CredentialRefused {
        /// Which one.
        version: u64,
        /// For people.
        reason: String,
    },
    /// Random bytes that the owner's browser brought.
    Companion(CompanionSeed),
    /// The same, sealed under the code on the label.
    SealedCompanion(SealedSeed),
    /// The code on the label, as the owner typed it.
    ClaimCode(ClaimCode),
}

/// 32 random bytes from the owner's browser: wiped when dropped, never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct CompanionSeed(Zeroizing<Vec<u8>>);

impl CompanionSeed {
    /// Reads 64 hexadecimal digits.
    #[must_use]
    pub fn from_hex(text: &[u8]) -> Option<Self> {
        let bytes = Zeroizing::new(from_hex(text)?);
        (bytes.len() == 32).then_some(Self(bytes))
    }

    /// Shows the bytes, to the machine alone.
    pub(crate) fn expose(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for CompanionSeed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CompanionSeed([redacted])")
    }
}

/// 32 random bytes that the owner's browser sealed under the code on the label.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SealedSeed {
    /// Fresh, the browser's.
    pub nonce: [u8; 32],
    /// The bytes with the tag at their end.
    pub sealed: [u8; 48],
}

impl SealedSeed {
    /// Reads 160 hexadecimal digits: the nonce, then what it sealed.
    #[must_use]
    pub fn from_hex(text: &[u8]) -> Option<Self> {
        let bytes = from_hex(text)?;
        let (nonce, sealed) = bytes.split_first_chunk::<32>()?;
        Some(Self {
            nonce: *nonce,
            sealed: sealed.try_into().ok()?,
        })
    }
}

fn from_hex(text: &[u8]) -> Option<Vec<u8>> {
    let digit = |byte: &u8| char::from(*byte).to_digit(16);
    let (pairs, []) = text.as_chunks::<2>() else {
        return None;
    };
    let bytes = pairs.iter().map(|[high, low]| {
        let byte = digit(high)? * 16 + digit(low)?;
        u8::try_from(byte).ok()
    });
    bytes.collect()
}

impl Input {
    /// Its name in the contract, for logs.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Resumed(_) => "resumed",
            Self::Woke => "woke",
            Self::Answered(..) => "answered",
            Self::Addresses(_) => "addresses",
            Self::Reset => "reset",
            Self::Renew => "renew",
            Self::CredentialRefused { .. } => "credential-refused",
            Self::Companion(_) => "companion",
            Self::SealedCompanion(_) => "sealed-companion",
            Self::ClaimCode(_) => "claim-code",
        }
    }
}

/// How a box's names are used (DESIGN 6).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum NameMode {
    /// `https://192-168-1-7.<label>.<zone>/`, certificate for `*.<label>.<zone>`.
    Address,
    /// `https://nifty-babbage.<zone>/`.
    Word,
}

/// Where the machine stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Progress {
    /// Name of the machine's state.
    pub state: String,
    /// For people: what it is doing or waiting for, why, and what would help.
    pub reason: String,
    /// Call again at the latest then, by the board's monotonic clock.
    #[serde(skip)]
    pub wake_at_ms: Option<u64>,
    /// Rises whenever there is a new credential; 0: none.
    pub credential_version: u64,
    /// The id that HQ knows this box by, once enrolled.
    pub device_id: Option<String>,
    /// The names that HQ granted; a wildcard as `*.name`.
    pub names: Vec<String>,
    /// How the names are used.
    pub mode: Option<NameMode>,
    /// End of the certificate, milliseconds since 1970.
    pub not_after_ms: Option<u64>,
    /// Grade of the entropy behind the keys.
    pub grade: String,
    /// The machine's best knowledge of the time, milliseconds since 1970.
    pub time_ms: Option<u64>,
    /// Whether an exchange is outstanding.
    pub busy: bool,
}

impl Default for Progress {
    /// Before the first call of the machine.
    fn default() -> Self {
        Self {
            state: "starting".to_owned(),
            reason: "The program has just been started.".to_owned(),
            wake_at_ms: None,
            credential_version: 0,
            device_id: None,
            names: Vec::new(),
            mode: None,
            not_after_ms: None,
            grade: "D".to_owned(),
            time_ms: None,
            busy: false,
        }
    }
}

/// What the TLS server needs.
#[derive(Clone)]
pub struct CredentialPair {
    /// As in [`Progress::credential_version`].
    pub version: u64,
    /// Leaf first.
    pub chain: Vec<CertificateDer<'static>>,
    /// PKCS #8, DER.
    pub private_key: Zeroizing<Vec<u8>>,
}

impl fmt::Debug for CredentialPair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CredentialPair")
            .field("version", &self.version)
            .field("chain", &self.chain.len())
            .field("private_key", &"[redacted]")
            .finish()
    }
}

/// The code on a label, as somebody typed it; the machine says whether it is one. Wiped when dropped, never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct ClaimCode(Zeroizing<String>);

impl ClaimCode {
    /// Takes a text that may be one, 1 to [`MAX_CLAIM_CODE`] bytes.
    #[must_use]
    pub fn from_text(text: &str) -> Option<Self> {
        let text = text.trim();
        let fits = (1..=MAX_CLAIM_CODE).contains(&text.len());
        fits.then(|| Self(Zeroizing::new(text.to_owned())))
    }

    /// Whether it is as long as a code that something may be sealed under (`input.sealed-companion`); whether it is
    /// one, the machine says.
    #[must_use]
    pub fn is_long(&self) -> bool {
        let symbols = self.0.chars().filter(char::is_ascii_alphanumeric);
        symbols.count() >= LONG_CLAIM_CODE
    }

    /// Shows the code, to the machine alone.
    pub(crate) fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for ClaimCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClaimCode([redacted])")
    }
}

/// What a unit has from its factory; all of it is optional.
#[derive(Clone, Default)]
pub struct UnitCredential {
    /// The code printed on the label.
    pub claim_code: Option<ClaimCode>,
    /// The unit's serial.
    pub serial: Option<String>,
    /// The secret written at the factory; it needs the serial.
    pub secret: Option<UnitSecret>,
}

/// A secret written at the factory; never sent.
#[derive(Clone)]
pub struct UnitSecret {
    /// Which batch key it was derived from.
    pub epoch: u32,
    /// 16 to 64 bytes.
    pub secret: Zeroizing<Vec<u8>>,
}

impl fmt::Debug for UnitCredential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UnitCredential")
            .field("claim_code", &self.claim_code)
            .field("serial", &self.serial)
            .field("secret", &self.secret)
            .finish()
    }
}

impl fmt::Debug for UnitSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "UnitSecret(epoch {}, [redacted])", self.epoch)
    }
}

/// What the image and the board say, once, at the start of an instance.
#[derive(Debug, Clone)]
pub struct StartConfig {
    /// HQ's id.
    pub hq_id: String,
    /// The pinned protocol roots: active, then cold spare.
    pub roots: Vec<[u8; 32]>,
    /// The second operator's id and pinned protocol roots.
    pub seeder: Option<(String, Vec<[u8; 32]>)>,
    /// The maker's name for this kind of box.
    pub model: String,
    /// Version of the firmware.
    pub firmware: String,
    /// Build date of the image, milliseconds since 1970.
    pub build_time_ms: u64,
    /// What tells this unit apart; never sent.
    pub personal: Vec<u8>,
    /// What the unit has from its factory.
    pub credential: UnitCredential,
    /// Makes keys also where only HQ could compute them (grade B).
    pub hq_trusted: bool,
    /// What the image says of the clocks of its board, as HQ signed it.
    pub assessments: Vec<Vec<u8>>,
    /// The board's word that what its storage has taken survives a power cut.
    pub durable_storage: bool,
}

/// The largest message in either direction (DESIGN 3).
pub const MAX_BODY: usize = 64 * 1024;
/// The longest text that is taken for a claim code: 27 symbols with a hyphen or blank between each two, and some room.
pub const MAX_CLAIM_CODE: usize = 64;
/// Symbols of a code of 128 bits and more, with the one that checks.
const LONG_CLAIM_CODE: usize = 27;
/// The most addresses the contract takes.
pub const MAX_ADDRESSES: usize = 16;
