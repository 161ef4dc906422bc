//! What must hold in every state, and what must happen in some, by name.

use stateright::{Checker, Expectation, HasDiscoveries, Model, Property};

use crate::broken::Broken;
use crate::happens::{
    ACCEPTED, BY_OPERATOR, CLONE_FOUND, CLONE_NOT_YET, ENROLLED, FIRST, NEXT, REFUSED, REJOINED,
    RESTORED, RETIRED, SWAPPED, TAKEN, TURNED_BACK_FOUND,
};
use crate::model::{Action, Search};
use crate::state::{Bounds, COPY, ENOUGH, World};

impl Model for Search {
    type State = World;
    type Action = Action;

    fn init_states(&self) -> Vec<World> {
        vec![self.start()]
    }

    fn actions(&self, world: &World, actions: &mut Vec<Action>) {
        actions.extend(self.next(world));
    }

    fn next_state(&self, _: &World, action: Action) -> Option<World> {
        Some(action.next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        let mut all = vec![
            Property::always("no name is held by two live keys", |_, world: &World| {
                !world.broken.has(Broken::TWO_KEYS)
            }),
            Property::always(
                "no certificate is accepted for a key that the device does not hold",
                |_, world: &World| !world.broken.has(Broken::FOREIGN_KEY),
            ),
            Property::always("no nonce is used twice", |_, world: &World| {
                !world.broken.has(Broken::DRAWN_TWICE)
            }),
            Property::always(
                "nothing is sent that was not persisted",
                |_, world: &World| !world.broken.has(Broken::UNSTORED),
            ),
            Property::always("a device has at most one live order", |_, world: &World| {
                !world.broken.has(Broken::TWO_ORDERS)
            }),
            Property::always(
                "a refused or retired device never gets a new certificate",
                |_, world: &World| !world.broken.has(Broken::NOT_ENTITLED),
            ),
            Property::always(
                "the old certificate serves until the new one is checked",
                |_, world: &World| !world.broken.has(Broken::OLD_GONE),
            ),
            Property::always("no replay and no restore alarms", |_, world: &World| {
                !world.alarm || world.units[COPY].is_some() || world.used.turns > 0
            }),
            Property::always(
                "every clone is challenged by its second check-in",
                |_, world: &World| world.alarm || !missed(world, ENOUGH),
            ),
            Property::always(
                "without faults a box comes to Serving or to a named refusal",
                Search::settles,
            ),
        ];
        for name in self.bounds.happens {
            all.push(Property::sometimes(name, happens(name)));
        }
        all
    }
}

/// Whether it is so in a state; or has been on the way to some state, where only the way shows it.
fn happens(name: &str) -> fn(&Search, &World) -> bool {
    match name {
        CLONE_FOUND => |_, world| world.alarm && world.units[COPY].is_some(),
        CLONE_NOT_YET => |_, world| !world.alarm && missed(world, 1),
        TURNED_BACK_FOUND => {
            |_, world| world.alarm && world.units[COPY].is_none() && world.used.turns > 0
        }
        ENROLLED => |search, _| search.has_counted(ENROLLED),
        RESTORED => |search, _| search.has_counted(RESTORED),
        RETIRED => |search, _| search.has_counted(RETIRED),
        REJOINED => |search, _| search.has_counted(REJOINED),
        FIRST => |search, _| search.has_counted(FIRST),
        NEXT => |search, _| search.has_counted(NEXT),
        SWAPPED => |search, _| search.has_counted(SWAPPED),
        BY_OPERATOR => |search, _| search.has_counted(BY_OPERATOR),
        ACCEPTED => |search, _| search.has_counted(ACCEPTED),
        TAKEN => |search, _| search.has_counted(TAKEN),
        REFUSED => |search, _| search.has_counted(REFUSED),
        other => panic!("nobody knows when {other}"),
    }
}

fn missed(world: &World, answers: u8) -> bool {
    let [Some(first), _, Some(copy)] = &world.units else {
        return false;
    };
    first.answered.min(copy.answered) >= answers
}

impl Search {
    fn has_counted(&self, what: &str) -> bool {
        self.inner.lock().unwrap().counts.contains_key(what)
    }

    fn settles(&self, world: &World) -> bool {
        if world.broken.is_anything() {
            return true;
        }
        let mut inner = self.inner.lock().unwrap();
        (0..world.units.len()).all(|who| world.units[who].is_none() || inner.settles(world, who))
    }
}

/// Searches everything within the bounds and prints what was found.
pub(crate) fn check(bounds: Bounds) -> usize {
    let thread = std::thread::current();
    let name = thread
        .name()
        .unwrap_or_default()
        .trim_start_matches("scopes::");
    let begin = std::time::Instant::now();
    let checker = Search::new(bounds)
        .checker()
        .threads(THREADS)
        .target_state_count(MOST_TRANSITIONS)
        .finish_when(HasDiscoveries::AnyFailures)
        .spawn_bfs()
        .join();
    let found = checker.discoveries();
    let ended = checker.state_count() < MOST_TRANSITIONS;
    let states = checker.unique_state_count();
    println!(
        "{name}: {states} states, {} transitions, {} deep, {:.1?}",
        checker.state_count(),
        checker.max_depth(),
        begin.elapsed()
    );
    let search = checker.model();
    let mut failed = Vec::new();
    for property in search.properties() {
        let path = found.get(property.name);
        let (kind, good) = match property.expectation {
            Expectation::Always => ("always", path.is_none()),
            Expectation::Sometimes => ("sometimes", path.is_some()),
            Expectation::Eventually => ("eventually", path.is_none()),
        };
        println!(
            "  {} {kind}: {}",
            if good { "holds " } else { "BROKEN" },
            property.name
        );
        if !good {
            failed.push(property.name);
            if let Some(path) = path {
                let steps: Vec<String> = path
                    .clone()
                    .into_vec()
                    .into_iter()
                    .filter_map(|(_, action)| action)
                    .map(|action| format!("{action:?}"))
                    .collect();
                println!("    {}", steps.join("\n    "));
                println!("    ends in {:?}", path.last_state());
            }
        }
    }
    let inner = search.inner.lock().unwrap();
    println!("  {}", inner.system.sizes());
    for (what, times) in &inner.counts {
        println!("  {times} times: {what}");
    }
    assert!(ended, "{name}: the search has no end");
    assert!(failed.is_empty(), "{name}: {failed:?}");
    states
}

const THREADS: usize = 2;
/// A search that comes to this has no end.
const MOST_TRANSITIONS: usize = 200_000_000;
