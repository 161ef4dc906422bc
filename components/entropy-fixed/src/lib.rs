//! A double for tests: a source whose bytes a test chooses. **No entropy at all**: whoever knows the seed knows every
//! key. Before a test has seeded it there is no source.

mod bindings;

use std::cell::RefCell;

use bindings::exports::otscert::doubles::entropy_control::{self, Behaviour};
use bindings::exports::otscert::provision::entropy::{self, Error, Kind, Source};

/// What the world's exports are implemented on.
struct EntropyFixed;

/// The one source.
struct Fixed {
    kind: Kind,
    state: u64,
    behaviour: Behaviour,
}

thread_local! {
    static SOURCE: RefCell<Option<Fixed>> = const { RefCell::new(None) };
}

impl entropy::Guest for EntropyFixed {
    fn sources() -> Vec<Source> {
        SOURCE.with_borrow(|source| {
            let listed = source.as_ref().map(|source| Source {
                id: ID,
                kind: source.kind,
                family: "fixed".to_owned(),
                assessment: None,
                observed_step_ns: 0,
                label: "a test's double: no entropy".to_owned(),
            });
            listed.into_iter().collect()
        })
    }

    fn sample(source: u32, len: u32) -> Result<Vec<u8>, Error> {
        SOURCE.with_borrow_mut(|known| match known {
            Some(fixed) if source == ID => fixed.sample(otscert_contract::sample_len(len)),
            Some(_) | None => Err(Error::NoSuchSource),
        })
    }
}

impl entropy_control::Guest for EntropyFixed {
    fn seed(kind: Kind, seed: u64) {
        SOURCE.set(Some(Fixed {
            kind,
            state: seed,
            behaviour: Behaviour::Healthy,
        }));
    }

    fn behave(behaviour: Behaviour) {
        SOURCE.with_borrow_mut(|source| {
            if let Some(source) = source {
                source.behaviour = behaviour;
            }
        });
    }
}

impl Fixed {
    fn sample(&mut self, len: usize) -> Result<Vec<u8>, Error> {
        match self.behaviour {
            Behaviour::Healthy => Ok((0..len).map(|_| self.byte()).collect()),
            Behaviour::NotReady => Err(Error::NotReady),
            Behaviour::Unhealthy => Err(Error::Unhealthy("a test says so".to_owned())),
            Behaviour::Stuck => Ok(vec![STUCK; len]),
        }
    }

    /// SplitMix64 (Steele, Lea, Flood 2014): passes health tests, and is no secret.
    fn byte(&mut self) -> u8 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.state ^ (self.state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)).to_le_bytes()[0]
    }
}

const ID: u32 = 0;
const STUCK: u8 = 0xa5;
