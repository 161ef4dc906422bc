//! A whole box in one process: machine, loop, page and control socket.

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use rustls::crypto::aws_lc_rs;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::{JoinHandle, JoinSet};
use tokio_util::sync::CancellationToken;

use crate::admin::{AdminServer, ListenError};
use crate::board::{Board, LinuxBoard, LinuxBoardConfig, LinuxBoardError};
use crate::bundle::{Bundle, BundleError};
use crate::config::Config;
use crate::control::{ControlError, ControlSocket, give};
use crate::host::Outbox;
use crate::hq::{HqClient, Patience, PinnedKeysError};
use crate::machine::Machine;
use crate::record::{Record, RecordError};
use crate::run::{Command, Driver, Failures, Farewell, Order, Retired, Rhythm, RunError};
use crate::status::Status;
use crate::types::{ClaimCode, Progress, StartConfig, UnitCredential};
use crate::unit::{self, UnitFileError};

/// What a box is made of, besides its board and the component.
#[derive(Debug, Clone)]
pub struct DeviceConfig {
    /// The image bundle.
    pub bundle: Bundle,
    /// Version of the firmware.
    pub firmware: String,
    /// Build date of the image, milliseconds since 1970.
    pub build_time_ms: u64,
    /// The model, where it is not the bundle's.
    pub model: Option<String>,
    /// How HQ may know this unit.
    pub credential: UnitCredential,
    /// Makes keys also where only HQ could compute them.
    pub hq_trusted: bool,
    /// Where HTTP listens, if anywhere; port 0 for one of the system's choice.
    pub http: Option<SocketAddr>,
    /// Where HTTPS listens, if anywhere; port 0 for one of the system's choice.
    pub https: Option<SocketAddr>,
    /// Names and addresses, besides the box's own, by which its page may be asked for.
    pub hosts: Vec<String>,
    /// The control socket, if there is to be one.
    pub control: Option<PathBuf>,
    /// Where the event log goes: what the machine is told and does, without secrets. None: there is none.
    pub record: Option<PathBuf>,
    /// How long the parts of an exchange with HQ may take.
    pub patience: Patience,
    /// How often the loop does what nobody asks it to.
    pub rhythm: Rhythm,
    /// Throws the instance away after every input and goes on with a new one: for tests that everything is in
    /// storage.
    pub recreate_after_every_event: bool,
}

impl DeviceConfig {
    /// The usual: no page, no control socket, the bundle's model, trust on first use.
    #[must_use]
    pub fn new(bundle: Bundle, firmware: impl Into<String>, build_time_ms: u64) -> Self {
        Self {
            bundle,
            firmware: firmware.into(),
            build_time_ms,
            model: None,
            credential: UnitCredential::default(),
            hq_trusted: false,
            http: None,
            https: None,
            hosts: Vec::new(),
            control: None,
            record: None,
            patience: Patience::default(),
            rhythm: Rhythm::default(),
            recreate_after_every_event: false,
        }
    }

    /// As the program's config says. Reads the image bundle and the unit file.
    ///
    /// # Errors
    ///
    /// [`DeviceConfigError`] names the file and the field.
    pub fn of(config: &Config) -> Result<Self, DeviceConfigError> {
        let bundle = Bundle::read(&config.bundle)?;
        Ok(Self {
            credential: credential(config.unit.as_deref())?,
            model: config.model.clone(),
            hq_trusted: config.hq_trusted,
            http: config.http,
            https: config.https,
            hosts: config.hosts.clone(),
            control: Some(config.control.clone()),
            record: config.record.clone(),
            ..Self::new(bundle, config.firmware.clone(), config.build_time_ms)
        })
    }
}

