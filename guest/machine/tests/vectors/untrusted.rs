//! Answers that a device must not believe, and why.

use otscert_machine::crypto::Secret;
use otscert_machine::time::Timestamp;
use otscert_machine::wire::json::Object;
use otscert_machine::wire::jws::{JwsError, Typ, Unverified};
use otscert_machine::wire::problem::ProblemKind;
use otscert_machine::wire::trust::{Expiry, TrustError};
use serde_json::{Value, json};

use super::CRYPTO;
use super::cast::{Cast, DELEGATION_END, HQ_ID, NOW};
use super::malformed::{raw, text_of};

/// Answers that a device does not believe.
pub(crate) fn answers(cast: &Cast) -> Value {
    let payload = json!({"sub": "x", "req": "x", "time": NOW}).to_string();
    let hq = cast.hq_key();
    let kid = hq.1.thumbprint(&CRYPTO).to_string();
    let dlg = text_of(&cast.signed_delegation());
    let header = |typ: &str, aud: &str, kid: &str, dlg: Option<&str>| {
        let dlg = dlg
            .map(|dlg| format!(r#","dlg":{dlg}"#))
            .unwrap_or_default();
        format!(r#"{{"alg":"Ed25519","typ":"{typ}","v":1,"aud":"{aud}","kid":"{kid}"{dlg}}}"#)
    };
    let typ = "otscert-contact-answer+jws";
    let by = |seed: &Secret<32>, header: &str| raw(seed, header, &payload);
    let delegated =
        |delegation: &Object| by(&hq.0, &header(typ, HQ_ID, &kid, Some(&text_of(delegation))));
    let mut ended = cast.delegation();
    ended.not_after = Timestamp::from_millis(NOW - 1);
    let mut old = cast.delegation();
    old.epoch = 0;
    let other_root = cast.delegation().sign(&CRYPTO, HQ_ID, &cast.stranger().0);
    let other_hq = cast
        .delegation()
        .sign(&CRYPTO, "other.example.com", &cast.root().0);
    let good = by(&hq.0, &header(typ, HQ_ID, &kid, Some(&dlg)));
    let forged = dlg.replacen(r#""signature":""#, r#""signature":"AAAA"#, 1);
    let stranger_kid = cast.stranger().1.thumbprint(&CRYPTO).to_string();

    let mut list = Vec::new();
    let mut case = |what: &str, reason: Option<&str>, message: String| {
        list.push(json!({ "what": what, "reason": reason, "message": message }));
    };
    case(
        "believed; each other case changes one thing",
        None,
        good.clone(),
    );
    case(
        "no delegation",
        Some("no-delegation"),
        by(&hq.0, &header(typ, HQ_ID, &kid, None)),
    );
    case(
        "a delegation by a root that is not pinned",
        Some("unknown-root"),
        delegated(&other_root),
    );
    case(
        "a delegation of another HQ by the same root",
        Some("other-hq"),
        delegated(&other_hq),
    );
    case(
        "a delegation that ended a millisecond before the lower bound of the time",
        Some("ended"),
        delegated(&ended.sign(&CRYPTO, HQ_ID, &cast.root().0)),
    );
    case(
        "a delegation of a lower epoch than one seen",
        Some("old-epoch"),
        delegated(&old.sign(&CRYPTO, HQ_ID, &cast.root().0)),
    );
    case(
        "a grant in the place of the delegation",
        Some("other-type"),
        delegated(&cast.grant().sign(&CRYPTO, &cast.hq())),
    );
    case(
        "a delegation whose signature is too long",
        Some("bad-signature"),
        by(&hq.0, &header(typ, HQ_ID, &kid, Some(&forged))),
    );
    case(
        "kid names another key than the delegation",
        Some("other-key"),
        by(&hq.0, &header(typ, HQ_ID, &stranger_kid, Some(&dlg))),
    );
    case(
        "signed by another key than the delegated one",
        Some("bad-signature"),
        by(&cast.stranger().0, &header(typ, HQ_ID, &kid, Some(&dlg))),
    );
    case(
        "for another HQ",
        Some("other-hq"),
        by(&hq.0, &header(typ, "x", &kid, Some(&dlg))),
    );
    case(
        "another answer than the one that is due",
        Some("other-type"),
        by(
            &hq.0,
            &header("otscert-poll-answer+jws", HQ_ID, &kid, Some(&dlg)),
        ),
    );
    case(
        "a typ that this version does not know",
        Some("malformed"),
        by(
            &hq.0,
            &header("otscert-redirect+jws", HQ_ID, &kid, Some(&dlg)),
        ),
    );
    let newer = header(typ, HQ_ID, &kid, Some(&dlg)).replacen(r#""v":1"#, r#""v":2"#, 1);
    case(
        "another version",
        Some("unknown-version"),
        by(&hq.0, &newer),
    );
    json!({
        "what": "Answers to `contact`, and why a device that has seen epoch 1 does not believe them at \
                 the time `now` of keys.json; reason null: it does. Binding (`sub`, `req`) comes after.",
        "notAfterOfDelegation": DELEGATION_END,
        "cases": list,
    })
}

/// Why a device does not believe an answer; none if it does.
pub(crate) fn reason_of(cast: &Cast, bytes: &[u8]) -> Option<&'static str> {
    let unverified = match Unverified::parse(bytes) {
        Ok(unverified) => unverified,
        Err(error) => return Some(jws_reason(&error)),
    };
    let now = Expiry::NotBefore(Timestamp::from_millis(NOW));
    match cast
        .roots()
        .open(&CRYPTO, unverified, Typ::ContactAnswer, 1, now)
    {
        Ok(_) => None,
        Err(TrustError::Jws(error)) => Some(jws_reason(&error)),
        Err(TrustError::Payload(_)) => Some("payload"),
        Err(TrustError::NoDelegation) => Some("no-delegation"),
        Err(TrustError::UnknownRoot) => Some("unknown-root"),
        Err(TrustError::OldEpoch { .. }) => Some("old-epoch"),
        Err(TrustError::Ended { .. }) => Some("ended"),
        Err(TrustError::OtherKey) => Some("other-key"),
        Err(TrustError::OtherHq { .. }) => Some("other-hq"),
        Err(TrustError::OtherType { .. }) => Some("other-type"),
    }
}

fn jws_reason(error: &JwsError) -> &'static str {
    ProblemKind::from(error).slug()
}
