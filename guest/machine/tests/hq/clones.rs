//! Clones are found and nothing else alarms: every order of events within bounds, the real device
//! against the real registrar (PROTOCOL 8, DESIGN 3).
//!
//! A box has enrolled. From then on, in any order: it is switched on, sends, is answered; its power
//! is cut before and after every write, and while an answer is on its way; a request or its answer
//! is lost; its storage is copied at any moment into a second box, which does the same; somebody on
//! the way sends any request again that he saw, or gives a box any answer that he saw; HQ is set
//! back to a backup of any earlier moment; the storage of the first box is set back to a copy of any
//! earlier moment. How often is in [`Bounds`]; each search is exhaustive within them, and says how
//! many states that were.
//!
//! What must hold, by the names in [`Found`]:
//!
//! - `clones_missed`: HQ has alarmed before both copies have had two answers since the copy. Two
//!   exceptions, and no more. A copy whose request HQ had answered to the other is told
//!   `stale-request`, which no replay may turn into an alarm, and enrols again (note `rejoined`);
//!   then the other's next request is the evidence, so that each must have had one answer *since*.
//!   And what an HQ that was set back has lost is no evidence: it counts from there.
//! - `false_alarms`: no replay, loss, power cut or restored HQ alarms, in any combination. (Not in
//!   these searches, since no rule refuses what this box says: a refused request, replayed to a
//!   restored HQ after its successor. `continuity.rs` beside this file shows it.)
//! - `turned_back_alarms`: a box whose storage was turned back and that then says something new on
//!   an old token is challenged. To HQ it is a copy, and nobody can tell it from one: that alarm is
//!   right, and the operator accepts the box. It is not always given: while the token is still the
//!   current one, or the request that was outstanding was answered last, the box goes on; where HQ
//!   remembers that request as an older one, the box enrols again.
//! - `lost`: from every state, if the faults end, a box is served again: an order or a poll is
//!   answered, after few exchanges. Where there is a copy, or storage was turned back, the operator
//!   may have to accept the box on the way, and then either copy goes on, whichever is kept.
//!
//! An alarm ends a branch: what HQ does in a challenge is shown in `continuity.rs`.
//!
//! The same search with one thing wrong finds what is wrong each time, so it is not the search that
//! is blind.

mod found;
mod search;
mod storage;
mod system;
mod wrong;

use found::{Bounds, Found};
use search::search;
use wrong::Wrong;

#[test]
fn every_copy_is_challenged_by_the_second_answer_whatever_is_cut_or_lost() {
    let found = right(Bounds {
        messages: 7,
        copied: true,
        ..Bounds::default()
    });
    assert!(found.states > 100_000, "{found:?}");
    assert!(found.clones_found > 1000 && found.rejoined > 0, "{found:?}");
    assert!(found.clones_not_yet > 0, "two answers are needed");
}

#[test]
fn every_copy_is_challenged_also_while_somebody_replays() {
    let found = right(Bounds {
        messages: 5,
        copied: true,
        replays: 1,
        ..Bounds::default()
    });
    assert!(found.clones_found > 1000 && found.rejoined > 0, "{found:?}");
}

#[test]
fn every_copy_is_challenged_also_by_an_hq_that_was_restored() {
    let found = right(Bounds {
        messages: 5,
        copied: true,
        restores: 1,
        ..Bounds::default()
    });
    assert!(found.clones_found > 1000 && found.restored > 0, "{found:?}");
}

#[test]
fn every_copy_is_challenged_also_of_a_box_that_stays_on() {
    let found = right(Bounds {
        messages: 3,
        copied: true,
        stays_on: true,
        ..Bounds::default()
    });
    assert!(found.clones_found > 100, "{found:?}");
}

#[test]
fn replays_power_cuts_and_a_restored_hq_never_alarm() {
    let found = right(Bounds {
        messages: 12,
        replays: 1,
        restores: 1,
        ..Bounds::default()
    });
    assert!(found.states > 40_000 && found.restored > 1000, "{found:?}");
    let found = right(Bounds {
        messages: 6,
        replays: 2,
        restores: 1,
        ..Bounds::default()
    });
    assert!(found.states > 10_000 && found.restored > 500, "{found:?}");
    let found = right(Bounds {
        messages: 3,
        replays: 1,
        restores: 1,
        stays_on: true,
        ..Bounds::default()
    });
    assert!(found.states > 1000, "{found:?}");
}

#[test]
fn a_box_that_was_turned_back_is_challenged_or_goes_on_and_never_lost() {
    let found = right(Bounds {
        messages: 7,
        turned_back: 1,
        replays: 1,
        ..Bounds::default()
    });
    assert!(found.turned_back_alarms > 100, "{found:?}");
    assert!(found.rejoined > 0, "{found:?}");
}

#[test]
fn all_of_it_at_once() {
    let found = right(Bounds {
        messages: 2,
        copied: true,
        replays: 1,
        restores: 1,
        turned_back: 1,
        stays_on: false,
        ordered: true,
    });
    assert!(
        found.clones_found > 1000 && found.turned_back_alarms > 0,
        "{found:?}"
    );
}

/// Each is told with the events that lead to the first state that should not be.
#[test]
fn each_wrong_rule_is_found_out() {
    let copied = Bounds {
        messages: 5,
        copied: true,
        ..Bounds::default()
    };
    let alone = Bounds {
        messages: 5,
        ..Bounds::default()
    };
    let replays = Bounds {
        replays: 1,
        ..alone
    };
    let restores = Bounds {
        restores: 1,
        ..alone
    };
    for (wrong, bounds, missed) in [
        (Wrong::OldTokenUntilShown, copied, true),
        (Wrong::AnyToken, copied, true),
        (Wrong::RequestNotStored, alone, false),
        (Wrong::RemembersTheLastOnly, replays, false),
        (Wrong::AheadIsAClone, restores, false),
    ] {
        let found = search(wrong, bounds);
        println!("{wrong:?}: {found}");
        let got = (found.clones_missed > 0, found.false_alarms > 0);
        assert_eq!(got, (missed, !missed), "{wrong:?}: {found}");
    }
}

/// The right rule: nothing is found that should not be.
#[expect(clippy::print_stdout, reason = "the counts are what the tests show")]
fn right(bounds: Bounds) -> Found {
    let found = search(Wrong::Nothing, bounds);
    println!("{bounds:?}: {found}");
    let faults = (found.clones_missed, found.false_alarms, found.lost);
    assert_eq!(faults, (0, 0, 0), "{bounds:?}: {found}");
    found
}
