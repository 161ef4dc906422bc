//! `admin.sock` in the folder of data: how the operator's commands reach a running HQ.
//!
//! Whoever may open the socket (mode 0600) may do what the operator may. One line of JSON each way.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use base64ct::{Base64UrlUnpadded, Encoding};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::error::chain;
use crate::hq::Hq;
use crate::types::{MAX_IMPORT, Note, OperatorOrder, Subject};

/// What the operator wants of a running HQ.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Order {
    /// Revoke, withdraw, cut off.
    Retire,
    /// Ask the box for a new key and certificate.
    Renew,
    /// The device that was challenged or waits for a person is all right.
    Accept,
    /// Claim codes are to be known. This and what follows is for subject `own`.
    ImportClaims {
        /// Their digests, at most [`MAX_IMPORT`].
        codes: Vec<Digest>,
        /// The model that they are for; none: any.
        model: Option<String>,
    },
    /// The maker vouches for units: one voucher, JSON.
    ImportVoucher(String),
    /// Keys that a release makes without entropy are to be refused.
    ImportStarvedKeys {
        /// The release, for people.
        release: String,
        /// SHA-256 of each SubjectPublicKeyInfo, at most [`MAX_IMPORT`].
        keys: Vec<Digest>,
    },
    /// A claim code may let another device in.
    ReleaseClaim(Digest),
}

/// A SHA-256 digest; base64url in JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Digest(pub [u8; 32]);

/// Text that is no digest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected 43 characters base64url (32 bytes)")]
pub struct NotADigest;

impl TryFrom<String> for Digest {
    type Error = NotADigest;

    fn try_from(text: String) -> Result<Self, NotADigest> {
        let bytes = Base64UrlUnpadded::decode_vec(&text).map_err(|_| NotADigest)?;
        bytes.try_into().map(Self).map_err(|_| NotADigest)
    }
}

impl From<Digest> for String {
    fn from(digest: Digest) -> Self {
        Base64UrlUnpadded::encode_string(&digest.0)
    }
}

/// Something that HQ wrote into the history when it carried out an order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Told {
    /// Whom it is about.
    pub subject: Subject,
    /// For people.
    pub text: String,
}

