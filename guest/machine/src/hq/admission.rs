//! Who may have a name (DESIGN 5).
//!
//! The operator's policy for a model is a list of alternatives, each a set of proofs: the first one
//! that a box meets lets it in. `open` is the empty set, `closed` the empty list. An alternative with
//! `approval` gives a name at once and no certificate before a person has looked.
//!
//! What a box shows is weighed here and nowhere else. A claim code and a serial belong to one living
//! device at a time: with the name given up they are free again, so a factory reset needs no new label.
//! A box that proves its factory secret is its own successor: it may come again with another identity
//! key, a few times in a week, and both identities are noted, since it may also be a copy.

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use super::bundle::Bundle;
use super::config::{Config, Model};
use super::desk::Desk;
use super::event::{Enrolment, Load, NoteKind};
use super::records::{ClaimRecord, DeviceRecord, Key, Record, UnitRecord};
use crate::factory::UnitSecret;
use crate::time::{Span, Timestamp};
use crate::types::{DeviceId, Digest, Malformed, ShortText};
use crate::wire::problem::ProblemKind;

/// Something that a box can show, or a person can say for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proof {
    /// A code that was imported and is not another living device's.
    ClaimCode,
    /// The HMAC by the secret that the factory wrote.
    FactorySecret,
    /// Its serial is on a list that the maker signed, and not another living device's.
    Voucher,
    /// A person accepted it.
    Approval,
}

/// A set of proofs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proofs(u8);

/// Who may have a name: alternatives, the first that is met counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Admission(Vec<Proofs>);

/// Why a device was let in; stored for life.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Admitted {
    /// What held of what it showed, and what a person said since.
    pub proofs: Proofs,
    /// It showed a grant of this HQ, which had forgotten it.
    pub grant: bool,
    /// It came from a network that the operator trusts.
    pub trusted: bool,
}

/// What an enrolment shows, weighed.
pub(super) struct Evidence {
    pub(super) held: Proofs,
    /// For people: what was shown and does not hold.
    wrong: Vec<String>,
}

/// A box that was let in.
pub(super) struct Welcome<'a> {
    pub(super) model: &'a Model,
    pub(super) admitted: Admitted,
    /// A person has to look before it gets a certificate.
    pub(super) pending: bool,
}

pub(super) type Refused = (ProblemKind, String, Option<Span>);

impl Proof {
    const ALL: [Self; 4] = [
        Self::ClaimCode,
        Self::FactorySecret,
        Self::Voucher,
        Self::Approval,
    ];

    /// As it stands in policies and reports.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ClaimCode => "claim-code",
            Self::FactorySecret => "factory-secret",
            Self::Voucher => "voucher",
            Self::Approval => "approval",
        }
    }

    const fn bit(self) -> u8 {
        match self {
            Self::ClaimCode => 1,
            Self::FactorySecret => 2,
            Self::Voucher => 4,
            Self::Approval => 8,
        }
    }
}

impl Proofs {
    /// With one more.
    #[must_use]
    pub const fn with(self, proof: Proof) -> Self {
        Self(self.0 | proof.bit())
    }

    /// Whether this one is among them.
    #[must_use]
    pub const fn has(self, proof: Proof) -> bool {
        self.0 & proof.bit() != 0
    }

    /// Whether there is none.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Whether all of them are among the others, but for a person's.
    const fn met_by(self, held: Self) -> bool {
        self.0 & !held.0 & !Proof::Approval.bit() == 0
    }

    /// Their words, joined by `+`; `open` if there is none.
    #[must_use]
    pub fn words(self) -> String {
        let mut text = String::new();
        for proof in Proof::ALL {
            if self.has(proof) {
                if !text.is_empty() {
                    text.push('+');
                }
                text.push_str(proof.as_str());
            }
        }
        match text.is_empty() {
            true => String::from(OPEN),
            false => text,
        }
    }

    fn parse(text: &str) -> Result<Self, Malformed> {
        if text == OPEN {
            return Ok(Self::default());
        }
        let mut proofs = Self::default();
        for word in text.split('+') {
            let known = Proof::ALL.into_iter().find(|proof| proof.as_str() == word);
            let proof = known.ok_or_else(|| Malformed::new("admission", EXPECTED, text))?;
            proofs = proofs.with(proof);
        }
        Ok(proofs)
    }
}

impl Admission {
    /// Trust on first use.
    #[must_use]
    pub fn open() -> Self {
        Self(alloc::vec![Proofs::default()])
    }

