//! Engine settings that both hosts share, and the thread that makes time pass for a running guest.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use wasmtime::{
    Config, Engine, InstanceAllocationStrategy, PoolingAllocationConfig, Store, StoreLimits,
    StoreLimitsBuilder,
};

/// How much a guest may use. The defaults are sized for HQ, which reads bytes of strangers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Linear memory of one instance, in bytes.
    pub memory_bytes: usize,
    /// Stack of one call, in bytes; deeper recursion is a trap.
    pub stack_bytes: usize,
    /// Instructions of one call. Counted exactly, so the same input is refused on every host.
    pub fuel: u64,
    /// Bytes that the guest can make the host copy in one host call.
    pub host_call_bytes: usize,
    /// How often the clock of [`EpochTicker`] ticks.
    pub tick: Duration,
    /// Ticks that one call may take. It is the backstop behind `fuel`, for what fuel does not see, and generous: a
    /// busy machine must not turn an honest call into a trap.
    pub deadline_ticks: u64,
    /// Instances alive at once, taken from a pool; `None`: each is allocated when it is made.
    pub pooled_instances: Option<u32>,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            memory_bytes: MEMORY_BYTES,
            stack_bytes: STACK_BYTES,
            fuel: FUEL,
            host_call_bytes: HOST_CALL_BYTES,
            tick: TICK,
            deadline_ticks: DEADLINE_TICKS,
            pooled_instances: None,
        }
    }
}

impl Limits {
    /// The limiter to put into a store's data and to name with [`Store::limiter`].
    #[must_use]
    pub fn store_limits(&self) -> StoreLimits {
        StoreLimitsBuilder::new()
            .memory_size(self.memory_bytes)
            .table_elements(TABLE_ELEMENTS)
            .instances(CORE_INSTANCES)
            .tables(TABLES)
            .memories(MEMORIES)
            // A guest turns a refused `memory.grow` into an abort anyway; trapping says why.
            .trap_on_grow_failure(true)
            .build()
    }

    /// Gives a store the budget of one call. To be done before every call.
    ///
    /// # Errors
    ///
    /// If the engine was not made from [`engine_config`], which switches fuel on.
    pub fn refill<T: 'static>(&self, store: &mut Store<T>) -> wasmtime::Result<()> {
        store.set_fuel(self.fuel)?;
        store.set_epoch_deadline(self.deadline_ticks);
        store.set_hostcall_fuel(self.host_call_bytes);
        Ok(())
    }
}

/// The engine's settings: limits on, everything switched off that the component does not use.
///
/// A precompiled component loads only into an engine with the same settings, so both hosts start here.
#[must_use]
pub fn engine_config(limits: &Limits) -> Config {
    let mut config = Config::new();
    config
        .epoch_interruption(true)
        .consume_fuel(true)
        .max_wasm_stack(limits.stack_bytes)
        .wasm_component_model(true)
        // Three times cheaper calls; the contract has no asynchronous functions.
        .concurrency_support(false)
        .wasm_relaxed_simd(false)
        .wasm_memory64(false)
        .cranelift_nan_canonicalization(true)
        // The guest's function names have no place in HQ's log.
        .wasm_backtrace_max_frames(None::<NonZeroUsize>);
    if let Some(instances) = limits.pooled_instances {
        config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool(limits, instances)));
    }
    config
}

/// Makes the engine's epoch advance, so that a guest that does not come back is stopped.
///
/// Dropping it ends the thread.
#[derive(Debug)]
pub struct EpochTicker {
    // Dropping the sender is the signal to end.
    stop: Option<mpsc::SyncSender<()>>,
    thread: Option<thread::JoinHandle<()>>,
}

impl EpochTicker {
    /// Starts a thread that ticks every `tick`. It does not keep the engine alive.
    ///
    /// # Errors
    ///
    /// If the system gives no thread.
    pub fn start(engine: &Engine, tick: Duration) -> std::io::Result<Self> {
        let engine = Arc::new(engine.weak());
        let (stop, stopped) = mpsc::sync_channel::<()>(1);
        let thread = thread::Builder::new()
            .name("otscert-epoch".to_owned())
            .spawn(move || {
                while let Err(RecvTimeoutError::Timeout) = stopped.recv_timeout(tick) {
                    let Some(engine) = engine.upgrade() else {
                        return;
                    };
                    engine.increment_epoch();
                }
            })?;
        Ok(Self {
            stop: Some(stop),
            thread: Some(thread),
        })
    }
}

impl Drop for EpochTicker {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // A ticker that panicked has ended all the same.
            let _ended = thread.join();
        }
    }
}