/// Why an order was not carried out.
#[derive(Debug, thiserror::Error)]
pub enum SocketError {
    /// The socket cannot be made.
    #[error("the socket {} cannot be made: check its folder and owner", path.display())]
    Listen {
        /// The socket.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// Nobody listens.
    #[error("HQ cannot be told through {}: is `otscert-hq serve` running, as this user?", path.display())]
    Connect {
        /// The socket.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// HQ does not answer.
    #[error("HQ took the order and gave no answer: see `otscert-hq devices show`")]
    Silent,
    /// HQ says no.
    #[error("HQ did not carry it out: {detail}")]
    Refused {
        /// Why.
        detail: String,
    },
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Question {
    order: Order,
    subject: Subject,
}

#[derive(Debug, Serialize, Deserialize)]
struct Answer {
    error: Option<String>,
    #[serde(default)]
    notes: Vec<Told>,
}

/// The listening socket.
#[derive(Debug)]
pub struct Socket {
    listener: UnixListener,
}

impl Socket {
    /// Makes the socket. One that is left of an earlier run is replaced: the database's lock has said that no other HQ
    /// runs in this folder.
    ///
    /// # Errors
    ///
    /// If it cannot be made.
    pub fn listen(path: &Path) -> Result<Self, SocketError> {
        let failed = |source| SocketError::Listen {
            path: path.to_owned(),
            source,
        };
        match fs::remove_file(path) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(failed(error)),
        }
        // The folder lets its owner in only, so that nobody is quicker than the mode.
        let listener = UnixListener::bind(path).map_err(failed)?;
        use std::os::unix::fs::PermissionsExt;
        fs::set_permissions(path, fs::Permissions::from_mode(0o600)).map_err(failed)?;
        Ok(Self { listener })
    }

    /// Answers one order after the other, until `stop`.
    pub async fn run(self, hq: Arc<Hq>, stop: CancellationToken) {
        loop {
            let accepted = tokio::select! {
                accepted = self.listener.accept() => accepted,
                () = stop.cancelled() => return,
            };
            match accepted {
                Ok((stream, _)) => match timeout(PATIENCE, answer(&hq, stream)).await {
                    Ok(Ok(())) => {}
                    Ok(Err(error)) => tracing::debug!(%error, "an operator went away"),
                    Err(_) => tracing::debug!("an operator was too slow"),
                },
                Err(error) => {
                    tracing::warn!(%error, "no order can be taken");
                    tokio::time::sleep(PAUSE_AFTER_ERROR).await;
                }
            }
        }
    }
}

/// Where the socket of an HQ is.
#[must_use]
pub fn path(data: &Path) -> PathBuf {
    data.join("admin.sock")
}

/// Has a running HQ carry out an order; returns what it wrote into the history. Nothing, if there was nothing to do.
///
/// # Errors
///
/// [`SocketError`]; it holds HQ's reason where HQ refused.
pub async fn tell(data: &Path, order: Order, subject: Subject) -> Result<Vec<Told>, SocketError> {
    let path = path(data);
    let failed = |source| SocketError::Connect {
        path: path.clone(),
        source,
    };
    let mut stream = UnixStream::connect(&path).await.map_err(failed)?;
    let mut line =
        serde_json::to_vec(&Question { order, subject }).map_err(|error| failed(error.into()))?;
    line.push(b'\n');
    stream.write_all(&line).await.map_err(failed)?;
    let answer = timeout(PATIENCE, read_line(&mut stream)).await;
    let answer = answer
        .map_err(|_| SocketError::Silent)?
        .map_err(|_| SocketError::Silent)?;
    match serde_json::from_slice::<Answer>(&answer) {
        Ok(Answer { error: None, notes }) => Ok(notes),
        Ok(Answer {
            error: Some(detail),
            notes: _,
        }) => Err(SocketError::Refused { detail }),
        Err(_) => Err(SocketError::Silent),
    }
}

async fn answer(hq: &Hq, mut stream: UnixStream) -> io::Result<()> {
    let line = read_line(&mut stream).await?;
    let carried_out = match serde_json::from_slice::<Question>(&line) {
        Err(error) => Err(format!(
            "the order is not understood ({error}): do both programs have one version?"
        )),
        Ok(Question { order, subject }) => carry_out(hq, order, subject).await,
    };
    let answer = match carried_out {
        Err(error) => Answer {
            error: Some(error),
            notes: Vec::new(),
        },
        Ok(notes) => Answer {
            error: None,
            notes: notes.into_iter().map(told).collect(),
        },
    };
    let mut answer = serde_json::to_vec(&answer)?;
    answer.push(b'\n');
    stream.write_all(&answer).await
}

async fn carry_out(hq: &Hq, order: Order, subject: Subject) -> Result<Vec<Note>, String> {
    let (what, order) = match order {
        Order::Retire => ("retire", OperatorOrder::Retire),
        Order::Renew => ("renew", OperatorOrder::Renew),
        Order::Accept => ("accept", OperatorOrder::Accept),
        Order::ImportClaims { codes: things, .. }
        | Order::ImportStarvedKeys { keys: things, .. }
            if things.len() > MAX_IMPORT =>
        {
            let got = things.len();
            return Err(format!(
                "{got} things to import in one order, and {MAX_IMPORT} is the most: do both programs have one version?"
            ));
        }
        Order::ImportClaims { codes, model } => {
            let codes = codes.into_iter().map(|Digest(bytes)| bytes).collect();
            let order = OperatorOrder::ImportClaims { codes, model };
            ("import-claims", order)
        }
        Order::ImportStarvedKeys { release, keys } => {
            let keys = keys.into_iter().map(|Digest(bytes)| bytes).collect();
            let order = OperatorOrder::ImportStarvedKeys { release, keys };
            ("import-starved-keys", order)
        }
        Order::ImportVoucher(voucher) => (
            "import-voucher",
            OperatorOrder::ImportVoucher(voucher.into_bytes()),
        ),
        Order::ReleaseClaim(Digest(code)) => ("release-claim", OperatorOrder::ReleaseClaim(code)),
    };
    tracing::info!(order = what, "the operator orders");
    let carried_out = hq.command(subject, order).await;
    carried_out.map_err(|error| chain(&error))
}

fn told(note: Note) -> Told {
    Told {
        subject: note.subject,
        text: note.text,
    }
}

async fn read_line(stream: &mut UnixStream) -> io::Result<Vec<u8>> {
    let mut line = Vec::new();
    BufReader::new(stream.take(MAX_LINE))
        .read_until(b'\n', &mut line)
        .await?;
    Ok(line)
}

/// The longest order is a voucher: 48 serials of 64 characters are some 9 KB where each has to be escaped.
pub(crate) const MAX_LINE: u64 = 16 * 1024;
const PATIENCE: Duration = Duration::from_secs(20);
const PAUSE_AFTER_ERROR: Duration = Duration::from_millis(50);
