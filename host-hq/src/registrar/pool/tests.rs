use std::sync::Condvar;

use futures_util::future::join_all;

use crate::registrar::{PoolOptions, Refusal};
use crate::store::StoreOptions;
use crate::testing::{Rig, ScriptedGuests, body, key, reply, request};
use crate::types::{Note, Outcome};
use crate::work::Committer;

use super::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sixty_four_calls_that_fight_for_one_key_have_exactly_one_winner() {
    let rig = Rig::new(first_come_first_served()).await;
    let calls = (0..64).map(|number| rig.registrar.request(request(format!("one-name {number}"))));
    let outcomes = outcomes(join_all(calls).await);
    assert_eq!(
        outcomes
            .iter()
            .filter(|outcome| **outcome == Outcome::Ok)
            .count(),
        1
    );
    assert_eq!(
        outcomes
            .iter()
            .filter(|outcome| **outcome == Outcome::Conflict)
            .count(),
        63,
        "every loser is told why"
    );
    let winner = outcomes
        .iter()
        .position(|outcome| *outcome == Outcome::Ok)
        .unwrap();
    assert_eq!(
        rig.record("one-name").await.unwrap(),
        winner.to_string().into_bytes()
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_update_is_lost_under_contention() {
    let rig = Rig::new(counting()).await;
    let calls = (0..200).map(|_| rig.registrar.decide(request("counter"), None));
    let mut counted = 0_u32;
    for result in join_all(calls).await {
        match result {
            Ok(_) => counted += 1,
            Err(CallError::Busy { retry_after_s }) => assert!(retry_after_s > 0),
            Err(other) => panic!("{other}"),
        }
    }
    assert!(counted > 0);
    assert_eq!(
        rig.record("counter").await.unwrap(),
        counted.to_string().into_bytes()
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn parallel_calls_over_several_records_leave_what_some_order_of_them_leaves() {
    // Each call moves one coin from one purse to another, if there is one: read two records, write two.
    let rig = Rig::new(ScriptedGuests::new(|call, _, input| {
        let (from, to) = body(input).split_once(' ').unwrap();
        let mut coins = |purse: &str| {
            call.read(&key(purse))
                .unwrap()
                .map_or(COINS, |bytes| u32::from(bytes[0]))
        };
        let (out, into) = (coins(from), coins(to));
        if out == 0 || from == to {
            return Ok(reply(Outcome::Conflict));
        }
        for (purse, coins) in [(from, out - 1), (to, into + 1)] {
            call.write(key(purse), vec![u8::try_from(coins).unwrap()], None)
                .unwrap();
        }
        Ok(reply(Outcome::Ok))
    }))
    .await;
    let moves = (0..300_u32).map(|number| {
        let mixed = number.wrapping_mul(2_654_435_761);
        request(format!(
            "purse/{} purse/{}",
            (mixed >> 16) % PURSES,
            (mixed >> 24) % PURSES
        ))
    });
    let results = join_all(moves.map(|input| rig.registrar.decide(input, None))).await;
    assert!(results.iter().any(Result::is_ok));
    let mut total = 0;
    for purse in 0..PURSES {
        let coins = rig.record(&format!("purse/{purse}")).await;
        total += coins.map_or(COINS, |bytes| u32::from(bytes[0]));
    }
    assert_eq!(total, PURSES * COINS, "a coin was lost or made");
    const PURSES: u32 = 4;
    const COINS: u32 = 5;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn parallel_calls_share_one_commit() {
    let (rig, mut committer) =
        Rig::with(first_come_first_served(), PoolOptions::default(), None).await;
    let calls: Vec<_> = (0..64)
        .map(|number| {
            let registrar = Arc::clone(&rig.registrar);
            tokio::spawn(
                async move { registrar.request(request(format!("name-{number} x"))).await },
            )
        })
        .collect();
    wait_for(&committer, 64).await;
    let before = rig.store.commits();
    assert!(committer.run_once().await);
    assert_eq!(rig.store.commits() - before, 1, "64 calls, one transaction");
    for call in calls {
        assert_eq!(outcome(call.await.unwrap()), Outcome::Ok);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_conflict_undoes_its_own_call_only_and_runs_it_again_on_fresh_reads() {
    let (rig, mut committer) =
        Rig::with(first_come_first_served(), PoolOptions::default(), None).await;
    let call = |text: &'static str| {
        let registrar = Arc::clone(&rig.registrar);
        tokio::spawn(async move { outcome(registrar.request(request(text)).await) })
    };
    let calls = [call("same 1"), call("same 2"), call("other 3")];
    wait_for(&committer, 3).await;
    committer.run_once().await;
    // Both read `same` as absent; whoever came second runs again and sees that it is taken.
    wait_for(&committer, 1).await;
    assert_eq!(rig.registrar.totals().conflicts, 1);
    committer.run_once().await;
    let mut outcomes: Vec<_> = join_all(calls)
        .await
        .into_iter()
        .map(Result::unwrap)
        .collect();
    outcomes.sort_by_key(|outcome| *outcome as u8);
    assert_eq!(outcomes, [Outcome::Ok, Outcome::Ok, Outcome::Conflict]);
    assert!(rig.record("same").await.is_some() && rig.record("other").await.is_some());
    assert_eq!(rig.registrar.totals().calls, 4);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_that_never_wins_is_told_to_come_back() {
    let (rig, mut committer) = Rig::with(counting(), one_thread(), None).await;
    let registrar = Arc::clone(&rig.registrar);
    let call = tokio::spawn(async move { registrar.request(request("counter")).await });
    for rival in 0..MAX_ATTEMPTS {
        wait_for(&committer, 1).await;
        // Somebody writes the record between every read and its commit.
        rig.store
            .run_tx("rival", |mut tx| {
                Box::pin(async move {
                    let change = crate::registrar::Change::Put {
                        value: rival.to_string().into_bytes(),
                        expires: None,
                    };
                    tx.change_records(&[(key("counter"), change)].into()).await
                })
            })
            .await
            .unwrap();
        committer.run_once().await;
    }
    let result = call.await.unwrap();
    assert!(
        matches!(result, Err(CallError::Busy { retry_after_s: 1.. })),
        "{result:?}"
    );
    assert_eq!(rig.registrar.totals().calls, u64::from(MAX_ATTEMPTS));
    assert_eq!(rig.registrar.totals().busy, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_to_a_full_queue_is_told_to_come_back_and_own_work_gets_in() {
    let gate = Arc::new((Mutex::new(false), Condvar::new()));
    let of_guest = Arc::clone(&gate);
    let guests = ScriptedGuests::new(move |_, _, input| {
        let (open, bell) = &*of_guest;
        let mut open = open.lock().unwrap();
        while !*open {
            open = bell.wait(open).unwrap();
        }
        Ok(match input {
            Input::Request(_) => reply(Outcome::Ok),
            Input::Answered { .. } | Input::Due(_) | Input::Command { .. } => Decision::default(),
        })
    });
    let options = PoolOptions {
        queue: 2,
        ..one_thread()
    };
    let (rig, committer) = Rig::with(guests, options, None).await;
    tokio::spawn(committer.run(tokio_util::sync::CancellationToken::new()));

    let call = || {
        let registrar = Arc::clone(&rig.registrar);
        tokio::spawn(async move { registrar.request(request("")).await })
    };
    let running = call();
    until(|| rig.registrar.totals().calls == 1).await;
    let waiting = [call(), call()];
    until(|| rig.registrar.totals().queued == 2).await;
    let refused = rig.registrar.request(request("")).await;
    assert!(
        matches!(refused, Err(CallError::Busy { retry_after_s: 1.. })),
        "{refused:?}"
    );

    let registrar = Arc::clone(&rig.registrar);
    let own = tokio::spawn(async move {
        registrar
            .decide(Input::Due("own".parse().unwrap()), None)
            .await
    });
    until(|| rig.registrar.totals().queued == 3).await;
    *gate.0.lock().unwrap() = true;
    gate.1.notify_all();
    assert!(own.await.unwrap().is_ok());
    for call in [running].into_iter().chain(waiting) {
        assert_eq!(outcome(call.await.unwrap()), Outcome::Ok);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_that_was_not_committed_leaves_nothing() {
    let (rig, committer) = Rig::with(first_come_first_served(), PoolOptions::default(), None).await;
    let registrar = Arc::clone(&rig.registrar);
    let call = tokio::spawn(async move { registrar.request(request("name 1")).await });
    wait_for(&committer, 1).await;
    // As if the process ended here: the call has been decided and is not in the database.
    drop(committer);
    let result = call.await.unwrap();
    assert!(
        matches!(result, Err(CallError::Stopped)),
        "no reply leaves: {result:?}"
    );
    let Rig {
        store,
        registrar,
        handle,
        folder,
        ..
    } = rig;
    registrar.stop();
    drop((registrar, handle));
    store.close().await.unwrap();
    drop(store);

    let store = Store::open(StoreOptions::new(folder.path().join("hq.db")))
        .await
        .unwrap();
    assert_eq!(store.record(&key("name")).await.unwrap(), None);
    assert_eq!(store.history(&"own".parse().unwrap()).await.unwrap(), []);
    assert_eq!(store.outbox_counts().await.unwrap(), []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_instance_that_trapped_or_panicked_is_replaced_and_nobody_else_notices() {
    let guests = ScriptedGuests::new(|call, _, input| match body(input) {
        "trap" => {
            call.write(key("half-done"), Vec::new(), None).unwrap();
            Err(GuestError::Trap(
                wasmtime::Trap::UnreachableCodeReached.into(),
            ))
        }
        "panic" => panic!("a bug of HQ"),
        "refuse" => Err(GuestError::Refused(Refusal::Other("no".to_owned()))),
        _ => Ok(reply(Outcome::Ok)),
    });
    let (rig, committer) = Rig::with(guests.clone(), one_thread(), None).await;
    tokio::spawn(committer.run(tokio_util::sync::CancellationToken::new()));
    let opened_at_start = guests.opened();
    for (input, instances) in [
        ("ok", 1),
        ("trap", 1),
        ("ok", 2),
        ("panic", 2),
        ("refuse", 3),
        ("ok", 3),
    ] {
        let result = rig.registrar.request(request(input)).await;
        assert_eq!(result.is_ok(), input == "ok", "{input}: {result:?}");
        assert_eq!(
            guests.opened() - opened_at_start,
            instances,
            "after {input}"
        );
    }
    assert_eq!(rig.registrar.totals().spoiled, 2);
    assert_eq!(rig.record("half-done").await, None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_instance_is_replaced_after_its_time() {
    let guests = first_come_first_served();
    let options = PoolOptions {
        calls_per_instance: 3,
        ..one_thread()
    };
    let (rig, committer) = Rig::with(guests.clone(), options, None).await;
    tokio::spawn(committer.run(tokio_util::sync::CancellationToken::new()));
    let opened_at_start = guests.opened();
    for number in 0..7 {
        rig.registrar
            .request(request(format!("name-{number} x")))
            .await
            .unwrap();
    }
    assert_eq!(guests.opened() - opened_at_start, 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_decision_that_breaks_the_contract_is_not_committed() {
    let guests = ScriptedGuests::new(|call, _, input| {
        call.write(key("written"), Vec::new(), None).unwrap();
        Ok(match input {
            Input::Request(_) => Decision::default(),
            Input::Answered { .. } | Input::Due(_) | Input::Command { .. } => reply(Outcome::Ok),
        })
    });
    let rig = Rig::new(guests).await;
    for input in [request(""), Input::Due("own".parse().unwrap())] {
        let result = rig.registrar.decide(input, None).await;
        assert!(
            matches!(result, Err(CallError::Guest(GuestError::Reply { .. }))),
            "{result:?}"
        );
    }
    assert_eq!(rig.record("written").await, None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_fails_the_call_that_needs_room_and_no_other() {
    let guests = ScriptedGuests::new(|call, _, input| {
        let (name, size) = body(input).split_once(' ').unwrap();
        call.write(key(name), vec![1; size.parse().unwrap()], None)
            .unwrap();
        Ok(reply(Outcome::Ok))
    });
    let options = PoolOptions::default();
    let (rig, mut committer) = Rig::with(guests, options, Some(600 * 1024)).await;
    let call = |text: &'static str| {
        let registrar = Arc::clone(&rig.registrar);
        tokio::spawn(async move { registrar.request(request(text)).await })
    };
    let calls = [call("small-1 10"), call("large 900000"), call("small-2 10")];
    wait_for(&committer, 3).await;
    committer.run_once().await;
    let [first, large, second] = calls.map(|call| async { call.await.unwrap() });
    let (first, large, second) = (first.await, large.await, second.await);
    assert!(first.is_ok() && second.is_ok(), "{first:?} {second:?}");
    match large {
        Err(CallError::Store(error)) => {
            assert!(error.is_full(), "{error}");
            assert!(error.to_string().contains("free space"), "{error}");
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(rig.record("large").await, None);

    // The process lives: the next call is stored.
    let next = call("small-3 10");
    wait_for(&committer, 1).await;
    committer.run_once().await;
    assert!(next.await.unwrap().is_ok());
    assert!(rig.record("small-1").await.is_some() && rig.record("small-3").await.is_some());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stopped_registrar_finishes_what_it_took_in_and_takes_nothing_more() {
    let rig = Rig::new(first_come_first_served()).await;
    let calls: Vec<_> = (0..20)
        .map(|number| {
            let registrar = Arc::clone(&rig.registrar);
            tokio::spawn(
                async move { registrar.request(request(format!("name-{number} x"))).await },
            )
        })
        .collect();
    until(|| rig.registrar.totals().calls > 0).await;
    let registrar = Arc::clone(&rig.registrar);
    tokio::task::spawn_blocking(move || registrar.stop())
        .await
        .unwrap();
    let late = rig.registrar.request(request("late x")).await;
    assert!(matches!(late, Err(CallError::Stopped)), "{late:?}");
    for (number, call) in calls.into_iter().enumerate() {
        let result = call.await.unwrap();
        let stored = rig.record(&format!("name-{number}")).await.is_some();
        match result {
            Ok(_) => assert!(stored),
            Err(CallError::Stopped) => assert!(!stored),
            Err(other) => panic!("{other}"),
        }
    }
}

/// Whoever names a key first has it: body `key owner`.
fn first_come_first_served() -> Arc<ScriptedGuests> {
    ScriptedGuests::new(|call, _, input| {
        let (name, owner) = body(input).split_once(' ').unwrap();
        if call.read(&key(name)).unwrap().is_some() {
            return Ok(reply(Outcome::Conflict));
        }
        call.write(key(name), owner.as_bytes().to_vec(), None)
            .unwrap();
        let mut decision = reply(Outcome::Ok);
        decision.notes.push(Note {
            subject: "own".parse().unwrap(),
            kind: "taken".to_owned(),
            text: name.to_owned(),
        });
        Ok(decision)
    })
}

/// Adds one to the record that the body names.
fn counting() -> Arc<ScriptedGuests> {
    ScriptedGuests::new(|call, _, input| {
        let key = key(body(input));
        let before = call.read(&key).unwrap();
        let before: u32 = before.map_or(0, |bytes| {
            std::str::from_utf8(&bytes).unwrap().parse().unwrap()
        });
        call.write(key, (before + 1).to_string().into_bytes(), None)
            .unwrap();
        Ok(reply(Outcome::Ok))
    })
}

fn one_thread() -> PoolOptions {
    PoolOptions {
        threads: Some(1),
        ..PoolOptions::default()
    }
}

fn outcome(result: Result<Decision, CallError>) -> Outcome {
    result.unwrap().reply.unwrap().outcome
}

fn outcomes(results: Vec<Result<Decision, CallError>>) -> Vec<Outcome> {
    results.into_iter().map(outcome).collect()
}

/// Waits until so many calls wait for their commit.
async fn wait_for(committer: &Committer, calls: usize) {
    until(|| committer.waiting() == calls).await;
}

/// Waits until something holds. It does in the end, or the test runner's own limit ends the test.
async fn until(mut holds: impl FnMut() -> bool) {
    while !holds() {
        tokio::time::sleep(std::time::Duration::from_millis(1)).await;
    }
}
