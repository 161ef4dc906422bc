//! The commands of `otscert-hq`.
//!
//! Each writes what it has to say for people to `out` and returns whether all is well; what went wrong is an error
//! whose causes `main` prints.

mod args;
mod assessment;
mod check;
mod devices;
pub mod format;
mod keys;
mod prose;
mod serving;

use std::io::{self, Write};

use tokio::runtime;

pub use args::{
    AssessmentCommand, AssessmentSignArgs, Cli, Command, ConfigArgs, DelegateArgs,
    DeviceCertificateArgs, DevicesCommand, DoctorArgs, InitArgs, ListArgs, OrderArgs, ShowArgs,
};
pub use assessment::AssessmentError;
pub use devices::DevicesError;
pub use keys::KeysError;

use crate::clock::{Clock, SystemClock};
use crate::config::{Config, ConfigError};
use crate::doctor;
use crate::init::{self, InitError};
use crate::serve::ServeError;
use crate::serve::socket::Order;
use crate::store::StoreError;
use crate::types::Timestamp;

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub enum CliError {
    /// The config.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// `init`.
    #[error(transparent)]
    Init(#[from] InitError),
    /// `delegate` and `device-certificate`.
    #[error(transparent)]
    Keys(#[from] KeysError),
    /// `assessment`.
    #[error(transparent)]
    Assessment(#[from] AssessmentError),
    /// `serve`, at its start.
    #[error(transparent)]
    Serve(#[from] ServeError),
    /// `serve`, at its end.
    #[error("HQ could not close its database; nothing is lost")]
    Stop(#[source] StoreError),
    /// `devices`.
    #[error(transparent)]
    Devices(#[from] DevicesError),
    /// The system gives no threads or signals.
    #[error("the system gives no threads or signals: check its limits")]
    Runtime(#[source] io::Error),
    /// Nobody reads the output.
    #[error("the output cannot be written")]
    Output(#[from] io::Error),
}

/// What a command came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// All is well: exit code 0.
    Well,
    /// It has been said what is not: exit code 1.
    NotWell,
}

/// Runs a command.
///
/// # Errors
///
/// [`CliError`].
pub fn run(cli: Cli, out: &mut (dyn Write + Send)) -> Result<Verdict, CliError> {
    match cli.command {
        Command::Init(args) => {
            let made = init::init(&args.options(), now())?;
            out.write_all(made.advice.as_bytes())?;
            Ok(Verdict::Well)
        }
        Command::Serve(args) => serving::run(&load(&args)?, out),
        Command::CheckConfig(args) => check::run(&load(&args)?, now(), out),
        Command::Delegate(args) => keys::delegate(&load(&args.config)?, &args, now(), out),
        Command::DeviceCertificate(args) => {
            keys::device_certificate(&load(&args.config)?, &args, now(), out)
        }
        Command::Assessment(AssessmentCommand::Sign(args)) => {
            assessment::sign(&load(&args.config)?, &args, out)
        }
        Command::Doctor(args) => {
            let config = load(&args.config)?;
            let options = doctor::Options {
                resolver: args.resolver,
                nameserver_at: args.nameserver_at,
            };
            let findings = wait(doctor::examine(&config, &options, now()))?;
            check::write_findings(&findings, args.json, out)
        }
        Command::Devices(DevicesCommand::List(args)) => {
            let config = load(&args.config)?;
            wait(devices::list(&config, &args, now(), out))?
        }
        Command::Devices(DevicesCommand::Show(args)) => {
            let config = load(&args.config)?;
            wait(devices::show(&config, &args, now(), out))?
        }
        Command::Devices(DevicesCommand::Retire(args)) => tell(&args, Order::Retire, out),
        Command::Devices(DevicesCommand::Renew(args)) => tell(&args, Order::Renew, out),
        Command::Devices(DevicesCommand::Accept(args)) => tell(&args, Order::Accept, out),
    }
}

fn tell(args: &OrderArgs, order: Order, out: &mut (dyn Write + Send)) -> Result<Verdict, CliError> {
    let config = load(&args.config)?;
    wait(devices::order(&config, &args.device, order, out))?
}

/// Runs something short.
fn wait<T>(work: impl Future<Output = T>) -> Result<T, CliError> {
    let runtime = runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(CliError::Runtime)?;
    Ok(runtime.block_on(work))
}

fn load(args: &ConfigArgs) -> Result<Config, ConfigError> {
    Config::load(&args.config, &args.overrides())
}

fn now() -> Timestamp {
    SystemClock::new().now().wall
}
