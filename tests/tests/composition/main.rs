//! Compositions: the shipped component on other things than a host of this project's.
//!
//! One module a theme. A part in `components/` without a test does not compile.

mod bindings;
mod contract_types;
mod device;
mod doubles;
mod jco;
mod pinned;
mod shape;
mod wasi;

/// Each part of a composition, and a test of it by its name.
macro_rules! has_a_test {
    ($($part:ident)*) => { $(const _: fn() = tests_of::$part;)* };
}

/// Where the tests of each part are.
mod tests_of {
    pub(super) use crate::contract_types::the_types_are_all_that_it_exports as contract_types;
    pub(super) use crate::doubles::{
        a_starved_machine_waits_and_a_stuck_source_counts_nothing as entropy_fixed,
        a_write_that_fails_leaves_the_machine_where_it_was as storage_memory,
        what_the_machine_submits_is_kept_for_the_test as network_script,
    };
    pub(super) use crate::pinned::a_device_reaches_hq_and_nobody_else as network_pinned;
    pub(super) use crate::wasi::{
        a_device_on_a_stock_runtime_reaches_serving as runner,
        a_device_on_a_stock_runtime_reaches_serving as entropy_wasi,
        a_device_on_a_stock_runtime_reaches_serving as network_wasi,
        a_device_on_a_stock_runtime_reaches_serving as storage_wasi,
    };
}

otscert_compositions::for_each_part!(has_a_test);
