//! Units that the factory knows: by a secret, by a serial on a voucher, or both.

use otscert_machine::factory::UnitSecret;
use otscert_machine::hq::admission::MOST_OF_UNIT;
use otscert_machine::hq::drive::Command;
use otscert_machine::hq::event::NoteKind;
use otscert_machine::peer::Endpoint;
use otscert_machine::time::Span;
use otscert_machine::wire::problem::ProblemKind;
use otscert_machine::wire::voucher::Voucher;

use super::admission::{BATCH, refusal, secret, secret_of, serial, text, unit_of, voucher};
use super::client::{Client, Said};
use super::world::{CRYPTO, HQ_ID, World, seed};

#[test]
fn the_factory_secret_proves_a_unit_and_nothing_else_does() {
    let mut world = World::new();
    unit_of(1, "SN-1", &secret("SN-1", BATCH)).enrol(&mut world);

    for (what, secret, words) in [
        ("of another unit", secret("SN-2", BATCH), "another secret"),
        (
            "of an epoch that HQ does not have",
            secret("SN-1", 8),
            "no factory key of epoch 8",
        ),
    ] {
        let mut liar = unit_of(2, "SN-1", &secret);
        let problem = refusal(&mut world, &mut liar);
        assert_eq!(problem.kind, Some(ProblemKind::BadCredential), "{what}");
        assert!(problem.detail.contains(words), "{what}: {}", problem.detail);
    }
    let mut silent = Client::of_model(3, "secret-box");
    let problem = refusal(&mut world, &mut silent);
    assert!(
        problem.detail.contains("admitted by factory-secret"),
        "{}",
        problem.detail
    );
}

