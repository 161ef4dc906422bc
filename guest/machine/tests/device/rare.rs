//! What seldom happens to a box: a host that fails in the middle, a name that went to somebody else,
//! orders that come to nothing, farewells that pile up.

use std::collections::BTreeSet;

use otscert_crypto::RustCrypto;
use otscert_machine::crypto::SecretBytes;
use otscert_machine::device::Device;
use otscert_machine::device::config::{Config, Credential};
use otscert_machine::device::drive::{DriveError, Input};
use otscert_machine::entropy::generator::RESEED_AFTER;
use otscert_machine::factory::UnitSecret;
use otscert_machine::peer::{Answer, Endpoint, Failure, FailureKind};
use otscert_machine::time::Span;
use otscert_machine::types::{NameMode, ShortText};
use otscert_machine::wire::problem::ProblemKind;
use serde_json::Value;

use super::rig::Rig;

/// Reading and sending; what fails to be written is another test.
#[test]
fn a_host_that_fails_any_call_is_asked_again_and_nothing_is_lost() {
    let mut failed = 0;
    for call in 0.. {
        let mut rig = Rig::new();
        rig.host.fail_call = Some(call);
        rig.power_on();
        rig.settle();
        rig.input(Input::Reset);
        rig.wait(Span::from_minutes(10));
        assert_eq!(rig.progress().state, "Serving", "call {call}");
        assert_eq!((rig.hq.enrolments, rig.hq.retired), (2, 1), "call {call}");
        if rig.host.fail_call.is_some() {
            break;
        }
        failed += 1;
    }
    assert!(failed > 12, "{failed} calls");
}

#[test]
fn a_second_operator_whose_request_cannot_be_sent_is_asked_again() {
    for call in 0.. {
        let (mut rig, mut other) = super::seeder::with_seeder();
        rig.host.fail_call = Some(call);
        rig.power_on();
        rig.wait(Span::from_seconds(2));
        super::seeder::answer(&mut rig, &mut other);
        rig.settle();
        assert_eq!(rig.progress().state, "Serving", "call {call}");
        if rig.host.fail_call.is_some() {
            assert!(call > 8, "{call} calls");
            break;
        }
    }
}

#[test]
fn a_box_whose_name_went_to_somebody_else_takes_another_and_a_certificate_for_it() {
    let mut rig = Rig::new();
    rig.power_on();
    rig.settle();
    let before = rig.progress();
    rig.hq.forget();
    rig.hq.rename = true;
    rig.wait(Span::from_days(1));
    let after = rig.progress();
    assert_ne!(after.names, before.names);
    assert_eq!(after.credential_version, before.credential_version + 1);
    assert_eq!(after.state, "Serving");
}

#[test]
fn an_order_that_hq_gives_up_is_ordered_anew_and_not_in_haste() {
    let mut rig = Rig::new();
    rig.hq.give_up = true;
    rig.power_on();
    rig.settle();
    assert_eq!(rig.hq.orders, 1);
    // A minute, ten, a hundred; a quarter more at most.
    for (minutes, orders) in [(2, 2), (8, 2), (4, 3), (90, 3), (30, 4)] {
        rig.wait(Span::from_minutes(minutes));
        assert_eq!(rig.hq.orders, orders);
    }
    rig.wait(Span::from_hours(12));
    let orders = rig.hq.orders;
    assert!((2..20).contains(&orders), "{orders} orders in half a day");
    rig.hq.give_up = false;
    rig.wait(Span::from_days(2));
    assert_eq!(rig.progress().state, "Serving");
    // Also while another certificate serves.
    rig.hq.give_up = true;
    rig.input(Input::Renew);
    rig.wait(Span::from_minutes(1));
    assert_eq!(rig.progress().state, "Serving", "and not Renewing");
    rig.hq.give_up = false;
    rig.wait(Span::from_days(2));
    assert_eq!(rig.progress().credential_version, 2);
    // A word about an order that the box does not have.
    rig.hq.give_up = true;
    rig.wait(Span::from_days(2));
    let progress = rig.progress();
    assert_eq!(
        (progress.state, progress.credential_version),
        ("Serving", 2)
    );
}

