//! `entropy` on HQ: the operating system's generator.

use std::fmt::Debug;
use std::sync::Arc;

use wasmtime::component::{HasData, Linker};

use crate::bindings::otscert::provision::entropy as wit;

/// Where HQ's randomness comes from.
pub trait EntropySource: Debug + Send + Sync + 'static {
    /// Fills `bytes` with randomness that nobody can guess and that was never given out before.
    ///
    /// # Errors
    ///
    /// If there is none.
    fn fill(&self, bytes: &mut [u8]) -> Result<(), EntropyError>;
}

/// The operating system's generator, which blocks until it is seeded.
#[derive(Debug)]
pub struct SystemEntropy;

impl EntropySource for SystemEntropy {
    fn fill(&self, bytes: &mut [u8]) -> Result<(), EntropyError> {
        getrandom::fill(bytes).map_err(|source| EntropyError::System {
            detail: source.to_string(),
        })
    }
}

/// Why the guest gets no randomness.
#[derive(Debug, thiserror::Error)]
pub enum EntropyError {
    /// The guest asked for a source that is not in the list.
    #[error("there is no entropy source {got}: HQ has only source {SYSTEM_ID}")]
    NoSuchSource {
        /// What the guest asked for.
        got: u32,
    },
    /// The system gave none.
    #[error(
        "the operating system gives no randomness ({detail}): check that getrandom(2) is allowed here"
    )]
    System {
        /// What it said.
        detail: String,
    },
}

/// State of this interface.
#[derive(Debug)]
pub(crate) struct EntropyCtx {
    source: Arc<dyn EntropySource>,
}

impl EntropyCtx {
    pub(crate) fn new(source: Arc<dyn EntropySource>) -> Self {
        Self { source }
    }
}

/// What a store's data lends to this interface.
#[derive(Debug)]
pub(crate) struct EntropyCtxView<'a> {
    pub(crate) ctx: &'a mut EntropyCtx,
}

/// Store data that has this interface's state.
pub(crate) trait EntropyView {
    /// Lends it.
    fn entropy(&mut self) -> EntropyCtxView<'_>;
}

/// Links this interface.
///
/// # Errors
///
/// If it is linked already.
pub(crate) fn add_to_linker<T: EntropyView + 'static>(
    linker: &mut Linker<T>,
) -> wasmtime::Result<()> {
    wit::add_to_linker::<T, HasEntropy>(linker, T::entropy)
}

struct HasEntropy;

impl HasData for HasEntropy {
    type Data<'a> = EntropyCtxView<'a>;
}

impl wit::Host for EntropyCtxView<'_> {
    fn sources(&mut self) -> wasmtime::Result<Vec<wit::Source>> {
        Ok(vec![wit::Source {
            id: SYSTEM_ID,
            kind: wit::Kind::System,
            family: "system".to_owned(),
            assessment: None,
            observed_step_ns: 0,
            label: "operating system of HQ".to_owned(),
        }])
    }

    fn sample(&mut self, source: u32, len: u32) -> Result<Vec<u8>, EntropyError> {
        if source != SYSTEM_ID {
            return Err(EntropyError::NoSuchSource { got: source });
        }
        // Clamped: the length comes from the guest, and a short answer is no error.
        let len = usize::try_from(len)
            .unwrap_or(usize::MAX)
            .min(MAX_SAMPLE_BYTES);
        let mut bytes = vec![0; len];
        self.ctx.source.fill(&mut bytes)?;
        Ok(bytes)
    }

    fn convert_error(&mut self, error: EntropyError) -> wasmtime::Result<wit::Error> {
        Ok(match error {
            EntropyError::NoSuchSource { .. } => wit::Error::NoSuchSource,
            EntropyError::System { .. } => wit::Error::Unhealthy(error.to_string()),
        })
    }
}

const SYSTEM_ID: u32 = 0;
/// As the contract says.
const MAX_SAMPLE_BYTES: usize = 4096;

#[cfg(test)]
mod tests {
    use super::wit::Host;
    use super::*;

    #[test]
    fn a_sample_is_clamped_and_never_the_same_twice() {
        let mut ctx = EntropyCtx::new(Arc::new(SystemEntropy));
        let mut view = EntropyCtxView { ctx: &mut ctx };
        let sources = view.sources().unwrap();
        assert_eq!(sources.len(), 1);
        let first = view.sample(sources[0].id, u32::MAX).unwrap();
        let second = view.sample(sources[0].id, u32::MAX).unwrap();
        assert_eq!(first.len(), MAX_SAMPLE_BYTES);
        assert_ne!(first, second);
    }

    #[test]
    fn an_unknown_source_is_refused_by_its_number() {
        let mut ctx = EntropyCtx::new(Arc::new(SystemEntropy));
        let mut view = EntropyCtxView { ctx: &mut ctx };
        let error = view.sample(7, 1).unwrap_err();
        assert!(error.to_string().contains('7'), "{error}");
        assert!(matches!(
            view.convert_error(error).unwrap(),
            wit::Error::NoSuchSource
        ));
    }
}
