//! What a unit has from its factory: the secret that proves it and opens HQ's seed, the code on the
//! label that its owner types.

use otscert_machine::crypto::{Secret, SecretBytes};
use otscert_machine::device::config::Credential;
use otscert_machine::device::drive::Input;
use otscert_machine::entropy::Grade;
use otscert_machine::factory::{ClaimCode, UnitSecret};
use otscert_machine::time::Span;
use otscert_machine::types::ShortText;
use otscert_machine::wire::problem::ProblemKind;

use super::rig::Rig;

#[test]
fn a_box_with_a_factory_secret_and_nothing_else_reaches_grade_b() {
    let mut rig = with_secret(7);
    rig.hq.sealing.clone_from(&rig.config.credential.secret);
    rig.power_on();
    rig.wait(Span::from_seconds(5));
    let progress = rig.progress();
    assert_eq!(
        (progress.state, progress.grade),
        ("AwaitingEntropy", Grade::B)
    );
    assert!(
        progress.reason.contains("HQ could compute"),
        "{}",
        progress.reason
    );

    rig.config.hq_trusted = true;
    rig.power_on();
    rig.settle();
    let progress = rig.progress();
    assert_eq!((progress.state, progress.grade), ("Serving", Grade::B));
    assert!(
        !progress.reason.contains("does not open"),
        "{}",
        progress.reason
    );
    let unit = rig.hq.contacts[0]
        .unit
        .clone()
        .expect("it says which unit it is");
    assert_eq!((unit.serial.as_str(), unit.epoch), ("SN-1", 3));
    let shown = rig.hq.shown[0].unit.clone().expect("and proves it");
    assert_eq!(shown.proof.expect("by its secret").epoch, 3);
}

#[test]
fn a_seed_that_does_not_open_counts_nothing_and_is_told() {
    let mut rig = with_secret(7);
    rig.hq.sealing = Some(secret(8));
    rig.power_on();
    rig.wait(Span::from_seconds(5));
    let progress = rig.progress();
    assert_eq!(
        (progress.state, progress.grade),
        ("AwaitingEntropy", Grade::B)
    );
    assert!(
        progress.reason.contains("does not open"),
        "{}",
        progress.reason
    );
}

#[test]
fn the_secret_is_in_no_message() {
    let mut rig = with_secret(0xa7);
    rig.config.hq_trusted = true;
    rig.hq.sealing.clone_from(&rig.config.credential.secret);
    rig.power_on();
    rig.settle();
    let marker = [0xa7; 32];
    let spelled = otscert_machine::wire::base64url::encode(&marker);
    for body in &rig.host.sent {
        let text = String::from_utf8_lossy(body);
        assert!(!text.contains(&spelled) && !body.windows(32).any(|it| it == marker));
    }
    assert!(rig.host.sent.len() > 3);
}

/// In whatever state the owner types it, the next enrolment shows it; and a reset forgets it.
#[test]
fn a_code_that_is_typed_is_stored_shown_and_forgotten_at_a_reset() {
    let mut rig = Rig::new();
    rig.hq.refuse_enrol = Some(ProblemKind::BadCredential);
    rig.power_on();
    rig.settle();
    assert_eq!(rig.progress().state, "Enrolling");
    assert_eq!(rig.hq.shown.len(), 0);

    rig.hq.refuse_enrol = None;
    rig.input(Input::ClaimCode(code()));
    rig.settle();
    assert_eq!(
        rig.progress().state,
        "Serving",
        "at once, not after an hour"
    );
    let shown = rig.hq.shown[0]
        .claim_code
        .clone()
        .expect("it shows the code");
    assert_eq!(shown.expose(), code().expose());

    rig.input(Input::Reset);
    rig.settle();
    assert_eq!(rig.hq.shown.len(), 2);
    assert!(
        rig.hq.shown[1].claim_code.is_none(),
        "the next owner types it again"
    );
}

#[test]
fn a_code_typed_before_the_first_contact_survives_a_restart() {
    let mut rig = Rig::new();
    rig.hq.down = true;
    rig.power_on();
    rig.wait(Span::from_seconds(5));
    rig.input(Input::ClaimCode(code()));
    rig.power_on();
    rig.hq.down = false;
    rig.wait(Span::from_hours(2));
    assert_eq!(rig.progress().state, "Serving");
    assert!(rig.hq.shown[0].claim_code.is_some());
}