#[test]
fn addresses_that_hq_does_not_take_are_not_reported_again_before_they_change() {
    let mut rig = Rig::new();
    rig.hq.mode = NameMode::Word;
    rig.power_on();
    rig.input(at("192.168.1.7"));
    rig.hq.refuse_at = Some((Endpoint::Address, ProblemKind::BadAddress));
    rig.settle();
    assert_eq!(rig.progress().state, "Serving");
    let refused = rig.hq.refused;
    assert_eq!(refused, 1);
    rig.wait(Span::from_hours(3));
    assert_eq!(rig.hq.refused, refused, "once is enough");
    rig.hq.refuse_at = None;
    rig.input(at("192.168.1.8"));
    rig.wait(Span::from_minutes(1));
    assert_eq!(rig.hq.addresses, ["192.168.1.8"]);
}

#[test]
fn of_farewells_that_nobody_hears_the_newest_are_kept() {
    let mut rig = Rig::new();
    for round in 0..6 {
        rig.power_on();
        rig.settle();
        rig.hq.down = true;
        rig.input(Input::Reset);
        let kept = stored_farewells(&rig);
        assert_eq!(kept, (round + 1).min(4), "round {round}");
        rig.hq.down = false;
        rig.hq.refuse_at = Some((Endpoint::Retire, ProblemKind::Unavailable));
    }
    rig.hq.refuse_at = None;
    rig.wait(Span::from_days(1));
    assert_eq!(rig.hq.retired, 4);
    assert_eq!(stored_farewells(&rig), 0);
}

#[test]
fn a_farewell_is_said_until_hq_hears_it_and_no_longer_than_hq_knows_the_box() {
    for heard in [
        None,
        Some(ProblemKind::UnknownDevice),
        Some(ProblemKind::Retired),
    ] {
        let mut rig = Rig::new();
        rig.power_on();
        rig.settle();
        rig.hq.down = true;
        rig.input(Input::Reset);
        rig.wait(Span::from_hours(2));
        assert_eq!(stored_farewells(&rig), 1, "nobody heard it");
        rig.hq.down = false;
        rig.hq.refuse_at = heard.map(|kind| (Endpoint::Retire, kind));
        rig.wait(Span::from_days(1));
        assert_eq!(stored_farewells(&rig), 0, "{heard:?}");
        assert_eq!(rig.hq.retired + rig.hq.refused, 1, "{heard:?}: once");
    }
}

#[test]
fn a_box_that_has_not_read_its_records_takes_nothing() {
    let mut rig = Rig::new();
    let inputs = [Input::Woke, Input::Reset, at("10.0.0.1")];
    for input in inputs {
        let error = rig
            .device
            .advance(&mut rig.host, rig.now, input)
            .unwrap_err();
        assert!(matches!(error, DriveError::NotResumed), "{error}");
        assert_eq!(error.to_string(), String::from(error));
    }
    assert!(rig.host.storage.is_empty() && rig.host.submitted.is_empty());
}

#[test]
fn a_companion_that_brings_another_length_than_a_seed_counts_for_nothing() {
    let mut rig = Rig::new();
    rig.host.entropy = false;
    rig.power_on();
    rig.input(Input::Companion(SecretBytes::new(vec![1; 31])));
    let view: Value = serde_json::from_str(&rig.device.view(rig.now)).unwrap();
    assert_eq!(view["grade"], "D", "{view}");
}

#[test]
fn the_digest_tells_what_is_stored_and_the_view_what_people_ask() {
    let mut rig = Rig::new();
    let mut digests = BTreeSet::new();
    let mut states = BTreeSet::new();
    rig.power_on();
    for _ in 0..40 {
        digests.insert(rig.device.state_digest());
        let view: Value = serde_json::from_str(&rig.device.view(rig.now)).unwrap();
        assert_eq!(view["state"], rig.progress().state);
        assert_eq!(view["credentialVersion"], rig.progress().credential_version);
        assert_eq!(
            view["pending"].is_string(),
            rig.device.state().pending().is_some()
        );
        states.insert(view["state"].to_string());
        if !rig.deliver() {
            rig.pass(Span::from_seconds(1));
            rig.input(Input::Woke);
        }
    }
    assert_eq!(states.len(), 4, "{states:?}");
    assert!(digests.len() >= 5, "{} digests", digests.len());

    let before = rig.device.state_digest();
    let unread = Device::new(rig.config.clone()).unwrap();
    assert_ne!(unread.state_digest(), before);
    assert!(unread.view(rig.now).contains("\"Loading\""));
}