    /// Nobody, for now.
    #[must_use]
    pub const fn closed() -> Self {
        Self(Vec::new())
    }

    /// Reads a policy: alternatives in the order in which they are tried, or `closed` alone.
    ///
    /// # Errors
    ///
    /// If there is none, a word is unknown, or `closed` stands beside another.
    pub fn parse<T: AsRef<str>>(alternatives: &[T]) -> Result<Self, Malformed> {
        let wrong = || Malformed::new("admission", EXPECTED, "nothing");
        match alternatives {
            [] => Err(wrong()),
            [only] if only.as_ref() == CLOSED => Ok(Self::closed()),
            several => several
                .iter()
                .map(|text| Proofs::parse(text.as_ref()))
                .collect::<Result<_, _>>()
                .map(Self),
        }
    }

    /// What [`Admission::parse`] makes this policy of.
    #[must_use]
    pub fn alternatives(&self) -> Vec<String> {
        match self.0.is_empty() {
            true => alloc::vec![String::from(CLOSED)],
            false => self.0.iter().map(|proofs| proofs.words()).collect(),
        }
    }

    /// Whether a box that shows nothing gets in without a person.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.0.iter().any(|proofs| proofs.is_empty())
    }

    /// Whether some alternative asks for this proof.
    #[must_use]
    pub fn asks_for(&self, proof: Proof) -> bool {
        self.0.iter().any(|proofs| proofs.has(proof))
    }

    /// The alternatives, for people.
    #[must_use]
    pub fn words(&self) -> String {
        self.alternatives().join(" or ")
    }

    /// The alternative that is met: one without a person's look before one with it.
    fn met_by(&self, held: Proofs) -> Option<Proofs> {
        let met = |person: bool| {
            self.0
                .iter()
                .copied()
                .find(|proofs| proofs.met_by(held) && (person || !proofs.has(Proof::Approval)))
        };
        met(false).or_else(|| met(true))
    }
}

impl Admitted {
    /// Whether something that strangers cannot have was shown: such a box goes before those that
    /// showed nothing when first certificates are scarce.
    #[must_use]
    pub const fn is_proved(self) -> bool {
        self.trusted || !self.proofs.is_empty()
    }

    /// For people.
    #[must_use]
    pub fn words(self) -> String {
        let mut text = self.proofs.words();
        if self.grant {
            text.push_str(", by its grant");
        }
        if self.trusted {
            text.push_str(", from a trusted network");
        }
        text
    }
}

/// Which records say whose the things are that a box shows.
pub(super) fn reads(bundle: &Bundle, enrolment: &Enrolment) -> Vec<Key> {
    let mut keys = Vec::new();
    if let Some(claim) = enrolment.claim {
        keys.push(Key::Claim(claim));
        let holder = bundle.claim(&claim).and_then(|it| it.device.clone());
        keys.extend(holder.map(Key::Device));
    }
    if let Some(unit) = enrolment.unit {
        keys.push(Key::Unit(unit));
        let holder = bundle.unit(&unit).and_then(|it| it.device.clone());
        keys.extend(holder.map(Key::Device));
    }
    keys
}

/// Whether policy lets the stranger in.
pub(super) fn admit<'a>(
    desk: &Desk<'a>,
    bundle: &Bundle,
    enrolment: &Enrolment,
    load: &Load,
) -> Result<Welcome<'a>, Refused> {
    let enrol = &enrolment.enrol;
    let name = &enrol.model;
    let Some(model) = desk.config.model(name) else {
        let detail = alloc::format!("this HQ serves no model {name}");
        return Err((ProblemKind::UnknownModel, detail, None));
    };
    let evidence = weigh(desk, bundle, enrolment, &model.admission);
    let admitted = Admitted {
        proofs: evidence.held,
        grant: enrolment.grant.is_some(),
        trusted: load.trusted,
    };
    let admission = &model.admission;
    let met = match (admission.met_by(evidence.held), admitted.grant) {
        // Whoever has a grant was let in before: HQ forgot, not the device. But a grant is given
        // before the person has looked, and so does not stand for the look.
        (met, true) => {
            let without = met.is_some_and(|met| !met.has(Proof::Approval));
            let pending = !without && admission.asks_for(Proof::Approval);
            return Ok(Welcome {
                model,
                admitted,
                pending,
            });
        }
        (Some(met), false) => met,
        (None, false) if admission.0.is_empty() => {
            let detail = alloc::format!("the operator admits no new {name} for now");
            return Err((ProblemKind::AdmissionClosed, detail, Some(CLOSED_RETRY)));
        }
        (None, false) => {
            let needs = admission.words();
            let mut detail = alloc::format!("{name} is admitted by {needs}");
            for wrong in evidence.wrong {
                detail.push_str("; ");
                detail.push_str(&wrong);
            }
            return Err((ProblemKind::BadCredential, detail, None));
        }
    };
    if !admitted.is_proved() {
        within_limits(model, load)?;
    }
    if evidence.held.has(Proof::FactorySecret) {
        let unit = enrolment.unit.and_then(|unit| bundle.unit(&unit));
        not_too_often(unit, desk.now)?;
    }
    Ok(Welcome {
        model,
        admitted,
        pending: met.has(Proof::Approval),
    })
}

