//! A config that HQ cannot run with is refused, and the field is named.

use otscert_machine::crypto::Crypto;
use otscert_machine::hq::config::{Ca, Config, RawConfig};
use otscert_machine::time::Timestamp;
use otscert_machine::types::Ed25519Public;
use otscert_machine::types::NameMode;
use otscert_machine::wire::trust::Delegation;

use super::world::{CRYPTO, HQ_ID, NOW, raw_config, seed};

#[test]
fn each_field_that_is_not_what_it_must_be_is_named() {
    let fine = Config::new(&CRYPTO, raw_config()).unwrap();
    type Change = fn(&mut RawConfig);
    let cases: [(&str, &str, Change); 26] = [
        ("hq-id", "empty", |raw| raw.hq_id = String::new()),
        ("zone", "no name", |raw| raw.zone = "a..b".into()),
        ("zone", "161 characters", |raw| {
            raw.zone = format!("{}.test", long(156))
        }),
        ("roots", "none", |raw| raw.roots.clear()),
        ("roots", "three", |raw| raw.roots = vec![vec![1; 32]; 3]),
        ("roots", "31 bytes", |raw| raw.roots = vec![vec![1; 31]]),
        ("delegation", "no JSON", |raw| {
            raw.delegation = b"{".to_vec()
        }),
        ("delegation", "by another root", |raw| {
            raw.delegation = delegation(2, 9)
        }),
        ("delegation", "of another key", |raw| {
            raw.delegation = delegation(9, 1)
        }),
        ("signing-seed", "33 bytes", |raw| raw.signing_seed.push(1)),
        ("token-key", "31 bytes", |raw| raw.token_key = vec![3; 31]),
        ("cas", "none", |raw| raw.cas.clear()),
        ("cas", "seventeen", |raw| {
            raw.cas = (0..17).map(|n| ca(&format!("ca{n}"))).collect()
        }),
        ("cas", "no name", |raw| raw.cas[0].name = String::new()),
        ("cas", "twice", |raw| raw.cas.push(ca("ca"))),
        ("models", "none", |raw| raw.models.clear()),
        ("models", "no name", |raw| {
            raw.models[0].name = String::new()
        }),
        ("models", "twice", |raw| raw.models[1].name = "*".into()),
        ("models", "a CA that is not there", |raw| {
            raw.models[0].ca = Some("other".into())
        }),
        ("models", "unknown admission", |raw| {
            raw.models[0].admission = vec!["magic".into()]
        }),
        ("batch-keys", "31 bytes", |raw| {
            raw.batch_keys = vec![(7, vec![1; 31])]
        }),
        ("batch-keys", "257", |raw| {
            raw.batch_keys = (0..257).map(|epoch| (epoch, vec![1; 32])).collect();
        }),
        ("voucher-keys", "31 bytes", |raw| {
            raw.voucher_keys = vec![vec![1; 31]]
        }),
        // One limit, one sentence for both.
        ("batch-keys", "17 voucher keys", |raw| {
            raw.voucher_keys = vec![vec![1; 32]; 17]
        }),
        ("own-names", "nine", |raw| {
            raw.own_names = (0..9).map(|n| format!("hq{n}.dev.test")).collect();
        }),
        ("own-names", "no name", |raw| {
            raw.own_names = vec!["*".into()]
        }),
    ];
    for (field, what, change) in cases {
        let mut raw = raw_config();
        change(&mut raw);
        let error = Config::new(&CRYPTO, raw).expect_err(&format!("{field}: {what}"));
        assert_eq!(error.field, field, "{what}: {error}");
    }
    // The secrets of a config are not among what it shows.
    let shown = format!("{fine:?}");
    assert!(
        shown.contains(HQ_ID) && shown.contains("oldest_grant_epoch"),
        "{shown}"
    );
    for secret in ["token_key", "batch_keys", "signer"] {
        assert!(!shown.contains(secret), "{shown}");
    }
}

#[test]
fn the_most_that_a_config_may_hold_is_taken() {
    let mut raw = raw_config();
    raw.zone = format!("{}.test", long(155));
    raw.roots.push(vec![9; 32]);
    raw.cas = (0..16).map(|n| ca(&format!("ca{n}"))).collect();
    raw.models[1].ca = Some("ca15".into());
    raw.batch_keys = (0..256).map(|epoch| (epoch, vec![1; 32])).collect();
    raw.voucher_keys = vec![vec![1; 32]; 16];
    raw.own_names = vec![
        "hq.dev.test".into(),
        "*.dev.test".into(),
        "hq.dev.test".into(),
    ];
    let config = Config::new(&CRYPTO, raw).unwrap();
    let named = config.model(&super::client::text("word-box")).unwrap();
    assert_eq!((named.ca, named.mode), (15, NameMode::Word));
    assert_eq!(config.own_names.len(), 2, "each once");
}

/// Whoever writes the config does not write the terminal that shows what is wrong with it.
#[test]
fn a_name_that_is_shown_stands_in_quotes_and_has_no_control_characters() {
    let mut raw = raw_config();
    raw.models[1].ca = Some("the \u{1b}[31mother\n".into());
    let error = Config::new(&CRYPTO, raw).unwrap_err().to_string();
    let says = r#""word-box" wants the CA "the [31mother", which is not there"#;
    assert!(error.contains(says), "{error}");
}

fn delegation(key: u8, root: u8) -> Vec<u8> {
    let delegation = Delegation {
        key: Ed25519Public::new(CRYPTO.ed25519_public(&seed(key))),
        epoch: 1,
        not_after: Timestamp::from_millis(NOW),
    };
    delegation.sign(&CRYPTO, HQ_ID, &seed(root)).to_bytes()
}

fn ca(name: &str) -> Ca {
    Ca {
        name: name.into(),
        profile: None,
        ari: false,
    }
}

/// A name of that many characters, in labels of at most 63.
fn long(characters: usize) -> String {
    let mut name = "a".repeat(characters);
    for dot in (50..characters - 1).step_by(51) {
        name.replace_range(dot..=dot, ".");
    }
    name
}