#[test]
fn every_state_has_a_digest_and_a_view() {
    let mut digests = BTreeSet::new();
    let benches = super::table::benches();
    for (name, rig) in &benches {
        let view: Value = serde_json::from_str(&rig.device.view(rig.now)).unwrap();
        assert_eq!(view["state"], rig.device.state().name(), "{name}");
        digests.insert(rig.device.state_digest());
        let serves = ["Serving", "Renewing"].contains(&rig.device.state().name());
        assert_eq!(rig.device.credential().is_some(), serves, "{name}");
    }
    assert_eq!(digests.len(), benches.len());
}

#[test]
fn a_source_that_is_stuck_is_shown_as_faulty() {
    let mut rig = Rig::new();
    rig.host.stuck = true;
    rig.power_on();
    let shown = |rig: &Rig| {
        let view: Value = serde_json::from_str(&rig.device.view(rig.now)).unwrap();
        let sources = view["entropy"]["sources"].as_array().unwrap();
        let system = sources
            .iter()
            .find(|source| source["kind"] == "system")
            .unwrap();
        assert!(system["why"].is_string(), "{view}");
        system["state"].as_str().unwrap().to_owned()
    };
    assert_eq!(shown(&rig), "faulty");
    rig.wait(Span::from_seconds(5));
    assert_eq!(
        (rig.progress().state, shown(&rig).as_str()),
        ("AwaitingEntropy", "given-up")
    );
}

/// Power came back before the board's generator did, and the saved seeds are gone.
#[test]
fn a_box_that_starts_without_entropy_signs_nothing_and_goes_on_when_it_has_some() {
    for delivered in [1, 2, 3] {
        let mut rig = Rig::new();
        rig.power_on();
        for _ in 0..delivered {
            rig.deliver();
        }
        rig.host.entropy = false;
        rig.host.storage.retain(|key, _| !key.starts_with("seed/"));
        rig.power_on();
        let sent = rig.host.sent.len();
        rig.wait(Span::from_hours(1));
        assert_eq!(rig.progress().state, "AwaitingCertificate", "{delivered}");
        let bodies: BTreeSet<_> = rig.host.sent[sent - 1..].iter().collect();
        assert!(
            bodies.len() <= 2,
            "{delivered}: only what was signed before is sent again"
        );
        rig.host.entropy = true;
        rig.wait(Span::from_days(1));
        assert_eq!(rig.progress().state, "Serving", "{delivered}");
        assert_eq!((rig.hq.enrolments, rig.hq.orders), (1, 1), "{delivered}");
    }
}

#[test]
fn a_saved_seed_counts_where_storage_keeps_what_it_was_given_and_nowhere_else() {
    for (durable, fails, expected) in [
        (true, false, "Serving"),
        (false, false, "AwaitingEntropy"),
        (true, true, "AwaitingEntropy"),
    ] {
        let mut rig = Rig::new();
        rig.power_on();
        rig.deliver();
        let seeds: Vec<_> = rig
            .host
            .storage
            .iter()
            .filter(|(key, _)| key.starts_with("seed/"))
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect();
        assert!(!seeds.is_empty());
        // Another box on the same board: nothing but the seed.
        rig.host.storage = seeds.into_iter().collect();
        rig.hq.forget();
        rig.host.entropy = false;
        rig.config.durable_storage = durable;
        rig.host.fail_write = fails.then_some(rig.host.writes);
        rig.power_on();
        rig.wait(Span::from_minutes(1));
        assert_eq!(
            rig.progress().state,
            expected,
            "durable {durable}, fails {fails}"
        );
    }
}

#[test]
fn only_hq_takes_a_farewell_also_while_another_operator_is_asked_for_a_seed() {
    let (mut rig, mut other) = super::seeder::with_seeder();
    rig.power_on();
    rig.wait(Span::from_seconds(2));
    super::seeder::answer(&mut rig, &mut other);
    rig.settle();
    assert_eq!(rig.progress().state, "Serving");
    rig.hq.down = true;
    rig.input(Input::Reset);
    rig.host.storage.retain(|key, _| !key.starts_with("seed/"));
    rig.power_on();
    rig.hq.down = false;
    rig.wait(Span::from_minutes(5));
    assert_eq!(rig.progress().state, "AwaitingEntropy");
    assert_eq!((rig.hq.retired, stored_farewells(&rig)), (1, 0));
}

