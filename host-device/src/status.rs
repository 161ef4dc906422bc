//! What is going on, for people and for programs.

use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use serde::Serialize;

use crate::types::Progress;

/// Everything that can be said of a box, at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Status {
    /// Where the machine stands.
    #[serde(flatten)]
    pub progress: Progress,
    /// Whether the page is served over HTTPS.
    pub https: bool,
    /// The box's own addresses, as far as they are known.
    pub addresses: Vec<IpAddr>,
    /// Where the page is, once it is on HTTPS.
    pub urls: Vec<String>,
    /// The certificate being served.
    pub certificate: Option<CertificateInfo>,
    /// What this program, not the machine, has trouble with: what, whose fault, what would help.
    pub trouble: Option<String>,
    /// How the last exchange with HQ ended.
    pub last_exchange: Option<String>,
    /// How often the component had to be started afresh since the program started.
    pub restarts: u32,
    /// SHA-256 of the component, in hex.
    pub component_sha256: String,
    /// The model.
    pub model: String,
    /// Version of the firmware.
    pub firmware: String,
    /// HQ's id.
    pub hq_id: String,
    /// Where HTTP listens.
    pub http_address: Option<SocketAddr>,
    /// Where HTTPS listens, or will.
    pub https_address: Option<SocketAddr>,
    /// When the machine wants to go on by itself.
    #[serde(skip)]
    pub next_try: Option<Instant>,
}

/// The certificate being served.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CertificateInfo {
    /// The machine's number for it.
    pub version: u64,
    /// Who issued it.
    pub issuer: String,
    /// Its serial number, in hex.
    pub serial: String,
    /// Its names.
    pub names: Vec<String>,
    /// Its first moment, milliseconds since 1970.
    pub not_before_ms: u64,
    /// Its last moment, milliseconds since 1970.
    pub not_after_ms: u64,
}

/// A status with the time that only makes sense when it is said.
#[derive(Debug, Clone, Serialize)]
pub struct Report<'a> {
    #[serde(flatten)]
    status: &'a Status,
    /// Milliseconds until the machine goes on by itself.
    next_try_in_ms: Option<u64>,
}

impl Status {
    /// The status as it is told to programs.
    #[must_use]
    pub fn report(&self) -> Report<'_> {
        let until = |moment: Instant| moment.saturating_duration_since(Instant::now()).as_millis();
        Report {
            status: self,
            next_try_in_ms: self
                .next_try
                .map(|next| u64::try_from(until(next)).unwrap_or(u64::MAX)),
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::types::NameMode;

    #[test]
    fn the_report_is_flat_and_holds_nothing_that_only_this_program_understands() {
        let json = serde_json::to_value(sample().report()).unwrap();
        assert_eq!(json["state"], "serving");
        assert_eq!(json["https"], true);
        assert_eq!(json["certificate"]["issuer"], "CN=Test CA");
        assert!(json.get("wake_at_ms").is_none() && json.get("next_try").is_none());
        assert_eq!(json["next_try_in_ms"], serde_json::Value::Null);
    }

    /// A box in address mode that serves.
    pub(crate) fn sample() -> Status {
        Status {
            progress: Progress {
                state: "serving".to_owned(),
                reason: "The certificate is good until 2026-12-20.".to_owned(),
                credential_version: 1,
                device_id: Some("d-123".to_owned()),
                names: vec!["*.abc.boxes.test".to_owned()],
                mode: Some(NameMode::Address),
                grade: "A".to_owned(),
                time_ms: Some(1_795_000_000_000),
                ..Progress::default()
            },
            https: true,
            addresses: vec!["192.168.1.7".parse().unwrap()],
            urls: vec!["https://192-168-1-7.abc.boxes.test/".to_owned()],
            certificate: Some(CertificateInfo {
                version: 1,
                issuer: "CN=Test CA".to_owned(),
                serial: "01".to_owned(),
                names: vec!["*.abc.boxes.test".to_owned()],
                not_before_ms: 1_795_000_000_000,
                not_after_ms: 1_797_800_000_000,
            }),
            trouble: None,
            last_exchange: Some("poll: HQ answered (200)".to_owned()),
            restarts: 0,
            component_sha256: "ab".repeat(32),
            model: "acme-router".to_owned(),
            firmware: "1.4.2".to_owned(),
            hq_id: "hq.example.com".to_owned(),
            http_address: Some("192.168.1.7:80".parse().unwrap()),
            https_address: Some("192.168.1.7:443".parse().unwrap()),
            next_try: None,
        }
    }
}
