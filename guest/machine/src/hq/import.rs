//! What the factory made becomes known at HQ: claim codes, vouched units, keys of starved firmware.
//!
//! Nothing that is there is overwritten: a code that has been used stays used, whoever imports its
//! batch again.

use alloc::string::String;
use alloc::vec::Vec;

use super::bundle::Bundle;
use super::desk::Desk;
use super::event::{Import, MAX_IMPORT, NoteKind, Subject, Verdict};
use super::records::{ClaimRecord, Key, Record, TlsRecord, UnitRecord};
use crate::types::Digest;

/// Which records an import needs: those that it must not overwrite.
pub(super) fn reads(import: &Import) -> Vec<Key> {
    match import {
        Import::Claims { codes, .. } => codes.iter().copied().map(Key::Claim).collect(),
        Import::Units { units, .. } => units.iter().map(|(unit, _)| Key::Unit(*unit)).collect(),
        Import::StarvedKeys { keys, .. } => keys.iter().copied().map(Key::Tls).collect(),
    }
}

/// Takes what is new of it.
pub(super) fn import(desk: &mut Desk<'_>, bundle: &Bundle, import: &Import) -> Verdict {
    if reads(import).len() > MAX_IMPORT {
        return Verdict::Unexpected;
    }
    let (taken, what) = match import {
        Import::Claims { codes, model } => {
            let mut taken = 0;
            for code in codes.iter().filter(|code| bundle.claim(code).is_none()) {
                let claim = ClaimRecord {
                    model: model.clone(),
                    imported: desk.now,
                    device: None,
                };
                desk.write(Key::Claim(*code), Record::Claim(claim));
                taken += 1;
            }
            (taken, "claim codes")
        }
        Import::Units { model, units } => {
            let mut taken = 0;
            for (digest, serial) in units {
                let known = bundle.unit(digest);
                if known.is_some_and(|unit| unit.vouched.is_some()) {
                    continue;
                }
                let mut unit = known.cloned().unwrap_or_else(|| UnitRecord {
                    model: model.clone(),
                    serial: serial.clone(),
                    vouched: None,
                    device: None,
                    enrolled: Vec::new(),
                });
                unit.vouched = Some(desk.now);
                desk.write(Key::Unit(*digest), Record::Unit(unit));
                taken += 1;
            }
            (taken, "vouched serials")
        }
        Import::StarvedKeys { release, keys } => (
            starved(desk, bundle, release.as_str(), keys),
            "keys that a box without entropy makes",
        ),
    };
    let of = reads(import).len();
    let text = alloc::format!("{taken} new of {of} {what}");
    desk.note(NoteKind::Imported, text);
    Verdict::Taken
}

/// The operator lets another device use the code.
pub(super) fn release_claim(desk: &mut Desk<'_>, bundle: &Bundle, code: Digest) -> Verdict {
    let Some(claim) = bundle.claim(&code) else {
        return Verdict::Unexpected;
    };
    let Some(device) = &claim.device else {
        return Verdict::NoOp;
    };
    let text = String::from("its claim code may be used by another device: the operator says so");
    desk.note_about(Subject::Device(device.clone()), NoteKind::Accepted, text);
    let claim = ClaimRecord {
        device: None,
        ..claim.clone()
    };
    desk.write(Key::Claim(code), Record::Claim(claim));
    Verdict::Taken
}

/// A key that a box has made already says that the box lacks entropy.
fn starved(desk: &mut Desk<'_>, bundle: &Bundle, release: &str, keys: &[Digest]) -> usize {
    let mut taken = 0;
    for key in keys {
        match bundle.tls(key) {
            None => {
                let tls = TlsRecord {
                    subject: alloc::format!("{STARVED}{release}"),
                    certified: false,
                };
                desk.write(Key::Tls(*key), Record::Tls(tls));
                taken += 1;
            }
            Some(known) => {
                if let Ok(subject) = Subject::parse(&known.subject) {
                    let text = alloc::format!(
                        "its TLS key is one that {release} makes without entropy: give it a new one"
                    );
                    desk.note_about(subject, NoteKind::KeyReused, text);
                }
            }
        }
    }
    taken
}

/// What stands before the release, in the place of a subject, in the record of a starved key.
pub(super) const STARVED: &str = "starved/";
