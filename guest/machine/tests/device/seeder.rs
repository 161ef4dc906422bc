//! The second operator: asked where HQ's seed is not enough, for a seed that HQ does not know.

use otscert_machine::crypto::SecretBytes;
use otscert_machine::device::drive::Input;
use otscert_machine::entropy::Grade;
use otscert_machine::peer::{Answer, Endpoint, Failure, FailureKind};
use otscert_machine::time::Span;
use otscert_machine::types::ExchangeId;
use otscert_machine::wire::message::Contact;
use otscert_machine::wire::problem::ProblemKind;

use super::factory::with_secret;
use super::mini_hq::MiniHq;
use super::rig::Rig;

#[test]
fn a_box_with_a_factory_secret_reaches_grade_a_with_a_second_operators_seed() {
    let (mut rig, mut other) = with_seeder();
    rig.power_on();
    rig.wait(Span::from_seconds(2));
    assert_eq!(standing(&rig), ("AwaitingEntropy", Grade::B));
    assert!(rig.progress().busy, "it is asking");
    answer(&mut rig, &mut other);
    rig.settle();
    assert_eq!(standing(&rig), ("Serving", Grade::A));

    // Its unit is HQ's to know, and its nonce is of its own.
    let [asked] = &other.contacts[..] else {
        panic!("asked once");
    };
    assert_eq!(asked.aud, "other.example");
    assert!(asked.unit.is_none());
    assert_ne!(asked.nonce, rig.hq.contacts[0].nonce);
    let view = rig.device.view(rig.now);
    let both = r#"{"against":"SH","bits":256,"kind":"remote-seed","label":"","state":"gave"}"#;
    assert!(view.contains(both), "{view}");
}

#[test]
fn a_box_that_has_enough_asks_nobody_else() {
    let (mut rig, other) = with_seeder();
    rig.host.bare = false;
    rig.host.entropy = true;
    rig.power_on();
    rig.settle();
    assert_eq!(standing(&rig), ("Serving", Grade::A));
    assert!(rig.host.asked.is_empty() && other.contacts.is_empty());
}

#[test]
fn a_second_operator_that_is_down_or_refuses_is_asked_again_and_named() {
    let (mut rig, mut other) = with_seeder();
    rig.power_on();
    rig.wait(Span::from_seconds(2));
    let (exchange, body) = rig.host.asked.remove(0);
    let failure = Failure {
        kind: FailureKind::Unreachable,
        detail: "contact to the second operator: refused.".into(),
        retry_after: None,
    };
    rig.input(Input::Answered {
        exchange,
        answer: Answer::Failed(failure),
    });
    assert_eq!(standing(&rig), ("AwaitingEntropy", Grade::B));
    let reason = rig.progress().reason;
    assert!(reason.contains("second operator: refused."), "{reason}");
    assert!(rig.host.asked.is_empty(), "not at once");

    rig.wait(Span::from_minutes(2));
    assert_eq!(rig.host.asked.first(), Some(&(exchange, body)), "the same");
    other.refuse = Some(ProblemKind::RateLimited);
    answer(&mut rig, &mut other);
    rig.wait(Span::from_hours(2));
    other.refuse = None;
    answer(&mut rig, &mut other);
    rig.settle();
    assert_eq!(standing(&rig), ("Serving", Grade::A));
}

/// HQ could sign a seed that it knows in the other's place; and whoever has recorded the other's answers could
/// give an old one.
#[test]
fn what_hq_signs_or_another_box_was_given_is_no_second_seed() {
    let (mut rig, mut other) = with_seeder();
    rig.power_on();
    rig.wait(Span::from_seconds(2));
    let (exchange, body) = rig.host.asked.remove(0);
    let mut foreign = Contact::parse(&body).unwrap();
    foreign.boot_count += 1;
    let old = other.answer(Endpoint::Contact, &foreign.to_bytes(), rig.now);
    let forged = rig.hq.answer(Endpoint::Contact, &body, rig.now);
    for bad in [forged, old, b"{}".to_vec()] {
        rig.input(Input::Answered {
            exchange,
            answer: Answer::Hq(bad),
        });
        assert_eq!(standing(&rig), ("AwaitingEntropy", Grade::B));
        rig.wait(Span::from_minutes(30));
        assert!(!rig.host.asked.is_empty(), "it asks again");
    }
    answer(&mut rig, &mut other);
    rig.settle();
    assert_eq!(standing(&rig), ("Serving", Grade::A));
}

/// The box that learns enough by another way goes on at once; what comes then is nobody's.
#[test]
fn the_owners_browser_makes_an_end_of_waiting_and_the_late_answer_changes_nothing() {
    let (mut rig, mut other) = with_seeder();
    rig.power_on();
    rig.wait(Span::from_seconds(2));
    rig.input(Input::Companion(SecretBytes::new(vec![3; 32])));
    rig.settle();
    assert_eq!(standing(&rig), ("Serving", Grade::A));
    answer(&mut rig, &mut other);
    assert_eq!(standing(&rig), ("Serving", Grade::A));
    let view = rig.device.view(rig.now);
    let hqs = r#"{"against":"S","bits":256,"kind":"remote-seed","label":"","state":"gave"}"#;
    assert!(view.contains(hqs), "{view}");
}

#[test]
fn no_number_of_an_exchange_is_used_twice_over_power_cuts() {
    let (mut rig, mut other) = with_seeder();
    let mut used: Vec<ExchangeId> = Vec::new();
    for _ in 0..5 {
        rig.power_on();
        rig.wait(Span::from_seconds(2));
        let (exchange, _) = rig.host.asked[0];
        assert!(!used.contains(&exchange), "{exchange:?} again");
        used.push(exchange);
    }
    answer(&mut rig, &mut other);
    rig.settle();
    assert_eq!(standing(&rig), ("Serving", Grade::A));
}

pub(crate) fn with_seeder() -> (Rig, MiniHq) {
    let mut other = MiniHq::new(2);
    other.roots.hq_id = "other.example".into();
    other.delegate(1);
    let mut rig = with_secret(7);
    rig.host.bare = true;
    rig.config.seeder = Some(other.roots.clone());
    (rig, other)
}

pub(crate) fn answer(rig: &mut Rig, other: &mut MiniHq) {
    let (exchange, body) = rig.host.asked.remove(0);
    let answer = Answer::Hq(other.answer(Endpoint::Contact, &body, rig.now));
    rig.input(Input::Answered { exchange, answer });
}

fn standing(rig: &Rig) -> (&'static str, Grade) {
    let progress = rig.progress();
    (progress.state, progress.grade)
}
