//! Who may have a name, by which proof; and that what was shown belongs to one living device.

use otscert_machine::factory::{ClaimCode, UnitSecret};
use otscert_machine::hq::admission::{Admission, Proof};
use otscert_machine::hq::config::{Config, Limits};
use otscert_machine::hq::drive::Command;
use otscert_machine::hq::event::NoteKind;
use otscert_machine::peer::{CaOperation, Endpoint, Request};
use otscert_machine::time::Span;
use otscert_machine::types::ShortText;
use otscert_machine::wire::message::{Credential, OrderStatus, Problem, UnitClaim};
use otscert_machine::wire::problem::ProblemKind;
use otscert_machine::wire::voucher::Voucher;
use proptest::prelude::*;

use super::client::{Client, Said};
use super::world::{CRYPTO, HQ_ID, World, raw_config, seed};

pub(crate) const BATCH: u32 = 7;

#[test]
fn a_claim_code_lets_one_living_box_in() {
    let mut world = World::new();
    let code = code(1);
    let mut first = with_code(1, &code);
    let problem = refusal(&mut world, &mut first);
    assert_eq!(problem.kind, Some(ProblemKind::BadCredential));
    assert!(
        problem.detail.contains("not issued here"),
        "{}",
        problem.detail
    );

    import(&mut world, &[&code], None);
    first.enrol(&mut world);
    let device = world.device(first.id.as_ref().unwrap());
    assert!(device.admitted.proofs.has(Proof::ClaimCode) && device.admitted.is_proved());

    let mut second = with_code(2, &code);
    let problem = refusal(&mut world, &mut second);
    assert!(
        problem.detail.contains("used by another box"),
        "{}",
        problem.detail
    );

    // The same box again is the same request, or a rejoin: the code is its own.
    world.now = world.now + Span::from_minutes(11);
    first.enrol(&mut world);
    assert_eq!(world.count(NoteKind::Rejoined), 1);

    // A factory reset gives the code free with the name.
    let body = first.retire_bytes();
    assert!(matches!(
        first.send(&mut world, Endpoint::Retire, body),
        Said::Retire(_)
    ));
    second.enrol(&mut world);
    assert_ne!(first.id, second.id);
}

#[test]
fn importing_a_code_again_does_not_make_it_unused() {
    let mut world = World::new();
    let code = code(1);
    import(&mut world, &[&code], None);
    with_code(1, &code).enrol(&mut world);
    import(&mut world, &[&code], None);
    let problem = refusal(&mut world, &mut with_code(2, &code));
    assert!(
        problem.detail.contains("used by another box"),
        "{}",
        problem.detail
    );

    // The operator may say so.
    let digest = code.digest(&CRYPTO);
    world.command("own", Command::ReleaseClaim(digest));
    with_code(2, &code).enrol(&mut world);
}

#[test]
fn a_code_of_another_model_does_not_hold() {
    let mut world = World::new();
    let code = code(1);
    import(&mut world, &[&code], Some("router"));
    let problem = refusal(&mut world, &mut with_code(1, &code));
    assert!(
        problem.detail.contains("of another model"),
        "{}",
        problem.detail
    );
}

#[test]
fn a_mistyped_code_is_told_by_its_check_symbol() {
    let printed = code(1).printed();
    for (at, typed) in printed.char_indices() {
        if typed == '-' {
            continue;
        }
        for other in "0123456789ABCDEFGHJKMNPQRSTVWXYZ".chars() {
            if other != typed {
                let mut wrong = printed.clone();
                wrong.replace_range(at..=at, &other.to_string());
                assert!(ClaimCode::parse(&wrong).is_err(), "{wrong}");
            }
        }
    }
}

#[test]
fn a_code_that_is_too_long_or_too_short_is_told() {
    for (typed, said) in [
        ("", "nothing"),
        ("0", "fewer"),
        (&"0".repeat(28), "more"),
        ("7K3M-Q2WT-9XHB-04ZF-!", "other signs"),
        // A sign that only a check symbol may be, in the midst.
        ("7K3MQ2WT9XHB04Z*J", "mistyped"),
    ] {
        let error = ClaimCode::parse(typed).unwrap_err().to_string();
        assert!(error.contains(said), "{typed}: {error}");
    }
    // Not even where the last one is right for it.
    for only_last in "*~$=U".chars() {
        for last in "0123456789ABCDEFGHJKMNPQRSTVWXYZ*~$=U".chars() {
            let typed = format!("7K3MQ2WT9XHB04Z{only_last}{last}");
            assert!(ClaimCode::parse(&typed).is_err(), "{typed}");
        }
    }
    assert_eq!(format!("{:?}", code(1)), "ClaimCode(redacted)");
}

