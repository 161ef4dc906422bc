//! The device role's state for tools, secrets redacted by type.

use alloc::string::String;

use super::drive::Device;
use super::progress::Progress;
use super::state::State;
use crate::record::{self, RecordKind};
use crate::time::Moment;
use crate::wire::json::Object;

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
            .with_some_text("time", progress.time);
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

impl State {
    /// Whether this state holds a certificate that its host should serve.
    #[must_use]
    pub const fn serves(&self) -> bool {
        self.credential().is_some()
    }
}
