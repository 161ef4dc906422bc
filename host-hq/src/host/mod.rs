//! What the component imports, on HQ: entropy of the system, records and the outbox of one call.
//!
//! Each interface is a `…CtxView` that a store's data lends through its `…View`, and an `add_to_linker`. Nothing else
//! is ever linked: a component that asks for more is refused by name before it runs.

pub mod entropy;
pub mod network;
pub mod storage;

use std::fmt;
use std::sync::Arc;

use wasmtime::StoreLimits;
use wasmtime::component::Linker;

use crate::registrar::Call;

use self::entropy::{EntropyCtx, EntropyCtxView, EntropySource, EntropyView};
use self::network::{NetworkCtxView, NetworkView};
use self::storage::{StorageCtxView, StorageView};

/// The data of one registrar's store.
pub(crate) struct HqCtx {
    /// What the instance may use.
    pub(crate) limits: StoreLimits,
    entropy: EntropyCtx,
    /// The call under way; none while the instance is opened or inspects.
    call: Option<Call>,
}

impl HqCtx {
    /// Data for a new store.
    pub(crate) fn new(limits: StoreLimits, source: Arc<dyn EntropySource>) -> Self {
        Self {
            limits,
            entropy: EntropyCtx::new(source),
            call: None,
        }
    }

    /// Lends a call to the guest.
    pub(crate) fn begin(&mut self, call: Call) {
        self.call = Some(call);
    }

    /// Takes the call back, with what the guest did to it.
    pub(crate) fn end(&mut self) -> Option<Call> {
        self.call.take()
    }
}

impl fmt::Debug for HqCtx {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HqCtx")
            .field("call", &self.call)
            .finish_non_exhaustive()
    }
}

impl EntropyView for HqCtx {
    fn entropy(&mut self) -> EntropyCtxView<'_> {
        EntropyCtxView {
            ctx: &mut self.entropy,
        }
    }
}

impl NetworkView for HqCtx {
    fn network(&mut self) -> NetworkCtxView<'_> {
        NetworkCtxView {
            call: self.call.as_mut(),
        }
    }
}

impl StorageView for HqCtx {
    fn storage(&mut self) -> StorageCtxView<'_> {
        StorageCtxView {
            call: self.call.as_mut(),
        }
    }
}

/// Links the three interfaces, and nothing else.
///
/// # Errors
///
/// If one of them is linked already.
pub(crate) fn add_to_linker<T>(linker: &mut Linker<T>) -> wasmtime::Result<()>
where
    T: EntropyView + NetworkView + StorageView + 'static,
{
    entropy::add_to_linker(linker)?;
    network::add_to_linker(linker)?;
    storage::add_to_linker(linker)
}
