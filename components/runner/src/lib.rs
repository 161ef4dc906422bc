//! Runs a device as a command of a stock WASI 0.2 runtime: exports `wasi:cli/run`, and turns between
//! `deliveries.wait` and `provisioner.advance`.
//!
//! Everything is in the device's folder (`OTSCERT_FOLDER`, see `otscert-wasi-folder`):
//!
//! | file | what |
//! | --- | --- |
//! | `image-bundle/` | as `otscert-hq init` wrote it; its TLS root is for the runtime, not for this |
//! | `runner.toml` | what the image and the board say (`config.rs`); optional |
//! | `unit.toml` | what the factory wrote into this unit, as the device host reads it; optional |
//! | `records/` | the machine's, by way of `storage-wasi` |
//! | `tls/server.pem` | written: chain, then private key, in one file so that no reader sees half of a change |
//! | `status.json` | written: where the machine stands |
//!
//! Each change is also a line on standard output. The command runs for ever; with the argument `--once` it ends as
//! soon as a certificate is there to be served. Where it cannot go on it says why on standard error and fails: to be
//! started again by whoever started it, since everything that matters is in the folder.

mod bindings;
mod config;
mod output;

use std::collections::VecDeque;

use bindings::otscert::provision::provisioner::{
    Answered, Error, Input, Progress, advance, credential, start,
};
use bindings::otscert::provision::types::{ClockTrust, Moment};
use bindings::otscert::wasi::deliveries::{Hq, connect, wait};
use otscert_wasi_folder::{Folder, FolderError};
use wasi::cli::environment::get_arguments;
use wasi::clocks::{monotonic_clock, wall_clock};

use config::{Config, ConfigError};
use output::{Output, complain};

/// What the world's export is implemented on.
struct Runner;

/// Why the command ends by itself.
#[derive(Debug, thiserror::Error)]
enum RunError {
    /// It was started in another way than it can be.
    #[error("{argument:?} is no argument of this command; `--once` is")]
    Argument {
        /// The argument.
        argument: String,
    },
    /// The folder's files do not make a device.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The network component does not take the origins.
    #[error("the bundle's origins cannot be used: {reason}")]
    Connect {
        /// Why.
        reason: String,
    },
    /// A file cannot be read or written.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// The machine refuses its config, or an input.
    #[error("{call} failed: {reason}")]
    Machine {
        /// The call.
        call: &'static str,
        /// Why.
        reason: String,
    },
}

impl wasi::exports::cli::run::Guest for Runner {
    fn run() -> Result<(), ()> {
        run().map_err(|error| complain(&error.to_string()))
    }
}

fn run() -> Result<(), RunError> {
    let once = once()?;
    let folder = Folder::of_device()?;
    let config = Config::read(&folder)?;
    connect(&Hq {
        origins: config.origins,
        danger_plain_http: config.danger_plain_http,
    })
    .map_err(|error| RunError::Connect {
        reason: error.to_string(),
    })?;
    start(&config.device).map_err(machine("start"))?;
    let mut output = Output::new(&folder)?;
    let mut inputs = VecDeque::from([
        Input::Resumed(count_resumption(&folder)?),
        Input::Addresses(config.addresses),
    ]);
    let mut pause_ns = FIRST_PAUSE_NS;
    let mut wake_at_ms = None;
    loop {
        while let Some(input) = inputs.pop_front() {
            match advance(now(config.clock), &input) {
                Ok(progress) => {
                    pause_ns = FIRST_PAUSE_NS;
                    wake_at_ms = progress.wake_at_ms;
                    output.note(&folder, &progress, credential)?;
                    if once && is_serving(&progress) {
                        return Ok(());
                    }
                }
                // The machine has not moved, so this fact is still news to it.
                Err(Error::Storage(reason)) => {
                    complain(&format!("the machine could not store: {reason}"));
                    monotonic_clock::subscribe_duration(pause_ns).block();
                    pause_ns = pause_ns.saturating_mul(2).min(LONGEST_PAUSE_NS);
                    inputs.push_front(input);
                }
                Err(error) => return Err(machine("advance")(error)),
            }
        }
        let now_ms = monotonic_clock::now() / NS_PER_MS;
        let until = wake_at_ms
            .unwrap_or(u64::MAX)
            .clamp(now_ms + SHORTEST_SLEEP_MS, now_ms + LONGEST_SLEEP_MS);
        let deliveries = wait(Some(until));
        if deliveries.is_empty() {
            inputs.push_back(Input::Woke);
        }
        inputs.extend(deliveries.into_iter().map(|delivery| {
            Input::Answered(Answered {
                exchange: delivery.exchange,
                answer: delivery.answer,
            })
        }));
    }
}

fn is_serving(progress: &Progress) -> bool {
    progress.credential_version > 0 && progress.state == SERVING
}

fn once() -> Result<bool, RunError> {
    let mut once = false;
    // The first is the command's own name.
    for argument in get_arguments().into_iter().skip(1) {
        match argument.as_str() {
            "--once" => once = true,
            _ => return Err(RunError::Argument { argument }),
        }
    }
    Ok(once)
}

/// How often an instance has been made in this folder, this one included.
fn count_resumption(folder: &Folder) -> Result<u64, FolderError> {
    let text = folder.read(RESUMPTIONS, MAX_COUNT)?.unwrap_or_default();
    let before = String::from_utf8(text)
        .ok()
        .and_then(|text| text.trim().parse().ok())
        .unwrap_or(0_u64);
    let count = before.saturating_add(1);
    folder.replace(RESUMPTIONS, format!("{count}\n").as_bytes())?;
    Ok(count)
}

fn now(trust: ClockTrust) -> Moment {
    let wall = wall_clock::now();
    Moment {
        wall_ms: wall
            .seconds
            .saturating_mul(1000)
            .saturating_add(u64::from(wall.nanoseconds) / NS_PER_MS),
        trust,
        monotonic_ms: monotonic_clock::now() / NS_PER_MS,
    }
}

fn machine(call: &'static str) -> impl FnOnce(Error) -> RunError {
    move |error| RunError::Machine {
        call,
        reason: match error {
            Error::NotStarted => "it was not started".to_owned(),
            Error::BadConfig(reason) | Error::Storage(reason) | Error::Other(reason) => reason,
            Error::NotReady => "it is not ready".to_owned(),
        },
    }
}

const SERVING: &str = "Serving";
const RESUMPTIONS: &str = "resumptions";
const MAX_COUNT: usize = 32;
const NS_PER_MS: u64 = 1_000_000;
const FIRST_PAUSE_NS: u64 = 1_000 * NS_PER_MS;
const LONGEST_PAUSE_NS: u64 = 900_000 * NS_PER_MS;
const SHORTEST_SLEEP_MS: u64 = 10;
/// A wake-up that is not due is harmless, and a clock that jumped is noticed.
const LONGEST_SLEEP_MS: u64 = 3_600_000;
