//! What the CA refuses, and a CA that is not there or not ours.

use std::sync::Arc;

use otscert_hq_ca::operation::{
    AuthorizationState, CaAnswer, CaOperation, CaProblemKind, ChallengeRef, OrderRef, OrderState,
};
use otscert_hq_ca::pebble::{BLOCKED_DOMAIN, PebbleOptions, test_ca};
use otscert_hq_ca::testing::{csr, problem};
use otscert_hq_ca::{CertificateAuthority, FailureKind, ProfileName};
use rcgen::KeyPair;

use crate::bench::{Hq, NAME, always_valid, new_order, open, within_limit};

#[tokio::test]
async fn a_profile_that_the_ca_has_not_is_refused_with_those_that_it_has() {
    within_limit(async {
        let mut hq = Hq::new(always_valid()).await;
        hq.config.profile = Some(ProfileName::try_from("tlsclient".to_owned()).unwrap());
        let refused = problem(hq.order(&["a.fleet.test"], None).await);
        assert_eq!(refused.kind, CaProblemKind::InvalidProfile);
        assert!(
            refused.detail.contains("classic, shortlived, tlsserver"),
            "{}",
            refused.detail
        );
    })
    .await;
}

#[tokio::test]
async fn a_validation_that_fails_is_told_with_its_detail() {
    within_limit(async {
        // The validation is real and asks a server that is not there.
        let hq = Hq::new(PebbleOptions::default()).await;
        let order = hq.ordered(&["*.a.fleet.test"], None).await.order;
        let found = hq.authorizations(&order).await;
        assert_eq!(hq.ready(&order, &found[0]).await, CaAnswer::Accepted);
        let report = hq.wait_for(&order, OrderState::Invalid).await;
        let failed = report.problem.expect("a reason");
        assert_eq!(failed.kind, CaProblemKind::Validation);

        let found = hq.authorizations(&order).await;
        assert_eq!(found[0].state, AuthorizationState::Unusable);
        let failed = found[0].problem.clone().expect("a reason");
        assert_eq!(failed.kind, CaProblemKind::Validation);
        assert!(failed.detail.contains("TXT"), "{}", failed.detail);
        // Told again after that: the same reason.
        let again = problem(hq.ready(&order, &found[0]).await);
        assert_eq!(again.kind, CaProblemKind::Validation);
    })
    .await;
}

#[tokio::test]
async fn refusals_have_their_kind() {
    within_limit(async {
        let hq = Hq::new(always_valid()).await;
        let blocked = format!("a.{BLOCKED_DOMAIN}");
        let refused = problem(hq.order(&[&blocked], None).await);
        assert_eq!(refused.kind, CaProblemKind::RejectedIdentifier);
        assert!(
            refused.detail.contains(BLOCKED_DOMAIN),
            "{}",
            refused.detail
        );

        let order = hq.ordered(&["a.fleet.test"], None).await.order;
        let key = KeyPair::generate().unwrap();
        let early = problem(hq.finalize(&order, &csr(&["a.fleet.test"], &key)).await);
        assert_eq!(early.kind, CaProblemKind::OrderNotReady);
        let early = problem(hq.perform(CaOperation::FetchChain(order.clone())).await);
        assert_eq!(early.kind, CaProblemKind::OrderNotReady);

        hq.validated(&order).await;
        let mut torn = csr(&["a.fleet.test"], &key);
        *torn.last_mut().unwrap() ^= 1;
        for bad in [csr(&["b.fleet.test"], &key), torn] {
            let refused = problem(hq.finalize(&order, &bad).await);
            assert!(
                matches!(refused.kind, CaProblemKind::BadCsr | CaProblemKind::Account),
                "{refused:?}"
            );
        }
        let gone = OrderRef {
            ca: NAME.into(),
            order: format!("{}-gone", order.order),
        };
        let refused = problem(hq.perform(CaOperation::OrderStatus(gone)).await);
        assert_eq!(refused.kind, CaProblemKind::NotFound);
        let challenge = ChallengeRef {
            order,
            challenge: "https://localhost/none".into(),
        };
        let refused = problem(hq.perform(CaOperation::ChallengeReady(challenge)).await);
        assert_eq!(refused.kind, CaProblemKind::NotFound);
    })
    .await;
}

#[tokio::test]
async fn a_ca_that_is_down_is_unreachable_and_back_when_it_is_back() {
    within_limit(async {
        let hq = Hq::new(always_valid()).await;
        let ca = hq.open();
        ca.connect().await.unwrap().unwrap();
        let Hq {
            pebble,
            config,
            folder,
            ..
        } = hq;
        let fresh = open(&config, &folder.path().join("other.json"), &Arc::default());
        drop(pebble);
        let order = CaOperation::NewOrder(new_order(&["a.fleet.test"], None));
        // With a session, and as a new process.
        for ca in [ca, fresh] {
            let error = ca.perform(&order).await.unwrap_err();
            assert_eq!(error.kind(), FailureKind::Unreachable);
            for said in [
                "https://localhost",
                "pebble",
                "firewall",
                "tries again by itself",
            ] {
                assert!(error.to_string().contains(said), "{said} not in {error}");
            }
        }
    })
    .await;
}

#[tokio::test]
async fn another_root_is_an_untrusted_peer() {
    within_limit(async {
        let mut hq = Hq::new(always_valid()).await;
        let stranger = hq.folder.path().join("stranger.pem");
        std::fs::write(&stranger, test_ca().unwrap().0).unwrap();
        hq.config.root_pem = Some(stranger);
        let error = hq.try_order(&["a.fleet.test"]).await.unwrap_err();
        assert_eq!(error.kind(), FailureKind::UntrustedPeer);
        // The system's roots do not vouch for it either.
        hq.config.root_pem = None;
        let error = hq.try_order(&["a.fleet.test"]).await.unwrap_err();
        assert_eq!(error.kind(), FailureKind::UntrustedPeer);
    })
    .await;
}