/// What was shown belongs to this device from here on.
pub(super) fn take(
    desk: &mut Desk<'_>,
    bundle: &Bundle,
    enrolment: &Enrolment,
    held: Proofs,
    id: &DeviceId,
) {
    let now = desk.now;
    if let Some(digest) = enrolment.claim
        && held.has(Proof::ClaimCode)
        && let Some(claim) = bundle.claim(&digest)
    {
        let claim = ClaimRecord {
            device: Some(id.clone()),
            ..claim.clone()
        };
        desk.write(Key::Claim(digest), Record::Claim(claim));
    }
    let claimed = enrolment.enrol.credential.unit.as_ref();
    let (Some(digest), Some(claimed)) = (enrolment.unit, claimed) else {
        return;
    };
    if !(held.has(Proof::FactorySecret) || held.has(Proof::Voucher)) {
        return;
    }
    let mut unit = bundle.unit(&digest).cloned().unwrap_or(UnitRecord {
        model: enrolment.enrol.model.clone(),
        serial: claimed.serial.clone(),
        vouched: None,
        device: None,
        enrolled: Vec::new(),
    });
    if let Some(before) = living(bundle, unit.device.as_ref())
        && before.id != *id
    {
        let serial = &unit.serial;
        let text = alloc::format!(
            "unit {serial} is {id} as well: it lost its storage, or two boxes have its secret"
        );
        desk.note_about(before.subject(), NoteKind::UnitAgain, text);
        let text = alloc::format!(
            "unit {serial} is {} as well: it lost its storage, or two boxes have its secret",
            before.id
        );
        desk.note(NoteKind::UnitAgain, text);
    }
    unit.device = Some(id.clone());
    unit.enrolled.retain(|at| now.since(*at) < UNIT_SPAN);
    unit.enrolled.push(now);
    desk.write(Key::Unit(digest), Record::Unit(unit));
}

/// Which unit a serial is, among those of a model.
pub(super) fn unit_digest(config: &Config, model: &ShortText, serial: &ShortText) -> Digest {
    // No short text has a zero byte in it.
    let parts: [&[u8]; 4] = [
        b"otscert unit\0",
        model.as_str().as_bytes(),
        b"\0",
        serial.as_str().as_bytes(),
    ];
    Digest::new(config.crypto.sha256(&parts))
}

fn weigh(
    desk: &Desk<'_>,
    bundle: &Bundle,
    enrolment: &Enrolment,
    admission: &Admission,
) -> Evidence {
    let mut evidence = Evidence {
        held: Proofs::default(),
        wrong: Vec::new(),
    };
    let proved = prove_unit(desk.config, enrolment);
    match &proved {
        Some(Ok(())) => evidence.held = evidence.held.with(Proof::FactorySecret),
        Some(Err(why)) => evidence.wrong.push(why.clone()),
        None => {}
    }
    let unit = enrolment.unit.and_then(|unit| bundle.unit(&unit));
    let same_unit = matches!(proved, Some(Ok(())));
    let granted = match &enrolment.grant {
        Some(Ok(grant)) => Some(&grant.device),
        Some(Err(_)) | None => None,
    };
    // Somebody else's: not the one whose grant is shown, nor what this unit was before.
    let taken = |holder: Option<&DeviceId>| {
        let before = unit.filter(|_| same_unit).and_then(|it| it.device.as_ref());
        let own = holder.is_some() && (holder == before || holder == granted);
        !own && living(bundle, holder).is_some()
    };
    if unit.is_some_and(|unit| unit.vouched.is_some()) {
        let holder = unit.and_then(|unit| unit.device.as_ref());
        match taken(holder) {
            false => evidence.held = evidence.held.with(Proof::Voucher),
            true => evidence.wrong.push(String::from(
                "another box has enrolled with this serial; the operator has to look",
            )),
        }
    } else if enrolment.unit.is_some() && admission.asks_for(Proof::Voucher) {
        let wrong = String::from("its serial is on no voucher that was imported");
        evidence.wrong.push(wrong);
    }
    if let Some(digest) = enrolment.claim {
        let model = &enrolment.enrol.model;
        let wrong = match bundle.claim(&digest) {
            None => "the claim code was not issued here",
            Some(claim) if claim.model.as_ref().is_some_and(|it| it != model) => {
                "the claim code is of another model"
            }
            Some(claim) if taken(claim.device.as_ref()) => {
                "the claim code was used by another box: reset that one, or ask the operator"
            }
            Some(_) => {
                evidence.held = evidence.held.with(Proof::ClaimCode);
                return evidence;
            }
        };
        evidence.wrong.push(wrong.to_string());
    }
    evidence
}