#[test]
fn seeds_that_cannot_be_removed_are_removed_later() {
    let mut rig = Rig::new();
    rig.power_on();
    rig.settle();
    let seeds = |rig: &Rig| {
        let keys = rig.host.storage.keys();
        keys.filter(|key| key.starts_with("seed/")).count()
    };
    assert!(seeds(&rig) > 0);
    // The source that they rest on is found out.
    rig.host.stuck = true;
    for n in 0..RESEED_AFTER / 32 + 1 {
        rig.device.derive(&n.to_string()).unwrap();
    }
    rig.host.fail_write = Some(rig.host.writes);
    rig.input(Input::Woke);
    assert!(seeds(&rig) > 0, "the removal failed");
    rig.input(Input::Woke);
    assert_eq!(seeds(&rig), 0);
}

#[test]
fn a_write_that_fails_when_entropy_comes_loses_nothing() {
    let mut rig = Rig::new();
    rig.host.entropy = false;
    rig.host.button = true;
    rig.power_on();
    rig.wait(Span::from_seconds(5));
    assert_eq!(rig.progress().state, "AwaitingEntropy");
    rig.host.entropy = true;
    rig.host.fail_write = Some(rig.host.writes);
    rig.input(Input::Woke);
    rig.settle();
    assert_eq!(rig.progress().state, "Serving");
    assert_eq!(rig.hq.enrolments, 1);
    // A nonce is drawn of what gives something, and never of a button.
    rig.input(Input::Reset);
    rig.wait(Span::from_minutes(10));
    assert_eq!((rig.progress().state, rig.hq.retired), ("Serving", 1));
}

#[test]
fn a_refusal_without_a_detail_is_its_title() {
    let mut rig = Rig::new();
    rig.hq.silent = true;
    rig.hq.refuse_enrol = Some(ProblemKind::AdmissionClosed);
    rig.power_on();
    rig.wait(Span::from_seconds(10));
    let reason = rig.progress().reason;
    assert!(
        reason.contains(ProblemKind::AdmissionClosed.title()),
        "{reason}"
    );
    assert!(!reason.contains("The test says so."), "{reason}");
}

/// It was known, power came back without entropy, and HQ has forgotten it meanwhile.
#[test]
fn a_box_that_hq_forgot_waits_for_entropy_before_it_shows_its_grant() {
    let mut rig = Rig::new();
    rig.power_on();
    rig.settle();
    rig.pass(Span::from_hours(13));
    rig.input(Input::Woke);
    assert!(
        rig.device.state().pending().is_some(),
        "a poll is on its way"
    );
    rig.host.entropy = false;
    rig.host.storage.retain(|key, _| !key.starts_with("seed/"));
    rig.hq.forget();
    rig.power_on();
    rig.wait(Span::from_hours(1));
    assert_eq!((rig.progress().state, rig.hq.reinstated), ("Serving", 0));
    rig.host.entropy = true;
    rig.wait(Span::from_hours(1));
    assert_eq!(rig.hq.reinstated, 1);

    // The same before it has a name: its nonce went stale.
    let mut rig = Rig::new();
    rig.power_on();
    rig.deliver();
    rig.host.entropy = false;
    rig.host.storage.retain(|key, _| !key.starts_with("seed/"));
    rig.hq.refuse_enrol = Some(ProblemKind::StaleNonce);
    rig.power_on();
    rig.wait(Span::from_minutes(10));
    assert_eq!(rig.progress().state, "Enrolling");
    rig.hq.refuse_enrol = None;
    rig.host.entropy = true;
    rig.wait(Span::from_hours(2));
    assert_eq!((rig.progress().state, rig.hq.enrolments), ("Serving", 1));
}

#[test]
fn a_second_operator_that_gave_its_seed_is_not_asked_again_though_it_is_not_enough() {
    let (mut rig, mut other) = super::seeder::with_seeder();
    rig.config.credential = Credential::default();
    rig.power_on();
    rig.wait(Span::from_seconds(2));
    super::seeder::answer(&mut rig, &mut other);
    rig.wait(Span::from_hours(1));
    assert_eq!(rig.progress().state, "AwaitingEntropy");
    assert!(rig.host.asked.is_empty());
}