#[test]
fn a_code_typed_while_it_waits_for_entropy_counts_and_survives_a_restart() {
    let mut rig = Rig::new();
    rig.host.entropy = false;
    rig.power_on();
    rig.wait(Span::from_seconds(5));
    assert_eq!(rig.progress().state, "AwaitingEntropy");
    rig.input(Input::ClaimCode(long_code()));
    // 130 bits that HQ knows and no sibling does, and no recorder.
    assert_eq!(rig.progress().grade, Grade::B);
    rig.power_on();
    rig.wait(Span::from_seconds(5));
    assert_eq!(rig.progress().grade, Grade::B);
    rig.host.entropy = true;
    rig.settle();
    assert_eq!(rig.progress().state, "Serving");
    assert!(rig.hq.shown[0].claim_code.is_some());
}

#[test]
fn what_a_browser_sealed_under_the_label_counts_against_who_listens_in_the_lan_as_well() {
    let mut rig = starved_with(long_code());
    let (nonce, seed) = ([9; 32], Secret::new([7; 32]));
    let sealed = long_code().seal_companion(rig.config.crypto, &nonce, &seed);
    rig.input(Input::SealedCompanion { nonce, sealed });
    rig.settle();
    assert_eq!(rig.progress().state, "Serving");
    let view = rig.device.view(rig.now);
    let source = r#"{"against":"SNAHLW","bits":256,"kind":"companion","label":"","state":"gave"}"#;
    assert!(view.contains(source), "{view}");
}

#[test]
fn what_does_not_open_counts_nothing_and_is_told() {
    let other = (1..).find_map(|n| ClaimCode::draw_long(&[n; 26])).unwrap();
    let crypto = &otscert_crypto::RustCrypto;
    let seed = Secret::new([7; 32]);
    let sealed = |code: &ClaimCode| code.seal_companion(crypto, &[9; 32], &seed);
    let mut changed = sealed(&long_code());
    changed[3] ^= 1;
    let long = sealed(&long_code());
    for (own, sealed) in [
        (Some(long_code()), sealed(&other)),
        (Some(long_code()), changed),
        (Some(long_code()), long[1..].to_vec()),
        (Some(long_code()), Vec::new()),
        // A short code could be guessed by whoever recorded what was sealed under it.
        (Some(code()), sealed(&code())),
        (None, long),
    ] {
        let mut rig = match own {
            Some(own) => starved_with(own),
            None => starved(),
        };
        let before = rig.device.view(rig.now);
        let input = Input::SealedCompanion {
            nonce: [9; 32],
            sealed,
        };
        let told = rig.device.advance(&mut rig.host, rig.now, input);
        let told = told.unwrap_err().to_string();
        assert!(told.contains("does not open"), "{told}");
        assert_eq!(rig.device.view(rig.now), before);
    }
}

#[test]
fn an_unusable_secret_is_refused_at_the_start() {
    for (serial, length, words) in [
        (Some("SN-1"), 15, "16 to 64 bytes"),
        (Some("SN-1"), 65, "16 to 64 bytes"),
        (None, 32, "needs the unit's serial"),
    ] {
        let mut config = Rig::new().config;
        config.credential = Credential {
            claim_code: None,
            serial: serial.map(|text| ShortText::parse("serial", text).unwrap()),
            secret: Some(UnitSecret {
                epoch: 1,
                secret: SecretBytes::new(vec![1; length]),
            }),
        };
        let error = config.check().unwrap_err().to_string();
        assert!(error.contains(words), "{error}");
    }
}

fn starved() -> Rig {
    let mut rig = Rig::new();
    rig.host.bare = true;
    rig.power_on();
    rig.wait(Span::from_seconds(5));
    assert_eq!(rig.progress().state, "AwaitingEntropy");
    rig
}

fn starved_with(code: ClaimCode) -> Rig {
    let mut rig = Rig::new();
    rig.host.bare = true;
    rig.config.credential.claim_code = Some(code);
    rig.power_on();
    rig.wait(Span::from_seconds(5));
    assert_eq!(rig.progress().state, "AwaitingEntropy");
    rig
}

pub(crate) fn with_secret(byte: u8) -> Rig {
    let mut rig = Rig::new();
    rig.host.entropy = false;
    rig.config.credential = Credential {
        claim_code: None,
        serial: ShortText::parse("serial", "SN-1").ok(),
        secret: Some(UnitSecret {
            epoch: 3,
            secret: SecretBytes::new(vec![byte; 32]),
        }),
    };
    rig
}

fn secret(byte: u8) -> UnitSecret {
    let model = ShortText::parse("model", "m1").unwrap();
    let serial = ShortText::parse("serial", "SN-1").unwrap();
    UnitSecret::derive(
        &otscert_crypto::RustCrypto,
        &Secret::new([byte; 32]),
        3,
        &model,
        &serial,
    )
}

pub(crate) fn code() -> ClaimCode {
    (0..).find_map(|n| ClaimCode::draw(&[n; 16])).unwrap()
}

fn long_code() -> ClaimCode {
    (0..).find_map(|n| ClaimCode::draw_long(&[n; 26])).unwrap()
}
