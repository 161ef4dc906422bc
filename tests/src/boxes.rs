//! Boxes: as processes of their own, and inside this process.

use std::fmt::Write as _;
use std::fs::{self, Permissions};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, ensure};
use otscert_device::board::{
    AddressSource, ClockSource, LinuxBoard, LinuxBoardConfig, SourcesConfig,
};
use otscert_device::bundle::Bundle;
use otscert_device::config::TrustAnchors;
use otscert_device::control::{Request, ask};
use otscert_device::status::Status;
use otscert_device::types::ClockTrust;
use otscert_device::{Device, DeviceConfig, DeviceHandle, Machine};
use serde_json::Value;

use crate::eventually::{Tried, eventually};
use crate::ports::free_ports;
use crate::process::{Process, last_words, program};
use crate::small_disk::SmallDisk;

/// How a box is to be.
#[derive(Clone, Debug)]
pub struct BoxOptions {
    /// Its model; none: the image bundle's.
    pub model: Option<String>,
    /// Its addresses.
    pub addresses: Vec<IpAddr>,
    /// Throw the instance away after every input; inside this process only.
    pub recreate_after_every_event: bool,
    /// Where its page listens.
    pub listen: IpAddr,
    /// Serve a page; a box inside this process may do without.
    pub page: bool,
    /// Where randomness comes from. By default from the kernel's generator alone, so that a test does the same on any
    /// machine.
    pub sources: SourcesConfig,
    /// What the factory wrote into the unit, as text of its unit file; a process only.
    pub unit: Option<String>,
    /// Makes keys also where only HQ could compute them; a process only.
    pub hq_trusted: bool,
    /// Writes its event log into `record.jsonl` in its folder; a process only.
    pub record: bool,
}

impl Default for BoxOptions {
    fn default() -> Self {
        Self {
            model: None,
            addresses: vec![Ipv4Addr::LOCALHOST.into()],
            recreate_after_every_event: false,
            listen: Ipv4Addr::LOCALHOST.into(),
            page: true,
            sources: SourcesConfig {
                system_generator: true,
                ..SourcesConfig::none()
            },
            unit: None,
            hq_trusted: false,
            record: false,
        }
    }
}

impl BoxOptions {
    /// A box of that model.
    #[must_use]
    pub fn of_model(model: &str) -> Self {
        Self {
            model: Some(model.to_owned()),
            ..Self::default()
        }
    }
}

/// `otscert-device run`, in a folder of its own.
#[derive(Debug)]
pub struct BoxProcess {
    folder: PathBuf,
    /// Where its page is over HTTP.
    pub http: SocketAddr,
    /// Where its page is over HTTPS.
    pub https: SocketAddr,
    disk: Option<SmallDisk>,
    process: Option<Process>,
}

impl BoxProcess {
    /// A box as it leaves the factory: an image bundle, a config, no storage.
    ///
    /// # Errors
    ///
    /// If the folder cannot be written.
    pub fn new(folder: &Path, bundle: &Path, options: &BoxOptions) -> anyhow::Result<Self> {
        let ports: [SocketAddr; 2] = free_ports()?;
        let [http, https] = ports.map(|port| SocketAddr::new(options.listen, port.port()));
        fs::create_dir_all(folder)?;
        let addresses: Vec<_> = options.addresses.iter().map(ToString::to_string).collect();
        let mut config = format!(
            "bundle = {:?}\nstorage = \"storage\"\nhttp = \"{http}\"\nhttps = \"{https}\"\n\
             addresses = {addresses:?}\nfirmware = \"1.0.0\"\nclock = \"trusted\"\n\
             control = \"control.sock\"\ndanger_loopback = true\nlog_level = {LOG:?}\n\
             system_generator = {}\njitter = {}\nhardware_generator = {:?}\ntpm = {:?}\nbutton = {:?}\n",
            bundle.display().to_string(),
            options.sources.system_generator,
            options.sources.jitter,
            or_none(options.sources.hardware_generator.as_deref()),
            or_none(options.sources.tpm.as_deref()),
            or_none(options.sources.button.as_deref()),
        );
        if let Some(unit) = &options.unit {
            let path = folder.join("unit.toml");
            fs::write(&path, unit)?;
            fs::set_permissions(&path, Permissions::from_mode(0o600))?;
            writeln!(config, "unit = \"unit.toml\"")?;
        }
        writeln!(config, "hq_trusted = {}", options.hq_trusted)?;
        if options.record {
            writeln!(config, "record = \"record.jsonl\"")?;
        }
        if let Some(platform) = &options.sources.platform {
            writeln!(config, "platform = {platform:?}")?;
        }
        if let Some(model) = &options.model {
            writeln!(config, "model = {model:?}")?;
        }
        fs::write(folder.join("device.toml"), config)?;
        Ok(Self {
            folder: folder.to_owned(),
            http,
            https,
            disk: None,
            process: None,
        })
    }

