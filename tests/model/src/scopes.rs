//! The searches.

use crate::properties::check;
use crate::state::{Bounds, Budget, From};

#[test]
fn try_it() {
    let read = |name: &str, otherwise: u8| {
        std::env::var(name).map_or(otherwise, |text| text.parse().unwrap())
    };
    let from = |name: &str| match std::env::var(name).unwrap_or_default().as_str() {
        "nowhere" => From::Nowhere,
        "enrolled" => From::Enrolled,
        "ordered" => From::Ordered,
        "serving" => From::Serving,
        _ => From::New,
    };
    let bounds = Bounds::new([from("A"), from("B")], 4);
    let most = Budget {
        messages: read("MESSAGES", 3),
        replays: read("REPLAYS", 0),
        restores: read("RESTORES", 0),
        restarts: read("RESTARTS", 0),
        turns: read("TURNS", 0),
        clocks: read("CLOCKS", 0),
        owner: read("OWNER", 0),
        operator: read("OPERATOR", 0),
        ca: read("CA", 0),
        copies: read("COPIES", 0),
    };
    let bounds = Bounds {
        most,
        quiet: read("QUIET", 0) > 0,
        few_names: read("FEW", 0) > 0,
        each_row: read("EACH", 0) > 0,
        stays_on: read("ON", 0) > 0,
        ..bounds
    };
    check("try", bounds);
}
