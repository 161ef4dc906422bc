//! Whole boxes with the shipped component, and an HQ that does not exist or says little.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, OnceLock};
use std::time::Duration;

use otscert_component::{COMPONENT, Limits};
use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair};
use rustls::RootCertStore;
use rustls_pki_types::CertificateDer;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

use super::*;
use crate::board::{AddressSource, ClockSource, SampleError, Source, SourcesConfig};
use crate::bundle::Origin;
use crate::config::TrustAnchors;
use crate::control::{Request, ask};
use crate::storage::{Key, Records, StorageError};
use crate::types::{ClockTrust, Moment};

#[tokio::test]
async fn a_fresh_box_contacts_hq_and_serves_its_page_meanwhile() {
    let hq = PlainHq::start().await;
    let folder = tempfile::tempdir().unwrap();
    let handle = spawn(config(&hq.origin), board(&folder)).await;
    let message = hq.message(0).await;
    assert!(
        message.starts_with("POST /otscert/v1/contact HTTP/1.1\r\n"),
        "{message}"
    );
    assert!(
        message.contains("content-type: application/jose+json"),
        "{message}"
    );
    let body = message.split("\r\n\r\n").nth(1).unwrap();
    let body: serde_json::Value = serde_json::from_str(body).unwrap();
    assert!(body.is_object(), "{body}");

    let status = handle.status();
    assert!(!status.https && status.certificate.is_none());
    assert_eq!(status.component_sha256, otscert_component::sha256_hex());
    let page = get(handle.http_address().unwrap(), "/").await;
    assert!(page.starts_with("HTTP/1.1 200"), "{page}");
    assert!(page.contains("setting up HTTPS"), "{page}");
    handle.shutdown().await.unwrap();
}

#[tokio::test]
async fn after_a_restart_the_same_request_is_sent_again_byte_for_byte() {
    let hq = PlainHq::start().await;
    let folder = tempfile::tempdir().unwrap();
    let handle = spawn(config(&hq.origin), board(&folder)).await;
    let first = hq.message(0).await;
    handle.kill().await;
    let handle = spawn(config(&hq.origin), board(&folder)).await;
    let second = hq.message(1).await;
    assert_eq!(first, second);
    handle.kill().await;
    assert_eq!(resumptions(&folder), 2);
}

#[tokio::test]
async fn an_instance_that_is_dropped_after_every_event_says_the_same() {
    let hq = PlainHq::start().await;
    let folder = tempfile::tempdir().unwrap();
    let config = DeviceConfig {
        recreate_after_every_event: true,
        ..config(&hq.origin)
    };
    let handle = spawn(config, board(&folder)).await;
    let _contact = hq.message(0).await;
    handle.renew().await.unwrap();
    handle
        .set_addresses(vec!["192.168.9.9".parse().unwrap()])
        .await
        .unwrap();
    let status = handle.status();
    assert_eq!((status.trouble, status.restarts), (None, 0));
    assert_eq!(status.progress.state, "AwaitingContact");
    handle.kill().await;
    // The first start, and one after each of three inputs at least.
    assert!(resumptions(&folder) >= 4);
}

