//! The device role against a small HQ of the tests' own, in memory.
#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot go on may as well stop where it stands"
)]

mod answers;
mod factory;
mod jitter;
mod memory;
mod mini_hq;
mod orders;
mod patience;
mod rare;
mod resets;
mod rig;
mod sampled;
mod seeder;
mod seeds;
mod starved;
mod table;

use otscert_crypto::RustCrypto;
use otscert_machine::crypto::Secret;
use otscert_machine::device::Device;
use otscert_machine::device::drive::Input;
use otscert_machine::peer::{Answer, Endpoint};
use otscert_machine::time::{ClockTrust, Span, Timestamp};
use otscert_machine::types::{Digest, DnsName, NameMode};
use otscert_machine::wire::json::Json;
use otscert_machine::wire::message::Command;
use otscert_machine::wire::problem::ProblemKind;
use otscert_machine::wire::trust::Grant;
use otscert_machine::x509::csr;

use mini_hq::MiniHq;
use rig::{NOW, Rig};

#[test]
fn a_fresh_box_ends_on_https() {
    let mut rig = Rig::new();
    rig.power_on();
    rig.settle();
    let progress = rig.progress();
    assert_eq!(progress.state, "Serving", "{}", progress.reason);
    assert_eq!(progress.credential_version, 1);
    assert_eq!(rig.hq.seen, ["contact", "enrol", "order", "poll", "poll"]);
    let pair = rig.device.credential().unwrap();
    assert_eq!(pair.chain.len(), 1);
    assert_eq!(rig.hq.orders, 1);
}

#[test]
fn a_box_whose_instance_is_dropped_after_every_event_reaches_serving_all_the_same() {
    let mut rig = Rig::new();
    rig.recreate_always = true;
    rig.power_on();
    rig.settle();
    assert_eq!(rig.progress().state, "Serving");
    assert_eq!((rig.hq.enrolments, rig.hq.orders), (1, 1));
}

#[test]
fn a_restart_keeps_identity_name_and_certificate() {
    let mut rig = Rig::new();
    rig.power_on();
    rig.settle();
    let before = rig.progress();
    rig.power_on();
    assert_eq!(
        rig.progress().state,
        "Serving",
        "at once, before any word with HQ"
    );
    let seen = rig.hq.seen.len();
    rig.wait(Span::from_seconds(31));
    assert_eq!(rig.hq.seen.len(), seen + 1, "it looks in within 30 seconds");
    let after = rig.progress();
    assert_eq!((after.device, after.names), (before.device, before.names));
    assert_eq!(after.credential_version, before.credential_version);
    assert_eq!(rig.hq.enrolments, 1);
}

#[test]
fn a_failing_write_at_any_moment_loses_nothing() {
    for failing in 0..24 {
        let mut rig = Rig::new();
        rig.host.fail_write = Some(failing);
        rig.power_on();
        rig.settle();
        assert_eq!(rig.progress().state, "Serving", "write {failing} failed");
        assert_eq!(
            (rig.hq.enrolments, rig.hq.orders),
            (1, 1),
            "write {failing} failed"
        );
    }
}

#[test]
fn a_power_cut_at_any_write_loses_nothing() {
    for cut in 0..24 {
        for after in [false, true] {
            let mut rig = Rig::new();
            rig.host.cut_at = Some((cut, after));
            rig.power_on();
            rig.settle();
            assert_eq!(rig.progress().state, "Serving", "cut at write {cut}");
            assert_eq!(
                (rig.hq.enrolments, rig.hq.orders),
                (1, 1),
                "cut at write {cut}"
            );
        }
    }
}

#[test]
fn nothing_is_sent_that_is_not_stored() {
    let mut rig = Rig::new();
    rig.host.check_stored = true;
    rig.power_on();
    rig.settle();
    assert_eq!(rig.progress().state, "Serving");
}

#[test]
fn a_renewal_uses_a_new_key_and_the_old_certificate_serves_meanwhile() {
    let mut rig = Rig::new();
    rig.power_on();
    rig.settle();
    let first = rig.device.credential().unwrap();
    rig.wait(Span::from_days(40));
    let second = rig.device.credential().unwrap();
    assert!(second.version > first.version);
    assert_ne!(second.private_key.expose(), first.private_key.expose());
    assert!(rig.states.contains(&"Renewing"));
    assert!(!rig.states_after_serving().contains(&"AwaitingCertificate"));
}

