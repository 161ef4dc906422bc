//! The device role's state for tools, secrets redacted by type.

use alloc::string::String;

use super::drive::Device;
use super::progress::Progress;
use crate::entropy::{Bits, Class, Entropy, SourceState};
use crate::record::{self, RecordKind};
use crate::time::Moment;
use crate::wire::json::{Json, Object};

impl Device {
    /// SHA-256 over a canonical encoding of the state: its name, and the records that it would
    /// store. What an instance forgets (timers, what is in flight) is not part of it.
    #[must_use]
    pub fn state_digest(&self) -> [u8; 32] {
        let (crypto, state) = (self.config().crypto, self.state());
        let device = state
            .unit()
            .zip(state.phase())
            .map(|(unit, phase)| record::seal(RecordKind::Device, &unit.record(phase), crypto));
        let credential = state
            .credential()
            .map(|held| record::seal(RecordKind::DeviceCredential, held, crypto));
        let outbox = state
            .unit()
            .map(|unit| record::seal(RecordKind::RetireOutbox, &unit.outbox.waiting, crypto));
        let records = [device, credential, outbox].map(Option::unwrap_or_default);
        crypto.sha256(&[
            state.name().as_bytes(),
            &records[0],
            &records[1],
            &records[2],
        ])
    }

    /// The state as JSON.
    #[must_use]
    pub fn view(&self, now: Moment) -> String {
        let progress = Progress::of(self.config(), self.state(), now);
        let object = Object::default()
            .with_text("state", progress.state)
            .with_text("reason", &progress.reason)
            .with_text("grade", progress.grade.letter())
            .with_number("credentialVersion", progress.credential_version)
            .with_some_text("device", progress.device.as_ref())
            .with_texts("names", &progress.names)
            .with_some_text("notAfter", progress.not_after)
            .with_some_text("time", progress.time)
            .with("entropy", Json::Object(entropy(self.state().entropy())));
        let object = match self.state().unit() {
            Some(unit) => object
                .with_number("bootCount", unit.boot_count)
                .with_number("exchanges", unit.exchanges)
                .with_text("floor", unit.clock.floor)
                .with_number("epoch", unit.clock.epoch)
                .with_texts("addresses", &unit.addresses)
                .with_number("outbox", unit.outbox.waiting.len() as u64),
            None => object,
        };
        let object = match self.state().pending() {
            Some(pending) => object
                .with_text("pending", alloc::format!("{:?}", pending.endpoint))
                .with_text("pendingDigest", pending.digest),
            None => object,
        };
        let text = object.to_bytes();
        String::from_utf8(text).unwrap_or_default()
    }
}

/// Where the randomness came from, and what each source counts against whom.
fn entropy(entropy: &Entropy) -> Object {
    let report = entropy.report();
    let sources = report.sources.iter().map(|(kind, label, state, credit)| {
        let bits = |class: &Class| credit.uniform.of(*class).max(credit.noise.of(*class));
        let against = Class::ALL.into_iter().filter(|class| bits(class) > 0);
        let most = Class::ALL.iter().map(bits).max().unwrap_or_default();
        let (state, why) = match state {
            SourceState::Gave => ("gave", None),
            SourceState::Silent(why) => ("silent", Some(why)),
            SourceState::Faulty(why) => ("faulty", Some(why)),
            SourceState::GivenUp(why) => ("given-up", Some(why)),
        };
        let object = Object::default()
            .with_text("kind", kind)
            .with_text("label", label)
            .with_text("state", state)
            .with_some_text("why", why)
            .with_number("bits", most.into())
            .with_text("against", against.map(Class::letter).collect::<String>());
        Json::Object(object)
    });
    Object::default()
        .with_text("sentence", report.grade.sentence())
        .with("uniform", Json::Object(bits(&report.uniform)))
        .with("noise", Json::Object(bits(&report.noise)))
        .with("sources", Json::List(sources.collect()))
}

/// Bits against each class, by its letter.
fn bits(bits: &Bits) -> Object {
    let classes = Class::ALL.into_iter();
    classes.fold(Object::default(), |object, class| {
        let letter: String = core::iter::once(class.letter()).collect();
        object.with_number(&letter, bits.of(class).into())
    })
}
