use std::slice;

use otscert_hq_ca::operation::{Finalize, OrderPrice, OrderState};

use crate::registrar::{Call, GuestError, PoolOptions};
use crate::store::OutboxState;
use crate::testing::{
    Rig, START, ScriptedGuests, body, exchange, key, new_order, order_ref, order_report, reply,
    request, subject,
};
use crate::types::{Decision, Exchange, Moment, Outcome};

use super::*;

/// What a test wants submitted for a request with some body.
type Submissions = Vec<(Exchange, Operation)>;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_operation_is_performed_once_and_its_row_goes_with_the_answer() {
    let rig = Rig::new(recording(|_| vec![order("device/a", 1)])).await;
    rig.registrar.request(request("go")).await.unwrap();
    assert_eq!(
        rows(&rig).await,
        [("le".to_owned(), OutboxState::Waiting, 1)]
    );

    assert_eq!(pass(&rig).await, Pass::Told);
    assert_eq!(rig.ca.asked(), ["new-order"]);
    assert_eq!(rows(&rig).await, []);
    let heard = rig.record("heard/device/a-1").await.unwrap();
    assert_eq!(
        serde_json::from_slice::<Answer>(&heard).unwrap(),
        Answer::Ca(ready())
    );
    assert_eq!(pass(&rig).await, Pass::Idle { next: None });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn submitting_an_outstanding_exchange_again_adds_nothing() {
    let rig = Rig::new(recording(|_| vec![order("device/a", 1)])).await;
    for _ in 0..2 {
        rig.registrar.request(request("go")).await.unwrap();
    }
    assert_eq!(
        rows(&rig).await,
        [("le".to_owned(), OutboxState::Waiting, 1)]
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_row_whose_worker_died_is_leased_again_after_its_lease() {
    let rig = Rig::new(recording(|_| vec![order("device/a", 1)])).await;
    rig.registrar.request(request("go")).await.unwrap();
    let dead = lease_without_end(&rig).await;
    assert_eq!(dead.attempts, 1);
    let expires = rig.now().plus_millis(OutboxOptions::default().lease_ms);
    assert_eq!(
        pass(&rig).await,
        Pass::Idle {
            next: Some(expires)
        }
    );

    rig.clock.advance_to(expires);
    assert_eq!(pass(&rig).await, Pass::Told);
    assert_eq!(rig.ca.asked(), ["new-order"]);

    // The dead worker comes back to life: its answer is too late, and changes nothing.
    let input = Input::Answered {
        exchange: dead.exchange,
        answer: Answer::Ca(CaAnswer::Revoked),
    };
    let late = rig.registrar.decide(input, Some(dead.lease)).await;
    assert!(matches!(late, Err(CallError::LeaseLost)), "{late:?}");
    let heard = rig.record("heard/device/a-1").await.unwrap();
    assert_eq!(
        serde_json::from_slice::<Answer>(&heard).unwrap(),
        Answer::Ca(ready())
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn orders_are_made_one_at_a_time_and_nothing_else_waits_for_them() {
    let status = Operation::Ca(CaOperation::OrderStatus(order_ref()));
    let rig = Rig::new(recording(move |_| {
        let last = (exchange("device/c", 1), status.clone());
        vec![order("device/a", 1), order("device/b", 1), last]
    }))
    .await;
    rig.registrar.request(request("go")).await.unwrap();
    assert_eq!(
        lease_without_end(&rig).await.exchange,
        exchange("device/a", 1)
    );
    assert_eq!(pass(&rig).await, Pass::Told);
    assert_eq!(rig.ca.asked(), ["order-status"]);
    assert_eq!(pass(&rig).await, Pass::Idle { next: None });

    rig.clock.advance(OutboxOptions::default().lease_ms);
    assert_eq!(pass(&rig).await, Pass::Told);
    assert_eq!(pass(&rig).await, Pass::Told);
    assert_eq!(rig.ca.asked(), ["order-status", "new-order", "new-order"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_csr_that_may_have_been_sent_is_not_sent_again_before_the_orders_state_is_known() {
    let finalize = Operation::Ca(CaOperation::Finalize(Finalize {
        order: order_ref(),
        csr: vec![1],
    }));
    let rig = Rig::new(recording(move |_| {
        vec![(exchange("device/a", 7), finalize.clone())]
    }))
    .await;
    rig.registrar.request(request("go")).await.unwrap();
    lease_without_end(&rig).await;
    rig.clock.advance(OutboxOptions::default().lease_ms);
    assert_eq!(pass(&rig).await, Pass::Told);
    assert_eq!(rig.ca.asked(), ["order-status"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ca_that_does_not_answer_is_a_fact_for_the_component() {
    let rig = Rig::new(recording(|_| vec![order("device/a", 1)])).await;
    rig.ca.will_answer(Err(otscert_hq_ca::CaError::TimedOut {
        ca: "le".into(),
        url: "https://ca.test/new-order".into(),
        limit: std::time::Duration::from_secs(9),
    }));
    rig.registrar.request(request("go")).await.unwrap();
    assert_eq!(pass(&rig).await, Pass::Told);
    let heard = rig.record("heard/device/a-1").await.unwrap();
    let Answer::Failed(failure) = serde_json::from_slice(&heard).unwrap() else {
        panic!()
    };
    assert_eq!(failure.kind, FailureKind::TimedOut);
    assert!(failure.detail.contains("9000 ms"), "{}", failure.detail);
    assert_eq!(
        rig.ca.asked(),
        ["new-order"],
        "the worker does not try again by itself"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_order_at_a_ca_that_left_the_config_fails_by_name() {
    let rig = Rig::new(recording(|_| {
        let mut order = order("device/a", 1);
        if let Operation::Ca(CaOperation::NewOrder(order)) = &mut order.1 {
            order.ca = "gone".to_owned();
        }
        vec![order]
    }))
    .await;
    rig.registrar.request(request("go")).await.unwrap();
    let outbox = rig.outbox();
    let (stray, _) = outbox.lanes().pop().unwrap();
    assert_eq!(
        outbox.run_once(&lane(), rig.now()).await.unwrap(),
        Pass::Idle { next: None }
    );
    assert_eq!(
        outbox.run_once(&stray, rig.now()).await.unwrap(),
        Pass::Told
    );
    let heard = rig.record("heard/device/a-1").await.unwrap();
    let Answer::Failed(failure) = serde_json::from_slice(&heard).unwrap() else {
        panic!()
    };
    assert_eq!(failure.kind, FailureKind::Misconfigured);
    assert!(failure.detail.contains("\"gone\""), "{}", failure.detail);
    assert_eq!(rig.ca.asked(), [""; 0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_traps_the_component_is_parked_and_never_performed_again() {
    let rig = Rig::new(ScriptedGuests::new(|call, now, input| match input {
        Input::Answered { .. } if call.read(&key("repaired")).unwrap().is_none() => Err(
            GuestError::Trap(wasmtime::Trap::UnreachableCodeReached.into()),
        ),
        Input::Request(_) if body(input) == "repair" => {
            call.write(key("repaired"), Vec::new(), None).unwrap();
            Ok(reply(Outcome::Ok))
        }
        Input::Request(_) | Input::Answered { .. } | Input::Due(_) | Input::Command { .. } => {
            record(call, now, input, &|_| vec![order("device/a", 1)])
        }
    }))
    .await;
    rig.registrar.request(request("go")).await.unwrap();
    for expected in [Pass::Kept, Pass::Kept, Pass::Parked] {
        assert_eq!(pass(&rig).await, expected);
        rig.clock.advance(OutboxOptions::default().tell_again_ms);
    }
    assert_eq!(
        rig.ca.asked(),
        ["new-order"],
        "performed once, told three times"
    );
    assert_eq!(
        rows(&rig).await,
        [("le".to_owned(), OutboxState::Parked, 1)]
    );
    assert_eq!(pass(&rig).await, Pass::Idle { next: None });
    let history = rig.store.history(&subject("device/a")).await.unwrap();
    assert_eq!(history[0].kind, "alarm-outbox-parked");
    assert!(history[0].text.contains("new-order"), "{}", history[0].text);
    assert_eq!(
        rig.store.counters().await.unwrap(),
        [("alarm-outbox-parked".to_owned(), 1)]
    );

    // The component is repaired, the operator unparks.
    rig.registrar.request(request("repair")).await.unwrap();
    let (who, now) = (subject("device/a"), rig.now());
    rig.store
        .run_tx("unpark", |mut tx| {
            Box::pin(async move { tx.unpark(&who, now).await })
        })
        .await
        .unwrap();
    assert_eq!(pass(&rig).await, Pass::Told);
    assert_eq!(rig.ca.asked(), ["new-order"]);
    assert_eq!(rows(&rig).await, []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_finds_no_room_is_kept_and_told_when_there_is() {
    let guests = ScriptedGuests::new(|call, now, input| match body(input) {
        "fill" => {
            call.write(key("ballast"), vec![1; 250 * 1024], None)
                .unwrap();
            Ok(reply(Outcome::Ok))
        }
        "free" => {
            call.remove(key("ballast")).unwrap();
            Ok(reply(Outcome::Ok))
        }
        _ => record(call, now, input, &|_| vec![order("device/a", 1)]),
    });
    let options = PoolOptions {
        threads: Some(1),
        ..PoolOptions::default()
    };
    let (rig, committer) = Rig::with(guests, options, Some(430 * 1024)).await;
    tokio::spawn(committer.run(tokio_util::sync::CancellationToken::new()));
    rig.registrar.request(request("go")).await.unwrap();
    rig.registrar.request(request("fill")).await.unwrap();
    // Larger than what is left.
    rig.ca
        .will_answer(Ok(CaAnswer::Chain(vec![vec![7; 100 * 1024]])));

    let outbox = rig.outbox();
    let full = outbox.run_once(&lane(), rig.now()).await.unwrap_err();
    assert!(
        matches!(&full, WorkError::Store(error) if error.is_full()),
        "{full:?}"
    );
    let still_full = outbox.run_once(&lane(), rig.now()).await.unwrap_err();
    assert!(
        matches!(&still_full, WorkError::Store(error) if error.is_full()),
        "{still_full:?}"
    );

    rig.registrar.request(request("free")).await.unwrap();
    let later = rig
        .now()
        .plus_millis(OutboxOptions::default().tell_again_ms);
    assert_eq!(
        outbox.run_once(&lane(), rig.now()).await.unwrap(),
        Pass::Idle { next: Some(later) }
    );
    assert_eq!(outbox.run_once(&lane(), later).await.unwrap(), Pass::Told);
    assert_eq!(rig.ca.asked(), ["new-order"], "the CA was asked once");
    assert!(rig.record("heard/device/a-1").await.is_some());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_quota_defers_an_order_with_a_turn_of_its_own_and_the_ca_is_not_asked() {
    let mut rig = Rig::new(recording(|body| {
        let price = if body == "ari" {
            OrderPrice::Ari
        } else {
            OrderPrice::First
        };
        let name = format!("{body}.fleet.test");
        vec![(
            exchange(&format!("device/{body}"), 1),
            Operation::Ca(new_order(&name, price)),
        )]
    }))
    .await;
    rig.cas.get_mut("le").unwrap().quota = vec![QuotaLimit {
        prices: vec![OrderPrice::First],
        scope: crate::work::quota::QuotaScope::Account,
        unproved_only: false,
        max: 2,
        window_ms: 1_000,
    }];
    for device in ["a", "b", "c", "d", "ari"] {
        rig.registrar.request(request(device)).await.unwrap();
        assert_eq!(pass(&rig).await, Pass::Told);
        rig.clock.advance(100);
    }
    assert_eq!(
        rig.ca.asked().len(),
        3,
        "a, b and the one that costs nothing"
    );
    let turn = |device: &'static str| {
        let rig = &rig;
        async move {
            let heard = rig
                .record(&format!("heard/device/{device}-1"))
                .await
                .unwrap();
            match serde_json::from_slice(&heard).unwrap() {
                Answer::Ca(CaAnswer::Deferred(deferral)) => {
                    assert!(deferral.reason.contains("2 orders"), "{}", deferral.reason);
                    deferral.not_before_ms - START.as_millis()
                }
                Answer::Ca(_) | Answer::Dns(_) | Answer::Failed(_) => panic!("not deferred"),
            }
        }
    };
    assert_eq!((turn("c").await, turn("d").await), (1_000, 1_100));
    assert_eq!(rig.store.queued_first_orders().await.unwrap(), 2);

    // Its turn has come: the component submits anew.
    rig.clock.advance_to(START.plus_millis(1_000));
    rig.registrar.request(request("c")).await.unwrap();
    assert_eq!(pass(&rig).await, Pass::Told);
    assert_eq!(rig.ca.asked().len(), 4);
    assert_eq!(rig.store.queued_first_orders().await.unwrap(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_published_is_served_and_outlives_the_process() {
    let txt = DnsRecord::Txt {
        owner: "_acme-challenge.x.fleet.test".into(),
        value: "v1".into(),
        expires: START.plus_millis(60_000),
    };
    let names = DnsRecord::Addresses {
        name: "nifty.fleet.test".into(),
        addresses: vec!["192.168.1.7".parse().unwrap(), "fd12::7".parse().unwrap()],
    };
    let label = DnsRecord::Label("x.fleet.test".into());
    let records = [txt.clone(), names.clone(), label.clone()];
    let rig = Rig::new(recording(move |body| match body {
        "publish" => zone_operations(&records, 1, DnsOperation::Publish),
        "look" => zone_operations(&records, 11, DnsOperation::Visible),
        _ => zone_operations(&records, 21, DnsOperation::Withdraw),
    }))
    .await;
    for (step, visible) in [("publish", 3), ("look", 3)] {
        rig.registrar.request(request(step)).await.unwrap();
        for _ in 0..3 {
            assert_eq!(zone_pass(&rig).await, Pass::Told);
        }
        assert_eq!(rig.zone.served().len(), visible);
    }
    for number in [11, 12, 13] {
        let heard = rig
            .record(&format!("heard/device/a-{number}"))
            .await
            .unwrap();
        let heard: Answer = serde_json::from_slice(&heard).unwrap();
        assert_eq!(heard, Answer::Dns(DnsAnswer::Visible(true)));
    }

    // A new process fills its zone from the rows.
    let stored = rig.store.zone(rig.now()).await.unwrap();
    assert_eq!(stored.len(), 3);
    assert!(
        [&txt, &names, &label]
            .iter()
            .all(|record| stored.contains(record)),
        "{stored:?}"
    );
    let expired = rig.store.zone(START.plus_millis(60_000)).await.unwrap();
    assert!(!expired.contains(&txt));

    rig.registrar.request(request("withdraw")).await.unwrap();
    for _ in 0..3 {
        assert_eq!(zone_pass(&rig).await, Pass::Told);
    }
    assert_eq!(rig.zone.served(), []);
    assert_eq!(rig.store.zone(rig.now()).await.unwrap(), []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_zone_refuses_is_not_stored_and_the_component_hears_why() {
    let rig = Rig::new(recording(|_| {
        let label = DnsRecord::Label("bad.elsewhere.test".into());
        zone_operations(&[label], 1, DnsOperation::Publish)
    }))
    .await;
    rig.registrar.request(request("publish")).await.unwrap();
    assert_eq!(zone_pass(&rig).await, Pass::Told);
    let heard = rig.record("heard/device/a-1").await.unwrap();
    let Answer::Dns(DnsAnswer::Refused(why)) = serde_json::from_slice(&heard).unwrap() else {
        panic!()
    };
    assert!(why.contains("bad.elsewhere.test"), "{why}");
    assert_eq!(rig.store.zone(rig.now()).await.unwrap(), []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_withdrawal_does_not_overtake_the_publication_before_it() {
    let label = DnsRecord::Label("x.fleet.test".into());
    let rig = Rig::new(recording(move |_| {
        let mut operations = zone_operations(slice::from_ref(&label), 1, DnsOperation::Publish);
        operations.extend(zone_operations(
            slice::from_ref(&label),
            2,
            DnsOperation::Withdraw,
        ));
        operations.push((
            exchange("device/b", 1),
            Operation::Dns(DnsOperation::Publish(DnsRecord::Label(
                "y.fleet.test".into(),
            ))),
        ));
        operations
    }))
    .await;
    rig.registrar.request(request("go")).await.unwrap();
    // Somebody holds the publication of device a: only device b's row may be leased.
    let (now, until) = (rig.now(), rig.now().plus_millis(1_000));
    let leased = rig
        .store
        .run_tx("lease", |mut tx| {
            Box::pin(async move {
                let token = LeaseToken::from_random(1);
                tx.lease(&Lane::Zone, now, until, token, 1).await
            })
        })
        .await
        .unwrap();
    assert_eq!(leased[0].exchange, exchange("device/a", 1));
    assert_eq!(zone_pass(&rig).await, Pass::Told);
    assert_eq!(zone_pass(&rig).await, Pass::Idle { next: None });
    assert!(rig.record("heard/device/b-1").await.is_some());
    assert!(rig.record("heard/device/a-2").await.is_none());

    rig.clock.advance(1_000);
    assert_eq!(zone_pass(&rig).await, Pass::Told);
    assert_eq!(zone_pass(&rig).await, Pass::Told);
    assert_eq!(rig.zone.served(), [DnsRecord::Label("y.fleet.test".into())]);
}

/// A registrar that submits what `submissions` says and stores every answer under `heard/<subject>-<number>`.
fn recording(
    submissions: impl Fn(&str) -> Submissions + Send + Sync + 'static,
) -> Arc<ScriptedGuests> {
    ScriptedGuests::new(move |call, now, input| record(call, now, input, &submissions))
}

fn record(
    call: &mut Call,
    _: Moment,
    input: &Input,
    submissions: &dyn Fn(&str) -> Submissions,
) -> Result<Decision, GuestError> {
    match input {
        Input::Request(_) => {
            for (exchange, operation) in submissions(body(input)) {
                call.submit(exchange, operation).unwrap();
            }
            Ok(reply(Outcome::Ok))
        }
        Input::Answered { exchange, answer } => {
            let heard = key(&format!("heard/{}-{}", exchange.subject, exchange.number));
            call.write(heard, serde_json::to_vec(answer).unwrap(), None)
                .unwrap();
            Ok(Decision::default())
        }
        Input::Due(_) | Input::Command { .. } => Ok(Decision::default()),
    }
}

fn order(of: &str, number: u64) -> (Exchange, Operation) {
    (
        exchange(of, number),
        Operation::Ca(new_order("a.fleet.test", OrderPrice::First)),
    )
}

fn zone_operations(
    records: &[DnsRecord],
    first: u64,
    wanted: fn(DnsRecord) -> DnsOperation,
) -> Submissions {
    let numbered = records.iter().cloned().zip(first..);
    numbered
        .map(|(record, number)| (exchange("device/a", number), Operation::Dns(wanted(record))))
        .collect()
}

fn ready() -> CaAnswer {
    order_report(OrderState::Ready)
}

fn lane() -> Lane {
    Lane::Ca("le".to_owned())
}

async fn pass(rig: &Rig) -> Pass {
    rig.outbox().run_once(&lane(), rig.now()).await.unwrap()
}

async fn zone_pass(rig: &Rig) -> Pass {
    rig.outbox().run_once(&Lane::Zone, rig.now()).await.unwrap()
}

async fn rows(rig: &Rig) -> Vec<(String, OutboxState, u64)> {
    let counts = rig.store.outbox_counts().await.unwrap();
    counts
        .into_iter()
        .map(|count| (count.lane, count.state, count.rows))
        .collect()
}

/// Leases a row as a worker does that dies with it.
async fn lease_without_end(rig: &Rig) -> OutboxRow {
    let now = rig.now();
    let until = now.plus_millis(OutboxOptions::default().lease_ms);
    let mut rows = rig
        .store
        .run_tx("lease", |mut tx| {
            Box::pin(async move {
                let token = LeaseToken::from_random(42);
                tx.lease(&Lane::Ca("le".to_owned()), now, until, token, 1)
                    .await
            })
        })
        .await
        .unwrap();
    rows.pop().unwrap()
}