proptest! {
    /// However a person types it: as long as the symbols are right.
    #[test]
    fn a_code_reads_in_any_spelling(random: [u8; 16], lower: bool, blanks: bool) {
        let Some(code) = ClaimCode::draw(&random) else { return Ok(()) };
        let mut typed = code.printed();
        if lower {
            typed = typed.to_lowercase().replace('0', "o").replace('1', "l");
        }
        if blanks {
            typed = typed.replace('-', " ");
        }
        let read = ClaimCode::parse(&typed).unwrap();
        prop_assert_eq!(read.expose(), code.expose());
        prop_assert_eq!(read.bits(), 80);
    }

    /// Neighbours that changed places.
    #[test]
    fn a_swap_is_told(random: [u8; 16], at in 0_usize..15) {
        let Some(code) = ClaimCode::draw(&random) else { return Ok(()) };
        let mut symbols: Vec<char> = code.expose().chars().collect();
        symbols.swap(at, at + 1);
        let swapped: String = symbols.into_iter().collect();
        prop_assume!(swapped != code.expose());
        prop_assert!(ClaimCode::parse(&swapped).is_err());
    }

    #[test]
    fn no_text_makes_the_parser_panic(text in ".{0,64}") {
        let _ = ClaimCode::parse(&text);
    }
}

#[test]
fn approval_gives_a_name_at_once_and_no_certificate_before_a_person_has_looked() {
    let mut world = World::new();
    let mut client = Client::of_model(1, "looked-at-box");
    client.enrol(&mut world);
    client.order(&mut world);
    world.work();
    world.now = world.now + Span::from_days(40);
    world.work();
    assert!(new_orders(&world).is_empty(), "nothing went to the CA");
    let summary = &world.summaries[&client.subject()];
    assert_eq!((summary.state, summary.wake_at), ("AwaitingApproval", None));
    let answer = client.poll(&mut world);
    assert_eq!(answer.reason, "a person at HQ has to accept this box first");

    world.command(&client.subject(), Command::Accept);
    world.pass(Span::from_minutes(1));
    assert_eq!(new_orders(&world), [true], "a person's word is a proof");
    let answer = client.poll(&mut world);
    assert!(matches!(answer.status, OrderStatus::Issued(_)));
    let device = world.device(client.id.as_ref().unwrap());
    assert!(device.admitted.proofs.has(Proof::Approval));
    world.command(&client.subject(), Command::Accept);
    assert_eq!(world.count(NoteKind::Accepted), 1, "once");
}

#[test]
fn a_grant_from_before_a_loss_does_not_stand_for_the_look_of_a_person() {
    let mut world = World::new();
    let mut client = Client::of_model(1, "looked-at-box");
    client.enrol(&mut world);
    // HQ is restored to before the box; what it was given meanwhile it shows.
    let mut world = World::new();
    world.now = world.now + Span::from_hours(1);
    client.enrol(&mut world);
    client.order(&mut world);
    world.work();
    assert_eq!(world.summaries[&client.subject()].state, "AwaitingApproval");
    assert!(new_orders(&world).is_empty());
}

#[test]
fn alternatives_are_tried_in_order_and_all_of_one_must_hold() {
    let mut world = World::new();
    let mut half = unit_of(1, "SN-1", &secret_of("choosy-box", "SN-1", BATCH));
    half.model = "choosy-box".into();
    let problem = refusal(&mut world, &mut half);
    let needs = "factory-secret+voucher or claim-code+approval";
    assert!(problem.detail.contains(needs), "{}", problem.detail);

    let serials = vec![text("SN-1")];
    let model = text("choosy-box");
    let list = Voucher { model, serials }.sign(&CRYPTO, HQ_ID, &seed(6));
    world.command("own", Command::ImportVoucher(list.to_bytes()));
    half.enrol(&mut world);
    half.order(&mut world);
    assert_eq!(new_orders(&world).len(), 1, "no person is needed");

    let code = code(1);
    import(&mut world, &[&code], None);
    let mut coded = with_code(2, &code);
    coded.model = "choosy-box".into();
    coded.enrol(&mut world);
    coded.order(&mut world);
    assert_eq!(new_orders(&world).len(), 1, "a person is");
}

