//! What a box asks HQ before it has a name, and how any request goes out.

use alloc::string::String;
use alloc::vec::Vec;

use super::config::{Config, Credential};
use super::event::Effect;
use super::records::{Identity, Pending};
use super::state::Unit;
use crate::entropy::{Credit, Entropy, SourceKind, SourceState};
use crate::peer::Endpoint;
use crate::time::Moment;
use crate::types::{Digest, ExchangeId, Nonce, ShortText, Thumbprint};
use crate::wire::json::Object;
use crate::wire::jws::{self, Header, Signer, Typ};
use crate::wire::message::{self, Contact, EntropyReport, UnitClaim, UnitName, UnitProof};
use crate::wire::trust::Roots;

/// Submits a pending request that has been persisted, if it is due.
pub(super) fn send(unit: &mut Unit, pending: &Pending, now: Moment, effects: &mut Vec<Effect>) {
    if !unit.link.is_due(now.monotonic) {
        return;
    }
    unit.link.in_flight = true;
    unit.link.asked = Some(now.monotonic);
    effects.push(Effect::Submit {
        exchange: pending.exchange,
        endpoint: pending.endpoint,
        body: pending.body.clone(),
    });
}

/// A `contact` whose nonce is made of raw noise: public, and never an output of the pool.
pub(super) fn contact(
    config: &Config,
    unit: &mut Unit,
    to: &Roots,
    name: Option<UnitName>,
    noise: &[u8],
) -> Pending {
    let exchange = unit.next_exchange();
    let parts: [&[u8]; 5] = [
        b"otscert contact v1",
        &config.personal,
        &unit.boot_count.to_le_bytes(),
        &exchange.number().to_le_bytes(),
        noise,
    ];
    let body = Contact {
        aud: to.hq_id.clone(),
        nonce: Digest::new(config.crypto.sha256(&parts)),
        model: config.model.clone(),
        firmware: config.firmware.clone(),
        boot_count: unit.boot_count,
        unit: name,
    }
    .to_bytes();
    pending(config, Endpoint::Contact, exchange, body)
}

/// A `contact` of a box whose generator is ready, which may then give the noise.
pub(super) fn public_contact(config: &Config, unit: &mut Unit) -> Option<Pending> {
    let generator = unit.entropy.ready(config.crypto, config.hq_trusted)?;
    let noise: [u8; 32] = generator.bytes(config.crypto);
    let name = config.credential.name();
    Some(contact(config, unit, &config.roots, name, &noise))
}

/// An `enrol`; none while the generator is not ready.
pub(super) fn enrol(
    config: &Config,
    unit: &mut Unit,
    identity: &Identity,
    hq_nonce: String,
    grant: Option<Object>,
) -> Option<Pending> {
    let entropy = report(&unit.entropy);
    let generator = unit.entropy.ready(config.crypto, config.hq_trusted)?;
    let nonce = Nonce::new(generator.bytes(config.crypto));
    let thumbprint = identity.public.thumbprint(config.crypto);
    let payload = message::Enrol {
        nonce,
        credential: credential(config, unit, &thumbprint, &hq_nonce),
        boot_count: Some(unit.boot_count),
        hq_nonce,
        model: config.model.clone(),
        firmware: config.firmware.clone(),
        entropy,
        grant,
    }
    .to_object();
    let header = Header {
        typ: Typ::Enrol,
        aud: config.roots.hq_id.clone(),
        signer: Signer::Key(identity.public),
        delegation: None,
    };
    let body = jws::sign(config.crypto, &identity.seed, &header, &payload).to_bytes();
    let exchange = unit.next_exchange();
    Some(pending(config, Endpoint::Enrol, exchange, body))
}

/// A request with its digest.
pub(super) fn pending(
    config: &Config,
    endpoint: Endpoint,
    exchange: ExchangeId,
    body: Vec<u8>,
) -> Pending {
    let digest = Digest::of(config.crypto, &body);
    Pending {
        endpoint,
        exchange,
        body,
        digest,
    }
}

fn report(entropy: &Entropy) -> EntropyReport {
    let short = |kind: SourceKind| ShortText::parse("source", kind.as_str()).ok();
    let gave = |(kind, _, state, _): (SourceKind, String, SourceState, Credit)| {
        (state == SourceState::Gave).then(|| short(kind)).flatten()
    };
    let sources = entropy
        .report()
        .sources
        .into_iter()
        .filter_map(gave)
        .collect();
    EntropyReport {
        grade: entropy.grade(),
        sources,
    }
}

/// What the unit has to show for itself.
fn credential(
    config: &Config,
    unit: &Unit,
    thumbprint: &Thumbprint,
    hq_nonce: &str,
) -> message::Credential {
    let Credential {
        claim_code,
        serial,
        secret,
    } = &config.credential;
    let proof = secret.as_ref().map(|secret| UnitProof {
        epoch: secret.epoch,
        mac: secret.proof(config.crypto, thumbprint, hq_nonce),
    });
    let serial = serial.clone();
    message::Credential {
        // What a person typed is newer than what the image says.
        claim_code: unit.claim_code.as_ref().or(claim_code.as_ref()).cloned(),
        unit: serial.map(|serial| UnitClaim { serial, proof }),
    }
}