#[tokio::test]
async fn without_hq_the_status_says_what_was_tried_and_when_it_is_tried_again() {
    let folder = tempfile::tempdir().unwrap();
    let handle = spawn(config(&nobody().await), board(&folder)).await;
    let status = until(&handle, |status| {
        status.last_exchange.is_some() && status.next_try.is_some()
    })
    .await;
    assert!(
        status.last_exchange.unwrap().contains("no connection"),
        "the exchange's own words"
    );
    assert!(
        status.progress.reason.contains("no connection"),
        "{}",
        status.progress.reason
    );
    let page = get(handle.http_address().unwrap(), "/").await;
    assert!(page.contains("Next step: "), "{page}");
    handle.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_full_disk_is_reported_and_the_box_goes_on_when_there_is_room() {
    let hq = PlainHq::start().await;
    let folder = tempfile::tempdir().unwrap();
    let board = Arc::new(Unreliable::new(board(&folder)));
    board.full.store(true, Ordering::Relaxed);
    let handle = spawn(config(&hq.origin), Arc::clone(&board)).await;
    let status = until(&handle, |status| status.trouble.is_some()).await;
    let trouble = status.trouble.unwrap();
    assert!(
        trouble.contains("could not store") && trouble.contains("room"),
        "{trouble}"
    );
    assert_eq!(hq.count(), 0, "nothing is sent that is not stored");
    // The page says so, too.
    assert!(
        get(handle.http_address().unwrap(), "/")
            .await
            .contains("could not store")
    );

    board.full.store(false, Ordering::Relaxed);
    let _contact = hq.message(0).await;
    until(&handle, |status| status.trouble.is_none()).await;
    handle.kill().await;
}

#[tokio::test]
async fn a_panic_below_a_call_costs_the_instance_and_nothing_else() {
    let hq = PlainHq::start().await;
    let folder = tempfile::tempdir().unwrap();
    let board = Arc::new(Unreliable::new(board(&folder)));
    // The first writes are the host's count and the machine's own record.
    board.panic_at_write.store(2, Ordering::Relaxed);
    let handle = spawn(config(&hq.origin), Arc::clone(&board)).await;
    let _contact = hq.message(0).await;
    let status = until(&handle, |status| status.trouble.is_none()).await;
    assert_eq!(status.restarts, 1);
    handle.kill().await;
}

#[tokio::test]
async fn a_component_that_uses_up_its_fuel_is_started_afresh_ever_more_slowly() {
    let folder = tempfile::tempdir().unwrap();
    let limits = Limits {
        fuel: 2_000,
        ..Limits::default()
    };
    let machine = Arc::new(Machine::from_bytes(COMPONENT, limits).unwrap());
    let rhythm = Rhythm {
        longest_pause: Duration::from_millis(8),
        ..quick()
    };
    let config = DeviceConfig {
        rhythm,
        ..config(&nobody().await)
    };
    let handle = Device::spawn(config, board(&folder), machine)
        .await
        .unwrap();
    let status = until(&handle, |status| status.restarts >= 5).await;
    let trouble = status.trouble.unwrap();
    assert!(
        trouble.contains("is started afresh from storage"),
        "{trouble}"
    );
    // The page is served all the same.
    assert!(
        get(handle.http_address().unwrap(), "/")
            .await
            .starts_with("HTTP/1.1 200")
    );
    handle.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_config_that_the_machine_refuses_ends_the_box_and_names_the_field() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = config(&nobody().await);
    config.bundle.hq_id = String::new();
    let mut handle = spawn(config, board(&folder)).await;
    let error = handle.ended().await.unwrap_err();
    let RunError::Config(source) = error else {
        panic!("{error:?}")
    };
    assert!(source.to_string().contains("hq-id"), "{source}");
}

#[tokio::test]
async fn a_killed_box_frees_its_folder_its_ports_and_its_socket() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("control.sock");
    let mut config = DeviceConfig {
        control: Some(socket.clone()),
        ..config(&nobody().await)
    };
    for _ in 0..3 {
        let handle = spawn(config.clone(), board(&folder)).await;
        let answer = ask(&socket, Request::Status).await.unwrap();
        assert_eq!(answer["component_sha256"], otscert_component::sha256_hex());
        // The next one takes the very same port.
        config.http = handle.http_address();
        handle.kill().await;
        assert!(!socket.exists());
    }
}

#[tokio::test]
async fn the_order_to_renew_over_the_socket_reaches_the_machine() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("control.sock");
    let config = DeviceConfig {
        control: Some(socket.clone()),
        ..config(&nobody().await)
    };
    let handle = spawn(config, board(&folder)).await;
    ask(&socket, Request::Renew).await.unwrap();
    ask(&socket, Request::Reset).await.unwrap();
    assert_eq!(handle.status().trouble, None);
    handle.kill().await;
}

#[tokio::test]
async fn a_box_that_was_never_enrolled_is_reset_without_a_word_to_hq() {
    let hq = PlainHq::start().await;
    let folder = tempfile::tempdir().unwrap();
    let retired = Device::reset(config(&hq.origin), board(&folder), machine())
        .await
        .unwrap();
    assert_eq!(retired, Retired::Nothing);
    assert_eq!(hq.count(), 0);
}

