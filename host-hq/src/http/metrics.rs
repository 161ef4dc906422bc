//! Metrics in Prometheus' text form.
//!
//! The recorder is this HQ's own and not the process's: two HQs in one test do not count into each other.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use metrics::Label;
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle, PrometheusRecorder};

/// Counters and gauges of one HQ.
#[derive(Clone)]
pub struct Metrics {
    recorder: Arc<PrometheusRecorder>,
    handle: PrometheusHandle,
    shown: Arc<Mutex<Shown>>,
}

/// Labels of the gauges that come and go, by name; as many as there are states.
#[derive(Default)]
struct Shown(BTreeMap<&'static str, Vec<Vec<Label>>>);

impl Metrics {
    /// Nothing counted yet.
    #[must_use]
    pub fn new() -> Self {
        let recorder = PrometheusBuilder::new().build_recorder();
        let handle = recorder.handle();
        Self {
            recorder: Arc::new(recorder),
            handle,
            shown: Arc::default(),
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

    /// Sets all gauges of a name; those that were set before and are not among them any longer become 0.
    pub fn gauges(&self, name: &'static str, values: Vec<(Vec<Label>, f64)>) {
        let mut shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        let before = shown.0.insert(
            name,
            values.iter().map(|(labels, _)| labels.clone()).collect(),
        );
        drop(shown);
        for labels in before.unwrap_or_default() {
            self.gauge(name, labels, 0.0);
        }
        for (labels, value) in values {
            self.gauge(name, labels, value);
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_that_nobody_is_in_any_longer_counts_nobody() {
        let metrics = Metrics::new();
        let label = |state: &'static str| vec![Label::new("state", state)];
        metrics.gauges("subjects", vec![(label("a"), 2.0)]);
        metrics.gauges("subjects", vec![(label("b"), 3.0)]);
        let text = metrics.render();
        assert!(text.contains(r#"subjects{state="a"} 0"#), "{text}");
        assert!(text.contains(r#"subjects{state="b"} 3"#), "{text}");
        assert!(
            !Metrics::new().render().contains("subjects"),
            "another HQ has its own"
        );
    }
}