    /// Gives it a disk of that size for its storage.
    ///
    /// # Errors
    ///
    /// If this system lets nobody mount one: with what is needed.
    pub fn put_on_small_disk(&mut self, bytes: u64) -> anyhow::Result<()> {
        self.disk = Some(SmallDisk::over(&self.folder.join("storage"), bytes)?);
        Ok(())
    }

    /// Takes all the room that is left on the small disk.
    ///
    /// # Errors
    ///
    /// If the box does not run on one.
    pub fn fill_disk(&self) -> anyhow::Result<()> {
        self.on_disk()?.fill()
    }

    /// Gives that room back.
    ///
    /// # Errors
    ///
    /// If it had not been taken.
    pub fn make_room(&self) -> anyhow::Result<()> {
        self.on_disk()?.make_room()
    }

    /// Power on.
    ///
    /// # Errors
    ///
    /// If there is no such program.
    pub fn start(&mut self) -> anyhow::Result<()> {
        let command = self.command(&["run"])?;
        let name = format!("otscert-device ({})", self.folder.display());
        self.process = Some(Process::spawn(
            &name,
            command,
            &self.folder.join("device.log"),
        )?);
        Ok(())
    }

    /// Power cut.
    pub fn kill(&mut self) {
        self.process = None;
    }

    /// Stops it as `kill` does.
    ///
    /// # Errors
    ///
    /// If it does not stop in time, or fails.
    pub fn stop(&mut self) -> anyhow::Result<()> {
        self.process
            .take()
            .map_or(Ok(()), |mut process| process.stop(STOP_LIMIT))
    }

    /// The process, if it runs.
    pub fn process(&mut self) -> Option<&mut Process> {
        self.process.as_mut()
    }

    /// Fails if it has ended by itself.
    ///
    /// # Errors
    ///
    /// With its last words.
    pub fn check(&mut self) -> anyhow::Result<()> {
        self.process.as_mut().context("the box is off")?.check()
    }

    /// Runs a command of `otscert-device` on this box.
    ///
    /// # Errors
    ///
    /// If it fails.
    pub fn run(&self, arguments: &[&str]) -> anyhow::Result<String> {
        let Output {
            status,
            stdout,
            stderr,
        } = self.command(arguments)?.output()?;
        let (out, err) = (
            String::from_utf8_lossy(&stdout),
            String::from_utf8_lossy(&stderr),
        );
        ensure!(
            status.success(),
            "otscert-device {arguments:?} failed:\n{out}{err}"
        );
        Ok(out.into_owned())
    }

    /// That command as one would type it into a shell.
    ///
    /// # Errors
    ///
    /// If there is no such program.
    pub fn shell_words(&self, arguments: &[&str]) -> anyhow::Result<String> {
        let command = self.command(arguments)?;
        let words = std::iter::once(command.get_program()).chain(command.get_args());
        let quoted = words.map(|word| format!("'{}'", word.to_string_lossy()));
        Ok(quoted.collect::<Vec<_>>().join(" "))
    }

    /// What is going on.
    ///
    /// # Errors
    ///
    /// If the box does not answer.
    pub async fn status(&self) -> anyhow::Result<Value> {
        Ok(ask(&self.folder.join("control.sock"), Request::Status).await?)
    }

    /// Waits until its page is on HTTPS, and returns its URL.
    ///
    /// # Errors
    ///
    /// If it is not in time: with the status.
    pub async fn on_https(&mut self, limit: Duration) -> anyhow::Result<String> {
        let socket = self.folder.join("control.sock");
        let process = self.process.as_mut().context("the box is off")?;
        let waited = eventually(limit, "the box's page is on HTTPS", || {
            let ended = process.check();
            let socket = socket.clone();
            async move {
                ended?;
                let status = match ask(&socket, Request::Status).await {
                    Ok(status) => status,
                    Err(error) => return Ok(Tried::Not(format!("{error}"))),
                };
                let url = status["urls"][0].as_str().map(ToOwned::to_owned);
                Ok(Tried::of(
                    url.filter(|_| status["https"] == true),
                    brief(&status),
                ))
            }
        });
        waited.await.with_context(|| self.last_words())
    }

    /// The folder of its config, storage and log.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The last lines that it printed.
    #[must_use]
    pub fn last_words(&self) -> String {
        let log = self.folder.join("device.log");
        format!("the box's last words:\n{}", last_words(&log))
    }

