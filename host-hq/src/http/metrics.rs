//! Metrics in Prometheus' text form.
//!
//! The recorder is this HQ's own and not the process's: two HQs in one test do not count into each other.

use std::sync::Arc;

use metrics::Label;
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle, PrometheusRecorder};

/// Counters and gauges of one HQ.
#[derive(Clone)]
pub struct Metrics {
    recorder: Arc<PrometheusRecorder>,
    handle: PrometheusHandle,
}

impl Metrics {
    /// Nothing counted yet.
    #[must_use]
    pub fn new() -> Self {
        let recorder = PrometheusBuilder::new().build_recorder();
        let handle = recorder.handle();
        Self {
            recorder: Arc::new(recorder),
            handle,
        }
    }

    /// Adds one. `labels` take few values: never a name, an address or a foreign text.
    pub fn count(&self, name: &'static str, labels: Vec<Label>) {
        metrics::with_local_recorder(&*self.recorder, || {
            metrics::counter!(name, labels).increment(1)
        });
    }

    /// Sets a counter that is kept elsewhere.
    pub fn total(&self, name: &'static str, labels: Vec<Label>, value: u64) {
        metrics::with_local_recorder(&*self.recorder, || {
            metrics::counter!(name, labels).absolute(value)
        });
    }

    /// Sets a gauge.
    pub fn gauge(&self, name: &'static str, labels: Vec<Label>, value: f64) {
        metrics::with_local_recorder(&*self.recorder, || metrics::gauge!(name, labels).set(value));
    }

    /// Everything, as Prometheus reads it.
    #[must_use]
    pub fn render(&self) -> String {
        self.handle.render()
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl std::fmt::Debug for Metrics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}
