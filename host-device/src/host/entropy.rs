//! Interface `entropy`.

use otscert_log::bindings::otscert::provision::entropy::{Error, Host, Kind, Source};
use otscert_log::{Asked, Got, hidden};

use crate::board::{self, MAX_SAMPLE, MAX_SOURCES, SampleError, SourceKind};
use crate::host::ProvisionView;

impl Host for ProvisionView<'_> {
    fn sources(&mut self) -> wasmtime::Result<Vec<Source>> {
        let sources = self.on_board(|board| board.sources());
        let sources: Vec<Source> = sources.into_iter().take(MAX_SOURCES).map(source).collect();
        self.note(|| (Asked::Sources, Got::Sources(sources.clone())));
        Ok(sources)
    }

    fn sample(&mut self, source: u32, len: u32) -> wasmtime::Result<Result<Vec<u8>, Error>> {
        // Host to guest copies are not limited by hostcall fuel, so the guest's length is clamped here, and the
        // board's answer again.
        let most = usize::try_from(len).unwrap_or(MAX_SAMPLE).min(MAX_SAMPLE);
        let sampled = self.on_board(|board| board.sample(source, most));
        let sampled = sampled.map_err(error).map(|mut bytes| {
            bytes.truncate(most);
            bytes
        });
        self.note(|| {
            let given = sampled.as_ref().map(|bytes| hidden(bytes.len()));
            let given = given.map_err(Clone::clone);
            (Asked::Sample { source, len }, Got::Sample(given))
        });
        Ok(sampled)
    }
}

fn source(source: board::Source) -> Source {
    Source {
        id: source.id,
        kind: kind(source.kind),
        family: source.family,
        assessment: source.assessment,
        observed_step_ns: source.observed_step_ns,
        label: source.label,
    }
}

fn error(error: SampleError) -> Error {
    match error {
        SampleError::NotReady => Error::NotReady,
        SampleError::Unhealthy { reason } => {
            tracing::warn!(%reason, "an entropy source failed");
            Error::Unhealthy(reason)
        }
        SampleError::NoSuchSource => Error::NoSuchSource,
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