#[tokio::test]
async fn a_reset_that_cannot_be_stored_says_so_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let board = Arc::new(Unreliable::new(board(&folder)));
    board.full.store(true, Ordering::Relaxed);
    let error = Device::reset(config(&nobody().await), board, machine())
        .await
        .unwrap_err();
    let ResetError::Run(RunError::Reset(source)) = error else {
        panic!("{error:?}")
    };
    assert!(source.to_string().contains("could not store"), "{source}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn thirty_boxes_share_one_process_and_one_compiled_component() {
    let hq = PlainHq::start().await;
    let folders: Vec<TempDir> = (0..30).map(|_| tempfile::tempdir().unwrap()).collect();
    let mut handles = Vec::new();
    for folder in &folders {
        handles.push(spawn(config(&hq.origin), board(folder)).await);
    }
    hq.message(29).await;
    let ports: std::collections::BTreeSet<_> =
        handles.iter().map(DeviceHandle::https_address).collect();
    assert_eq!(ports.len(), 30);
    for handle in handles {
        handle.kill().await;
    }
}

/// An HQ that takes requests over plain HTTP, keeps them and never answers.
struct PlainHq {
    origin: String,
    messages: Arc<Mutex<Vec<String>>>,
    arrived: Arc<tokio::sync::Notify>,
}

impl PlainHq {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let origin = format!("http://{}", listener.local_addr().unwrap());
        let messages: Arc<Mutex<Vec<String>>> = Arc::default();
        let arrived = Arc::new(tokio::sync::Notify::new());
        let (kept, told) = (Arc::clone(&messages), Arc::clone(&arrived));
        tokio::spawn(async move {
            loop {
                let (mut stream, _peer) = listener.accept().await.unwrap();
                let (kept, told) = (Arc::clone(&kept), Arc::clone(&told));
                tokio::spawn(async move {
                    let mut message = Vec::new();
                    while !is_whole(&message) {
                        let mut part = [0; 4096];
                        match stream.read(&mut part).await {
                            Ok(got) if got > 0 => message.extend_from_slice(&part[..got]),
                            _ => return,
                        }
                    }
                    kept.lock()
                        .unwrap()
                        .push(String::from_utf8(message).unwrap());
                    told.notify_waiters();
                    // Until the box hangs up.
                    let _closed = stream.read(&mut [0; 1]).await;
                });
            }
        });
        Self {
            origin,
            messages,
            arrived,
        }
    }

    async fn message(&self, index: usize) -> String {
        let waiting = async {
            loop {
                let arrived = self.arrived.notified();
                if let Some(message) = self.messages.lock().unwrap().get(index) {
                    return message.clone();
                }
                arrived.await;
            }
        };
        timeout(PATIENCE, waiting)
            .await
            .expect("the box sends its message")
    }

    fn count(&self) -> usize {
        self.messages.lock().unwrap().len()
    }
}

fn is_whole(message: &[u8]) -> bool {
    let text = String::from_utf8_lossy(message);
    let Some((head, body)) = text.split_once("\r\n\r\n") else {
        return false;
    };
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "))
        .unwrap();
    body.len() >= length.parse().unwrap()
}

/// A board whose storage can be made to fail.
struct Unreliable {
    board: Arc<LinuxBoard>,
    full: AtomicBool,
    panic_at_write: AtomicUsize,
    writes: AtomicUsize,
}

impl Unreliable {
    fn new(board: Arc<LinuxBoard>) -> Self {
        Self {
            board,
            full: AtomicBool::new(false),
            panic_at_write: AtomicUsize::new(usize::MAX),
            writes: AtomicUsize::new(0),
        }
    }
}

impl Records for Unreliable {
    fn read(&self, key: &Key) -> Result<Option<Vec<u8>>, StorageError> {
        self.board.records().read(key)
    }

