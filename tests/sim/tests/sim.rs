//! The simulator on the seeds of a test run: no invariant breaks, and what is recorded replays.
#![expect(clippy::unwrap_used, reason = "a test that fails panics")]

use otscert_replay::stepper::{Stepper, Until, describe};
use otscert_replay::{Engine, Log, LogError, Outcome, ReplayError, replay};
use otscert_sim::{Options, People, Records, Report, run, shrink};

#[test]
fn boxes_live_through_sixty_days_of_faults() {
    for (records, seeds) in [(Records::Sqlite, 1..=3), (Records::Map, 4..=11)] {
        let mut total = Report::default();
        let count = seeds.clone().count();
        for seed in seeds {
            let report = run(&options(seed, records)).unwrap();
            assert_eq!(report.broken, None, "seed {seed}, {records:?}");
            total.add(&report);
        }
        // Otherwise little would have been tried.
        let each = |number: u64| number / count as u64;
        assert!(total.issued > 10 * count, "{total:?}");
        assert!(each(total.renewed) > 8, "{total:?}");
        assert!(
            each(total.power_cuts) > 8 && each(total.partitions) > 4,
            "{total:?}"
        );
        assert!(each(total.lost) > 100, "{total:?}");
        // One box in ten; with HQ's host each is reset in `every_call.rs`.
        assert!(total.resets > 0 || records == Records::Sqlite, "{total:?}");
        assert_eq!(total.expired, 0);
    }
}

/// Let's Encrypt's short-lived profile.
#[test]
fn certificates_of_six_days_are_renewed_in_time() {
    let options = Options {
        life_ms: 160 * 3_600_000,
        devices: 3,
        days: 30,
        ..options(3, Records::Map)
    };
    let report = run(&options).unwrap();
    assert_eq!(report.broken, None);
    assert!(report.renewed > 20, "{report:?}");
}

#[test]
fn one_seed_is_one_log_and_it_replays_natively_and_on_the_component() {
    for records in [Records::Sqlite, Records::Map] {
        let log = recorded(7, records);
        assert_eq!(log, recorded(7, records), "the same seed gives another log");
        assert_ne!(log, recorded(8, records));
        let read = Log::parse(&log).unwrap();
        assert_eq!(read.write().unwrap(), log, "it reads as it was written");
        let native = replay(&read, Engine::Native).unwrap();
        assert!(native.entries > 200, "{native:?}");
        assert_eq!(replay(&read, Engine::Component).unwrap(), native);
    }
}

/// Certificates of one hour: they are renewed in time for as long as nobody is in the way, and no days of grace are left.
#[test]
fn a_failing_run_is_made_smaller_and_fails_again_with_its_log() {
    let failing = Options {
        life_ms: 3_600_000,
        devices: 1,
        days: 2,
        ..options(5, Records::Map)
    };
    let report = run(&failing).unwrap();
    let broken = report.broken.clone().unwrap();
    assert_eq!(broken.invariant, "none-expires-while-reachable");
    assert_eq!(report.expired, 1);
    assert!(report.accidents.len() > 5, "{report:?}");
    let smaller = shrink(&failing, &broken, 60, |_, _| {}).unwrap();
    // A box that is switched on, and what comes in its way.
    assert_eq!(smaller.only.as_ref().map(Vec::len), Some(2), "{smaller}");
    let again = run(&Options {
        record: true,
        ..smaller
    });
    let again = again.unwrap();
    assert_eq!(again.broken.unwrap().invariant, broken.invariant);
    let log = Log::parse(&again.log.unwrap()).unwrap();
    assert!(log.failed().unwrap().starts_with(broken.invariant));
}

