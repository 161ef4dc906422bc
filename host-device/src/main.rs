//! `otscert-device`: the program.

use std::io::{self, BufRead, IsTerminal, Read, Write};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, anyhow};
use clap::Parser;
use otscert_device::assess::{self, Verdict};
use otscert_device::board::{LinuxBoard, load_anchors};
use otscert_device::cli::{AssessCommand, Cli, Command};
use otscert_device::config::{Config, LogFormat};
use otscert_device::control::{ControlError, Request, ask};
use otscert_device::damage::Survey;
use otscert_device::device::linux_board;
use otscert_device::status::Randomness;
use otscert_device::{Device, DeviceConfig, Machine, Retired};
use rustls::crypto::aws_lc_rs;
use serde_json::Value;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::timeout;
use tracing_subscriber::EnvFilter;
use zeroize::Zeroizing;

fn main() -> ExitCode {
    // First of all: whatever is linked in beside, TLS is done by aws-lc-rs.
    if aws_lc_rs::default_provider().install_default().is_err() {
        tracing::debug!("a TLS provider had been installed");
    }
    let cli = Cli::parse();
    match perform(cli) {
        Ok(code) => code,
        Err(error) => {
            // The whole chain of causes, since each message leaves its cause to the next.
            let _unwritable = writeln!(io::stderr(), "error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn perform(cli: Cli) -> anyhow::Result<ExitCode> {
    let Cli {
        config: path,
        command,
        settings,
    } = cli;
    let configured = || Config::load(path.as_deref(), settings);
    match command {
        // A board that is assessed needs no config, and takes its samples before anything else.
        Command::Assess(command) => assessed(&command),
        Command::Run => block_on(run(configured()?)),
        Command::Status { json } => block_on(status(&configured()?, json)),
        Command::Renew => block_on(renew(&configured()?)),
        Command::Claim { code } => block_on(claim(&configured()?, code)),
        Command::Reset { force, yes } => block_on(reset(configured()?, force, yes)),
        Command::CheckConfig => check_config(&configured()?),
    }
}

fn block_on(work: impl Future<Output = anyhow::Result<ExitCode>>) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(WORKERS)
        .enable_all()
        .build()
        .context("starting the program's threads failed")?;
    runtime.block_on(work)
}

fn assessed(command: &AssessCommand) -> anyhow::Result<ExitCode> {
    Ok(match assess::run(command, &mut io::stdout().lock())? {
        Verdict::Well => ExitCode::SUCCESS,
        Verdict::Refused => ExitCode::FAILURE,
    })
}

async fn run(config: Config) -> anyhow::Result<ExitCode> {
    start_logging(&config);
    let mut terminate = signal(SignalKind::terminate()).context("listening for SIGTERM failed")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("listening for SIGINT failed")?;
    let device = DeviceConfig::of(&config)?;
    // The folder's lock comes before everything that takes time or a port.
    let board = Arc::new(linux_board(&config)?);
    let machine = Arc::new(machine(&config)?);
    let sha256 = machine.sha256().to_owned();
    let mut handle = Device::spawn(device, board, machine).await?;
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        component_sha256 = %sha256,
        http = ?handle.http_address(),
        https = ?handle.https_address(),
        storage = %config.storage.display(),
        "running"
    );
    tokio::select! {
        ended = handle.ended() => ended?,
        _ = terminate.recv() => tracing::info!("SIGTERM: stopping"),
        _ = interrupt.recv() => tracing::info!("SIGINT: stopping"),
    }
    handle.shutdown().await?;
    Ok(ExitCode::SUCCESS)
}

async fn status(config: &Config, json: bool) -> anyhow::Result<ExitCode> {
    let status = match ask(&config.control, Request::Status).await {
        Ok(status) => status,
        Err(error @ ControlError::NotRunning { .. }) => {
            if json {
                print(&format!(
                    "{:#}\n",
                    serde_json::json!({ "running": false, "reason": error.to_string() })
                ))?;
            } else {
                print(&format!("not running\n  {error}\n"))?;
            }
            return Ok(ExitCode::from(NOT_RUNNING));
        }
        Err(error) => return Err(error.into()),
    };
    if json {
        print(&format!("{status:#}\n"))?;
    } else {
        print(&readable(&status))?;
    }
    Ok(ExitCode::SUCCESS)
}

async fn renew(config: &Config) -> anyhow::Result<ExitCode> {
    ask(&config.control, Request::Renew).await?;
    print("The box asks HQ for a new certificate; `otscert-device status` says how that goes.\n")?;
    Ok(ExitCode::SUCCESS)
}

async fn claim(config: &Config, code: String) -> anyhow::Result<ExitCode> {
    let mut code = Zeroizing::new(code);
    if *code == "-" {
        code.clear();
        io::stdin()
            .lock()
            .take(MAX_ANSWER)
            .read_line(&mut code)
            .context("reading the code from standard input failed")?;
    }
    let code = code.trim().to_owned();
    ask(&config.control, Request::Claim { code }).await?;
    print("The box shows HQ the code; `otscert-device status` says what HQ made of it.\n")?;
    Ok(ExitCode::SUCCESS)
}

async fn reset(config: Config, force: bool, yes: bool) -> anyhow::Result<ExitCode> {
    match ask(&config.control, Request::Reset).await {
        Ok(_taken) => {
            print("The running box is reset; it tells HQ and starts from the beginning.\n")?;
            return Ok(ExitCode::SUCCESS);
        }
        Err(ControlError::NotRunning { .. }) => {}
        Err(error @ ControlError::Refused { .. }) if force => {
            let what = "stop the running otscert-device, whose records are to be set aside, and run this again";
            return Err(anyhow::Error::from(error).context(what));
        }
        Err(error) => return Err(error.into()),
    }
    start_logging(&config);
    let device = DeviceConfig::of(&config)?;
    let board = Arc::new(linux_board(&config)?);
    let machine = Arc::new(machine(&config)?);
    let is_stranger = force && set_aside(&machine, &board, yes)?;
    let resetting = Device::reset(device, Arc::clone(&board) as _, Arc::clone(&machine));
    match timeout(RESET_PATIENCE, resetting).await {
        Ok(Ok(Retired::Delivered)) if !is_stranger => {
            print(
                "The box is reset: keys wiped, and HQ has been told to revoke the certificate and free the name.\n",
            )?;
            Ok(ExitCode::SUCCESS)
        }
        Ok(Ok(Retired::Nothing)) if !is_stranger => {
            print("The box is reset. HQ did not know it, so there was nothing to tell.\n")?;
            Ok(ExitCode::SUCCESS)
        }
        Ok(Ok(Retired::Delivered | Retired::Nothing)) => {
            print(
                "The box starts over when it runs again. HQ could not be told of the old name: ask whoever operates \
                 HQ to retire it.\n",
            )?;
            Ok(ExitCode::SUCCESS)
        }
        Ok(Err(error)) => {
            let damaged =
                Survey::of(&machine, &(board as _)).is_ok_and(|survey| !survey.damaged.is_empty());
            let error = anyhow::Error::from(error);
            Err(match damaged {
                true => error.context(
                    "a stored record cannot be read: `otscert-device reset --force` says what is lost with it, sets it \
                     aside and starts over",
                ),
                false => error,
            })
        }
        Err(_elapsed) => Err(anyhow!(
            "the box is reset, but HQ could not be told within {} s; it will be when the box runs again, or run \
             `otscert-device reset` again once HQ can be reached",
            RESET_PATIENCE.as_secs()
        )),
    }
}

/// Sets damaged records aside, if the owner means it. Whether the box has lost who it is.
fn set_aside(machine: &Arc<Machine>, board: &Arc<LinuxBoard>, yes: bool) -> anyhow::Result<bool> {
    let survey = Survey::of(machine, &(Arc::clone(board) as _))?;
    if survey.damaged.is_empty() {
        print("Every stored record reads: this is a reset as always.\n")?;
        return Ok(false);
    }
    for damaged in &survey.damaged {
        print(&format!(
            "The stored record `{}` cannot be read: {}.\n{}\n\n",
            damaged.record,
            damaged.reason,
            damaged.loss()
        ))?;
    }
    print(
        "If another version of this software wrote it, run that one instead, and nothing is lost.\n",
    )?;
    if !survey.names.is_empty() {
        print(&format!("The name so far: {}\n", survey.names.join(", ")))?;
    }
    if !yes && !confirmed()? {
        return Err(anyhow!(
            "nothing was changed: run it again with `--force --yes` if that is meant"
        ));
    }
    for damaged in &survey.damaged {
        if let Some(path) = board.set_aside(&damaged.key()?)? {
            print(&format!("Set aside, and kept: {}\n", path.display()))?;
        }
    }
    Ok(survey.is_stranger())
}

/// Asks whoever sits at the terminal; where nobody does, the answer is no.
fn confirmed() -> anyhow::Result<bool> {
    if !io::stdin().is_terminal() {
        return Ok(false);
    }
    print("Start over? Type `yes` to do so: ")?;
    io::stdout()
        .flush()
        .context("writing to standard output failed")?;
    let mut answer = String::new();
    io::stdin()
        .lock()
        .take(MAX_ANSWER)
        .read_line(&mut answer)
        .context("reading the answer failed")?;
    Ok(answer.trim() == "yes")
}

fn check_config(config: &Config) -> anyhow::Result<ExitCode> {
    let device = DeviceConfig::of(config)?;
    let machine = machine(config)?;
    load_anchors(&config.trust_anchors)?;
    config.sources.check()?;
    let origins: Vec<String> = device
        .bundle
        .origins
        .iter()
        .map(ToString::to_string)
        .collect();
    print(&format!(
        "The config is usable.\n  HQ         {} at {}\n  zone       {}\n  model      {}\n  unit       {}\n  storage    {}\n  component  \
         SHA-256 {}\n",
        device.bundle.hq_id,
        origins.join(", "),
        device.bundle.zone,
        device.model.as_deref().unwrap_or(&device.bundle.model),
        unit_of(config, &device),
        config.storage.display(),
        machine.sha256(),
    ))?;
    Ok(ExitCode::SUCCESS)
}

/// What the factory wrote, in words.
fn unit_of(config: &Config, device: &DeviceConfig) -> String {
    match &config.unit {
        None => "no unit file is named: HQ may refuse this unit".to_owned(),
        Some(path) if !path.exists() => {
            format!("{} is not there: HQ may refuse this unit", path.display())
        }
        Some(_) => device.credential.to_string(),
    }
}

fn machine(config: &Config) -> anyhow::Result<Machine> {
    Ok(match &config.component {
        Some(path) => Machine::from_file(path)?,
        None => Machine::shipped()?,
    })
}

/// The status for people.
fn readable(status: &Value) -> String {
    let text = |key: &str| match &status[key] {
        Value::String(text) => text.clone(),
        Value::Null => "none".to_owned(),
        other @ (Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_)) => {
            other.to_string()
        }
    };
    let mut lines = vec![
        format!("{}: {}", text("state"), text("reason")),
        format!(
            "  HTTPS         {}",
            if status["https"] == true {
                "yes"
            } else {
                "not yet"
            }
        ),
    ];
    for url in status["urls"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
    {
        lines.push(format!("  URL           {url}"));
    }
    if let Some(certificate) = status["certificate"].as_object() {
        lines.push(format!(
            "  certificate   issued by {}",
            certificate["issuer"].as_str().unwrap_or_default()
        ));
    }
    if let Some(trouble) = status["trouble"].as_str() {
        lines.push(format!("  trouble       {trouble}"));
    }
    if let Some(next) = status["next_try_in_ms"].as_u64() {
        lines.push(format!("  next step     in {} s", next / 1000));
    }
    for (label, key) in [
        ("last exchange", "last_exchange"),
        ("entropy grade", "grade"),
        ("device id", "device_id"),
        ("HQ", "hq_id"),
        ("model", "model"),
        ("firmware", "firmware"),
        ("component", "component_sha256"),
    ] {
        lines.push(format!("  {label:<13} {}", text(key)));
    }
    if let Ok(randomness) = serde_json::from_value::<Randomness>(status["randomness"].clone()) {
        lines.push(format!("  randomness    {}", randomness.sentence));
        for source in &randomness.sources {
            lines.push(format!(
                "                {}: {}",
                source.name(),
                source.worth()
            ));
        }
    }
    lines.join("\n") + "\n"
}

fn start_logging(config: &Config) {
    let logs = tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::new(&config.log_level))
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal());
    match config.log_format {
        LogFormat::Text => logs.init(),
        LogFormat::Json => logs.json().init(),
    }
}

fn print(text: &str) -> anyhow::Result<()> {
    io::stdout()
        .write_all(text.as_bytes())
        .context("writing to standard output failed")
}

/// A box has a few sockets and one machine.
const WORKERS: usize = 2;
const NOT_RUNNING: u8 = 3;
const MAX_ANSWER: u64 = 64;
const RESET_PATIENCE: Duration = Duration::from_secs(60);