/// Why the program's config makes no box.
#[derive(Debug, thiserror::Error)]
pub enum DeviceConfigError {
    /// The image bundle.
    #[error(transparent)]
    Bundle(#[from] BundleError),
    /// The unit file.
    #[error(transparent)]
    Unit(#[from] UnitFileError),
}

/// What the factory wrote into this unit. Where it wrote nothing the box does without: its board may have been
/// replaced, and HQ's policy decides.
fn credential(unit: Option<&Path>) -> Result<UnitCredential, UnitFileError> {
    let Some(path) = unit else {
        return Ok(UnitCredential::default());
    };
    let read = unit::read(path)?;
    if read.is_none() {
        tracing::warn!(
            path = %path.display(),
            "there is no unit file, so this unit has nothing to show; HQ may refuse it. The factory writes it"
        );
    }
    Ok(read.unwrap_or_default())
}

/// The board that the program's config describes.
///
/// # Errors
///
/// [`LinuxBoardError`] names what cannot be used.
pub fn linux_board(config: &Config) -> Result<LinuxBoard, LinuxBoardError> {
    LinuxBoard::open(LinuxBoardConfig {
        storage: config.storage.clone(),
        addresses: config.addresses.clone(),
        danger_loopback: config.danger_loopback,
        sources: config.sources.clone(),
        trust_anchors: config.trust_anchors.clone(),
        clock: config.clock,
        build_time_ms: config.build_time_ms,
    })
}

/// Why a box did not start.
#[derive(Debug, thiserror::Error)]
pub enum SpawnError {
    /// The image bundle's TLS root.
    #[error("the image bundle cannot be used")]
    Pin(#[from] PinnedKeysError),
    /// The page.
    #[error("the admin page cannot be served")]
    Listen(#[from] ListenError),
    /// The control socket.
    #[error("the control socket cannot be used")]
    Control(#[from] ControlError),
    /// The event log.
    #[error("the box cannot be recorded")]
    Record(#[from] RecordError),
}

/// A box.
#[derive(Debug)]
pub struct Device;

impl Device {
    /// Starts a box on a board. One compiled machine serves any number of boxes.
    ///
    /// # Errors
    ///
    /// [`SpawnError`] names what the box cannot have.
    pub async fn spawn(
        config: DeviceConfig,
        board: Arc<dyn Board>,
        machine: Arc<Machine>,
    ) -> Result<DeviceHandle, SpawnError> {
        let stop = CancellationToken::new();
        let (status, watch) = watch::channel(initial_status(&config, &machine));
        let control = match &config.control {
            Some(path) => Some(ControlSocket::bind(path).await?),
            None => None,
        };
        let (commands, orders) = mpsc::channel(MAX_COMMANDS);
        let way = Some(commands.clone());
        let driver = driver(&config, board, machine, status, way, stop.clone(), None)?;
        let control = control.map(|control| {
            tokio::spawn(control.serve(commands.clone(), watch.clone(), stop.clone()))
        });
        let server = Arc::clone(&driver.server);
        let running = tokio::spawn(driver.run(orders, stop.clone(), Vec::new()));
        Ok(DeviceHandle {
            commands,
            status: watch,
            stop,
            server,
            control,
            running: Some(running),
        })
    }

    /// Resets a box that is not running: starts it without a page, tells it to reset, and carries its `retire` to HQ.
    ///
    /// Returns once HQ has taken it, or when there was nothing to retire. Dropping the future stops it; what was
    /// not delivered is delivered when the box runs again.
    ///
    /// # Errors
    ///
    /// [`ResetError`] says why it did not even start.
    pub async fn reset(
        config: DeviceConfig,
        board: Arc<dyn Board>,
        machine: Arc<Machine>,
    ) -> Result<Retired, ResetError> {
        let stop = CancellationToken::new();
        let _stops_with_this_future = stop.clone().drop_guard();
        let config = DeviceConfig {
            http: None,
            https: None,
            control: None,
            ..config
        };
        let (status, _watch) = watch::channel(initial_status(&config, &machine));
        let (done, retired) = oneshot::channel();
        let farewell = Farewell::new(done);
        let driver = driver(
            &config,
            board,
            machine,
            status,
            None,
            stop.clone(),
            Some(farewell),
        )?;
        let (_commands, orders) = mpsc::channel(MAX_COMMANDS);
        driver.run(orders, stop, vec![Order::Reset]).await?;
        retired.await.map_err(|_dropped| ResetError::Interrupted)
    }
}

/// Why a reset of a box that is not running failed.
#[derive(Debug, thiserror::Error)]
pub enum ResetError {
    /// The box could not be started.
    #[error("the box could not be started for the reset")]
    Spawn(#[from] SpawnError),
    /// The machine refuses its config.
    #[error("the box could not be reset")]
    Run(#[from] RunError),
    /// It was stopped before it was done.
    #[error("the reset was interrupted; `retire` is delivered when the box runs again")]
    Interrupted,
}

/// A running box. Dropping it stops the box without grace.
#[derive(Debug)]
pub struct DeviceHandle {
    commands: mpsc::Sender<Command>,
    status: watch::Receiver<Status>,
    stop: CancellationToken,
    server: Arc<AdminServer>,
    control: Option<JoinHandle<()>>,
    running: Option<JoinHandle<Result<(), RunError>>>,
}

impl DeviceHandle {
    /// What is going on.
    #[must_use]
    pub fn status(&self) -> Status {
        self.status.borrow().clone()
    }

    /// What is going on, as it changes.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<Status> {
        self.status.clone()
    }

    /// Where HTTP listens.
    #[must_use]
    pub fn http_address(&self) -> Option<SocketAddr> {
        self.server.http_address()
    }

    /// Where HTTPS listens, or will.
    #[must_use]
    pub fn https_address(&self) -> Option<SocketAddr> {
        self.server.https_address()
    }

    /// Asks for a new certificate with a new key; returns once the machine has taken note.
    ///
    /// # Errors
    ///
    /// [`OrderError`] says why it did not.
    pub async fn renew(&self) -> Result<(), OrderError> {
        self.order(Order::Renew).await
    }

    /// Asks for a factory reset; returns once the machine has taken note.
    ///
    /// # Errors
    ///
    /// [`OrderError`] says why it did not.
    pub async fn reset(&self) -> Result<(), OrderError> {
        self.order(Order::Reset).await
    }

    /// Hands over the code on the label, as its owner typed it; returns once the machine has taken note.
    ///
    /// # Errors
    ///
    /// [`OrderError`] says why it did not: its check symbol is wrong, for example.
    pub async fn claim(&self, code: ClaimCode) -> Result<(), OrderError> {
        self.order(Order::ClaimCode(code)).await
    }

    /// Says what the box's addresses are from now on, whatever its interfaces say.
    ///
    /// # Errors
    ///
    /// [`OrderError`] says why the machine did not take note.
    pub async fn set_addresses(&self, addresses: Vec<IpAddr>) -> Result<(), OrderError> {
        self.order(Order::Addresses(addresses)).await
    }

    /// Waits until the box stops by itself, which it does only when its config is of no use. May be dropped and
    /// called again.
    ///
    /// # Errors
    ///
    /// [`RunError`] says why it stopped.
    pub async fn ended(&mut self) -> Result<(), RunError> {
        match &mut self.running {
            None => Ok(()),
            Some(running) => {
                let ended = running.await;
                self.running = None;
                // A panic of the loop is this host's bug; the box has stopped either way.
                ended.unwrap_or(Ok(()))
            }
        }
    }

    /// Stops the box: no new work, open connections come to their end.
    ///
    /// # Errors
    ///
    /// [`RunError`] if it had stopped by itself.
    pub async fn shutdown(mut self) -> Result<(), RunError> {
        self.stop().await
    }

    /// Stops the box as a power cut would, but for the call of the machine that is under way: nothing more is stored
    /// or sent. When this returns, the storage folder, the ports and the control socket are free.
    pub async fn kill(mut self) {
        let _ended = self.stop().await;
    }

    async fn stop(&mut self) -> Result<(), RunError> {
        self.stop.cancel();
        let ended = self.ended().await;
        if let Some(control) = self.control.take() {
            // It ends with the stop token; a panic in it has ended it as well.
            let _ended = control.await;
        }
        self.server.stopped().await;
        ended
    }

    async fn order(&self, order: Order) -> Result<(), OrderError> {
        give(&self.commands, order)
            .await
            .map_err(|reason| OrderError { reason })
    }
}

impl Drop for DeviceHandle {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// Why an order was not taken.
#[derive(Debug, thiserror::Error)]
#[error("the box did not take the order: {reason}")]
pub struct OrderError {
    reason: String,
}

fn driver(
    config: &DeviceConfig,
    board: Arc<dyn Board>,
    machine: Arc<Machine>,
    status: watch::Sender<Status>,
    commands: Option<mpsc::Sender<Command>>,
    stop: CancellationToken,
    farewell: Option<Farewell>,
) -> Result<Driver, SpawnError> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let client = |bundle: &Bundle| {
        HqClient::new(bundle, Arc::clone(&provider), config.patience).map(Arc::new)
    };
    let hq = client(&config.bundle)?;
    let seeder = config.bundle.seeder.as_deref().map(client).transpose()?;
    let server = AdminServer::start(
        config.http,
        config.https,
        config.hosts.clone(),
        status.subscribe(),
        commands,
        provider,
        stop,
    )?;
    status.send_modify(|status| {
        status.http_address = server.http_address();
        status.https_address = server.https_address();
    });
    let start = StartConfig {
        hq_id: config.bundle.hq_id.clone(),
        roots: config.bundle.protocol_roots.clone(),
        seeder: config.bundle.seeder.as_deref().map(|seeder| {
            let Bundle {
                hq_id,
                protocol_roots,
                ..
            } = seeder;
            (hq_id.clone(), protocol_roots.clone())
        }),
        model: model(config).to_owned(),
        firmware: config.firmware.clone(),
        build_time_ms: config.build_time_ms,
        personal: board.personal(),
        credential: config.credential.clone(),
        hq_trusted: config.hq_trusted,
        assessments: config.bundle.assessments.clone(),
        durable_storage: board.storage_is_durable(),
    };
    let record = config.record.as_deref();
    let record = record.map(|path| Record::begin(path, &start)).transpose()?;
    Ok(Driver {
        machine,
        board,
        record: record.map(Arc::new),
        start: Arc::new(start),
        hq,
        seeder,
        server: Arc::new(server),
        status,
        recreate_after_every_event: config.recreate_after_every_event,
        rhythm: config.rhythm,
        outbox: Outbox::default(),
        exchanges: JoinSet::new(),
        instance: None,
        addresses: None,
        fixed_addresses: false,
        next_look: Instant::now() + config.rhythm.addresses,
        failures: Failures::default(),
        refused_version: None,
        farewell,
    })
}

fn initial_status(config: &DeviceConfig, machine: &Machine) -> Status {
    Status {
        progress: Progress::default(),
        randomness: None,
        label_seals: config
            .credential
            .claim_code
            .as_ref()
            .is_some_and(ClaimCode::is_long),
        https: false,
        addresses: Vec::new(),
        urls: Vec::new(),
        certificate: None,
        trouble: None,
        last_exchange: None,
        restarts: 0,
        component_sha256: machine.sha256().to_owned(),
        model: model(config).to_owned(),
        firmware: config.firmware.clone(),
        hq_id: config.bundle.hq_id.clone(),
        http_address: None,
        https_address: None,
        next_try: None,
    }
}

fn model(config: &DeviceConfig) -> &str {
    config.model.as_deref().unwrap_or(&config.bundle.model)
}

/// Orders that wait while the machine works.
const MAX_COMMANDS: usize = 8;

#[cfg(test)]
mod tests;
