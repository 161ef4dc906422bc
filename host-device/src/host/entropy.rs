//! Interface `entropy`.

use crate::bindings::otscert::provision::entropy::{Error, Host, Kind, Source};
use crate::board::{MAX_SAMPLE, MAX_SOURCES, SampleError, SourceKind};
use crate::host::ProvisionView;

impl Host for ProvisionView<'_> {
    fn sources(&mut self) -> wasmtime::Result<Vec<Source>> {
        let sources = self.on_board(|board| board.sources());
        Ok(sources
            .into_iter()
            .take(MAX_SOURCES)
            .map(|source| Source {
                id: source.id,
                kind: kind(source.kind),
                family: source.family,
                assessment: source.assessment,
                observed_step_ns: source.observed_step_ns,
                label: source.label,
            })
            .collect())
    }

    fn sample(&mut self, source: u32, len: u32) -> Result<Vec<u8>, SampleError> {
        // Host to guest copies are not limited by hostcall fuel, so the guest's length is clamped here, and the
        // board's answer again.
        let len = usize::try_from(len).unwrap_or(MAX_SAMPLE).min(MAX_SAMPLE);
        let mut bytes = self.on_board(|board| board.sample(source, len))?;
        bytes.truncate(len);
        Ok(bytes)
    }

    fn convert_error(&mut self, error: SampleError) -> wasmtime::Result<Error> {
        Ok(match error {
            SampleError::NotReady => Error::NotReady,
            SampleError::Unhealthy { reason } => {
                tracing::warn!(%reason, "an entropy source failed");
                Error::Unhealthy(reason)
            }
            SampleError::NoSuchSource => Error::NoSuchSource,
        })
    }
}

fn kind(kind: SourceKind) -> Kind {
    match kind {
        SourceKind::Hardware => Kind::Hardware,
        SourceKind::System => Kind::System,
        SourceKind::Jitter => Kind::Jitter,
        SourceKind::SavedSeed => Kind::SavedSeed,
        SourceKind::UnitSecret => Kind::UnitSecret,
        SourceKind::Label => Kind::Label,
        SourceKind::RemoteSeed => Kind::RemoteSeed,
        SourceKind::Companion => Kind::Companion,
        SourceKind::UserTiming => Kind::UserTiming,
        SourceKind::Personal => Kind::Personal,
    }
}