/// Whether the unit's proof holds; none if it shows none.
fn prove_unit(config: &Config, enrolment: &Enrolment) -> Option<Result<(), String>> {
    let enrol = &enrolment.enrol;
    let claimed = enrol.credential.unit.as_ref()?;
    let proof = claimed.proof.as_ref()?;
    let epoch = proof.epoch;
    let Some(batch) = config.batch_key(epoch) else {
        return Some(Err(alloc::format!(
            "HQ has no factory key of epoch {epoch}; the operator has to add it"
        )));
    };
    let crypto = config.crypto;
    let secret = UnitSecret::derive(crypto, batch, epoch, &enrol.model, &claimed.serial);
    let right = secret.proof(crypto, &enrolment.thumbprint, &enrol.hq_nonce);
    match crypto.equal(&right, &proof.mac) {
        true => Some(Ok(())),
        false => Some(Err(String::from(
            "its proof is by another secret than HQ derives for this model, serial and epoch",
        ))),
    }
}

/// The device, unless its name was given up.
fn living<'a>(bundle: &'a Bundle, id: Option<&DeviceId>) -> Option<&'a DeviceRecord> {
    bundle.device(id?).filter(|device| !device.is_retired())
}

/// Strangers come in small numbers only.
fn within_limits(model: &Model, load: &Load) -> Result<(), Refused> {
    let limits = model.limits;
    let over = if load.enrolled_from_prefix >= limits.from_prefix {
        "too many devices enrolled from this network within an hour"
    } else if load.enrolled_of(&model.name) >= limits.of_model {
        "too many devices of this model enrolled within an hour"
    } else {
        return Ok(());
    };
    let kind = ProblemKind::RateLimited;
    Err((kind, over.to_string(), Some(LIMITED_RETRY)))
}

/// A unit comes again after a reset; who comes every day has its secret and not its box.
fn not_too_often(unit: Option<&UnitRecord>, now: Timestamp) -> Result<(), Refused> {
    let enrolled = unit
        .map(|unit| unit.enrolled.as_slice())
        .unwrap_or_default();
    let mut recent = enrolled.iter().filter(|at| now.since(**at) < UNIT_SPAN);
    if recent.clone().count() < MOST_OF_UNIT {
        return Ok(());
    }
    let oldest = recent.next().copied().unwrap_or(now);
    let detail = "this unit enrolled four times within a week; the operator can look";
    let wait = (oldest + UNIT_SPAN).since(now);
    Err((ProblemKind::RateLimited, detail.to_string(), Some(wait)))
}

/// For a note about a device that a person accepted.
pub(super) fn approved(desk: &mut Desk<'_>, device: &mut DeviceRecord) {
    device.admitted.proofs = device.admitted.proofs.with(Proof::Approval);
    desk.note(NoteKind::Accepted, "a person let it have its certificate");
    device.line.release(desk);
}

const OPEN: &str = "open";
const CLOSED: &str = "closed";
const EXPECTED: &str = "closed, open, or claim-code, factory-secret, voucher, approval joined by +";
const CLOSED_RETRY: Span = Span::from_hours(1);
const LIMITED_RETRY: Span = Span::from_minutes(10);
/// How often a unit may enrol with its factory secret within a week.
pub const MOST_OF_UNIT: usize = 4;
const UNIT_SPAN: Span = Span::from_days(7);
