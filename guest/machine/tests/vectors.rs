//! The test vectors of docs/vectors/: made here from fixed seeds, and read back from the files.
//!
//! Every message of the protocol stands there as a file. This program makes them with the code that
//! both roles use and compares them with the files, byte for byte; then it takes the files alone,
//! opens each with the same code, and writes it again. `OTSCERT_WRITE_VECTORS=1` writes the files
//! anew: do that only when the wire format is meant to change.
#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "a test names what it wants, refuses the rest"
)]
#![expect(
    clippy::unwrap_used,
    reason = "in a test's helpers a panic is the report"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;

use otscert_crypto::RustCrypto;
use otscert_machine::crypto::{Crypto, Secret};
use otscert_machine::factory::ClaimCode;
use otscert_machine::time::Timestamp;
use otscert_machine::types::{Digest, Ed25519Public};
use otscert_machine::wire::base64url;
use otscert_machine::wire::json::Object;
use otscert_machine::wire::jws::{self, Signer, Typ, Unverified};
use otscert_machine::wire::message::{
    self, Address, AddressAnswer, Contact, ContactAnswer, Enrol, EnrolAnswer, Order, OrderAnswer,
    Poll, PollAnswer, Problem, Retire, RetireAnswer,
};
use otscert_machine::wire::trust::{Delegation, Expiry, Grant, TrustError};
use otscert_machine::wire::voucher::Voucher;
use otscert_machine::x509::{Chain, csr};
use serde_json::{Value, json};

#[path = "vectors/cast.rs"]
mod cast;
#[path = "vectors/certificates.rs"]
mod certificates;
#[path = "vectors/hq.rs"]
mod hq;
#[path = "vectors/malformed.rs"]
mod malformed;
#[path = "vectors/members.rs"]
mod members;
#[path = "vectors/messages.rs"]
mod messages;
#[path = "vectors/untrusted.rs"]
mod untrusted;

use cast::{Cast, HQ_ID};

const CRYPTO: RustCrypto = RustCrypto;

#[test]
fn the_files_are_what_the_code_makes() {
    let cast = Cast::new();
    let mut made = messages::all(&cast);
    made.insert("keys".into(), cast.to_json());
    made.insert("malformed-requests".into(), malformed::requests(&cast));
    made.insert("malformed-answers".into(), untrusted::answers(&cast));
    made.insert("sealed-companion".into(), sealed_companion());
    if std::env::var_os("OTSCERT_WRITE_VECTORS").is_some() {
        for (name, value) in &made {
            fs::write(path(name), text(value)).expect("docs/vectors is writable");
        }
    }
    for (name, value) in &made {
        let stored = fs::read_to_string(path(name)).unwrap_or_default();
        assert_eq!(
            stored,
            text(value),
            "docs/vectors/{name}.json is not what the code makes: the wire format changed; if that \
             is meant, run with OTSCERT_WRITE_VECTORS=1"
        );
    }
    let names: Vec<String> = files();
    let expected: Vec<String> = made.into_keys().collect();
    assert_eq!(
        names, expected,
        "files in docs/vectors that nothing makes, or the reverse"
    );
}

#[test]
fn each_message_opens_and_is_written_again_as_it_was() {
    let mut typs = Vec::new();
    for (name, file) in stored_messages() {
        let bytes = text_of(&file, "message").as_bytes().to_vec();
        let digest = Digest::of(&CRYPTO, &bytes).to_string();
        assert_eq!(digest, text_of(&file, "sha256"), "{name}");
        if file["header"].is_null() {
            let contact = Contact::parse(&bytes).unwrap();
            assert_eq!(contact.to_bytes(), bytes, "{name}");
            continue;
        }
        let unverified = Unverified::parse(&bytes).unwrap_or_else(|e| panic!("{name}: {e}"));
        let header = unverified.header().clone();
        let (public, seed) = signer(&file);
        if let Signer::Key(key) = &header.signer {
            assert_eq!(*key, public, "{name}: jwk");
        }
        let verified = unverified
            .verify(&CRYPTO, &public)
            .unwrap_or_else(|e| panic!("{name}: {e}"));
        assert_eq!(verified.header, header, "{name}");
        assert_eq!(value_of(&verified.payload), file["payload"], "{name}");
        let rewritten = rewrite(header.typ, &verified.payload);
        assert_eq!(
            rewritten, verified.payload,
            "{name}: members lost or changed"
        );
        let again = jws::sign(&CRYPTO, &seed, &header, &rewritten).to_bytes();
        assert_eq!(
            String::from_utf8(again).unwrap(),
            text_of(&file, "message"),
            "{name}"
        );
        typs.push(header.typ.as_str());
    }
    typs.sort_unstable();
    typs.dedup();
    assert_eq!(typs.len(), 15, "a vector for each typ: {typs:?}");
}

