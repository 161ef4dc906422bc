//! One call of the machine and what follows from it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::machine::{CallError, Instance};
use crate::run::{Driver, Retired};
use crate::status::Randomness;
use crate::storage::{Key, StorageError};
use crate::types::{CredentialPair, Input, Progress};

impl Driver {
    /// Hands one input to the machine, makes an instance before if there is none, and acts on what follows.
    pub(super) async fn feed(&mut self, input: Input) -> Result<(), CallError> {
        if self.instance.is_none() {
            self.begin().await?;
            self.serve_what_is_new().await?;
        }
        let resets = input == Input::Reset;
        if let Some(farewell) = &mut self.farewell {
            farewell.said |= resets;
        }
        self.advance(input).await?;
        if resets {
            self.take_leave();
        }
        self.serve_what_is_new().await?;
        if self.recreate_after_every_event {
            self.begin().await?;
            self.serve_what_is_new().await?;
        }
        Ok(())
    }

    /// Makes an instance from storage. Where one of its first inputs fails, there is none.
    async fn begin(&mut self) -> Result<(), CallError> {
        self.instance = None;
        let begun = self.make_instance().await;
        if begun.is_err() {
            self.instance = None;
        }
        begun
    }

    /// Makes an instance and tells it what it does not know: that it is new, and the addresses.
    async fn make_instance(&mut self) -> Result<(), CallError> {
        let count = self.count_resumption().await?;
        let (machine, board, outbox, record) = (
            Arc::clone(&self.machine),
            Arc::clone(&self.board),
            self.outbox.clone(),
            self.record.clone(),
        );
        let start = Arc::clone(&self.start);
        let made = tokio::task::spawn_blocking(move || {
            let mut instance = Instance::create(machine, board, outbox, record)?;
            instance.start(&start)?;
            Ok(instance)
        });
        self.instance = Some(made.await.map_err(|panic| panicked("start", panic))??);
        self.advance(Input::Resumed(count)).await?;
        if self.addresses.is_none() {
            self.addresses = Some(self.board.addresses());
        }
        self.advance(self.addresses_input()).await
    }

    async fn advance(&mut self, input: Input) -> Result<(), CallError> {
        let name = input.name();
        let board = Arc::clone(&self.board);
        let advanced = self
            .call("advance", move |instance| {
                let progress = instance.advance(board.now(), input)?;
                let randomness = match instance.view() {
                    Ok(view) => Randomness::of_view(&view),
                    Err(error) if error.is_gone() => return Err(error),
                    // A component that shows nothing serves all the same.
                    Err(_) => None,
                };
                Ok((progress, randomness))
            })
            .await;
        match advanced {
            Ok((progress, randomness)) => {
                tracing::debug!(input = name, state = %progress.state, reason = %progress.reason, "advanced");
                self.note_progress(progress, randomness);
                self.send_what_was_submitted();
                Ok(())
            }
            Err(error) => {
                // What it submitted may rely on bytes that were never stored.
                self.outbox.discard();
                Err(error)
            }
        }
    }

    fn send_what_was_submitted(&mut self) {
        let mut submitted = self.outbox.release();
        if let Some(farewell) = &mut self.farewell {
            submitted = farewell.filter(submitted);
        }
        for submission in submitted {
            self.send(submission);
        }
    }

    /// After a reset of a box that is not running: sends an older farewell as well, or ends if there is none at all.
    fn take_leave(&mut self) {
        let Some(farewell) = &mut self.farewell else {
            return;
        };
        let held = std::mem::take(&mut farewell.held);
        if held.is_empty() && self.exchanges.is_empty() {
            farewell.tell(Retired::Nothing);
        }
        for submission in held {
            self.send(submission);
        }
    }

    /// Puts a new credential to use, and tells the machine if that fails.
    async fn serve_what_is_new(&mut self) -> Result<(), CallError> {
        // The machine may fall back to an older credential once; then it is refused for good.
        for _ in 0..MAX_REFUSALS {
            let version = self.status.borrow().progress.credential_version;
            let served = self
                .status
                .borrow()
                .certificate
                .as_ref()
                .map_or(0, |certificate| certificate.version);
            if !is_news(version, served, &mut self.refused_version) {
                return Ok(());
            }
            let pair = if version == 0 {
                None
            } else {
                self.call("credential", Instance::credential).await?
            };
            let Some(pair) = pair else {
                self.server.withdraw();
                self.refused_version = None;
                self.note_server(|status| status.certificate = None);
                return Ok(());
            };
            let Some(reason) = self.install(pair).await else {
                return Ok(());
            };
            self.refused_version = Some(version);
            self.advance(Input::CredentialRefused { version, reason })
                .await?;
        }
        Ok(())
    }