fn pool(limits: &Limits, instances: u32) -> PoolingAllocationConfig {
    let mut pool = PoolingAllocationConfig::new();
    let per_component = u32::try_from(MEMORIES).unwrap_or(u32::MAX);
    pool.total_component_instances(instances)
        .total_core_instances(
            instances.saturating_mul(u32::try_from(CORE_INSTANCES).unwrap_or(u32::MAX)),
        )
        .total_memories(instances.saturating_mul(per_component))
        .total_tables(instances.saturating_mul(u32::try_from(TABLES).unwrap_or(u32::MAX)))
        .max_core_instances_per_component(u32::try_from(CORE_INSTANCES).unwrap_or(u32::MAX))
        .max_memories_per_component(per_component)
        .max_tables_per_component(u32::try_from(TABLES).unwrap_or(u32::MAX))
        .max_memory_size(limits.memory_bytes)
        .table_elements(TABLE_ELEMENTS)
        // A recycled slot keeps its pages instead of giving them back and faulting them in again.
        .linear_memory_keep_resident(KEEP_RESIDENT);
    pool
}

/// Measured use is under 1.3 MiB.
const MEMORY_BYTES: usize = 16 * 1024 * 1024;
const STACK_BYTES: usize = 256 * 1024;
/// About ten P-256 operations of the portable component, four times what the costliest decision needs.
const FUEL: u64 = 400_000_000;
/// The largest record (256 KiB) with its key.
const HOST_CALL_BYTES: usize = 320 * 1024;
const TICK: Duration = Duration::from_millis(5);
/// Two seconds at 5 ms.
const DEADLINE_TICKS: u64 = 400;
const TABLE_ELEMENTS: usize = 10_000;
/// A component made of one module has three core instances: the module, its import shim, and the shim's fix-up.
const CORE_INSTANCES: usize = 8;
const MEMORIES: usize = 2;
const TABLES: usize = 4;
const KEEP_RESIDENT: usize = 2 * 1024 * 1024;

#[cfg(test)]
mod tests {
    use wasmtime::Trap;
    use wasmtime::component::{Component, Linker};

    use super::*;

    struct Data {
        limits: StoreLimits,
    }

    /// A component that misbehaves in a way of your choice.
    const HOSTILE: &str = r#"
        (component
            (core module $m
                (memory (export "memory") 1)
                (func (export "spin") (loop (br 0)))
                (func $deeper (export "recurse") (call $deeper))
                (func (export "grow") (drop (memory.grow (i32.const 1024)))))
            (core instance $i (instantiate $m))
            (func (export "spin") (canon lift (core func $i "spin")))
            (func (export "recurse") (canon lift (core func $i "recurse")))
            (func (export "grow") (canon lift (core func $i "grow"))))
    "#;

    /// What became of a call.
    fn call(limits: &Limits, function: &str) -> (wasmtime::Result<()>, Store<Data>) {
        let engine = Engine::new(&engine_config(limits)).unwrap();
        let _ticker = EpochTicker::start(&engine, limits.tick).unwrap();
        let component = Component::new(&engine, wat::parse_str(HOSTILE).unwrap()).unwrap();
        let mut store = Store::new(
            &engine,
            Data {
                limits: limits.store_limits(),
            },
        );
        store.limiter(|data| &mut data.limits);
        limits.refill(&mut store).unwrap();
        let instance = Linker::new(&engine)
            .instantiate(&mut store, &component)
            .unwrap();
        let function = instance
            .get_typed_func::<(), ()>(&mut store, function)
            .unwrap();
        (function.call(&mut store, ()), store)
    }

    #[test]
    fn a_guest_that_does_not_come_back_runs_out_of_fuel() {
        let limits = Limits {
            fuel: 1_000_000,
            ..Limits::default()
        };
        let (result, store) = call(&limits, "spin");
        assert_eq!(
            result.unwrap_err().downcast::<Trap>().unwrap(),
            Trap::OutOfFuel
        );
        assert_eq!(store.get_fuel().unwrap(), 0);
    }

    #[test]
    fn a_guest_with_fuel_to_spare_is_stopped_by_the_clock() {
        let limits = Limits {
            fuel: u64::MAX,
            tick: Duration::from_millis(1),
            deadline_ticks: 2,
            ..Limits::default()
        };
        let (result, _) = call(&limits, "spin");
        assert_eq!(
            result.unwrap_err().downcast::<Trap>().unwrap(),
            Trap::Interrupt
        );
    }

    #[test]
    fn endless_recursion_is_a_trap() {
        let (result, _) = call(&Limits::default(), "recurse");
        assert_eq!(
            result.unwrap_err().downcast::<Trap>().unwrap(),
            Trap::StackOverflow
        );
    }

    #[test]
    fn a_guest_gets_no_more_memory_than_it_may_have_pooled_or_not() {
        for pooled_instances in [None, Some(2)] {
            let limits = Limits {
                pooled_instances,
                ..Limits::default()
            };
            let (result, _) = call(&limits, "grow");
            let error = format!("{:?}", result.unwrap_err());
            assert!(error.contains("memory"), "{error}");
        }
    }

    #[test]
    fn the_ticker_ends_with_its_handle() {
        let engine = Engine::new(&engine_config(&Limits::default())).unwrap();
        let ticker = EpochTicker::start(&engine, Duration::from_millis(1)).unwrap();
        // Would hang here, if it did not.
        drop(ticker);
    }
}