#[test]
fn strangers_are_counted_and_those_who_prove_themselves_are_not() {
    let mut world = World::new();
    world.load.enrolled_from_prefix = Limits::default().from_prefix;
    let mut stranger = Client::new(1);
    let problem = refusal(&mut world, &mut stranger);
    assert_eq!(problem.kind, Some(ProblemKind::RateLimited));
    unit_of(2, "SN-1", &secret("SN-1", BATCH)).enrol(&mut world);

    // Many networks: the model's own count.
    world.load.enrolled_from_prefix = 0;
    world.load.enrolled_in_all = Limits::default().of_model;
    let problem = refusal(&mut world, &mut stranger);
    assert_eq!(problem.kind, Some(ProblemKind::RateLimited));
    world.load.trusted = true;
    stranger.enrol(&mut world);
    let device = world.device(stranger.id.as_ref().unwrap());
    assert!(device.admitted.trusted && device.admitted.is_proved());
}

#[test]
fn the_quota_ledger_hears_who_proved_something() {
    let mut world = World::new();
    let mut stranger = Client::new(1);
    stranger.enrol(&mut world);
    stranger.order(&mut world);
    let mut unit = unit_of(2, "SN-1", &secret("SN-1", BATCH));
    unit.enrol(&mut world);
    unit.order(&mut world);
    assert_eq!(new_orders(&world), [false, true]);
}

