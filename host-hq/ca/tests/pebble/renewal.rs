//! Replacement, renewal windows, revocation.

use otscert_hq_ca::FailureKind;
use otscert_hq_ca::operation::{CaAnswer, CaOperation, CaProblemKind, RenewalQuery, Revoke};
use otscert_hq_ca::pebble::{CertStatus, test_ca};
use otscert_hq_ca::testing::{identifier, problem};
use rcgen::{CertificateParams, KeyPair};

use crate::bench::{Hq, NAME, TRIES, always_valid, now_ms, serial, within_limit};

#[tokio::test]
async fn a_certificate_is_replaced_once() {
    within_limit(async {
        let hq = Hq::new(always_valid()).await;
        let mut leaf = hq.issued(&["a.fleet.test"]).await;
        // Pebble does not find its own order where the serial number has a leading zero byte.
        for _ in 0..TRIES {
            if serial(&leaf)[0] != 0 {
                break;
            }
            leaf = hq.issued(&["a.fleet.test"]).await;
        }
        let id = identifier(&leaf);
        let second = hq
            .issue(hq.ordered(&["a.fleet.test"], Some(&id)).await.order)
            .await;
        let refused = problem(hq.order(&["a.fleet.test"], Some(&id)).await);
        assert_eq!(refused.kind, CaProblemKind::AlreadyReplaced, "{refused:?}");
        // Once without, as HQ does then.
        hq.issued(&["a.fleet.test"]).await;
        // The one that replaced it can be replaced itself (but for what Pebble does not find).
        let third = hq
            .order(&["a.fleet.test"], Some(&identifier(&second)))
            .await;
        let found = serial(&second)[0] != 0;
        assert_eq!(
            matches!(third, CaAnswer::Order(_)),
            found,
            "{:x?} {third:?}",
            serial(&second)
        );
        // Another name's certificate replaces nothing.
        let other = hq.issued(&["b.fleet.test"]).await;
        let refused = problem(hq.order(&["a.fleet.test"], Some(&identifier(&other))).await);
        assert_eq!(refused.kind, CaProblemKind::AlreadyReplaced, "{refused:?}");
        for nonsense in ["nonsense", "AAAA.AAAA"] {
            let refused = problem(hq.order(&["a.fleet.test"], Some(nonsense)).await);
            assert_eq!(refused.kind, CaProblemKind::AlreadyReplaced, "{nonsense}");
        }
    })
    .await;
}

#[tokio::test]
async fn the_renewal_window_is_the_cas() {
    within_limit(async {
        let hq = Hq::new(always_valid()).await;
        let leaf = hq.issued(&["a.fleet.test"]).await;
        let window = hq.window(&leaf).await.unwrap();
        assert!(window.start_ms < window.end_ms && window.start_ms > now_ms());
        assert_eq!(window.retry_after_ms, 6 * 3600 * 1000);

        let soon = r#"{"suggestedWindow":{"start":"2020-01-01T00:00:00Z","end":"2020-01-02T00:00:00.5Z"}}"#;
        hq.pebble.set_renewal_info(&leaf, soon).await.unwrap();
        let window = hq.window(&leaf).await.unwrap();
        assert_eq!((window.start_ms, window.end_ms), (1_577_836_800_000, 1_577_923_200_500));

        for broken in [
            "{}",
            "<html>",
            r#"{"suggestedWindow":{"start":"2020-01-02T00:00:00Z","end":"2020-01-01T00:00:00Z"}}"#,
            r#"{"suggestedWindow":{"start":"soon","end":"later"}}"#,
        ] {
            hq.pebble.set_renewal_info(&leaf, broken).await.unwrap();
            let Err(error) = hq.window(&leaf).await else { panic!("{broken} was taken") };
            assert_eq!(error.kind(), FailureKind::NotUnderstood, "{broken}");
        }
        // A certificate of another CA.
        let refused = hq.perform(CaOperation::RenewalInfo(RenewalQuery {
            ca: NAME.into(),
            certificate: foreign_certificate(),
        }));
        let refused = problem(refused.await);
        let kinds = [CaProblemKind::NotFound, CaProblemKind::Other];
        assert!(kinds.contains(&refused.kind), "{refused:?}");
    })
    .await;
}

#[tokio::test]
async fn a_certificate_is_revoked_once_and_its_window_is_past() {
    within_limit(async {
        let hq = Hq::new(always_valid()).await;
        let leaf = hq.issued(&["a.fleet.test"]).await;
        let revoke = |reason| {
            CaOperation::Revoke(Revoke {
                ca: NAME.into(),
                certificate: leaf.clone(),
                reason,
            })
        };
        let refused = hq.try_perform(revoke(2)).await.unwrap_err();
        assert_eq!(refused.kind(), FailureKind::Misconfigured);
        assert_eq!(hq.perform(revoke(5)).await, CaAnswer::Revoked);
        let status = hq.pebble.cert_status(&serial(&leaf)).await.unwrap();
        assert_eq!(status, CertStatus::Revoked(Some(5)));
        let again = problem(hq.perform(revoke(5)).await);
        assert_eq!(again.kind, CaProblemKind::AlreadyRevoked);
        assert!(hq.window(&leaf).await.unwrap().end_ms < now_ms());
        assert_eq!(
            hq.pebble.cert_status(&[0, 0x12]).await.unwrap(),
            CertStatus::Unknown
        );
    })
    .await;
}

fn foreign_certificate() -> Vec<u8> {
    let (_, issuer) = test_ca().unwrap();
    let mut params = CertificateParams::new(["a.fleet.test".to_owned()]).unwrap();
    params.use_authority_key_identifier_extension = true;
    params
        .signed_by(&KeyPair::generate().unwrap(), &issuer)
        .unwrap()
        .der()
        .to_vec()
}
