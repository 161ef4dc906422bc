//! A box with nothing: no source, nothing from its factory, nobody who would help it.

use otscert_machine::device::drive::Input;
use otscert_machine::device::records::{DeviceRecord, Phase};
use otscert_machine::entropy::Grade;
use otscert_machine::record::{self, RecordKind};
use otscert_machine::time::Span;

use super::rig::Rig;

/// However often it is woken and whatever HQ gives it, it makes no key, and it says why.
#[test]
fn a_box_without_any_source_makes_no_key_in_an_hour() {
    let mut rig = Rig::new();
    rig.host.bare = true;
    rig.power_on();
    rig.wait(Span::from_seconds(5));
    for second in 0..3_700 {
        rig.pass(Span::from_seconds(1));
        rig.input(Input::Woke);
        while rig.deliver() {}
        assert_eq!(rig.progress().state, "AwaitingEntropy", "second {second}");
        assert!(rig.device.derive("pool").is_err(), "second {second}");
        // A reboot in between draws nothing out of it either.
        if second % 600 == 599 {
            rig.power_on();
            rig.wait(Span::from_seconds(5));
        }
    }
    let progress = rig.progress();
    assert_eq!(progress.grade, Grade::C, "HQ's seed, against siblings");
    for words in ["makes none yet", "lists no source that counts", "browser"] {
        assert!(progress.reason.contains(words), "{}", progress.reason);
    }

    assert_eq!((rig.hq.enrolments, rig.hq.orders), (0, 0));
    assert!(rig.hq.seen.iter().all(|endpoint| *endpoint == "contact"));
    // What it stored holds no key: the phase of a box before its identity, and no credential.
    let keys: Vec<&String> = rig.host.storage.keys().collect();
    assert_eq!(keys, ["device"]);
    let bytes = &rig.host.storage["device"];
    let stored = record::open::<DeviceRecord>(RecordKind::Device, bytes, rig.config.crypto);
    let phase = stored.unwrap().phase;
    assert!(matches!(phase, Phase::Fresh(_)), "{phase:?}");
}

/// Where its randomness came from stands in what tools see, with what each source counts.
#[test]
fn the_view_says_what_each_source_counts_against_whom() {
    let mut rig = Rig::new();
    rig.power_on();
    rig.settle();
    let view = rig.device.view(rig.now);
    for part in [
        r#""sentence":"Neither strangers nor this box's maker can guess its keys.""#,
        r#"{"against":"SNAHLW","bits":256,"kind":"system","label":"operating system","state":"gave"}"#,
        r#"{"against":"S","bits":256,"kind":"remote-seed","label":"","state":"gave"}"#,
        r#""uniform":{"A":256,"H":256,"L":256,"N":256,"S":512,"W":256}"#,
    ] {
        assert!(view.contains(part), "{part} is not in {view}");
    }
    let mut rig = Rig::new();
    rig.host.entropy = false;
    rig.power_on();
    rig.wait(Span::from_seconds(5));
    let view = rig.device.view(rig.now);
    let silent = r#"{"against":"","bits":0,"kind":"system","label":"operating system","state":"silent","why":"it is not ready"}"#;
    assert!(view.contains(silent), "{view}");
}