#[test]
fn what_hq_signs_opens_under_the_pinned_roots_and_nothing_else() {
    let roots = Cast::new().roots();
    let now = Expiry::NotBefore(Timestamp::from_millis(cast::NOW));
    let end = Expiry::NotBefore(Timestamp::from_millis(cast::DELEGATION_END));
    let after = Expiry::NotBefore(Timestamp::from_millis(cast::DELEGATION_END + 1));
    let mut others = roots.clone();
    others.keys = vec![Ed25519Public::new([9; 32])];
    let mut seen = 0;
    for (name, file) in stored_messages() {
        if file["signer"] != "hq" {
            continue;
        }
        seen += 1;
        let message = Unverified::parse(text_of(&file, "message").as_bytes()).unwrap();
        let typ = message.header().typ;
        let open = |roots: &otscert_machine::wire::trust::Roots, floor, expiry| {
            roots.open(&CRYPTO, message.clone(), typ, floor, expiry)
        };
        let (_, delegation) = open(&roots, 1, now).unwrap_or_else(|e| panic!("{name}: {e}"));
        assert_eq!(delegation.epoch, 1, "{name}");
        assert!(
            matches!(open(&roots, 2, now), Err(TrustError::OldEpoch { .. })),
            "{name}"
        );
        assert!(
            matches!(open(&roots, 1, after), Err(TrustError::Ended { .. })),
            "{name}"
        );
        assert!(open(&roots, 1, end).is_ok(), "{name}: to the last moment");
        assert_eq!(
            open(&others, 1, now).unwrap_err(),
            TrustError::UnknownRoot,
            "{name}"
        );
        let wrong = if typ == Typ::Grant {
            Typ::Problem
        } else {
            Typ::Grant
        };
        let error = roots
            .open(&CRYPTO, message.clone(), wrong, 1, now)
            .unwrap_err();
        assert!(matches!(error, TrustError::OtherType { .. }), "{name}");
    }
    assert!(seen > 30, "{seen} messages of HQ");
}

#[test]
fn answers_are_bound_to_the_requests_they_answer() {
    let files = stored_messages();
    for (name, file) in &files {
        let Some(request) = file["answers"].as_str() else {
            continue;
        };
        let request = &files[request];
        assert_eq!(file["payload"]["req"], request["sha256"], "{name}");
    }
}

#[test]
fn the_order_vector_holds_a_csr_that_hq_takes_and_the_chain_answers_it() {
    let files = stored_messages();
    let order = Order::parse(&object(&files["order"]["payload"])).unwrap();
    let checked = csr::check(&CRYPTO, &order.csr).unwrap();
    let grant = Grant::open(
        &CRYPTO,
        &Cast::new().roots(),
        &message_object(&files["grant"]),
        1,
    )
    .unwrap();
    assert_eq!(checked.names, grant.cert_names());

    let answer = PollAnswer::parse(&object(&files["poll-answer-issued"]["payload"])).unwrap();
    let message::OrderStatus::Issued(issued) = answer.status else {
        panic!("poll-answer-issued is not");
    };
    let chain = Chain::read(issued.chain).unwrap();
    let now = cast::moment();
    chain
        .check(&checked.public, &grant.cert_names(), now, now.wall)
        .unwrap();
    assert_eq!(
        text_of(&files["poll-answer-issued"], "leafNotAfter"),
        chain.leaf().not_after.to_string()
    );
}

