use crate::registrar::GuestError;
use crate::testing::{Rig, ScriptedGuests, body, key, reply, request, subject};
use crate::types::{Decision, Outcome, Summary};

use super::*;

fn summary(of: &Subject, wake_at: Option<Timestamp>) -> Summary {
    Summary {
        subject: of.clone(),
        kind: "device".to_owned(),
        state: "waiting".to_owned(),
        reason: String::new(),
        name: None,
        model: String::new(),
        not_after: None,
        wake_at,
        last_contact: None,
    }
}

/// A registrar whose devices (the words of a request) want to be woken after 1 s; what it does when it hears `due`
/// depends on the name.
async fn rig() -> Rig {
    Rig::new(ScriptedGuests::new(|call, now, input| match input {
        Input::Request(_) => {
            let mut decision = reply(Outcome::Ok);
            for word in body(input).split(' ') {
                let wake_at = Some(now.wall.plus_millis(1_000));
                decision.summaries.push(summary(&subject(word), wake_at));
            }
            Ok(decision)
        }
        Input::Due(who) => {
            let heard = key(&format!("heard/{who}"));
            let times = call.read(&heard).unwrap().map_or(0, |bytes| bytes[0]);
            call.write(heard, vec![times + 1], None).unwrap();
            match who.as_str() {
                "device/traps" => Err(GuestError::Trap(
                    wasmtime::Trap::UnreachableCodeReached.into(),
                )),
                "device/stuck" => Ok(Decision::default()),
                _ => Ok(Decision {
                    summaries: vec![summary(who, None)],
                    ..Decision::default()
                }),
            }
        }
        Input::Answered { .. } | Input::Command { .. } => Ok(Decision::default()),
    }))
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_subject_is_told_when_its_time_has_come_and_once() {
    let rig = rig().await;
    rig.registrar
        .request(request("device/a device/b"))
        .await
        .unwrap();
    let scheduler = rig.scheduler();
    let wake_at = rig.now().plus_millis(1_000);
    let round = scheduler.run_once(rig.now()).await.unwrap();
    assert_eq!(
        round,
        Round {
            told: 0,
            failed: 0,
            next: Some(wake_at)
        }
    );

    rig.clock.advance_to(wake_at);
    let round = scheduler.run_once(rig.now()).await.unwrap();
    assert_eq!(
        round,
        Round {
            told: 2,
            failed: 0,
            next: None
        }
    );
    assert_eq!(rig.record("heard/device/a").await.unwrap(), [1]);
    assert_eq!(scheduler.run_once(rig.now()).await.unwrap().told, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_subject_that_stays_due_is_not_asked_in_a_circle() {
    let rig = rig().await;
    rig.registrar
        .request(request("device/stuck"))
        .await
        .unwrap();
    rig.clock.advance(1_000);
    let scheduler = rig.scheduler();
    assert_eq!(scheduler.run_once(rig.now()).await.unwrap().told, 1);
    let round = scheduler.run_once(rig.now()).await.unwrap();
    assert_eq!(round.told, 0);
    let next = round.next.unwrap();
    assert!(next > rig.now(), "{next}");
    rig.clock.advance_to(next);
    assert_eq!(scheduler.run_once(rig.now()).await.unwrap().told, 1);
    assert_eq!(rig.record("heard/device/stuck").await.unwrap(), [2]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_subject_at_which_the_component_fails_waits_and_holds_nobody_up() {
    let rig = rig().await;
    rig.registrar
        .request(request("device/a device/traps"))
        .await
        .unwrap();
    rig.clock.advance(1_000);
    let scheduler = rig.scheduler();
    let round = scheduler.run_once(rig.now()).await.unwrap();
    let next = Some(rig.now().plus_millis(FAULT_PATIENCE_MS));
    assert_eq!(
        round,
        Round {
            told: 1,
            failed: 1,
            next
        }
    );
    assert_eq!(scheduler.run_once(rig.now()).await.unwrap().failed, 0);
    assert_eq!(
        rig.record("heard/device/traps").await,
        None,
        "a failed call leaves nothing"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_round_is_bounded_and_its_subjects_share_commits() {
    let rig = rig().await;
    let crowd: Vec<_> = (0..MAX_DUE + 6)
        .map(|number| format!("device/{number}"))
        .collect();
    rig.registrar
        .request(request(crowd.join(" ")))
        .await
        .unwrap();
    rig.clock.advance(1_000);
    let scheduler = rig.scheduler();
    let round = scheduler.run_once(rig.now()).await.unwrap();
    assert_eq!(round.told, usize::try_from(MAX_DUE).unwrap());
    assert_eq!(round.next, Some(rig.now()));
    assert_eq!(scheduler.run_once(rig.now()).await.unwrap().told, 6);
}