#[test]
fn a_log_that_was_edited_or_cut_off_is_refused_with_its_line() {
    let log = recorded(7, Records::Map);
    let lines: Vec<&str> = log.lines().collect();
    let edited = |line: usize, from: &str, to: &str| {
        let changed = lines[line - 1].replacen(from, to, 1);
        assert_ne!(changed, lines[line - 1], "line {line} has no {from}");
        let mut all = lines.clone();
        all[line - 1] = &changed;
        Log::parse(&all.join("\n")).unwrap_err()
    };
    assert_eq!(
        edited(30, "\"n\":29", "\"n\":28"),
        LogError::Edited { line: 30 }
    );
    assert_eq!(
        edited(1, "sim --seed 7", "sim --seed 8"),
        LogError::Edited { line: 1 }
    );
    assert_eq!(
        edited(1, "\"otscert_log\":1", "\"otscert_log\":2"),
        LogError::Version { got: 2 }
    );
    let without = |line: usize| {
        let mut all = lines.clone();
        all.remove(line - 1);
        Log::parse(&all.join("\n")).unwrap_err()
    };
    assert_eq!(without(40), LogError::Edited { line: 40 });
    assert_eq!(
        without(lines.len()),
        LogError::CutOff {
            line: lines.len() - 1
        }
    );
    let half = &log[..log.len() / 2];
    let line = half.lines().count();
    let error = Log::parse(half).unwrap_err().to_string();
    assert!(error.starts_with(&format!("line {line}: ")), "{error}");
    let error = Log::parse("{\"a\":1}").unwrap_err().to_string();
    assert!(error.contains("no event log"), "{error}");
    assert_eq!(Log::parse("").unwrap_err(), LogError::CutOff { line: 1 });
}

/// Whoever writes a log anew has its hashes right; what it says is still held against the machine.
#[test]
fn a_log_that_says_what_did_not_happen_does_not_replay() {
    let mut log = Log::parse(&recorded(7, Records::Map)).unwrap();
    let at = 20;
    log.entries[at].digest = Some(vec![0; 32]);
    let line = at + 2;
    let error = replay(&log, Engine::Native).unwrap_err().to_string();
    assert!(error.starts_with(&format!("line {line}: ")), "{error}");
    assert!(error.contains("digest"), "{error}");
    let mut log = Log::parse(&recorded(7, Records::Map)).unwrap();
    log.entries[at].calls.pop();
    let error = replay(&log, Engine::Native).unwrap_err().to_string();
    assert!(error.contains("the log has nothing more"), "{error}");
    log.header.secrets = false;
    let error = replay(&log, Engine::Native).unwrap_err();
    assert!(matches!(error, ReplayError::Redacted), "{error}");
}

#[test]
fn a_log_is_stepped_forward_and_back_and_stops_where_it_is_told() {
    let log = Log::parse(&recorded(7, Records::Map)).unwrap();
    let mut stepper = Stepper::new(&log);
    assert!(stepper.run(&Until::State("Serving".into())).unwrap());
    let serving = stepper.at();
    let first = stepper.last().unwrap().party.clone();
    let view = stepper.view(&first).unwrap().unwrap();
    assert!(view.contains("\"state\":\"Serving\""), "{view}");
    assert!(stepper.states().any(|it| it == (&first, "Serving")));

    stepper.seek(serving - 1).unwrap();
    let before = stepper.view(&first).unwrap().unwrap();
    assert!(!before.contains("\"state\":\"Serving\""), "{before}");
    assert!(stepper.step().unwrap());
    assert_eq!(stepper.view(&first).unwrap().unwrap(), view);

    assert!(stepper.run(&Until::Event("renew from".into())).unwrap());
    assert!(describe(stepper.last().unwrap()).contains("window-read"));
    assert!(!stepper.run(&Until::State("NoSuchState".into())).unwrap());
    assert_eq!(stepper.at(), log.entries.len());
    assert!(!stepper.step().unwrap());
}

/// What a stranger's log says reaches a terminal without its control characters.
#[test]
fn nothing_in_a_log_moves_the_cursor() {
    let mut log = Log::parse(&recorded(7, Records::Map)).unwrap();
    let mut found = 0;
    for entry in &mut log.entries {
        if let Outcome::Device(Ok(progress)) = &mut entry.outcome {
            progress.reason = "\u{1b}[2J\u{7}gone".into();
            assert!(
                describe(entry)
                    .chars()
                    .all(|c| c == '\n' || !c.is_control())
            );
            found += 1;
        }
    }
    assert!(found > 10);
}

fn options(seed: u64, records: Records) -> Options {
    Options {
        seed,
        devices: 4,
        days: 60,
        faults: true,
        records,
        people: People::Drawn,
        life_ms: 45 * 24 * 3_600_000,
        record: false,
        only: None,
        strike: None,
    }
}

fn recorded(seed: u64, records: Records) -> String {
    let options = Options {
        devices: 2,
        days: 20,
        record: true,
        ..options(seed, records)
    };
    run(&options).unwrap().log.unwrap()
}