#[test]
fn the_credential_vectors_hold_what_the_labels_and_factories_know() {
    let files = stored_messages();
    let cast = Cast::new();
    let enrol = Enrol::parse(&object(&files["enrol-unit-secret"]["payload"])).unwrap();
    let unit = enrol.credential.unit.unwrap();
    let proof = unit.proof.unwrap();
    let thumbprint = cast.identity().1.thumbprint(&CRYPTO);
    let nonce = enrol.hq_nonce.as_bytes();
    let parts: [&[u8]; 3] = [b"otscert enrol v1\0", thumbprint.bytes(), nonce];
    let secret = cast.unit_secret();
    let mac = CRYPTO.hmac_sha256(secret.secret.expose(), &parts);
    assert_eq!((mac, secret.epoch), (proof.mac, proof.epoch));
    assert_eq!((unit.serial.as_str(), proof.epoch), ("SN-0001", 1));

    let enrol = Enrol::parse(&object(&files["enrol-claim-code"]["payload"])).unwrap();
    let code = enrol.credential.claim_code.unwrap();
    assert_eq!(code.printed(), cast::CLAIM_CODE);

    let answer = ContactAnswer::parse(&object(&files["contact-answer-sealed"]["payload"])).unwrap();
    let opened = secret
        .open_seed(&CRYPTO, &answer.req, &answer.sealed_seed.unwrap())
        .unwrap();
    assert_eq!(opened.expose(), cast.sealed_seed().expose());
}

#[test]
fn what_a_browser_seals_opens_under_the_code_on_the_label() {
    let file = read("sealed-companion");
    let bytes = |member: &str| base64url::decode(text_of(&file, member)).unwrap();
    let code = ClaimCode::parse(text_of(&file, "printed")).unwrap();
    assert_eq!(code.expose(), text_of(&file, "code"));
    let nonce = bytes("nonce").try_into().unwrap();
    let opened = code.open_companion(&CRYPTO, &nonce, &bytes("sealed"));
    assert_eq!(opened.unwrap().expose().to_vec(), bytes("seed"));
}

/// Not on the wire to HQ: from the script of a box's set-up page to the box.
fn sealed_companion() -> Value {
    let code = (0..)
        .find_map(|n| ClaimCode::draw_long(&core::array::from_fn(|i| n + i as u8 * 7)))
        .unwrap();
    let (nonce, seed) = ([0x5a; 32], Secret::new(core::array::from_fn(|i| i as u8)));
    let sealed = code.seal_companion(&CRYPTO, &nonce, &seed);
    json!({
        "what": "32 random bytes that the owner's browser sealed under the code on the label \
                 (wit/provisioner.wit, `sealed-companion`)",
        "printed": code.printed(),
        "code": code.expose(),
        "nonce": base64url::encode(&nonce),
        "seed": base64url::encode(seed.expose()),
        "sealed": base64url::encode(&sealed),
    })
}

#[test]
fn malformed_requests_are_refused_with_their_slug() {
    let file = read("malformed-requests");
    let hq = hq::Hq::new(&Cast::new());
    let mut slugs = BTreeSet::new();
    for case in file["cases"].as_array().unwrap() {
        let body = malformed::bytes_of(case);
        let answer = hq.answer(hq::endpoint(text_of(case, "endpoint")), &body);
        let expected = case["slug"].as_str().unwrap_or_default();
        assert_eq!(answer.problem, expected, "{}", case["what"]);
        slugs.insert(answer.problem.clone());
        let signed = Unverified::parse(&answer.body).unwrap();
        let said = signed
            .verify(&CRYPTO, &Cast::new().hq_key().1)
            .unwrap()
            .payload;
        assert_eq!(
            said.text("req").unwrap(),
            Digest::of(&CRYPTO, &body).to_string()
        );
    }
    assert!(slugs.len() > 10, "{slugs:?}");
}

#[test]
fn malformed_answers_are_refused_for_their_reason() {
    let file = read("malformed-answers");
    for case in file["cases"].as_array().unwrap() {
        let got = untrusted::reason_of(&Cast::new(), &malformed::bytes_of(case));
        assert_eq!(got, case["reason"].as_str(), "{}", case["what"]);
    }
}

