//! One call of an import goes wrong, each in its turn, of the box and of HQ, through enrolment, renewal, move and reset.
#![expect(clippy::unwrap_used, reason = "a test that fails panics")]

use otscert_sim::{How, Options, Party, People, Records, run};

#[test]
fn whichever_call_of_a_box_goes_wrong_it_comes_to_the_same_end() {
    every_call(Party::Box, Records::Map);
}

#[test]
fn whichever_call_of_the_registrar_goes_wrong_it_comes_to_the_same_end() {
    every_call(Party::Hq, Records::Map);
}

/// With its database, committer and workers; a cut is a kill of the whole process.
#[test]
fn whichever_call_of_hq_goes_wrong_it_comes_to_the_same_end() {
    every_call(Party::Hq, Records::Sqlite);
}

/// The owner gives a box another address, has it renewed, and resets it: three days with three certificates. Then
/// everything is as the reference says (`rest`), whatever failed.
fn every_call(party: Party, records: Records) {
    let calm = options(records);
    let report = run(&calm).unwrap();
    assert_eq!(report.broken, None);
    assert_eq!((report.resets, report.issued), (1, 3), "{report:?}");
    let calls = match party {
        Party::Box => report.calls_of_first_box,
        Party::Hq => report.calls_of_hq,
    };
    assert!(calls > 100, "{calls}");
    let mut differ = 0;
    for after in 0..calls {
        let each = [How::Refused, How::CutBefore, How::CutAfter];
        let hows = match records {
            Records::Map => &each[..],
            // A kill and a start for each: in turn.
            Records::Sqlite => &each[(after % 3) as usize..][..1],
        };
        for &how in hows {
            let options = Options {
                strike: Some((party, after, how)),
                ..calm.clone()
            };
            let struck = run(&options).unwrap();
            assert_eq!(struck.broken, None, "{party:?} at call {after}: {how:?}");
            assert_eq!(struck.serving, 1, "{party:?} at call {after}: {how:?}");
            differ += u64::from(struck.events != report.events);
        }
    }
    // Otherwise nothing was struck.
    let least = match records {
        Records::Map => calls,
        Records::Sqlite => calls / 2,
    };
    assert!(differ > least, "{differ} of {calls} calls");
}

fn options(records: Records) -> Options {
    Options {
        seed: 1,
        devices: 1,
        days: 4,
        faults: false,
        records,
        people: People::Each,
        life_ms: 45 * 24 * 3_600_000,
        record: false,
        only: None,
        strike: None,
    }
}
