//! Compositions: the shipped component on other things than a host of this project's.
//!
//! One module a theme. A part in `components/` without a test does not compile.

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot go on has failed; helpers of tests are not seen as tests"
)]

mod adapters;
mod bindings;
mod contract_types;
mod device;
mod doubles;
mod jco;
mod network;
mod pinned;
mod shape;
mod tool;
mod wasi;

/// Each part of a composition, and a test of it by its name.
macro_rules! has_a_test {
    ($($part:ident)*) => { $(const _: fn() = tests_of::$part;)* };
}

/// Where the tests of each part are.
mod tests_of {
    pub(super) use crate::adapters::{
        a_write_is_synced_put_in_place_and_made_durable_and_never_read_torn as storage_wasi,
        the_runtime_s_generator_is_all_that_is_claimed as entropy_wasi,
    };
    pub(super) use crate::contract_types::the_types_are_all_that_it_exports as contract_types;
    pub(super) use crate::doubles::{
        a_starved_machine_waits_and_a_stuck_source_counts_nothing as entropy_fixed,
        a_write_that_fails_leaves_the_machine_where_it_was as storage_memory,
        what_the_machine_submits_is_kept_for_the_test as network_script,
    };
    pub(super) use crate::network::each_submission_ends_in_one_delivery as network_wasi;
    pub(super) use crate::pinned::a_device_reaches_its_own_peers_and_nobody_else as network_pinned;
    pub(super) use crate::wasi::a_device_on_a_stock_runtime_reaches_serving as runner;
}

otscert_compositions::for_each_part!(has_a_test);
