//! The commands of `otscert-hq`.
//!
//! Each writes what it has to say for people to `out` and returns whether all is well; what went wrong is an error
//! whose causes `main` prints.

mod args;
mod assessment;
mod check;
mod claims;
mod described;
mod devices;
mod factory;
mod firmware;
pub mod format;
mod keys;
mod labels;
mod lists;
mod orders;
mod prose;
mod serving;
mod voucher;

use std::io::{self, Write};

use tokio::runtime;

pub use args::{
    AssessmentCommand, AssessmentSignArgs, BatchArgs, ClaimsCommand, ClaimsDrawArgs,
    ClaimsImportArgs, ClaimsReleaseArgs, Cli, Command, ConfigArgs, DelegateArgs, DeriveArgs,
    DeviceCertificateArgs, DevicesCommand, DoctorArgs, FactoryCommand, FirmwareAddArgs,
    FirmwareCommand, InitArgs, LabelsArgs, ListArgs, MasterArgs, OrderArgs, ShowArgs,
    VoucherCommand, VoucherImportArgs, VoucherKeyArgs, VoucherSignArgs,
};
pub use assessment::AssessmentError;
pub use claims::ClaimsError;
pub use devices::DevicesError;
pub use factory::FactoryError;
pub use firmware::FirmwareError;
pub use keys::KeysError;
pub use labels::{LabelsError, NotASetupUrl, SetupUrl};
pub use lists::ListError;
pub use voucher::VoucherCliError;

use crate::clock::{Clock, SystemClock};
use crate::config::{Config, ConfigError};
use crate::doctor;
use crate::init::{self, InitError};
use crate::serve::ServeError;
use crate::serve::socket::Order;
use crate::store::StoreError;
use crate::types::{Subject, Timestamp};

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
    /// `factory`.
    #[error(transparent)]
    Factory(#[from] FactoryError),
    /// `firmware`.
    #[error(transparent)]
    Firmware(#[from] FirmwareError),
    /// `claims`.
    #[error(transparent)]
    Claims(#[from] ClaimsError),
    /// `voucher`.
    #[error(transparent)]
    Voucher(#[from] VoucherCliError),
    /// `labels`.
    #[error(transparent)]
    Labels(#[from] LabelsError),
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
        Command::Devices(command) => about_devices(command, out),
        Command::Factory(FactoryCommand::Master(args)) => factory::master(&args, out),
        Command::Factory(FactoryCommand::Batch(args)) => factory::batch(&args, out),
        Command::Factory(FactoryCommand::Derive(args)) => factory::derive(&args, out),
        Command::Firmware(FirmwareCommand::Add(args)) => {
            wait(firmware::add(&load(&args.config)?, &args, out))?
        }
        Command::Claims(ClaimsCommand::Draw(args)) => claims::draw_list(&args, out),
        Command::Claims(ClaimsCommand::Import(args)) => {
            wait(claims::import(&load(&args.config)?, &args, out))?
        }
        Command::Claims(ClaimsCommand::Release(args)) => {
            wait(claims::release(&load(&args.config)?, &args, out))?
        }
        Command::Voucher(VoucherCommand::Key(args)) => voucher::key(&args, out),
        Command::Voucher(VoucherCommand::Sign(args)) => voucher::sign(&args, out),
        Command::Voucher(VoucherCommand::Import(args)) => {
            wait(voucher::import(&load(&args.config)?, &args, out))?
        }
        Command::Labels(args) => labels::run(&args, out),
    }
}

fn about_devices(
    command: DevicesCommand,
    out: &mut (dyn Write + Send),
) -> Result<Verdict, CliError> {
    let (args, order) = match command {
        DevicesCommand::List(args) => {
            let config = load(&args.config)?;
            return wait(devices::list(&config, &args, now(), out))?;
        }
        DevicesCommand::Show(args) => {
            let config = load(&args.config)?;
            return wait(devices::show(&config, &args, now(), out))?;
        }
        DevicesCommand::Retire(args) => (args, Order::Retire),
        DevicesCommand::Renew(args) => (args, Order::Renew),
        DevicesCommand::Accept(args) => (args, Order::Accept),
    };
    wait(orders::order(
        &load(&args.config)?,
        &args.device,
        &order,
        out,
    ))?
}

/// What concerns HQ as a whole stands under its own subject.
fn own() -> Subject {
    // Unwrap safety: it is a subject of the contract.
    Subject::try_from("own".to_owned()).expect("`own` is a subject")
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