#[test]
fn a_certificate_for_another_key_is_refused_and_the_old_one_serves() {
    let mut rig = Rig::new();
    rig.power_on();
    rig.settle();
    let first = rig.device.credential().unwrap();
    let key = Secret::new([9; 32]);
    let names = &rig.progress().names;
    rig.hq.instead = csr::build(&RustCrypto, &key, names, &[1; 32]);
    rig.wait(Span::from_days(33));
    let held = rig.device.credential().unwrap();
    assert_eq!((held.version, held.chain), (first.version, first.chain));
    let trouble = rig.hq.trouble.take().unwrap();
    assert!(trouble.contains("another key"), "{trouble}");
}

#[test]
fn hq_may_ask_for_a_renewal_at_any_time() {
    let mut rig = Rig::new();
    rig.power_on();
    rig.settle();
    rig.hq.command = Some(Command::Renew);
    rig.wait(Span::from_hours(30));
    assert_eq!(rig.hq.orders, 2);
    assert_eq!(rig.progress().credential_version, 2);
}

#[test]
fn an_answer_to_another_request_is_refused() {
    let mut rig = Rig::new();
    rig.power_on();
    let (exchange, endpoint, body) = rig.host.submitted.remove(0);
    let mut other = body.clone();
    other.retain(|byte| *byte != b'}');
    other.extend_from_slice(br#","other":1}"#);
    let swapped = rig.hq.answer(endpoint, &other, rig.now);
    rig.input(Input::Answered {
        exchange,
        answer: Answer::Hq(swapped),
    });
    assert_eq!(rig.progress().state, "AwaitingContact");
    assert!(
        rig.progress().reason.contains("another request"),
        "{}",
        rig.progress().reason
    );
    rig.settle();
    assert_eq!(rig.progress().state, "Serving");
}

#[test]
fn an_answer_that_hq_did_not_sign_changes_nothing() {
    let mut rig = Rig::new();
    let mut stranger = MiniHq::new(9);
    rig.power_on();
    let (exchange, endpoint, body) = rig.host.submitted.remove(0);
    let forged = stranger.answer(endpoint, &body, rig.now);
    rig.input(Input::Answered {
        exchange,
        answer: Answer::Hq(forged),
    });
    assert_eq!(rig.progress().state, "AwaitingContact");
    assert!(
        rig.progress().reason.contains("no root"),
        "{}",
        rig.progress().reason
    );
}

#[test]
fn a_delegation_of_an_older_epoch_is_refused() {
    let mut rig = Rig::new();
    rig.hq.delegate(2);
    rig.power_on();
    rig.settle();
    rig.hq.delegate(1);
    rig.wait(Span::from_hours(30));
    assert!(
        rig.progress().reason.contains("epoch 1"),
        "{}",
        rig.progress().reason
    );
    assert_eq!(rig.progress().state, "Serving", "it never stops serving");
}

#[test]
fn hq_that_forgot_a_box_is_shown_the_grant() {
    let mut rig = Rig::new();
    rig.power_on();
    rig.settle();
    let before = rig.progress();
    rig.hq.forget();
    rig.wait(Span::from_hours(30));
    let after = rig.progress();
    assert_eq!(rig.hq.reinstated, 1);
    assert_eq!((after.device, after.names), (before.device, before.names));
    assert_eq!(after.state, "Serving");
}

#[test]
fn a_request_that_somebody_put_on_another_path_is_sent_again_unchanged() {
    let mut rig = Rig::new();
    rig.power_on();
    rig.deliver();
    let enrol = rig.device.state().pending().unwrap().clone();
    rig.hq.refuse = Some(ProblemKind::WrongType);
    rig.deliver();
    assert_eq!(rig.device.state().pending(), Some(&enrol));
    rig.hq.refuse = None;
    rig.settle();
    assert_eq!(rig.progress().state, "Serving");
}

#[test]
fn a_grant_for_another_key_is_refused() {
    let mut rig = Rig::new();
    rig.hq.foreign_grant = true;
    rig.power_on();
    rig.wait(Span::from_minutes(5));
    assert_eq!(rig.progress().state, "Enrolling");
    assert!(
        rig.progress().reason.contains("grant"),
        "{}",
        rig.progress().reason
    );
    assert_eq!(
        rig.device.state().pending().unwrap().endpoint,
        Endpoint::Enrol
    );
}

#[test]
fn a_newer_grant_is_stored_and_shown_and_one_of_another_name_is_refused() {
    let mut rig = Rig::new();
    rig.power_on();
    rig.settle();
    rig.hq.delegate(2);
    let (key, device) = rig.hq.device.clone().unwrap();
    let name = rig.progress().names[0].base.clone();
    let other = DnsName::parse("another.devices.test").unwrap();
    let mut grant = Grant {
        key: key.thumbprint(&RustCrypto),
        device,
        mode: NameMode::Address,
        name: other,
        serial: 1,
        issued: rig.hq.clock,
    };
    rig.hq.grant = Some(grant.sign(&RustCrypto, &rig.hq.signer));
    rig.wait(Span::from_hours(13));
    assert!(rig.hq.grant.is_none(), "it went out");

    grant.name = name;
    rig.hq.grant = Some(grant.sign(&RustCrypto, &rig.hq.signer));
    rig.hq.answered = None;
    rig.wait(Span::from_hours(26));
    assert!(rig.hq.grant.is_none(), "it went out");
    rig.hq.forget();
    rig.hq.oldest_grant_epoch = 2;
    rig.wait(Span::from_hours(26));
    assert_eq!(rig.hq.reinstated, 1, "{}", rig.progress().reason);
    assert_eq!(rig.progress().names[0].base, grant.name);
}

#[test]
fn a_credential_that_the_server_cannot_use_gives_way_to_the_one_before() {
    let mut rig = Rig::new();
    rig.power_on();
    rig.settle();
    let first = rig.device.credential().unwrap();
    rig.input(Input::Renew);
    rig.settle();
    assert_eq!(rig.progress().credential_version, 2);
    rig.input(Input::CredentialRefused {
        version: 2,
        reason: "no path to a root".into(),
    });
    let back = rig.device.credential().unwrap();
    assert_eq!((back.version, &back.chain), (3, &first.chain));
    rig.wait(Span::from_hours(30));
    assert_eq!(rig.hq.trouble.as_deref(), Some("no path to a root"));
}

#[test]
fn a_late_complaint_about_another_credential_changes_nothing() {
    let mut rig = Rig::new();
    rig.power_on();
    rig.settle();
    rig.input(Input::CredentialRefused {
        version: 7,
        reason: "no path to a root".into(),
    });
    assert_eq!(rig.progress().state, "Serving");
    assert_eq!(rig.device.credential().unwrap().version, 1);
}

#[test]
fn word_mode_reports_addresses_when_they_change() {
    let mut rig = Rig::new();
    rig.hq.mode = NameMode::Word;
    rig.power_on();
    let at = |text: &str| Input::Addresses(vec![text.parse().unwrap()]);
    rig.input(at("192.168.1.7"));
    rig.settle();
    assert_eq!(rig.hq.addresses, ["192.168.1.7"]);
    rig.input(at("192.168.1.7"));
    rig.input(at("192.168.1.8"));
    rig.settle();
    assert_eq!(rig.hq.addresses, ["192.168.1.7", "192.168.1.8"]);
}

#[test]
fn address_mode_never_reports_addresses() {
    let mut rig = Rig::new();
    rig.power_on();
    rig.input(Input::Addresses(vec!["192.168.1.7".parse().unwrap()]));
    rig.settle();
    assert!(rig.hq.addresses.is_empty());
}

#[test]
fn a_damaged_record_is_an_error_that_names_it_and_nothing_is_overwritten() {
    let mut rig = Rig::new();
    rig.power_on();
    rig.settle();
    let mut damaged = rig.host.storage.clone();
    let record = damaged.get_mut("device").unwrap();
    record.truncate(record.len() / 2);
    rig.host.storage = damaged.clone();
    rig.device = Device::new(rig.config.clone()).unwrap();
    let error = rig
        .device
        .advance(&mut rig.host, rig.now, Input::Resumed(9))
        .unwrap_err();
    assert!(error.to_string().contains("\"device\""), "{error}");
    assert_eq!(rig.host.storage, damaged);
}

#[test]
fn a_clock_that_was_never_set_does_not_keep_a_box_from_serving() {
    let mut rig = Rig::new();
    rig.trust = ClockTrust::Unset;
    rig.power_on();
    rig.settle();
    assert_eq!(rig.progress().state, "Serving", "{}", rig.progress().reason);
    let time = rig.progress().time.unwrap();
    assert!(time >= Timestamp::from_millis(NOW), "{time}");
}

#[test]
fn a_member_of_a_later_version_is_ignored() {
    let mut rig = Rig::new();
    rig.power_on();
    let (exchange, endpoint, body) = rig.host.submitted.remove(0);
    let req = Digest::of(&RustCrypto, &body);
    assert_eq!(endpoint, Endpoint::Contact);
    let (typ, payload) = rig.hq.contact(req, &body);
    let payload = payload.with("later", Json::List(vec![Json::Other]));
    let answer = rig.hq.signer.sign(&RustCrypto, typ, &payload).to_bytes();
    rig.input(Input::Answered {
        exchange,
        answer: Answer::Hq(answer),
    });
    assert_eq!(rig.progress().state, "Enrolling");
}