/// What its generator rested on was found out between two requests.
#[test]
fn an_enrolment_waits_for_a_generator_that_was_taken_back() {
    let mut rig = Rig::new();
    rig.hq.refuse_enrol = Some(ProblemKind::StaleNonce);
    rig.power_on();
    rig.deliver();
    rig.deliver();
    assert_eq!(rig.progress().state, "Enrolling");
    rig.wait_for_submission();
    rig.hq.refuse_enrol = None;
    rig.host.stuck = true;
    for n in 0..RESEED_AFTER / 32 + 1 {
        rig.device.derive(&n.to_string()).unwrap();
    }
    rig.deliver();
    assert_eq!(rig.hq.enrolments, 0);
    assert!(
        rig.host.submitted.is_empty(),
        "nothing is signed without it"
    );
    rig.host.stuck = false;
    rig.wait(Span::from_hours(2));
    assert_eq!((rig.progress().state, rig.hq.enrolments), ("Serving", 1));
}

#[test]
fn a_second_operator_is_not_asked_again_before_it_is_time() {
    let (mut rig, _) = super::seeder::with_seeder();
    rig.power_on();
    rig.wait(Span::from_seconds(2));
    let (exchange, _) = rig.host.asked.remove(0);
    let answer = Answer::Failed(Failure {
        kind: FailureKind::Unreachable,
        detail: "refused".into(),
        retry_after: None,
    });
    rig.input(Input::Answered { exchange, answer });
    for _ in 0..3 {
        rig.input(Input::Woke);
    }
    assert!(rig.host.asked.is_empty(), "in no time");
    rig.wait(Span::from_minutes(5));
    assert_eq!(rig.host.asked.len(), 1);
}

#[test]
fn each_field_of_a_config_that_cannot_be_is_named() {
    type Change = fn(&mut Config);
    let cases: [(&str, &str, Change); 10] = [
        ("roots", "none", |config| config.roots.keys.clear()),
        ("roots", "three", |config| {
            config.roots.keys = vec![config.roots.keys[0]; 3]
        }),
        ("hq-id", "empty", |config| config.roots.hq_id.clear()),
        ("hq-id", "129 characters", |config| {
            config.roots.hq_id = "a".repeat(129)
        }),
        ("seeder", "HQ itself", |config| {
            config.seeder = Some(config.roots.clone())
        }),
        ("roots", "a second operator without a root", |config| {
            config.seeder = Some(config.roots.clone());
            config.seeder.as_mut().unwrap().keys.clear();
        }),
        ("personal", "1025 bytes", |config| {
            config.personal = vec![0; 1025]
        }),
        ("credential", "a short secret", |config| {
            with_secret(config, 15, Some("SN-1"))
        }),
        ("credential", "a long secret", |config| {
            with_secret(config, 65, Some("SN-1"))
        }),
        ("credential", "no serial", |config| {
            with_secret(config, 32, None)
        }),
    ];
    let config = Rig::new().config;
    for (field, what, change) in cases {
        let mut changed = config.clone();
        change(&mut changed);
        let error = Device::new(changed).map(drop).expect_err(what);
        assert_eq!(error.field, field, "{what}: {error}");
    }
    let mut most = config;
    most.personal = vec![0; 1024];
    most.roots.hq_id = "a".repeat(128);
    with_secret(&mut most, 64, Some("SN-1"));
    let shown = format!("{most:?}");
    Device::new(most).unwrap();
    assert!(
        shown.contains("m1") && !shown.contains("1, 1, 1"),
        "{shown}"
    );
    assert!(shown.contains("UnitSecret(epoch 1, redacted)"), "{shown}");
}

fn at(address: &str) -> Input {
    Input::Addresses(vec![address.parse().unwrap()])
}

fn with_secret(config: &mut Config, length: usize, serial: Option<&str>) {
    config.credential.secret = Some(UnitSecret {
        epoch: 1,
        secret: SecretBytes::new(vec![1; length]),
    });
    config.credential.serial = serial.map(|text| ShortText::parse("serial", text).unwrap());
}

fn stored_farewells(rig: &Rig) -> u64 {
    let Some(bytes) = rig.host.storage.get("retire-outbox") else {
        return 0;
    };
    let text = otscert_machine::describe::record(&RustCrypto, "retire-outbox", bytes).unwrap();
    let record: Value = serde_json::from_str(&text).unwrap();
    record["content"]["waiting"].as_array().unwrap().len() as u64
}
