//! Requests that HQ must refuse, and what for.

use otscert_machine::crypto::Secret;
use otscert_machine::types::Ed25519Public;
use otscert_machine::wire::base64url;
use otscert_machine::wire::json::Object;
use otscert_machine::wire::jws::{self, Header, Signer, Typ};
use otscert_machine::wire::message::Credential;
use serde_json::{Value, json};

use super::CRYPTO;
use super::cast::{Cast, DEVICE, HQ_ID};
use super::messages::{continuity, device_header, enrol};

/// The bytes of a case: its text, spaces after it up to `padTo`; or `bytes` in base64url.
pub(crate) fn bytes_of(case: &Value) -> Vec<u8> {
    if let Some(text) = case["bytes"].as_str() {
        return base64url::decode(text).unwrap();
    }
    let mut bytes = case["message"].as_str().unwrap().as_bytes().to_vec();
    if let Some(length) = case["padTo"].as_u64() {
        bytes.resize(usize::try_from(length).unwrap(), b' ');
    }
    bytes
}

/// Requests that HQ refuses before it looks at its records.
pub(crate) fn requests(cast: &Cast) -> Value {
    let mut list = Cases(Vec::new());
    envelopes(cast, &mut list);
    headers(cast, &mut list);
    payloads(cast, &mut list);
    contacts(&mut list);
    json!({
        "what": "Requests, and the slug HQ refuses them with. HQ knows the device of keys.json. Tokens and \
                 nonces are stand-ins, so that bad-token, stale-nonce and a slug of null (answered) mean that \
                 syntax and signature are right.",
        "cases": list.0,
    })
}

struct Cases(Vec<Value>);

impl Cases {
    fn add(&mut self, what: &str, endpoint: &str, slug: Option<&str>, message: String) {
        self.0.push(json!({
            "what": what, "endpoint": endpoint, "slug": slug, "message": message,
        }));
    }

    fn poll(&mut self, what: &str, slug: &str, message: String) {
        self.add(what, "poll", Some(slug), message);
    }
}

