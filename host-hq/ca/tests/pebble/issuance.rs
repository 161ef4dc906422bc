//! From order to certificate, by single operations.

use std::sync::Arc;

use otscert_hq_ca::operation::{
    AuthorizationState, CaAnswer, CaOperation, ChallengeRef, Finalize, OrderState,
};
use otscert_hq_ca::pebble::{CertStatus, ORDERS_IN_FLIGHT, PebbleOptions};
use otscert_hq_ca::testing::csr;
use otscert_hq_ca::{CertificateAuthority, ProfileName};
use rcgen::KeyPair;
use x509_parser::parse_x509_certificate;

use crate::bench::{Hq, TRIES, always_valid, new_order, now_ms, serial, verify, within_limit};

#[tokio::test]
async fn a_wildcard_certificate_is_issued_by_single_operations() {
    within_limit(async {
        let hq = Hq::new(always_valid()).await;
        let names = ["*.a.fleet.test", "a.fleet.test"];
        let order = hq.ordered(&names, None).await;
        assert_eq!(order.state, OrderState::Pending);
        assert!(order.expires_ms.unwrap() > now_ms());

        let found = hq.authorizations(&order.order).await;
        assert_eq!(found.len(), 2);
        for authorization in &found {
            // The owner of the TXT record has no `*.`.
            assert_eq!(authorization.name, "a.fleet.test");
            assert_eq!(authorization.state, AuthorizationState::Pending);
            // SHA-256 in base64url (RFC 8555 section 8.4).
            assert_eq!(authorization.txt_value.len(), 43);
        }
        assert_ne!(found[0].txt_value, found[1].txt_value);
        // The value is a function of token and account key: a new client finds the same.
        let mut again = hq.authorizations(&order.order).await;
        again.sort_by(|a, b| a.txt_value.cmp(&b.txt_value));
        let mut sorted = found.clone();
        sorted.sort_by(|a, b| a.txt_value.cmp(&b.txt_value));
        assert_eq!(again, sorted);

        for authorization in &found {
            assert_eq!(
                hq.ready(&order.order, authorization).await,
                CaAnswer::Accepted
            );
        }
        hq.wait_for(&order.order, OrderState::Ready).await;
        for authorization in &found {
            // Told again after a crash.
            assert_eq!(
                hq.ready(&order.order, authorization).await,
                CaAnswer::Accepted
            );
        }

        let key = KeyPair::generate().unwrap();
        let csr = csr(&names, &key);
        let finalized = hq.finalize(&order.order, &csr).await;
        assert!(matches!(finalized, CaAnswer::Order(_)), "{finalized:?}");
        hq.wait_for(&order.order, OrderState::Valid).await;
        // Finalised again after a crash: nothing more is issued.
        let again = hq.finalize(&order.order, &csr).await;
        let CaAnswer::Order(again) = again else {
            panic!("{again:?}")
        };
        assert_eq!(again.state, OrderState::Valid);
        assert_eq!(hq.pebble.issued(), 1);

        let chain = hq.chain(&order.order).await;
        let root = hq.pebble.issuance_root_pem().await.unwrap();
        verify(&root, &chain, "192-168-1-7.a.fleet.test");
        verify(&root, &chain, "a.fleet.test");
        let (_, leaf) = parse_x509_certificate(&chain[0]).unwrap();
        assert_eq!(
            leaf.public_key().subject_public_key.data.as_ref(),
            key.public_key_raw()
        );
        assert_eq!(
            hq.pebble.cert_status(&serial(&chain[0])).await.unwrap(),
            CertStatus::Valid
        );
    })
    .await;
}