    fn write(&self, key: &Key, value: &[u8]) -> Result<(), StorageError> {
        let write = self.writes.fetch_add(1, Ordering::Relaxed);
        assert_ne!(
            write,
            self.panic_at_write.load(Ordering::Relaxed),
            "the panic that the test is about"
        );
        if self.full.load(Ordering::Relaxed) {
            return Err(StorageError::Full {
                key: key.to_string(),
            });
        }
        self.board.records().write(key, value)
    }

    fn remove(&self, key: &Key) -> Result<(), StorageError> {
        self.board.records().remove(key)
    }
}

impl Board for Unreliable {
    fn sources(&self) -> Vec<Source> {
        self.board.sources()
    }

    fn sample(&self, source: u32, len: usize) -> Result<Vec<u8>, SampleError> {
        self.board.sample(source, len)
    }

    fn records(&self) -> &dyn Records {
        self
    }

    fn addresses(&self) -> Vec<IpAddr> {
        self.board.addresses()
    }

    fn personal(&self) -> Vec<u8> {
        self.board.personal()
    }

    fn trust_anchors(&self) -> Option<Arc<RootCertStore>> {
        self.board.trust_anchors()
    }

    fn now(&self) -> Moment {
        self.board.now()
    }
}

async fn spawn(config: DeviceConfig, board: Arc<impl Board>) -> DeviceHandle {
    Device::spawn(config, board, machine()).await.unwrap()
}

fn machine() -> Arc<Machine> {
    static MACHINE: OnceLock<Arc<Machine>> = OnceLock::new();
    Arc::clone(MACHINE.get_or_init(|| Arc::new(Machine::shipped().unwrap())))
}

fn board(folder: &TempDir) -> Arc<LinuxBoard> {
    let board = LinuxBoard::open(LinuxBoardConfig {
        storage: folder.path().join("state"),
        addresses: AddressSource::Fixed(vec!["192.168.1.7".parse().unwrap()]),
        danger_loopback: true,
        sources: SourcesConfig {
            system_generator: true,
            ..SourcesConfig::none()
        },
        trust_anchors: TrustAnchors::None,
        clock: ClockSource::Says(ClockTrust::Unset),
        build_time_ms: BUILT,
    });
    Arc::new(board.unwrap())
}

fn config(origin: &str) -> DeviceConfig {
    let any = Some(SocketAddr::from(([127, 0, 0, 1], 0)));
    let bundle = Bundle {
        hq_id: "hq.test".to_owned(),
        origins: vec![Origin::parse(origin).unwrap()],
        protocol_roots: vec![[1; 32], [2; 32]],
        tls_roots: vec![some_root()],
        model: "test".to_owned(),
        zone: "boxes.test".to_owned(),
        assessments: Vec::new(),
        seeder: None,
    };
    DeviceConfig {
        http: any,
        https: any,
        rhythm: quick(),
        ..DeviceConfig::new(bundle, "1.0", BUILT)
    }
}

fn quick() -> Rhythm {
    Rhythm {
        first_pause: Duration::from_millis(1),
        longest_pause: Duration::from_millis(50),
        ..Rhythm::default()
    }
}

fn some_root() -> CertificateDer<'static> {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new([]).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.self_signed(&key).unwrap().der().clone()
}

async fn nobody() -> String {
    format!(
        "http://{}",
        TcpListener::bind("127.0.0.1:0")
            .await
            .unwrap()
            .local_addr()
            .unwrap()
    )
}

async fn until(handle: &DeviceHandle, wanted: impl Fn(&Status) -> bool) -> Status {
    let mut watch = handle.watch();
    let found = timeout(PATIENCE, watch.wait_for(|status| wanted(status))).await;
    found
        .expect("it comes to that")
        .expect("the box runs")
        .clone()
}

async fn get(address: SocketAddr, path: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

/// How often new instances were begun in a folder.
fn resumptions(folder: &TempDir) -> u64 {
    let key = Key::of_host("resumptions");
    let bytes = board(folder).records().read(&key).unwrap().unwrap();
    u64::from_le_bytes(bytes.try_into().unwrap())
}

const BUILT: u64 = 1_793_500_000_000;
/// Only a test that fails waits for so long.
const PATIENCE: Duration = Duration::from_secs(60);