fn envelopes(cast: &Cast, list: &mut Cases) {
    let seed = cast.identity().0;
    let good = raw(&seed, &poll_header(), &poll_payload());
    let [protected, payload, signature] = parts(&good);
    let joined = |protected: &str, payload: &str, signature: &str| {
        format!(r#"{{"payload":"{payload}","protected":"{protected}","signature":"{signature}"}}"#)
    };
    list.add(
        "right; each other poll changes one thing",
        "poll",
        FINE,
        good.clone(),
    );
    let spaced = joined(&protected, &payload, &signature).replace(',', " ,\n\t");
    list.add(
        "white space between members of the envelope",
        "poll",
        FINE,
        spaced,
    );
    let more = good.replacen('{', r#"{"later":{"x":[1,-1,1.5,null]},"#, 1);
    list.add("an unknown member of the envelope", "poll", FINE, more);
    for (what, message) in [
        ("nothing", String::new()),
        ("an array", format!("[{good}]")),
        ("two objects", format!("{good}{good}")),
        ("a byte order mark", format!("\u{feff}{good}")),
        (
            "a compact JWS",
            format!("{protected}.{payload}.{signature}"),
        ),
        (
            "no signature",
            format!(r#"{{"payload":"{payload}","protected":"{protected}"}}"#),
        ),
        (
            "general JSON serialization",
            good.replacen("signature", "signatures", 1),
        ),
        (
            "an unpaired surrogate in an unknown member",
            good.replacen('{', r#"{"x":"\ud800","#, 1),
        ),
        (
            "a number beyond every range",
            good.replacen('{', r#"{"x":1e999,"#, 1),
        ),
        (
            "a value inside nine containers",
            good.replacen('{', &deep(9), 1),
        ),
        (
            "padding",
            joined(&protected, &format!("{payload}="), &signature),
        ),
        (
            "the alphabet of plain base64",
            joined(&protected, &format!("{payload}+/"), &signature),
        ),
        (
            "a line feed in base64url",
            joined(&protected, &format!("{payload}\\n"), &signature),
        ),
        (
            "trailing bits that are set",
            joined(&protected, &payload, &trailing_bits(&signature)),
        ),
    ] {
        list.poll(what, "malformed", message);
    }
    list.add(
        "a value inside eight containers",
        "poll",
        FINE,
        good.replacen('{', &deep(8), 1),
    );
    let not_utf8 = good.replacen('{', "{\"x\":\"", 1).into_bytes();
    let at = not_utf8.iter().position(|byte| *byte == b'"').unwrap() + 5;
    let mut bytes = not_utf8;
    bytes.splice(at..at, *b"\xff\",");
    list.0.push(json!({
        "what": "a text that is not UTF-8", "endpoint": "poll", "slug": "malformed",
        "bytes": base64url::encode(&bytes),
    }));
    for (what, slug, length) in [
        ("65536 bytes", FINE, 65_536),
        ("65537 bytes", Some("too-large"), 65_537),
    ] {
        list.0.push(json!({
            "what": what, "endpoint": "poll", "slug": slug, "message": good, "padTo": length,
        }));
    }
    let unprotected = good.replacen('{', r#"{"header":{},"#, 1);
    list.poll("an unprotected header", "unknown-critical", unprotected);
    let twice = good.replacen('{', &format!(r#"{{"payload":"{payload}","#), 1);
    list.poll("a member of the envelope twice", "duplicate-member", twice);
    let spelt = good.replacen('{', &format!(r#"{{"\u0070ayload":"{payload}","#), 1);
    list.poll("the same, spelt with an escape", "duplicate-member", spelt);
    let inner = good.replacen('{', r#"{"x":[{"a":1,"a":1}],"#, 1);
    list.poll(
        "a member twice inside an unknown member",
        "duplicate-member",
        inner,
    );

    let other = raw(&cast.stranger().0, &poll_header(), &poll_payload());
    list.poll("signed by another key", "bad-signature", other);
    let [_, other, _] = parts(&raw(
        &seed,
        &poll_header(),
        &poll_payload().replace("1.4.2", "1.4.3"),
    ));
    list.poll(
        "a payload changed after signing",
        "bad-signature",
        joined(&protected, &other, &signature),
    );
    let short = base64url::encode(&base64url::decode(&signature).unwrap()[..63]);
    list.poll(
        "a signature of 63 bytes",
        "bad-signature",
        joined(&protected, &payload, &short),
    );
    list.poll(
        "the signature's s increased by the group order (RFC 8032 section 5.1.7)",
        "bad-signature",
        joined(&protected, &payload, &plus_order(&signature)),
    );
}

fn headers(cast: &Cast, list: &mut Cases) {
    let seed = cast.identity().0;
    let by = |header: String| raw(&seed, &header, &poll_payload());
    let changed = |from: &str, to: &str| {
        let header = poll_header().replacen(from, to, 1);
        assert_ne!(header, poll_header(), "{from}");
        by(header)
    };
    let more = changed(r#""v":1"#, r#""v":1,"x-later":[true]"#);
    list.add("an unknown member of the header", "poll", FINE, more);
    for (what, slug, from, to) in [
        ("v 2", "unknown-version", r#""v":1"#, r#""v":2"#),
        ("v as text", "malformed", r#""v":1"#, r#""v":"1""#),
        ("v as 1.0", "malformed", r#""v":1"#, r#""v":1.0"#),
        ("no v", "malformed", r#","v":1"#, ""),
        (
            "crit, even if empty",
            "unknown-critical",
            r#""v":1"#,
            r#""v":1,"crit":[]"#,
        ),
        (
            "crit and v 2: crit is named",
            "unknown-critical",
            r#""v":1"#,
            r#""v":2,"crit":["x"]"#,
        ),
        ("b64", "unknown-critical", r#""v":1"#, r#""v":1,"b64":true"#),
        ("alg EdDSA", "malformed", r#""Ed25519""#, r#""EdDSA""#),
        ("alg none", "malformed", r#""Ed25519""#, r#""none""#),
        ("alg ES256", "malformed", r#""Ed25519""#, r#""ES256""#),
        (
            "an unknown typ",
            "malformed",
            "otscert-poll+jws",
            "otscert-pole+jws",
        ),
        ("no aud", "malformed", r#""aud":"hq.example.com","#, ""),
        ("an empty kid", "malformed", DEVICE, ""),
        (
            "a kid of 65 characters",
            "malformed",
            DEVICE,
            &"a".repeat(65),
        ),
        ("no kid", "malformed", r#""kid""#, r#""kit""#),
        (
            "a member of the header twice",
            "duplicate-member",
            r#""v":1"#,
            r#""v":1,"v":1"#,
        ),
    ] {
        list.poll(what, slug, changed(from, to));
    }
    list.poll(
        "for another HQ",
        "wrong-audience",
        changed(HQ_ID, "hq.example.net"),
    );
    list.poll(
        "aud differs in case",
        "wrong-audience",
        changed(HQ_ID, "HQ.example.com"),
    );
    list.poll(
        "an order sent to poll",
        "wrong-type",
        changed("poll+jws", "order+jws"),
    );
    list.poll(
        "an answer sent to poll",
        "wrong-type",
        changed("poll+jws", "poll-answer+jws"),
    );
    list.poll(
        "a device that HQ does not know",
        "unknown-device",
        changed(DEVICE, &"a".repeat(20)),
    );
    list.poll(
        "a kid that is no device id",
        "unknown-device",
        changed(DEVICE, "x"),
    );
    let jwk = text_of(&jws::jwk(&cast.identity().1));
    let both = format!(r#""jwk":{jwk},"kid""#);
    list.poll("jwk outside enrol", "malformed", changed(r#""kid""#, &both));

    let payload = enrol(Credential::default()).to_object();
    let enrolment = |key: Ed25519Public| Header {
        typ: Typ::Enrol,
        aud: HQ_ID.into(),
        signer: Signer::Key(key),
        delegation: None,
    };
    let good = jws::sign(&CRYPTO, &seed, &enrolment(cast.identity().1), &payload);
    let text = String::from_utf8(good.bytes("protected").unwrap()).unwrap();
    let payload = text_of(&payload);
    for (what, from, to) in [
        ("enrol with kid and jwk", r#""jwk""#, r#""kid":"x","jwk""#),
        ("enrol with kid alone", r#""jwk""#, r#""kid":"x","jwt""#),
        (
            "jwk of another curve",
            r#""crv":"Ed25519""#,
            r#""crv":"X25519""#,
        ),
        ("jwk of another type", r#""OKP""#, r#""EC""#),
        ("jwk with a short x", r#""x":""#, r#""x":"AA","y":""#),
    ] {
        let header = text.replacen(from, to, 1);
        assert_ne!(header, text, "{from}");
        list.add(
            what,
            "enrol",
            Some("malformed"),
            raw(&seed, &header, &payload),
        );
    }
    let who = cast.stranger();
    let right = jws::sign(
        &CRYPTO,
        &who.0,
        &enrolment(who.1),
        &enrol(Credential::default()).to_object(),
    );
    list.add(
        "right, but for HQ's nonce",
        "enrol",
        Some("stale-nonce"),
        text_of(&right),
    );
    let what = "a second enrolment by the same key, right but for HQ's nonce";
    list.add(what, "enrol", Some("stale-nonce"), text_of(&good));
    let stranger = jws::sign(
        &CRYPTO,
        &seed,
        &enrolment(cast.stranger().1),
        &Object::default(),
    );
    let what = "enrol signed by another key than its jwk";
    list.add(what, "enrol", Some("bad-signature"), text_of(&stranger));
    list.add(
        "enrol by the neutral point, under which one signature fits every message",
        "enrol",
        Some("bad-signature"),
        neutral(&text_of_header(&enrolment(NEUTRAL), &seed), &payload),
    );
}

fn payloads(cast: &Cast, list: &mut Cases) {
    let seed = cast.identity().0;
    let good = poll_payload();
    let changed = |from: &str, to: &str| {
        let payload = good.replacen(from, to, 1);
        assert_ne!(payload, good, "{from}");
        raw(&seed, &poll_header(), &payload)
    };
    let more = changed("{", r#"{"later":{"deep":[[[1]]]},"#);
    list.add("an unknown member of the payload", "poll", FINE, more);
    let twice = changed("{", r#"{"nonce":"x","#);
    list.poll("a member of the payload twice", "duplicate-member", twice);
    for (what, from, to) in [
        ("no nonce", r#""nonce""#, r#""nonse""#),
        (
            "a nonce of 15 bytes",
            r#""nonce":""#,
            r#""nonce":"AAAAAAAAAAAAAAAAAAAA","x":""#,
        ),
        ("a token with a space", r#""token":""#, r#""token":"a "#),
        (
            "a token of 129 characters",
            r#""token":""#,
            &format!(r#""token":"{}"#, "a".repeat(97)),
        ),
        ("an empty firmware", r#""1.4.2""#, r#""""#),
        ("a firmware of 65 characters", "1.4.2", &"1".repeat(65)),
        ("a firmware that is not ASCII", "1.4.2", "1.4.2\u{e9}"),
        ("a firmware that is a number", r#""1.4.2""#, "1"),
        ("serving that is no digest", "{", r#"{"serving":"AA","#),
    ] {
        list.poll(what, "malformed", changed(from, to));
    }
    list.poll(
        "a payload that is an array",
        "malformed",
        raw(&seed, &poll_header(), "[]"),
    );

    let address = |addresses: &str| {
        let continuity = continuity("address");
        let (token, nonce) = (continuity.token, continuity.nonce);
        let payload =
            format!(r#"{{"addresses":[{addresses}],"nonce":"{nonce}","token":"{token}"}}"#);
        raw(&seed, &header("otscert-address+jws"), &payload)
    };
    let sixteen = vec![r#""10.0.0.1""#; 16].join(",");
    list.add("16 addresses", "address", FINE, address(&sixteen));
    for (what, addresses) in [
        ("17 addresses", format!(r#"{sixteen},"10.0.0.2""#)),
        ("an address with a port", r#""10.0.0.1:80""#.into()),
        ("an address with a zone id", r#""fe80::1%eth0""#.into()),
        ("an address with a leading zero", r#""10.0.0.01""#.into()),
        ("an address that is a number", "1".into()),
    ] {
        list.add(what, "address", Some("malformed"), address(&addresses));
    }
    let order = Object::default()
        .with_text("token", continuity("order").token)
        .with_text("nonce", continuity("order").nonce)
        .with_text("csr", "MII=");
    let order = jws::sign(&CRYPTO, &seed, &device_header(Typ::Order), &order);
    list.add(
        "a CSR with padding",
        "order",
        Some("malformed"),
        text_of(&order),
    );
}

fn contacts(list: &mut Cases) {
    let nonce = "A".repeat(43);
    let good = format!(
        r#"{{"aud":"{HQ_ID}","bootCount":1,"firmware":"1","model":"m","nonce":"{nonce}","typ":"otscert-contact+json","v":1}}"#
    );
    list.add(
        "right; each other contact changes one thing",
        "contact",
        None,
        good.clone(),
    );
    for (what, slug, from, to) in [
        (
            "contact for another HQ",
            "wrong-audience",
            HQ_ID,
            "hq.example.net",
        ),
        (
            "contact with v 2",
            "unknown-version",
            r#""v":1"#,
            r#""v":2"#,
        ),
        (
            "contact with crit",
            "unknown-critical",
            r#""v":1"#,
            r#""v":1,"crit":[]"#,
        ),
        (
            "contact with another typ",
            "malformed",
            "otscert-contact+json",
            "otscert-enrol+jws",
        ),
        (
            "contact with a member twice",
            "duplicate-member",
            r#""v":1"#,
            r#""v":1,"v":1"#,
        ),
        (
            "contact with a negative number",
            "malformed",
            r#""bootCount":1"#,
            r#""bootCount":-1"#,
        ),
        (
            "contact with a number beyond 64 bits",
            "malformed",
            r#""bootCount":1"#,
            r#""bootCount":18446744073709551616"#,
        ),
        (
            "contact with a nonce of 33 bytes",
            "malformed",
            r#""nonce":"AA"#,
            r#""nonce":"AAA"#,
        ),
    ] {
        let changed = good.replacen(from, to, 1);
        assert_ne!(changed, good, "{from}");
        list.add(what, "contact", Some(slug), changed);
    }
}

/// A flattened JWS of any header and payload, signed.
pub(crate) fn raw(seed: &Secret<32>, header: &str, payload: &str) -> String {
    let protected = base64url::encode(header.as_bytes());
    let payload = base64url::encode(payload.as_bytes());
    let input = format!("{protected}.{payload}");
    let signature = otscert_machine::crypto::Crypto::ed25519_sign(&CRYPTO, seed, input.as_bytes());
    let signature = base64url::encode(&signature);
    format!(r#"{{"payload":"{payload}","protected":"{protected}","signature":"{signature}"}}"#)
}

/// Signed by the neutral point: R neutral, s zero.
fn neutral(header: &str, payload: &str) -> String {
    let mut signature = [0; 64];
    signature[0] = 1;
    let protected = base64url::encode(header.as_bytes());
    let payload = base64url::encode(payload.as_bytes());
    let signature = base64url::encode(&signature);
    format!(r#"{{"payload":"{payload}","protected":"{protected}","signature":"{signature}"}}"#)
}

fn poll_header() -> String {
    header("otscert-poll+jws")
}

fn header(typ: &str) -> String {
    format!(r#"{{"alg":"Ed25519","aud":"{HQ_ID}","kid":"{DEVICE}","typ":"{typ}","v":1}}"#)
}

fn poll_payload() -> String {
    let continuity = continuity("poll");
    let (token, nonce) = (continuity.token, continuity.nonce);
    format!(r#"{{"firmware":"1.4.2","nonce":"{nonce}","token":"{token}"}}"#)
}

pub(crate) fn text_of(object: &Object) -> String {
    String::from_utf8(object.to_bytes()).unwrap()
}

fn text_of_header(header: &Header, seed: &Secret<32>) -> String {
    let signed = jws::sign(&CRYPTO, seed, header, &Object::default());
    String::from_utf8(signed.bytes("protected").unwrap()).unwrap()
}

fn parts(message: &str) -> [String; 3] {
    let object = Object::parse(message.as_bytes()).unwrap();
    ["protected", "payload", "signature"].map(|member| object.text(member).unwrap().to_owned())
}

/// A member before the others whose value stands inside that many containers, the envelope's
/// object included.
fn deep(containers: usize) -> String {
    let inner = containers - 1;
    format!(r#"{{"x":{}1{},"#, "[".repeat(inner), "]".repeat(inner))
}

/// The same 64 bytes, with one of the four bits set that carry nothing.
fn trailing_bits(signature: &str) -> String {
    let (head, last) = signature.split_at(signature.len() - 1);
    let at = ALPHABET.find(last).unwrap();
    format!("{head}{}", &ALPHABET[at + 1..at + 2])
}

/// Adds the order of the group to s.
fn plus_order(signature: &str) -> String {
    let mut bytes = base64url::decode(signature).unwrap();
    let mut carry = 0;
    for (byte, order) in bytes[32..].iter_mut().zip(ORDER) {
        let sum = u16::from(*byte) + u16::from(order) + carry;
        *byte = sum as u8;
        carry = sum >> 8;
    }
    base64url::encode(&bytes)
}

/// What HQ says of the stand-in for a token, once everything before it was right.
const FINE: Option<&str> = Some("bad-token");
const ALPHABET: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
/// 2^252 + 27742317777372353535851937790883648493, little-endian.
const ORDER: [u8; 32] = [
    0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14,
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10,
];
const NEUTRAL: Ed25519Public = {
    let mut bytes = [0; 32];
    bytes[0] = 1;
    Ed25519Public::new(bytes)
};