#[test]
fn a_captured_proof_is_worth_nothing_to_another_key() {
    let mut world = World::new();
    let owner = unit_of(1, "SN-1", &secret("SN-1", BATCH));
    let mut thief = Client::of_model(2, "secret-box");
    let hq_nonce = thief.contact(&mut world).hq_nonce;
    // The thief shows what the owner would have shown on that nonce.
    thief.credential = owner.shown_on(&hq_nonce);
    let body = thief.enrol_bytes(&hq_nonce);
    match thief.send(&mut world, Endpoint::Enrol, body) {
        Said::Problem(problem) => assert_eq!(problem.kind, Some(ProblemKind::BadCredential)),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_unit_that_lost_its_storage_comes_again_and_both_identities_are_noted() {
    let mut world = World::new();
    let secret = secret("SN-1", BATCH);
    for n in 1..=MOST_OF_UNIT {
        unit_of(n as u8, "SN-1", &secret).enrol(&mut world);
        assert_eq!(world.count(NoteKind::UnitAgain), 2 * (n - 1));
    }
    // More than that in a week is no box.
    let problem = refusal(&mut world, &mut unit_of(9, "SN-1", &secret));
    assert_eq!(problem.kind, Some(ProblemKind::RateLimited));
    assert_eq!(problem.retry_after, Some(Span::from_days(7)));
    world.now = world.now + Span::from_days(7);
    unit_of(9, "SN-1", &secret).enrol(&mut world);
}

#[test]
fn a_seed_comes_sealed_for_the_unit_and_opens_for_nobody_else() {
    let mut world = World::new();
    let own = secret("SN-1", BATCH);
    let mut client = unit_of(1, "SN-1", &own);
    let (req, answer) = client.contact_as_unit(&mut world);
    let sealed = answer.sealed_seed.expect("HQ has the batch key");
    let seed = own.open_seed(&CRYPTO, &req, &sealed).expect("it opens");
    assert_ne!(seed.expose(), answer.seed.expose());

    assert!(
        secret("SN-2", BATCH)
            .open_seed(&CRYPTO, &req, &sealed)
            .is_none()
    );
    let other = otscert_machine::types::Digest::of(&CRYPTO, b"another request");
    assert!(
        own.open_seed(&CRYPTO, &other, &sealed).is_none(),
        "replayed"
    );
    for at in 0..sealed.sealed.len() {
        let mut changed = sealed.clone();
        changed.sealed[at] ^= 1;
        assert!(own.open_seed(&CRYPTO, &req, &changed).is_none());
    }

    // The same contact again gets another seed under another key.
    let (_, again) = client.contact_as_unit(&mut world);
    assert_ne!(again.sealed_seed.unwrap().nonce, sealed.nonce);

    client.secret = Some(UnitSecret { epoch: 8, ..own });
    let (_, answer) = client.contact_as_unit(&mut world);
    assert!(answer.sealed_seed.is_none(), "HQ has no key of epoch 8");
}

#[test]
fn a_voucher_admits_the_serials_on_it() {
    let mut world = World::new();
    let mut listed = serial(1, "SN-1");
    let problem = refusal(&mut world, &mut listed);
    assert!(
        problem.detail.contains("on no voucher"),
        "{}",
        problem.detail
    );

    world.command("own", Command::ImportVoucher(voucher(&["SN-1", "SN-2"], 6)));
    listed.enrol(&mut world);
    let problem = refusal(&mut world, &mut serial(2, "SN-1"));
    assert!(
        problem.detail.contains("another box has enrolled"),
        "{}",
        problem.detail
    );
    let problem = refusal(&mut world, &mut serial(3, "SN-3"));
    assert!(
        problem.detail.contains("on no voucher"),
        "{}",
        problem.detail
    );

    // Another import of the same list changes nothing.
    let store = world.store.clone();
    world.command("own", Command::ImportVoucher(voucher(&["SN-1", "SN-2"], 6)));
    assert_eq!(world.store, store);
}

#[test]
fn a_voucher_that_does_not_hold_changes_nothing_and_says_why() {
    let mut world = World::new();
    let good = voucher(&["SN-1"], 6);
    let mut torn = good.clone();
    let at = torn.len() / 2;
    torn[at] ^= 1;
    let other_hq = {
        let serials = vec![text("SN-1")];
        let model = text("vouched-box");
        let voucher = Voucher { model, serials };
        voucher.sign(&CRYPTO, "other.test", &seed(6)).to_bytes()
    };
    for (what, bytes, words) in [
        ("torn", torn, ""),
        (
            "by a key that is not listed",
            voucher(&["SN-1"], 9),
            "no key in the config",
        ),
        (
            "by HQ's own key",
            voucher(&["SN-1"], 2),
            "no key in the config",
        ),
        ("for another HQ", other_hq, "for HQ"),
        ("empty", voucher(&[], 6), "names no serial"),
        ("no voucher", b"{}".to_vec(), ""),
    ] {
        let error = world.try_command("own", Command::ImportVoucher(bytes));
        let error = error.unwrap_err().to_string();
        assert!(error.contains(words), "{what}: {error}");
        assert!(world.store.is_empty(), "{what}");
    }
}

#[test]
fn a_unit_whose_record_hq_lost_comes_back_with_its_grant() {
    let mut world = World::new();
    let list = voucher(&["SN-1"], 6);
    world.command("own", Command::ImportVoucher(list));
    let mut unit = serial(1, "SN-1");
    unit.enrol(&mut world);
    let names = unit.names.clone();
    // Its key is not known any more, but the device is: a restored backup.
    let key = format!(
        "key/{}",
        unit.public().thumbprint(&CRYPTO).to_string().to_lowercase()
    );
    let keys: Vec<String> = world
        .store
        .keys()
        .filter(|it| it.starts_with("key/"))
        .cloned()
        .collect();
    assert_eq!(keys.len(), 1, "{key}");
    world.store.remove(&keys[0]);
    world.store.remove(&unit.subject());
    unit.enrol(&mut world);
    assert_eq!(unit.names, names);
}

#[test]
fn a_vouched_unit_that_proves_its_secret_comes_again_with_another_key() {
    let mut world = World::new();
    let model = text("choosy-box");
    let serials = vec![text("SN-1")];
    let list = Voucher { model, serials }.sign(&CRYPTO, HQ_ID, &seed(6));
    world.command("own", Command::ImportVoucher(list.to_bytes()));
    let secret = secret_of("choosy-box", "SN-1", BATCH);
    for n in [1, 2] {
        let mut unit = unit_of(n, "SN-1", &secret);
        unit.model = "choosy-box".into();
        unit.enrol(&mut world);
    }
    assert_eq!(world.count(NoteKind::UnitAgain), 2, "both are told");
}
