//! The socket over which other commands of this program reach the one that runs.
//!
//! One line of JSON each way: `{"command":"status"}`, `"renew"`, `"reset"`, or `"claim"` with `"code":"…"`; the answer is
//! `{"ok":…}` or `{"error":"…"}`. The socket is its owner's alone.

use std::fmt;
use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Semaphore, mpsc, oneshot, watch};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use zeroize::Zeroizing;

use crate::run::{Command, Order};
use crate::status::Status;
use crate::types::{ClaimCode, MAX_CLAIM_CODE};

/// What is asked over the socket.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "command", deny_unknown_fields)]
pub enum Request {
    /// What is going on?
    Status,
    /// A new certificate with a new key.
    Renew,
    /// A factory reset.
    Reset,
    /// The code on the label.
    Claim {
        /// As somebody typed it.
        code: String,
    },
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Status => "Status",
            Self::Renew => "Renew",
            Self::Reset => "Reset",
            Self::Claim { .. } => "Claim([redacted])",
        })
    }
}

/// Why the running program could not be asked.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// Nobody listens.
    #[error("no otscert-device is running with the control socket {}: start it with `otscert-device run`", path.display())]
    NotRunning {
        /// The socket.
        path: PathBuf,
    },
    /// The socket cannot be used.
    #[error("{operation} the control socket {} failed: it belongs to the user that runs otscert-device", path.display())]
    Socket {
        /// What was attempted.
        operation: &'static str,
        /// The socket.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// Another program listens.
    #[error("the control socket {} is in use by another otscert-device: set `control` to a path of its own", path.display())]
    InUse {
        /// The socket.
        path: PathBuf,
    },
    /// No answer, or none that makes sense.
    #[error(
        "the running otscert-device did not answer as expected: it hangs, or is of another version"
    )]
    Answer,
    /// The running program says no.
    #[error("the running otscert-device answers: {reason}")]
    Refused {
        /// Why.
        reason: String,
    },
}

/// Asks the running program.
///
/// # Errors
///
/// [`ControlError::NotRunning`] when there is none.
pub async fn ask(path: &Path, request: Request) -> Result<Value, ControlError> {
    let socket = |operation| {
        move |source| ControlError::Socket {
            operation,
            path: path.to_owned(),
            source,
        }
    };
    let stream = match UnixStream::connect(path).await {
        Ok(stream) => stream,
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused
            ) =>
        {
            return Err(ControlError::NotRunning {
                path: path.to_owned(),
            });
        }
        Err(error) => return Err(socket("connecting to")(error)),
    };
    let (read, mut write) = stream.into_split();
    let mut line = serde_json::to_vec(&request).map_err(|_error| ControlError::Answer)?;
    line.push(b'\n');
    write.write_all(&line).await.map_err(socket("writing to"))?;
    let mut answer = String::new();
    let mut reader = BufReader::new(read.take(MAX_ANSWER));
    match timeout(PATIENCE, reader.read_line(&mut answer)).await {
        Ok(Ok(_len)) => {}
        Ok(Err(error)) => return Err(socket("reading from")(error)),
        Err(_elapsed) => return Err(ControlError::Answer),
    }
    let mut answer: Value = serde_json::from_str(&answer).map_err(|_error| ControlError::Answer)?;
    match (
        answer.get_mut("ok").map(Value::take),
        answer.get("error").and_then(Value::as_str),
    ) {
        (Some(ok), None) => Ok(ok),
        (None, Some(reason)) => Err(ControlError::Refused {
            reason: reason.to_owned(),
        }),
        (Some(_), Some(_)) | (None, None) => Err(ControlError::Answer),
    }
}

/// The socket of a running box. Dropping it removes the file.
#[derive(Debug)]
pub(crate) struct ControlSocket {
    path: PathBuf,
    listener: UnixListener,
}

impl ControlSocket {
    /// Listens, unless another program does.
    pub(crate) async fn bind(path: &Path) -> Result<Self, ControlError> {
        let socket = |operation| {
            move |source| ControlError::Socket {
                operation,
                path: path.to_owned(),
                source,
            }
        };
        if UnixStream::connect(path).await.is_ok() {
            return Err(ControlError::InUse {
                path: path.to_owned(),
            });
        }
        // Made beside and renamed, so that it never stands there open to others; this replaces a dead one as well.
        let beside = path.with_extension(format!("{}.new", std::process::id()));
        let _absent = fs::remove_file(&beside);
        let listener = UnixListener::bind(&beside).map_err(socket("making"))?;
        fs::set_permissions(&beside, Permissions::from_mode(0o600))
            .map_err(socket("restricting"))?;
        fs::rename(&beside, path).map_err(socket("putting in place"))?;
        Ok(Self {
            path: path.to_owned(),
            listener,
        })
    }

    /// Answers until told to stop.
    pub(crate) async fn serve(
        self,
        commands: mpsc::Sender<Command>,
        status: watch::Receiver<Status>,
        stop: CancellationToken,
    ) {
        let slots = Arc::new(Semaphore::new(MAX_CLIENTS));
        loop {
            let Ok(slot) = Arc::clone(&slots).acquire_owned().await else {
                return;
            };
            let accepted = tokio::select! {
                () = stop.cancelled() => return,
                accepted = self.listener.accept() => accepted,
            };
            let Ok((stream, _peer)) = accepted else {
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            };
            let (commands, status, stop) = (commands.clone(), status.clone(), stop.clone());
            tokio::spawn(async move {
                let _slot = slot;
                tokio::select! {
                    () = stop.cancelled() => {}
                    _ended = timeout(PATIENCE, answer(stream, commands, status)) => {}
                }
            });
        }
    }
}

