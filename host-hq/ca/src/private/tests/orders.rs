//! From order to certificate.

use rcgen::{KeyPair, PKCS_ED25519};
use rustls_pki_types::UnixTime;
use time::Duration;
use x509_parser::parse_x509_certificate;

use super::bench::Bench;
use crate::operation::{
    AuthorizationState, CaProblemKind, ChallengeRef, Finalize, NewOrder, OrderPrice, OrderRef,
    OrderState,
};
use crate::private::*;
use crate::testing::{csr, problem, verify};

#[tokio::test]
async fn an_order_goes_its_way_with_a_new_process_between_any_two_operations() {
    let bench = Bench::new("90d", &["fleet.test"]);
    let order = bench.ordered(&["*.a.fleet.test", "a.fleet.test"]).await;
    assert_eq!(order.state, OrderState::Pending);

    // Apex and wildcard share the owner of their TXT records.
    let found = bench.authorizations(&order.order).await;
    assert_eq!(
        found.iter().map(|a| a.name.as_str()).collect::<Vec<_>>(),
        ["a.fleet.test"; 2]
    );
    assert_ne!(found[0].txt_value, found[1].txt_value);
    for authorization in &found {
        assert_eq!(authorization.state, AuthorizationState::Pending);
        bench.publish("_acme-challenge.a.fleet.test", &authorization.txt_value);
    }
    for authorization in &found {
        let answer = bench.ready(&order.order, authorization).await;
        assert_eq!(answer, CaAnswer::Accepted);
        // At least once means: sometimes twice.
        assert_eq!(
            bench.ready(&order.order, authorization).await,
            CaAnswer::Accepted
        );
    }
    assert_eq!(bench.status(&order.order).await.state, OrderState::Ready);

    let key = KeyPair::generate().unwrap();
    let csr = csr(&["*.a.fleet.test", "a.fleet.test"], &key);
    assert_eq!(
        bench.finalized(&order.order, &csr).await.state,
        OrderState::Valid
    );
    let chain = bench.chain(&order.order).await;
    assert_eq!(chain.len(), 2);
    let root = bench.open().root_der();
    let seconds = bench.now().unix_timestamp().unsigned_abs();
    let now = UnixTime::since_unix_epoch(std::time::Duration::from_secs(seconds));
    verify(&root, &chain, "192-168-1-7.a.fleet.test", now);
    verify(&root, &chain, "a.fleet.test", now);
    let (_, leaf) = parse_x509_certificate(&chain[0]).unwrap();
    assert_eq!(
        leaf.public_key().subject_public_key.data.as_ref(),
        key.public_key_raw()
    );
    assert_eq!(leaf.subject().iter().count(), 0);
}

#[tokio::test]
async fn finalised_twice_gives_the_same_certificate() {
    let bench = Bench::new("90d", &[]);
    let order = bench.ready_order(&["a.fleet.test"]).await;
    let key = KeyPair::generate().unwrap();
    bench.finalized(&order, &csr(&["a.fleet.test"], &key)).await;
    let first = bench.chain(&order).await;

    // Another key even: an order has one certificate.
    let other = KeyPair::generate().unwrap();
    let again = bench
        .finalized(&order, &csr(&["a.fleet.test"], &other))
        .await;
    assert_eq!(again.state, OrderState::Valid);
    assert_eq!(bench.chain(&order).await, first);
}

#[tokio::test]
async fn two_who_finalise_at_once_get_one_certificate() {
    let bench = Bench::new("90d", &[]);
    let order = bench.ready_order(&["a.fleet.test"]).await;
    let ca = Arc::new(bench.open());
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..16 {
        let (ca, order) = (Arc::clone(&ca), order.clone());
        tasks.spawn(async move {
            let csr = csr(&["a.fleet.test"], &KeyPair::generate().unwrap());
            ca.perform(&CaOperation::Finalize(Finalize {
                order: order.clone(),
                csr,
            }))
            .await
            .unwrap();
            match ca.perform(&CaOperation::FetchChain(order)).await.unwrap() {
                CaAnswer::Chain(chain) => chain,
                other => panic!("{other:?}"),
            }
        });
    }
    let mut chains = tasks.join_all().await;
    chains.dedup();
    assert_eq!(chains.len(), 1);
}

#[tokio::test]
async fn a_missing_txt_record_fails_the_order_and_says_so() {
    let bench = Bench::new("90d", &[]);
    let order = bench.ordered(&["a.fleet.test"]).await.order;
    let found = bench.authorizations(&order).await;
    bench.publish("_acme-challenge.a.fleet.test", "something-else");
    assert_eq!(bench.ready(&order, &found[0]).await, CaAnswer::Accepted);

    let report = bench.status(&order).await;
    assert_eq!(report.state, OrderState::Invalid);
    let problem = report.problem.unwrap();
    assert_eq!(problem.kind, CaProblemKind::Validation);
    assert!(
        problem
            .detail
            .contains("_acme-challenge.a.fleet.test has 1 TXT"),
        "{problem:?}"
    );
    assert_eq!(
        bench.authorizations(&order).await[0].state,
        AuthorizationState::Unusable
    );
}

#[tokio::test]
async fn a_dns_that_does_not_answer_leaves_the_challenge_pending() {
    let bench = Bench::new("90d", &[]);
    let order = bench.ordered(&["a.fleet.test"]).await.order;
    let found = bench.authorizations(&order).await;
    bench.txt.0.lock().unwrap().down = true;
    let problem = problem(bench.ready(&order, &found[0]).await);
    assert_eq!(problem.kind, CaProblemKind::Transient);
    assert_eq!(bench.status(&order).await.state, OrderState::Pending);
}