/// The payload through its type and back.
fn rewrite(typ: Typ, payload: &Object) -> Object {
    match typ {
        Typ::ContactAnswer => ContactAnswer::parse(payload).unwrap().to_object(),
        Typ::Enrol => Enrol::parse(payload).unwrap().to_object(),
        Typ::EnrolAnswer => EnrolAnswer::parse(payload).unwrap().to_object(),
        Typ::Order => Order::parse(payload).unwrap().to_object(),
        Typ::OrderAnswer => OrderAnswer::parse(payload).unwrap().to_object(),
        Typ::Poll => Poll::parse(payload).unwrap().to_object(),
        Typ::PollAnswer => PollAnswer::parse(payload).unwrap().to_object(),
        Typ::Address => Address::parse(payload).unwrap().to_object(),
        Typ::AddressAnswer => AddressAnswer::parse(payload).unwrap().to_object(),
        Typ::Retire => Retire::parse(payload).unwrap().to_object(),
        Typ::RetireAnswer => RetireAnswer::parse(payload).unwrap().to_object(),
        Typ::Problem => Problem::parse(payload).unwrap().to_object(),
        // These are read and written as whole messages, not as payloads.
        Typ::Delegation | Typ::Grant | Typ::Assessment | Typ::Voucher => reopened(typ, payload),
    }
}

fn reopened(typ: Typ, payload: &Object) -> Object {
    let cast = Cast::new();
    let name = match typ {
        Typ::Delegation if payload.number("epoch").unwrap() == 1 => "delegation",
        Typ::Delegation => "delegation-next",
        Typ::Voucher => "voucher",
        _ => "grant",
    };
    let object = message_object(&read(name));
    let again = match typ {
        Typ::Delegation => {
            let opened = Delegation::open(&CRYPTO, &cast.roots(), &object).unwrap();
            let root = if opened.epoch == 1 {
                cast.root()
            } else {
                cast.spare_root()
            };
            opened.sign(&CRYPTO, HQ_ID, &root.0)
        }
        Typ::Voucher => {
            let (seed, public) = cast.factory();
            let opened = Voucher::open(&CRYPTO, HQ_ID, &[public], &object.to_bytes()).unwrap();
            opened.sign(&CRYPTO, HQ_ID, &seed)
        }
        _ => Grant::open(&CRYPTO, &cast.roots(), &object, 0)
            .unwrap()
            .sign(&CRYPTO, &cast.hq()),
    };
    assert_eq!(again, object, "{name}");
    payload.clone()
}

fn signer(file: &Value) -> (Ed25519Public, Secret<32>) {
    let cast = Cast::new();
    let (seed, public) = match text_of(file, "signer") {
        "identity" => cast.identity(),
        "hq" => cast.hq_key(),
        "root" => cast.root(),
        "spare-root" => cast.spare_root(),
        "factory" => cast.factory(),
        other => panic!("nobody is called {other}"),
    };
    (public, seed)
}

fn stored_messages() -> BTreeMap<String, Value> {
    let messages = files().into_iter().filter(|name| {
        !matches!(
            name.as_str(),
            "keys" | "malformed-requests" | "malformed-answers" | "problems" | "sealed-companion"
        )
    });
    let mut all: BTreeMap<String, Value> =
        messages.map(|name| (name.clone(), read(&name))).collect();
    for problem in read("problems")["cases"].as_array().unwrap() {
        all.insert(
            format!("problem {}", text_of(problem, "slug")),
            problem.clone(),
        );
    }
    all
}

fn files() -> Vec<String> {
    let folder = path("keys");
    let entries = fs::read_dir(folder.parent().unwrap()).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = names
        .filter_map(|name| name.strip_suffix(".json").map(str::to_owned))
        .collect();
    names.sort_unstable();
    names
}

fn read(name: &str) -> Value {
    let text = fs::read_to_string(path(name)).unwrap_or_else(|e| panic!("{name}: {e}"));
    serde_json::from_str(&text).unwrap()
}

fn path(name: &str) -> PathBuf {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    root.join("../../docs/vectors").join(format!("{name}.json"))
}

fn text(value: &Value) -> String {
    serde_json::to_string_pretty(value).unwrap() + "\n"
}

fn text_of<'a>(file: &'a Value, member: &str) -> &'a str {
    file[member]
        .as_str()
        .unwrap_or_else(|| panic!("{member} is missing in {file}"))
}

fn object(value: &Value) -> Object {
    Object::parse(value.to_string().as_bytes()).unwrap()
}

fn message_object(file: &Value) -> Object {
    Object::parse(text_of(file, "message").as_bytes()).unwrap()
}

fn value_of(object: &Object) -> Value {
    serde_json::from_slice(&object.to_bytes()).unwrap_or(json!(null))
}
