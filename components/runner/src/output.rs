//! What the runner shows: lines, a status file, and the file that a server reads.

use base64ct::{Base64, Encoding};
use otscert_wasi_folder::{Folder, FolderError};
use serde_json::json;
use wasi::cli::{stderr, stdout};
use wasi::io::streams::OutputStream;

use crate::bindings::otscert::provision::provisioner::{CredentialPair, Progress};

/// What was shown last.
pub(crate) struct Output {
    tls: Folder,
    line: String,
    version: u64,
}

impl Output {
    pub(crate) fn new(folder: &Folder) -> Result<Self, FolderError> {
        Ok(Self {
            tls: folder.folder(TLS)?,
            line: String::new(),
            version: 0,
        })
    }

    /// Shows where the machine stands, if that is news.
    pub(crate) fn note(
        &mut self,
        folder: &Folder,
        progress: &Progress,
        credential: impl FnOnce() -> Option<CredentialPair>,
    ) -> Result<(), FolderError> {
        if progress.credential_version != self.version {
            match credential() {
                Some(pair) => self.tls.replace(SERVER, pem(&pair).as_bytes())?,
                None => self.tls.remove(SERVER)?,
            }
            self.version = progress.credential_version;
        }
        let line = format!("{}: {}", progress.state, progress.reason);
        if line != self.line {
            say(&stdout::get_stdout(), &line);
            let status = json!({
                "state": progress.state,
                "reason": progress.reason,
                "credential_version": progress.credential_version,
                "device_id": progress.device_id,
                "names": progress.names,
                "not_after_ms": progress.not_after_ms,
                "grade": progress.grade,
            });
            folder.replace(STATUS, format!("{status}\n").as_bytes())?;
            self.line = line;
        }
        Ok(())
    }
}

/// Says on standard error what went wrong.
pub(crate) fn complain(what: &str) {
    say(&stderr::get_stderr(), what);
}

fn say(stream: &OutputStream, line: &str) {
    for part in format!("{line}\n").as_bytes().chunks(MAX_WRITE) {
        // Nobody may listen, and a box goes on all the same.
        let _gone = stream.blocking_write_and_flush(part);
    }
}

/// Chain, then key (RFC 7468): servers that want two files take this one for both.
fn pem(pair: &CredentialPair) -> String {
    let chain = pair.chain.iter().map(|der| block("CERTIFICATE", der));
    chain
        .chain([block("PRIVATE KEY", &pair.private_key)])
        .collect()
}

fn block(label: &str, der: &[u8]) -> String {
    let text = Base64::encode_string(der);
    let mut lines = String::new();
    for start in (0..text.len()).step_by(LINE) {
        lines.push_str(&text[start..text.len().min(start + LINE)]);
        lines.push('\n');
    }
    format!("-----BEGIN {label}-----\n{lines}-----END {label}-----\n")
}

const TLS: &str = "tls";
const SERVER: &str = "server.pem";
const STATUS: &str = "status.json";
/// Characters of a line (RFC 7468 section 2).
const LINE: usize = 64;
/// The most that `blocking-write-and-flush` takes.
const MAX_WRITE: usize = 4096;