#[test]
fn a_key_that_a_starved_box_makes_is_refused_and_one_that_was_made_is_told() {
    let mut world = World::new();
    let mut client = Client::enrolled(&mut world, 1);
    let key = client.new_key();
    let csr = client.csr(&key);
    let spki = otscert_machine::x509::csr::check(&CRYPTO, &csr)
        .unwrap()
        .spki_digest;
    let table = |keys| Command::ImportStarvedKeys {
        release: text("box 1.0"),
        keys,
    };
    world.command("own", table(vec![spki]));
    match client.order_with(&mut world, csr) {
        Said::Problem(problem) => {
            assert_eq!(problem.kind, Some(ProblemKind::KeyReused));
            assert!(problem.detail.contains("no entropy"), "{}", problem.detail);
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(world.count(NoteKind::KeyReused), 1);

    // Its next key is in no table, and follows from the same nothing.
    match client.order(&mut world) {
        Said::Problem(problem) => assert_eq!(problem.kind, Some(ProblemKind::KeyReused)),
        other => panic!("{other:?}"),
    }
    assert_eq!(world.count(NoteKind::KeyReused), 1);

    // The table is made when the box has its certificate already.
    let mut late = Client::enrolled(&mut world, 2);
    let key = late.new_key();
    let csr = late.csr(&key);
    let spki = otscert_machine::x509::csr::check(&CRYPTO, &csr)
        .unwrap()
        .spki_digest;
    late.order_with(&mut world, csr);
    world.command("own", table(vec![spki]));
    assert_eq!(
        world.notes.last().map(|it| it.kind),
        Some(NoteKind::Imported)
    );
    let told = world.notes.iter().rev().nth(1).unwrap();
    assert_eq!(
        (told.kind, told.subject.to_string()),
        (NoteKind::KeyReused, late.subject())
    );
}

#[test]
fn a_boot_count_that_goes_back_is_told() {
    let mut world = World::new();
    let mut client = Client::enrolled(&mut world, 1);
    for count in [2, 5, 5, 6] {
        client.boot_count = count;
        client.poll(&mut world);
    }
    assert_eq!(world.count(NoteKind::BootCountBack), 0);
    client.boot_count = 3;
    client.poll(&mut world);
    assert_eq!(world.count(NoteKind::BootCountBack), 1);
    client.boot_count = 4;
    client.poll(&mut world);
    assert_eq!(world.count(NoteKind::BootCountBack), 1);
}

#[test]
fn what_is_shown_to_an_open_model_and_does_not_hold_is_not_used_up() {
    let mut world = World::new();
    let mut client = with_code(1, &code(1));
    client.model = "box".into();
    client.enrol(&mut world);
    let mut named = serial(2, "SN-1");
    named.model = "box".into();
    named.enrol(&mut world);
    let kept = |prefix: &str| {
        world
            .store
            .keys()
            .filter(|key| key.starts_with(prefix))
            .count()
    };
    assert_eq!(
        (kept("claim/"), kept("unit/")),
        (0, 0),
        "{:?}",
        world.store.keys()
    );
    let open = Admission::open();
    assert!(open.is_open() && !Admission::parse(&["claim-code"]).unwrap().is_open());
    // The same table of starved keys twice is no news.
    let table = || Command::ImportStarvedKeys {
        release: text("box 1.0"),
        keys: vec![otscert_machine::types::Digest::new([5; 32])],
    };
    world.command("own", table());
    world.command("own", table());
    let last = &world.notes.last().unwrap().text;
    assert!(last.starts_with("0 new of 1"), "{last}");
}

#[test]
fn a_models_limit_counts_its_own_enrolments_by_the_name_in_the_config() {
    for (counts, model, taken) in [
        (("word-box", 5000), "word-box", false),
        (("word-box", 4999), "word-box", true),
        (("*", 5000), "anything", false),
        (("*", 5000), "word-box", true),
    ] {
        let mut world = World::new();
        world.load.enrolled_by_model = vec![(counts.0.into(), counts.1)];
        world.load.enrolled_in_all = 5000;
        let mut client = Client::of_model(1, model);
        let hq_nonce = client.contact(&mut world).hq_nonce;
        let body = client.enrol_bytes(&hq_nonce);
        let said = client.send(&mut world, Endpoint::Enrol, body);
        assert_eq!(
            matches!(said, Said::Enrol(_)),
            taken,
            "{counts:?} {model}: {said:?}"
        );
    }
}

#[test]
fn a_policy_is_words_and_nothing_else() {
    for (texts, words) in [
        (&["open"][..], "open"),
        (&["closed"], "closed"),
        (
            &["factory-secret", "claim-code+approval"],
            "factory-secret or claim-code+approval",
        ),
    ] {
        assert_eq!(Admission::parse(texts).unwrap().words(), words);
    }
    for wrong in [
        &[][..],
        &["Open"],
        &["closed", "open"],
        &["claim-code+"],
        &["open+voucher"],
        &[""],
    ] {
        assert!(Admission::parse(wrong).is_err(), "{wrong:?}");
    }
    let mut raw = raw_config();
    raw.batch_keys.push((7, vec![1; 32]));
    let error = Config::new(&CRYPTO, raw).unwrap_err().to_string();
    assert!(error.contains("epoch 7 stands twice"), "{error}");
}

/// What became of the `new-order` operations: whether each was for a proved device.
fn new_orders(world: &World) -> Vec<bool> {
    let rows = world.outbox.iter().map(|row| &row.request);
    let answered = world.answered.iter().map(|(row, _)| &row.request);
    answered
        .chain(rows)
        .filter_map(|request| match request {
            Request::Ca(CaOperation::NewOrder { proved, .. }) => Some(*proved),
            _ => None,
        })
        .collect()
}

pub(crate) fn refusal(world: &mut World, client: &mut Client) -> Problem {
    let hq_nonce = client.contact(world).hq_nonce;
    let body = client.enrol_bytes(&hq_nonce);
    let store = world.store.clone();
    match client.send(world, Endpoint::Enrol, body) {
        Said::Problem(problem) => {
            assert_eq!(world.store, store, "who is refused leaves no trace");
            problem
        }
        other => panic!("{other:?}"),
    }
}

pub(crate) fn code(n: u8) -> ClaimCode {
    let drawn = (0..).find_map(|salt: u8| ClaimCode::draw(&[n.wrapping_add(salt); 16]));
    drawn.unwrap()
}

pub(crate) fn with_code(n: u8, code: &ClaimCode) -> Client {
    let mut client = Client::of_model(n, "coded-box");
    client.credential.claim_code = Some(code.clone());
    client
}

pub(crate) fn import(world: &mut World, codes: &[&ClaimCode], model: Option<&str>) {
    let codes = codes.iter().map(|code| code.digest(&CRYPTO)).collect();
    let model = model.map(text);
    world.command("own", Command::ImportClaims { codes, model });
}

pub(crate) fn secret(serial: &str, epoch: u32) -> UnitSecret {
    secret_of("secret-box", serial, epoch)
}

pub(crate) fn secret_of(model: &str, serial: &str, epoch: u32) -> UnitSecret {
    UnitSecret::derive(&CRYPTO, &seed(77), epoch, &text(model), &text(serial))
}

pub(crate) fn unit_of(n: u8, sn: &str, secret: &UnitSecret) -> Client {
    let mut client = serial(n, sn);
    client.model = "secret-box".into();
    client.secret = Some(secret.clone());
    client
}

pub(crate) fn serial(n: u8, sn: &str) -> Client {
    let mut client = Client::of_model(n, "vouched-box");
    client.credential = Credential {
        claim_code: None,
        unit: Some(UnitClaim {
            serial: text(sn),
            proof: None,
        }),
    };
    client
}

pub(crate) fn voucher(serials: &[&str], key: u8) -> Vec<u8> {
    let serials = serials.iter().map(|serial| text(serial)).collect();
    let model = text("vouched-box");
    let voucher = Voucher { model, serials };
    voucher.sign(&CRYPTO, HQ_ID, &seed(key)).to_bytes()
}

pub(crate) fn text(text: &str) -> ShortText {
    ShortText::parse("text", text).unwrap()
}
