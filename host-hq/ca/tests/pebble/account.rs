//! HQ's account: registration, its key, what CAA records need of it.

use otscert_hq_ca::operation::{CaAnswer, CaOperation, CaProblemKind};
use otscert_hq_ca::pebble::PebbleOptions;
use otscert_hq_ca::testing::problem;
use otscert_hq_ca::{CertificateAuthority, EabConfig, FailureKind, KeyRollover};

use crate::bench::{Hq, always_valid, within_limit};

#[tokio::test]
async fn an_external_account_is_bound() {
    within_limit(async {
        let mac = vec![7; 32];
        let eab = Some(("kid-1".to_owned(), mac.clone()));
        let mut hq = Hq::new(PebbleOptions {
            eab,
            ..always_valid()
        })
        .await;
        let error = hq.try_order(&["a.fleet.test"]).await.unwrap_err();
        assert_eq!(error.kind(), FailureKind::Misconfigured);
        assert!(error.to_string().contains("`eab`"), "{error}");

        let key_file = hq.folder.path().join("eab");
        let eab = |kid: &str| {
            Some(EabConfig {
                key_id: kid.to_owned(),
                hmac_key_file: key_file.clone(),
            })
        };
        // The wrong key, then the wrong key id, then what the CA handed out.
        std::fs::write(&key_file, "CAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAg").unwrap();
        hq.config.eab = eab("kid-1");
        let refused = problem(hq.order(&["a.fleet.test"], None).await);
        assert!(
            matches!(refused.kind, CaProblemKind::Account | CaProblemKind::Other),
            "{refused:?}"
        );
        std::fs::write(&key_file, "BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc\n").unwrap();
        hq.config.eab = eab("kid-2");
        let refused = problem(hq.order(&["a.fleet.test"], None).await);
        assert!(
            matches!(refused.kind, CaProblemKind::Account | CaProblemKind::Other),
            "{refused:?}"
        );
        hq.config.eab = eab("kid-1");
        hq.issued(&["a.fleet.test"]).await;
    })
    .await;
}

#[tokio::test]
async fn a_crash_at_registration_gives_the_same_account() {
    within_limit(async {
        let hq = Hq::new(always_valid()).await;
        hq.ordered(&["a.fleet.test"], None).await;
        let account = hq.open().caa().account_uri.expect("an account");
        // The CA had answered, the URL was not written.
        let text = std::fs::read_to_string(hq.account_file()).unwrap();
        let torn = text.replace(&format!("\"{account}\""), "null");
        assert_ne!(torn, text);
        std::fs::write(hq.account_file(), torn).unwrap();
        assert_eq!(hq.open().caa().account_uri, None);
        hq.ordered(&["b.fleet.test"], None).await;
        assert_eq!(hq.open().caa().account_uri, Some(account));
    })
    .await;
}

#[tokio::test]
async fn a_new_account_key_takes_over_whenever_hq_crashes() {
    within_limit(async {
        let hq = Hq::new(always_valid()).await;
        let order = hq.ordered(&["a.fleet.test"], None).await.order;
        let account = hq.open().caa().account_uri;
        let before = hq.stored();
        let rolling = hq.open();
        assert_eq!(rolling.roll_account_key().await.unwrap(), KeyRollover::Done);
        let after = hq.stored();
        assert_ne!(before["key"], after["key"]);
        assert_eq!(hq.open().caa().account_uri, account);
        // The same object and a new one go on.
        let status = CaOperation::OrderStatus(order);
        assert!(matches!(
            rolling.perform(&status).await.unwrap(),
            CaAnswer::Order(_)
        ));
        assert!(matches!(
            hq.perform(status.clone()).await,
            CaAnswer::Order(_)
        ));

        // The CA has the new key, HQ crashed before it heard so.
        let mut crashed = before.clone();
        crashed["next_key"] = after["key"].clone();
        hq.store(&crashed);
        assert!(matches!(
            hq.perform(status.clone()).await,
            CaAnswer::Order(_)
        ));
        assert_eq!(hq.stored(), after);

        // HQ crashed before the CA heard of it.
        let mut crashed = after.clone();
        crashed["next_key"] = before["key"].clone();
        hq.store(&crashed);
        assert!(matches!(
            hq.perform(status.clone()).await,
            CaAnswer::Order(_)
        ));
        assert_eq!(hq.stored(), after);

        // What stays in use is the new key.
        hq.issued(&["b.fleet.test"]).await;
        hq.store(&before);
        let refused = problem(hq.perform(status).await);
        assert_eq!(refused.kind, CaProblemKind::Account, "{refused:?}");
    })
    .await;
}

#[tokio::test]
async fn what_caa_records_need_is_known_after_the_first_contact() {
    within_limit(async {
        let hq = Hq::new(always_valid()).await;
        let ca = hq.open();
        assert_eq!(ca.caa().account_uri, None);
        ca.connect().await.unwrap().unwrap();
        let caa = ca.caa();
        assert!(caa.account_uri.unwrap().starts_with("https://localhost"));
        assert!(
            !caa.issuers.is_empty(),
            "Pebble names itself in caaIdentities"
        );
        assert_eq!(ca.profiles().len(), 3);
    })
    .await;
}