    /// Serves a credential; otherwise says why it cannot be served.
    async fn install(&mut self, pair: CredentialPair) -> Option<String> {
        let server = Arc::clone(&self.server);
        let anchors = self.board.trust_anchors();
        // The machine's time comes from HQ, where the board's clock is not to be trusted.
        let now_ms = self
            .status
            .borrow()
            .progress
            .time_ms
            .unwrap_or_else(|| self.board.now().wall_ms);
        let version = pair.version;
        let installed =
            tokio::task::spawn_blocking(move || server.install(&pair, anchors.as_deref(), now_ms))
                .await;
        let reason = match installed {
            Ok(Ok(info)) => {
                tracing::info!(version, issuer = %info.issuer, "a certificate is being served");
                self.refused_version = None;
                self.note_server(move |status| {
                    status.certificate = Some(info);
                    status.trouble = None;
                });
                return None;
            }
            Ok(Err(error)) => with_causes(&error),
            Err(_panicked) => "this host failed while loading it".to_owned(),
        };
        tracing::error!(version, %reason, "a new certificate cannot be served; the old one stays");
        self.note_server(|status| {
            status.trouble = Some(format!("A new certificate cannot be served: {reason}."))
        });
        Some(reason)
    }

    fn note_progress(&mut self, progress: Progress, randomness: Option<Randomness>) {
        let now = self.board.now().monotonic_ms;
        let next_try = progress.wake_at_ms.map(|at| {
            // A machine that asks to be woken at once, for ever, does not get the whole processor.
            let pause = Duration::from_millis(at.saturating_sub(now))
                .max(SHORTEST_SLEEP)
                .min(LONGEST_SLEEP);
            Instant::now() + pause
        });
        let (before, after) = (
            self.status.borrow().progress.state.clone(),
            progress.state.clone(),
        );
        if before != after {
            tracing::info!(from = %before, to = %after, reason = %progress.reason, "the state has changed");
        }
        let failing = self.refused_version.is_some();
        self.note_server(move |status| {
            status.progress = progress;
            status.randomness = randomness;
            status.next_try = next_try;
            if !failing {
                status.trouble = None;
            }
        });
    }

    /// Changes the status and what in it follows from the server and the names.
    fn note_server(&mut self, change: impl FnOnce(&mut crate::status::Status)) {
        let https = self.server.serves_https();
        let port = self.server.https_address().map(|address| address.port());
        let addresses = self.addresses.clone().unwrap_or_default();
        self.status.send_modify(|status| {
            change(status);
            status.https = https && status.certificate.is_some();
            status.urls = match port {
                Some(port) if status.https => {
                    crate::names::urls(&status.progress, &addresses, port)
                }
                Some(_) | None => Vec::new(),
            };
            status.addresses = addresses;
        });
    }

    /// Calls the instance on a thread that may wait for storage.
    async fn call<T: Send + 'static>(
        &mut self,
        call: &'static str,
        act: impl FnOnce(&mut Instance) -> Result<T, CallError> + Send + 'static,
    ) -> Result<T, CallError> {
        let Some(mut instance) = self.instance.take() else {
            return Err(CallError::NotStarted { call });
        };
        let (instance, result) = tokio::task::spawn_blocking(move || {
            let result = act(&mut instance);
            (instance, result)
        })
        .await
        .map_err(|panic| panicked(call, panic))?;
        let gone = result.as_ref().is_err_and(CallError::is_gone);
        self.instance = (!gone).then_some(instance);
        result
    }

    /// Counts instances, over reboots as well: the machine is told that a new one is no copy of an old one.
    async fn count_resumption(&mut self) -> Result<u64, CallError> {
        let board = Arc::clone(&self.board);
        let counted = tokio::task::spawn_blocking(move || {
            let (records, key) = (board.records(), Key::of_host(RESUMPTIONS));
            // A counter that cannot be read starts afresh: it keeps instances apart, it protects nothing.
            let before = records
                .read(&key)?
                .and_then(|bytes| bytes.try_into().ok())
                .map_or(0, u64::from_le_bytes);
            let count = before.saturating_add(1);
            records.write(&key, &count.to_le_bytes())?;
            Ok(count)
        });
        counted
            .await
            .map_err(|panic| panicked("resumed", panic))?
            .map_err(|error: StorageError| CallError::Storage {
                reason: with_causes(&error),
            })
    }
}

/// Whether a credential of that version is to be served. One that was refused is not tried again; once the machine
/// has fallen back, it may use the number for another.
fn is_news(version: u64, served: u64, refused: &mut Option<u64>) -> bool {
    if *refused != Some(version) {
        *refused = None;
    }
    version != served && *refused != Some(version)
}

fn panicked(call: &'static str, panic: tokio::task::JoinError) -> CallError {
    CallError::Gone {
        call,
        source: wasmtime::Error::new(panic),
    }
}

/// An error and everything behind it, in one line.
pub(crate) fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(source) = cause {
        text.push_str(": ");
        text.push_str(&source.to_string());
        cause = source.source();
    }
    text
}

/// Of the host's own, beside the machine's.
const RESUMPTIONS: &str = "resumptions";
const MAX_REFUSALS: usize = 3;
const SHORTEST_SLEEP: Duration = Duration::from_millis(10);
/// A wake-up that is not due is harmless, and a clock that jumped is noticed.
const LONGEST_SLEEP: Duration = Duration::from_secs(3600);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refused_credential_is_not_tried_again_but_its_number_may_be_used_for_another() {
        let mut refused = None;
        assert!(is_news(2, 1, &mut refused));
        refused = Some(2);
        assert!(
            !is_news(2, 1, &mut refused),
            "the machine has not fallen back yet"
        );
        assert!(!is_news(1, 1, &mut refused), "it has");
        assert!(is_news(2, 1, &mut refused), "this is another one");
        assert!(is_news(0, 1, &mut refused), "after a reset there is none");
    }
}