#[tokio::test]
async fn the_configured_profile_decides_the_life() {
    within_limit(async {
        let mut hq = Hq::new(PebbleOptions {
            profiles: vec![("blink".to_owned(), 120), ("classic".to_owned(), 7_776_000)],
            ..always_valid()
        })
        .await;
        hq.config.profile = Some(ProfileName::try_from("blink".to_owned()).unwrap());
        let leaf = hq.issued(&["a.fleet.test"]).await;
        let (_, parsed) = parse_x509_certificate(&leaf).unwrap();
        let validity = parsed.validity();
        let life = validity.not_after.timestamp() - validity.not_before.timestamp();
        // Pebble counts the last second.
        assert!((118..=121).contains(&life), "{life}");

        // The order's own profile goes first.
        let mut new = new_order(&["a.fleet.test"], None);
        new.profile = Some("classic".to_owned());
        let answer = hq.perform(CaOperation::NewOrder(new)).await;
        assert!(matches!(answer, CaAnswer::Order(_)), "{answer:?}");
    })
    .await;
}

#[tokio::test]
async fn rejected_nonces_do_not_matter() {
    within_limit(async {
        let hq = Hq::new(PebbleOptions {
            nonce_reject: 5,
            ..always_valid()
        })
        .await;
        // Three rejections in a row end an operation as transient; HQ's rows try it again.
        for number in 0..4 {
            let name = format!("n{number}.fleet.test");
            let order = hq
                .patient(CaOperation::NewOrder(new_order(&[&name], None)))
                .await;
            let CaAnswer::Order(order) = order else {
                panic!("{order:?}")
            };
            let found = hq
                .patient(CaOperation::Authorizations(order.order.clone()))
                .await;
            let CaAnswer::Authorizations(found) = found else {
                panic!("{found:?}")
            };
            let challenge = found[0].challenge.clone().unwrap();
            let order = order.order;
            let challenge = ChallengeRef {
                order: order.clone(),
                challenge,
            };
            hq.patient(CaOperation::ChallengeReady(challenge)).await;
            let csr = csr(&[&name], &KeyPair::generate().unwrap());
            hq.wait_for(&order, OrderState::Ready).await;
            hq.patient(CaOperation::Finalize(Finalize {
                order: order.clone(),
                csr,
            }))
            .await;
            hq.wait_for(&order, OrderState::Valid).await;
        }
        assert_eq!(hq.pebble.issued(), 4);
        // 5 % is by chance: asked until it happened, or this tested nothing.
        let order = hq.ordered(&["last.fleet.test"], None).await.order;
        for _ in 0..TRIES {
            if hq.counters.refused() > 0 {
                break;
            }
            hq.patient(CaOperation::OrderStatus(order.clone())).await;
        }
        assert!(hq.counters.refused() > 0, "not one nonce was rejected");
    })
    .await;
}

#[tokio::test]
async fn eight_orders_in_flight_over_one_account() {
    within_limit(async {
        let hq = Arc::new(Hq::new(always_valid()).await);
        let mut tasks = tokio::task::JoinSet::new();
        for number in 0..ORDERS_IN_FLIGHT {
            let hq = Arc::clone(&hq);
            tasks.spawn(async move {
                // One object for all, as in a running HQ, is tested by the counts below.
                hq.issued(&[&format!("*.d{number}.fleet.test")]).await
            });
        }
        let leaves = tasks.join_all().await;
        assert_eq!(leaves.len(), ORDERS_IN_FLIGHT);
        assert_eq!(hq.pebble.issued(), ORDERS_IN_FLIGHT);
        assert_eq!(
            hq.pebble.log().matches("There are now 1 accounts").count(),
            1
        );
    })
    .await;
}

#[tokio::test]
async fn a_running_hq_needs_few_round_trips() {
    within_limit(async {
        let hq = Hq::new(always_valid()).await;
        let ca = hq.open();
        ca.connect().await.unwrap().unwrap();
        let new = CaOperation::NewOrder(new_order(&["*.a.fleet.test"], None));
        let CaAnswer::Order(order) = ca.perform(&new).await.unwrap() else {
            panic!("no order")
        };
        let order = order.order;

        // A nonce of the operation before serves: the order and nothing else.
        let before = hq.counters.requests();
        ca.perform(&CaOperation::OrderStatus(order.clone()))
            .await
            .unwrap();
        assert_eq!(hq.counters.requests() - before, 1);
        let before = hq.counters.requests();
        ca.perform(&CaOperation::Authorizations(order))
            .await
            .unwrap();
        assert_eq!(hq.counters.requests() - before, 2);
    })
    .await;
}