impl Drop for ControlSocket {
    fn drop(&mut self) {
        // What cannot be removed is replaced at the next start.
        let _left = fs::remove_file(&self.path);
    }
}

async fn answer(
    stream: UnixStream,
    commands: mpsc::Sender<Command>,
    status: watch::Receiver<Status>,
) -> io::Result<()> {
    let (read, mut write) = stream.into_split();
    let mut line = String::new();
    BufReader::new(read.take(MAX_REQUEST))
        .read_line(&mut line)
        .await?;
    let result = match serde_json::from_str(&line) {
        Ok(Request::Status) => {
            serde_json::to_value(status.borrow().report()).map_err(|error| error.to_string())
        }
        Ok(Request::Renew) => order(&commands, Order::Renew).await,
        Ok(Request::Reset) => order(&commands, Order::Reset).await,
        Ok(Request::Claim { code }) => match ClaimCode::from_text(&Zeroizing::new(code)) {
            Some(_) if status.borrow().progress.device_id.is_some() => Err(NAMED.to_owned()),
            Some(code) => order(&commands, Order::ClaimCode(code)).await,
            None => Err(format!("a code has 1 to {MAX_CLAIM_CODE} characters")),
        },
        Err(error) => Err(format!("the request is not understood ({error})")),
    };
    let answer = match result {
        Ok(value) => serde_json::json!({ "ok": value }),
        Err(reason) => serde_json::json!({ "error": reason }),
    };
    write.write_all(format!("{answer}\n").as_bytes()).await
}

async fn order(commands: &mpsc::Sender<Command>, order: Order) -> Result<Value, String> {
    give(commands, order).await.map(|()| Value::Bool(true))
}

/// Gives an order to the loop and waits until the machine has taken it.
pub(crate) async fn give(commands: &mpsc::Sender<Command>, order: Order) -> Result<(), String> {
    let (done, taken) = oneshot::channel();
    let stopping = || "it is stopping".to_owned();
    commands
        .send(Command { order, done })
        .await
        .map_err(|_closed| stopping())?;
    taken.await.unwrap_or_else(|_dropped| Err(stopping()))
}

/// Why a code is not taken.
const NAMED: &str =
    "this box has a name, so the code on its label is of no use; after a reset it may be";
const PATIENCE: Duration = Duration::from_secs(30);
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);
const MAX_CLIENTS: usize = 8;
const MAX_REQUEST: u64 = 1024;
const MAX_ANSWER: u64 = 64 * 1024;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::status::tests::sample;

    #[tokio::test]
    async fn status_and_orders_go_through_and_a_dead_socket_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("control.sock");
        let error = ask(&path, Request::Status).await.unwrap_err();
        assert!(
            error.to_string().contains("no otscert-device is running"),
            "{error}"
        );
        // What a killed program leaves behind.
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        let error = ask(&path, Request::Status).await.unwrap_err();
        assert!(
            matches!(error, ControlError::NotRunning { .. }),
            "{error:?}"
        );

        let socket = ControlSocket::bind(&path).await.unwrap();
        assert_eq!(
            fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o600
        );
        let (commands, mut orders) = mpsc::channel(1);
        let (sender, status) = watch::channel(sample());
        let stop = CancellationToken::new();
        let serving = tokio::spawn(socket.serve(commands, status, stop.clone()));
        let taking = tokio::spawn(async move {
            let renew: Command = orders.recv().await.unwrap();
            renew.done.send(Ok(())).unwrap();
            let reset: Command = orders.recv().await.unwrap();
            reset.done.send(Err("the disk is full".to_owned())).unwrap();
            let claim: Command = orders.recv().await.unwrap();
            claim.done.send(Ok(())).unwrap();
            [renew.order, reset.order, claim.order]
        });

        let answer = ask(&path, Request::Status).await.unwrap();
        assert_eq!(answer["model"], "acme-router");
        assert!(matches!(
            ControlSocket::bind(&path).await.unwrap_err(),
            ControlError::InUse { .. }
        ));
        ask(&path, Request::Renew).await.unwrap();
        let error = ask(&path, Request::Reset).await.unwrap_err();
        assert!(
            error.to_string().ends_with("answers: the disk is full"),
            "{error}"
        );
        let claim = |code: &str| Request::Claim {
            code: code.to_owned(),
        };
        let error = ask(&path, claim("7K3M-Q2WT")).await.unwrap_err();
        assert!(error.to_string().contains("has a name"), "{error}");
        sender.send_modify(|status| status.progress.device_id = None);
        ask(&path, claim("7K3M-Q2WT")).await.unwrap();
        let code = ClaimCode::from_text("7K3M-Q2WT").unwrap();
        let orders = [Order::Renew, Order::Reset, Order::ClaimCode(code)];
        assert_eq!(taking.await.unwrap(), orders);
        for shown in [format!("{:?}", claim("7K3M")), format!("{orders:?}")] {
            assert!(!shown.contains("7K3M"), "{shown}");
        }
        let error = ask(&path, claim(&"7".repeat(65))).await.unwrap_err();
        assert!(error.to_string().contains("1 to 64 characters"), "{error}");

        stop.cancel();
        serving.await.unwrap();
        assert!(!path.exists());
    }
}