    fn on_disk(&self) -> anyhow::Result<&SmallDisk> {
        self.disk.as_ref().context("the box has no small disk")
    }

    fn command(&self, arguments: &[&str]) -> anyhow::Result<Command> {
        let mut command = Command::new(program("otscert-device")?);
        command
            .arg("--config")
            .arg(self.folder.join("device.toml"))
            .args(arguments);
        command.env("NO_COLOR", "1");
        Ok(match &self.disk {
            Some(disk) => disk.around(&command),
            None => command,
        })
    }
}

/// A box inside this process: the same library, one compiled component for all of them.
#[derive(Debug)]
pub struct BoxInside {
    folder: PathBuf,
    bundle: Bundle,
    options: BoxOptions,
    handle: Option<DeviceHandle>,
}

impl BoxInside {
    /// A box as it leaves the factory.
    ///
    /// # Errors
    ///
    /// If the image bundle is unusable.
    pub fn new(folder: &Path, bundle: &Path, options: BoxOptions) -> anyhow::Result<Self> {
        let bundle = Bundle::read(bundle)?;
        Ok(Self {
            folder: folder.to_owned(),
            bundle,
            options,
            handle: None,
        })
    }

    /// Power on.
    ///
    /// # Errors
    ///
    /// If the storage folder or a port cannot be had.
    pub async fn start(&mut self) -> anyhow::Result<()> {
        let board = LinuxBoard::open(LinuxBoardConfig {
            storage: self.folder.clone(),
            addresses: AddressSource::Fixed(self.options.addresses.clone()),
            danger_loopback: true,
            sources: self.options.sources.clone(),
            trust_anchors: TrustAnchors::None,
            clock: ClockSource::Says(ClockTrust::Trusted),
            build_time_ms: BUILD_TIME_MS,
        })?;
        let port = self
            .options
            .page
            .then_some(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)));
        let config = DeviceConfig {
            model: self.options.model.clone(),
            http: port,
            https: port,
            recreate_after_every_event: self.options.recreate_after_every_event,
            ..DeviceConfig::new(self.bundle.clone(), "1.0.0", BUILD_TIME_MS)
        };
        self.handle = Some(Device::spawn(config, Arc::new(board), shared_machine()?).await?);
        Ok(())
    }

    /// Power cut.
    pub async fn kill(&mut self) {
        if let Some(handle) = self.handle.take() {
            handle.kill().await;
        }
    }

    /// The running box.
    ///
    /// # Errors
    ///
    /// If it is off.
    pub fn handle(&self) -> anyhow::Result<&DeviceHandle> {
        self.handle.as_ref().context("the box is off")
    }

    /// What is going on.
    ///
    /// # Errors
    ///
    /// If it is off.
    pub fn status(&self) -> anyhow::Result<Status> {
        Ok(self.handle()?.status())
    }

    /// Waits until it serves HTTPS, or would; returns its first URL, or name.
    ///
    /// # Errors
    ///
    /// If it does not in time: with the status.
    pub async fn on_https(&self, limit: Duration) -> anyhow::Result<String> {
        let handle = self.handle()?;
        let page = self.options.page;
        eventually(limit, "the box is on HTTPS", || async move {
            let status = handle.status();
            let ready = if page {
                status.https
            } else {
                status.progress.credential_version > 0
            };
            let url = status
                .urls
                .first()
                .or(status.progress.names.first())
                .cloned();
            let instead = (
                &status.progress.state,
                &status.progress.reason,
                &status.trouble,
            );
            Ok(Tried::of(
                url.filter(|_| ready),
                (instead, &status.last_exchange),
            ))
        })
        .await
    }
}

/// The shipped component, compiled once for all boxes of this process.
///
/// # Errors
///
/// If the build is broken.
pub fn shared_machine() -> anyhow::Result<Arc<Machine>> {
    static MACHINE: Mutex<Option<Arc<Machine>>> = Mutex::new(None);
    let mut machine = MACHINE.lock().unwrap_or_else(PoisonError::into_inner);
    if machine.is_none() {
        *machine = Some(Arc::new(Machine::shipped()?));
    }
    machine.clone().context("just made")
}

/// A device as the config has it.
fn or_none(path: Option<&Path>) -> String {
    path.map_or_else(|| "none".to_owned(), |path| path.display().to_string())
}

fn brief(status: &Value) -> String {
    let part = |key: &str| status[key].to_string();
    ["state", "reason", "trouble", "last_exchange"]
        .map(part)
        .join(" ")
}

/// 2026-11-01.
const BUILD_TIME_MS: u64 = 1_793_491_200_000;
const LOG: &str = "info,otscert_device=debug";
const STOP_LIMIT: Duration = Duration::from_secs(20);
