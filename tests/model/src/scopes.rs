//! The searches. Each is exhaustive within its bounds.
//!
//! In all of them messages are lost, overtake each other and come twice, and the power of every box
//! is cut before, between and after all of its writes. What else goes wrong, and how often, says the
//! [`Budget`] of each.

use crate::happens::{
    ACCEPTED, BY_OPERATOR, CLONE_FOUND, CLONE_NOT_YET, ENROLLED, FIRST, NEXT, REFUSED, REJOINED,
    RESTORED, RETIRED, SWAPPED, TAKEN, TURNED_BACK_FOUND,
};
use crate::properties::check;
use crate::state::{Bounds, Budget, From};
use crate::world::{CLOSED, OPEN};

/// `./x test` runs these, with the machine as it is built there, unoptimised.
mod quick {
    use super::*;

    #[test]
    fn two_boxes_from_power_on() {
        check(with(two(From::New), most(3), &[ENROLLED]));
    }

    #[test]
    fn two_boxes_and_somebody_who_swaps_and_replays() {
        let most = Budget {
            replays: 1,
            ..most(2)
        };
        check(with(two(From::Enrolled), most, &[SWAPPED]));
    }

    #[test]
    fn a_box_and_its_copy() {
        let most = Budget {
            copies: 1,
            ..most(4)
        };
        let happens = &[CLONE_FOUND, CLONE_NOT_YET, ACCEPTED];
        check(with(one(From::Enrolled), most, happens));
    }

    #[test]
    fn an_hq_that_is_set_back() {
        let most = Budget {
            restores: 1,
            replays: 1,
            ..most(3)
        };
        check(with(one(From::Enrolled), most, &[RESTORED, SWAPPED]));
    }

    #[test]
    fn a_box_whose_storage_is_turned_back() {
        let most = Budget {
            turns: 1,
            ..most(4)
        };
        check(with(one(From::Enrolled), most, &[TURNED_BACK_FOUND]));
    }

    #[test]
    fn a_second_box_for_which_the_same_names_are_drawn() {
        let bounds = Bounds {
            from: [From::Enrolled, From::New],
            few_names: true,
            ..two(From::New)
        };
        check(with(bounds, most(2), &[ENROLLED, TAKEN]));
    }

    #[test]
    fn a_box_that_the_operator_retires() {
        let most = Budget {
            operator: 1,
            ..most(2)
        };
        check(with(one(From::Ordered), most, &[BY_OPERATOR, REFUSED]));
    }
}

/// `just model` runs these.
mod full {
    use super::*;

    #[test]
    #[ignore = "`just model` runs it: half a minute, with an optimised machine"]
    fn two_boxes_from_power_on() {
        let states = check(with(two(From::New), most(4), &[ENROLLED, FIRST]));
        assert!(states >= MILLION);
    }

    #[test]
    #[ignore = "`just model` runs it"]
    fn two_boxes_for_which_the_same_names_are_drawn_and_an_hq_that_is_set_back() {
        let most = Budget {
            restores: 1,
            ..most(3)
        };
        let bounds = Bounds {
            few_names: true,
            ..two(From::New)
        };
        assert!(check(with(bounds, most, &[ENROLLED, RESTORED, TAKEN])) >= MILLION);
    }

    #[test]
    #[ignore = "`just model` runs it"]
    fn a_box_that_is_let_in_and_one_that_is_not() {
        let most = Budget {
            replays: 1,
            ..most(3)
        };
        let bounds = Bounds {
            models: [OPEN, CLOSED],
            ..two(From::New)
        };
        let bounds = Bounds {
            quiet: true,
            ..bounds
        };
        check(with(bounds, most, &[ENROLLED, REFUSED]));
    }

    #[test]
    #[ignore = "`just model` runs it"]
    fn two_boxes_and_somebody_who_swaps_and_replays() {
        let most = Budget {
            replays: 1,
            ..most(3)
        };
        check(with(two(From::Enrolled), most, &[SWAPPED, FIRST]));
    }

    #[test]
    #[ignore = "`just model` runs it"]
    fn two_boxes_and_a_copy_of_the_first() {
        let most = Budget {
            copies: 1,
            ..most(3)
        };
        let happens = &[CLONE_FOUND, CLONE_NOT_YET, ACCEPTED, FIRST];
        assert!(check(with(two(From::Enrolled), most, happens)) >= MILLION);
    }

