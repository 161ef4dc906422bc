//! What is going on, for people and for programs.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use serde::{Deserialize, Serialize};

use crate::types::Progress;

/// Everything that can be said of a box, at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Status {
    /// Where the machine stands.
    #[serde(flatten)]
    pub progress: Progress,
    /// Where its randomness came from; none before the first call of the machine.
    pub randomness: Option<Randomness>,
    /// The label has a code that the owner's browser can seal under (`input.sealed-companion`).
    pub label_seals: bool,
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

/// Where a box's randomness came from, as the machine shows it (`inspect.view`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Randomness {
    /// What the grade means, for people.
    pub sentence: String,
    /// Bits of uniform secrets against each class of adversary, by its letter (docs/THREATS.md).
    pub uniform: BTreeMap<String, u16>,
    /// The same of noise.
    pub noise: BTreeMap<String, u16>,
    /// Each source that was asked, and what the box has by itself.
    pub sources: Vec<SourceReport>,
}

/// One source and what it gave.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceReport {
    /// What it is, as in docs/THREATS.md.
    pub kind: String,
    /// The board's name for it, for people.
    pub label: String,
    /// `gave`, `silent`, `faulty` or `given-up`.
    pub state: String,
    /// Why it gave nothing, for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// Bits that it counts.
    pub bits: u16,
    /// The letters of those against whom it counts.
    pub against: String,
}

impl SourceReport {
    /// What it is, for people.
    #[must_use]
    pub fn name(&self) -> String {
        match self.label.is_empty() {
            true => format!("from {}", self.kind),
            false => format!("from {} ({})", self.kind, self.label),
        }
    }

    /// What it gave and against whom that counts, for people.
    #[must_use]
    pub fn worth(&self) -> String {
        let count = |letters: &str| -> Vec<&str> {
            let classes = letters.chars().filter_map(class);
            classes.collect()
        };
        let missing: String = CLASSES
            .iter()
            .map(|(letter, _)| *letter)
            .filter(|letter| !self.against.contains(*letter))
            .collect();
        match (&self.why, self.bits) {
            (Some(why), _) => why.clone(),
            (None, 0) => "mixed in, counts nothing".to_owned(),
            (None, bits) if missing.is_empty() => format!("{bits} bits against everybody"),
            (None, bits) if missing.len() < CLASSES.len() / 2 => {
                format!("{bits} bits against all but {}", count(&missing).join(", "))
            }
            (None, bits) => format!("{bits} bits against {}", count(&self.against).join(", ")),
        }
    }
}

fn class(letter: char) -> Option<&'static str> {
    let mut classes = CLASSES.iter();
    classes.find_map(|(known, words)| (*known == letter).then_some(*words))
}

impl Randomness {
    /// Reads it from the machine's view; none where the component shows none.
    #[must_use]
    pub(crate) fn of_view(view: &str) -> Option<Self> {
        #[derive(Deserialize)]
        struct View {
            entropy: Randomness,
        }
        if view.len() > MAX_VIEW {
            return None;
        }
        let mut randomness = serde_json::from_str::<View>(view).ok()?.entropy;
        randomness.sources.truncate(MAX_SOURCES);
        Some(randomness)
    }
}

/// What the owner of a box can do for it on its set-up page.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Setup {
    /// Give it randomness: the machine waits for some.
    pub randomness: bool,
    /// Type the code on the label: it has no name yet.
    pub code: bool,
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
    /// What the owner can do.
    setup: Setup,
}

impl Status {
    /// What the owner can do. States that this host does not know need nobody.
    #[must_use]
    pub fn setup(&self) -> Setup {
        let state = self.progress.state.as_str();
        Setup {
            randomness: state == AWAITING_ENTROPY,
            code: [AWAITING_CONTACT, AWAITING_ENTROPY, ENROLLING].contains(&state),
        }
    }

    /// The status as it is told to programs.
    #[must_use]
    pub fn report(&self) -> Report<'_> {
        let until = |moment: Instant| moment.saturating_duration_since(Instant::now()).as_millis();
        Report {
            status: self,
            setup: self.setup(),
            next_try_in_ms: self
                .next_try
                .map(|next| u64::try_from(until(next)).unwrap_or(u64::MAX)),
        }
    }
}

/// Who might compute this box's keys (docs/THREATS.md).
const CLASSES: [(char, &str); 6] = [
    ('S', "other boxes of its kind"),
    ('N', "who records its traffic"),
    ('A', "who changes its traffic"),
    ('H', "its maker's server"),
    ('L', "who has seen its label"),
    ('W', "who listens in its network"),
];
/// States of the machine (docs/ARCHITECTURE.md) in which its owner may help it.
const AWAITING_CONTACT: &str = "AwaitingContact";
const AWAITING_ENTROPY: &str = "AwaitingEntropy";
const ENROLLING: &str = "Enrolling";
/// As many as the machine looks at, and what it has by itself.
const MAX_SOURCES: usize = 48;
const MAX_VIEW: usize = 64 * 1024;

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

    #[test]
    fn a_view_that_is_none_or_shows_nothing_of_it_is_none() {
        assert!(Randomness::of_view("{}").is_none());
        assert!(Randomness::of_view("").is_none());
        let long = VIEW.replace("Neither", &"K".repeat(MAX_VIEW));
        assert!(Randomness::of_view(&long).is_none());
        let one = r#"{"kind":"x","label":"","state":"gave","bits":0,"against":""}"#;
        let many = [one; 100].join(",");
        let many = format!(
            r#"{{"entropy":{{"sentence":"","uniform":{{}},"noise":{{}},"sources":[{many}]}}}}"#
        );
        assert_eq!(
            Randomness::of_view(&many).unwrap().sources.len(),
            MAX_SOURCES
        );
    }

    const VIEW: &str = r#"{"entropy":{"sentence":"Neither strangers nor this box's maker can guess its keys.",
        "uniform":{"S":512,"N":256,"A":256,"H":256,"L":256,"W":256},
        "noise":{"S":0,"N":0,"A":0,"H":0,"L":0,"W":0},
        "sources":[
            {"kind":"system","label":"the kernel's generator","state":"gave","bits":256,"against":"SNAHLW"},
            {"kind":"hardware","label":"TPM","state":"silent","why":"it is not ready","bits":0,"against":""},
            {"kind":"unit-secret","label":"","state":"gave","bits":256,"against":"SNALW"},
            {"kind":"remote-seed","label":"","state":"gave","bits":256,"against":"S"}]}}"#;

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
            randomness: Randomness::of_view(VIEW),
            label_seals: false,
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