#[tokio::test]
async fn a_csr_must_be_for_the_names_of_the_order_and_signed_by_its_key() {
    let bench = Bench::new("90d", &[]);
    let order = bench.ready_order(&["a.fleet.test"]).await;
    let key = KeyPair::generate().unwrap();
    let good = csr(&["a.fleet.test"], &key);
    let mut forged = good.clone();
    *forged.last_mut().unwrap() ^= 1;
    let edwards = csr(
        &["a.fleet.test"],
        &KeyPair::generate_for(&PKCS_ED25519).unwrap(),
    );
    for (bad, why) in [
        (csr(&["b.fleet.test"], &key), "b.fleet.test"),
        (csr(&["a.fleet.test", "b.fleet.test"], &key), "b.fleet.test"),
        (csr(&["*.a.fleet.test"], &key), "*.a.fleet.test"),
        (csr(&[], &key), "the order is for"),
        (forged, "not usable"),
        (edwards, "P-256"),
        (good[..good.len() - 1].to_vec(), "not usable"),
        (vec![0; 9000], "longer than"),
    ] {
        let problem = problem(bench.finalize(&order, &bad).await);
        assert_eq!(problem.kind, CaProblemKind::BadCsr);
        assert!(
            problem.detail.contains(why),
            "{why} not in {}",
            problem.detail
        );
    }
    // A bad CSR does not spoil the order.
    assert_eq!(
        bench.finalized(&order, &good).await.state,
        OrderState::Valid
    );
}

#[tokio::test]
async fn nothing_is_issued_before_validation() {
    let bench = Bench::new("90d", &[]);
    let order = bench.ordered(&["a.fleet.test"]).await.order;
    let csr = csr(&["a.fleet.test"], &KeyPair::generate().unwrap());
    assert_eq!(
        problem(bench.finalize(&order, &csr).await).kind,
        CaProblemKind::OrderNotReady
    );
    let chain = bench.perform(CaOperation::FetchChain(order)).await;
    assert_eq!(problem(chain).kind, CaProblemKind::OrderNotReady);
}

#[tokio::test]
async fn an_order_lapses() {
    let bench = Bench::new("90d", &[]);
    let order = bench.ready_order(&["a.fleet.test"]).await;
    bench.advance(Duration::days(8));
    let report = bench.status(&order).await;
    assert_eq!(report.state, OrderState::Invalid);
    assert!(report.problem.unwrap().detail.contains("lapsed"));
    let csr = csr(&["a.fleet.test"], &KeyPair::generate().unwrap());
    assert_eq!(
        bench.finalized(&order, &csr).await.state,
        OrderState::Invalid
    );
    // A week later it is forgotten.
    bench.advance(Duration::days(7));
    assert_eq!(bench.open().sweep().unwrap(), 0, "swept at opening");
    let answer = bench.perform(CaOperation::OrderStatus(order)).await;
    assert_eq!(problem(answer).kind, CaProblemKind::NotFound);
}

#[tokio::test]
async fn names_are_checked() {
    let bench = Bench::new("90d", &["fleet.test"]);
    for names in [
        &[][..],
        &["a.other.test"],
        &["*.*.fleet.test"],
        &["*"],
        &["A.fleet.test"],
        &["a..fleet.test"],
        &["a.fleet.test", "a.fleet.test"],
        &["a.fleet.test."],
        &["../../etc/passwd"],
    ] {
        let problem = problem(bench.new_order(names, None).await);
        assert_eq!(problem.kind, CaProblemKind::RejectedIdentifier, "{names:?}");
    }
}

#[tokio::test]
async fn references_of_others_are_not_found() {
    let bench = Bench::new("90d", &[]);
    let order = bench.ordered(&["a.fleet.test"]).await.order;
    for text in [
        "",
        "private:fleet/order/../root",
        "private:fleet/order/00000000000000000000000000000000",
        "private:other/order/00000000000000000000000000000000",
        &order.order.to_uppercase(),
        &format!("{}0", order.order),
    ] {
        let other = OrderRef {
            ca: "fleet".into(),
            order: text.into(),
        };
        let answer = bench.perform(CaOperation::OrderStatus(other)).await;
        assert_eq!(problem(answer).kind, CaProblemKind::NotFound, "{text}");
    }
    for challenge in [
        "/challenge/1",
        "/challenge/-1",
        "/challenge/",
        "/challenge/99999999999999999999",
    ] {
        let challenge = format!("{}{challenge}", order.order);
        let challenge = ChallengeRef {
            order: order.clone(),
            challenge,
        };
        let answer = bench.perform(CaOperation::ChallengeReady(challenge)).await;
        assert_eq!(problem(answer).kind, CaProblemKind::NotFound);
    }
}

#[tokio::test]
async fn a_profile_is_refused() {
    let bench = Bench::new("90d", &[]);
    let new = NewOrder {
        ca: "fleet".into(),
        names: vec!["a.fleet.test".into()],
        profile: Some("tlsserver".into()),
        replaces: None,
        price: OrderPrice::First,
        proved: false,
    };
    let refused = problem(bench.perform(CaOperation::NewOrder(new)).await);
    assert_eq!(refused.kind, CaProblemKind::InvalidProfile);
}