    #[test]
    #[ignore = "`just model` runs it"]
    fn a_box_and_its_copy() {
        let most = Budget {
            copies: 1,
            ..most(5)
        };
        let happens = &[CLONE_FOUND, CLONE_NOT_YET, REJOINED, ACCEPTED, FIRST];
        check(with(one(From::Enrolled), most, happens));
    }

    #[test]
    #[ignore = "`just model` runs it"]
    fn a_box_and_its_copy_and_somebody_who_replays() {
        let most = Budget {
            copies: 1,
            replays: 1,
            ..most(3)
        };
        check(with(one(From::Enrolled), most, &[CLONE_FOUND, SWAPPED]));
    }

    #[test]
    #[ignore = "`just model` runs it"]
    fn a_box_and_its_copy_and_an_hq_that_is_set_back() {
        let most = Budget {
            copies: 1,
            restores: 1,
            ..most(3)
        };
        check(with(one(From::Enrolled), most, &[CLONE_FOUND, RESTORED]));
    }

    #[test]
    #[ignore = "`just model` runs it"]
    fn an_hq_that_is_set_back_and_somebody_who_replays() {
        let most = Budget {
            restores: 1,
            replays: 1,
            ..most(4)
        };
        check(with(one(From::Enrolled), most, &[RESTORED, SWAPPED, FIRST]));
    }

    #[test]
    #[ignore = "`just model` runs it"]
    fn an_hq_that_is_set_back_to_before_the_box_was_there() {
        let most = Budget {
            restores: 1,
            replays: 1,
            ..most(3)
        };
        check(with(one(From::New), most, &[ENROLLED, RESTORED, REJOINED]));
    }

    #[test]
    #[ignore = "`just model` runs it"]
    fn a_box_whose_storage_is_turned_back_as_a_whole_or_in_one_record() {
        let most = Budget {
            turns: 1,
            replays: 1,
            ..most(4)
        };
        let happens = &[TURNED_BACK_FOUND, REJOINED, ACCEPTED, FIRST];
        check(with(one(From::Enrolled), most, happens));
    }

    #[test]
    #[ignore = "`just model` runs it"]
    fn clocks_that_jump_and_an_hq_that_starts_again() {
        let most = Budget {
            clocks: 1,
            restarts: 1,
            ..most(4)
        };
        check(with(one(From::Enrolled), most, &[FIRST]));
    }

    #[test]
    #[ignore = "`just model` runs it"]
    fn a_worker_that_dies_and_a_ca_that_refuses_row_by_row() {
        let most = Budget { ca: 1, ..most(4) };
        let bounds = Bounds {
            each_row: true,
            ..one(From::New)
        };
        check(with(bounds, most, &[ENROLLED, FIRST]));
    }

    #[test]
    #[ignore = "`just model` runs it"]
    fn a_box_that_renews_is_reset_or_is_retired() {
        let most = Budget {
            owner: 1,
            operator: 1,
            ..most(2)
        };
        let happens = &[NEXT, RETIRED, BY_OPERATOR, REFUSED];
        check(with(one(From::Serving), most, happens));
    }

    #[test]
    #[ignore = "`just model` runs it"]
    fn a_box_that_stays_on() {
        let most = Budget {
            copies: 1,
            ..most(3)
        };
        let bounds = Bounds {
            stays_on: true,
            ..one(From::Enrolled)
        };
        check(with(bounds, most, &[CLONE_FOUND, FIRST]));
    }

    #[test]
    #[ignore = "`just model` runs it"]
    fn all_of_it_at_once() {
        let most = Budget {
            replays: 1,
            restores: 1,
            turns: 1,
            copies: 1,
            ..most(2)
        };
        check(with(one(From::Ordered), most, &[CLONE_FOUND, RESTORED]));
    }
}

const fn most(messages: u8) -> Budget {
    Bounds::new([From::Nowhere; 2], messages).most
}

const fn one(from: From) -> Bounds {
    Bounds::new([from, From::Nowhere], 0)
}

const fn two(from: From) -> Bounds {
    Bounds::new([from, from], 0)
}

fn with(bounds: Bounds, most: Budget, happens: &'static [&'static str]) -> Bounds {
    Bounds {
        most,
        happens,
        ..bounds
    }
}

/// States of a search over two boxes, at the least.
const MILLION: usize = 1_000_000;
