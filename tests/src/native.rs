//! A box without component or process: the native machine, memory for storage, and every byte that
//! it exchanges with HQ written down.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use otscert_crypto::RustCrypto;
use otscert_machine::crypto::Crypto;
use otscert_machine::device::config::Credential;
use otscert_machine::device::drive::{Device, Input};
use otscert_machine::device::progress::Progress;
use otscert_machine::device::{Config, records};
use otscert_machine::entropy::{SampleError, Source, SourceId, SourceKind};
use otscert_machine::host::{Host, HostError};
use otscert_machine::peer::{Answer, Endpoint, Failure, FailureKind, Request};
use otscert_machine::record::{self, RecordKind};
use otscert_machine::time::{ClockTrust, Moment, Monotonic, Timestamp};
use otscert_machine::types::{ExchangeId, ShortText};
use otscert_machine::wire::trust::Roots;
use otscert_replay::Seeded;

use crate::client::Leaf;
use crate::eventually::wall_ms;
use crate::wire::{Poster, Reply};

/// The three imports in memory.
#[derive(Clone, Debug)]
pub struct MemoryHost {
    /// What `sample` gives.
    pub random: Seeded,
    /// It has a generator.
    pub has_source: bool,
    /// Everything that it gave.
    pub given: Vec<Vec<u8>>,
    /// What is stored.
    pub records: BTreeMap<String, Vec<u8>>,
    /// What was submitted and not yet taken.
    pub submitted: VecDeque<(String, ExchangeId, Request)>,
}

impl MemoryHost {
    /// An empty one.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self {
            random: Seeded::new(seed),
            has_source: true,
            given: Vec::new(),
            records: BTreeMap::new(),
            submitted: VecDeque::new(),
        }
    }
}

impl Host for MemoryHost {
    fn sources(&mut self) -> Vec<Source> {
        let system = Source {
            id: SourceId::new(1),
            kind: SourceKind::System,
            family: "system".to_owned(),
            assessment: None,
            observed_step_ns: 0,
            label: "a seed of the test".to_owned(),
        };
        self.has_source.then_some(system).into_iter().collect()
    }

    fn sample(&mut self, source: SourceId, len: u32) -> Result<Vec<u8>, SampleError> {
        match source.number() {
            1 if self.has_source => {
                let bytes = self.random.bytes(len.min(4096) as usize);
                self.given.push(bytes.clone());
                Ok(bytes)
            }
            _ => Err(SampleError::NoSuchSource),
        }
    }

    fn read(&mut self, key: &str) -> Result<Option<Vec<u8>>, HostError> {
        Ok(self.records.get(key).cloned())
    }

    fn write(
        &mut self,
        key: &str,
        value: &[u8],
        _expires: Option<Timestamp>,
    ) -> Result<(), HostError> {
        self.records.insert(key.to_owned(), value.to_vec());
        Ok(())
    }

    fn remove(&mut self, key: &str) -> Result<(), HostError> {
        self.records.remove(key);
        Ok(())
    }

    fn submit(
        &mut self,
        subject: &str,
        exchange: ExchangeId,
        request: &Request,
    ) -> Result<(), HostError> {
        self.submitted
            .push_back((subject.to_owned(), exchange, request.clone()));
        Ok(())
    }
}

/// One exchange, byte for byte.
#[derive(Clone, Debug)]
pub struct Exchange {
    /// Which message.
    pub endpoint: Endpoint,
    /// What the box sent.
    pub request: Vec<u8>,
    /// What HQ answered.
    pub reply: Reply,
}

/// What a native box is made of.
#[derive(Clone)]
pub struct NativeOptions {
    /// Kind of box.
    pub model: String,
    /// Of the bytes that its generator gives; none: it has no generator.
    pub seed: Option<u64>,
    /// The primitives.
    pub crypto: &'static dyn Crypto,
    /// What tells the unit apart.
    pub personal: Vec<u8>,
    /// What it has from its factory.
    pub credential: Credential,
}

impl NativeOptions {
    /// A box of that model whose generator gives the bytes of that seed.
    #[must_use]
    pub fn new(model: &str, seed: u64) -> Self {
        Self {
            model: model.to_owned(),
            seed: Some(seed),
            crypto: &RustCrypto,
            personal: vec![1, 2, 3],
            credential: Credential::default(),
        }
    }
}

/// A box.
pub struct NativeBox {
    /// The machine.
    pub device: Device,
    /// Its storage and randomness.
    pub host: MemoryHost,
    /// Everything it exchanged so far.
    pub log: Vec<Exchange>,
    /// Where it stands.
    pub progress: Progress,
    poster: Poster,
    origin: Instant,
    /// How much the box's monotonic clock runs ahead of real time.
    ahead: Duration,
}

impl NativeBox {
    /// Power on, for the first time.
    ///
    /// # Errors
    ///
    /// If the machine refuses its config.
    pub fn new(poster: &Poster, model: &str, seed: u64) -> anyhow::Result<Self> {
        Self::with(poster, &NativeOptions::new(model, seed))
    }

    /// The same, of whatever is asked for.
    ///
    /// # Errors
    ///
    /// If the machine refuses its config.
    pub fn with(poster: &Poster, options: &NativeOptions) -> anyhow::Result<Self> {
        let mut device = Device::new(config(&poster.roots, options)?)?;
        let mut host = MemoryHost::new(options.seed.unwrap_or_default());
        host.has_source = options.seed.is_some();
        let origin = Instant::now();
        let now = moment(origin, Duration::ZERO);
        let progress = device.advance(&mut host, now, Input::Resumed(1))?;
        let (poster, log) = (poster.clone(), Vec::new());
        Ok(Self {
            device,
            host,
            log,
            progress,
            poster,
            origin,
            ahead: Duration::ZERO,
        })
    }

    /// Hands over an input.
    ///
    /// # Errors
    ///
    /// If the machine refuses it.
    pub fn advance(&mut self, input: Input) -> anyhow::Result<&Progress> {
        let now = self.now();
        self.progress = self.device.advance(&mut self.host, now, input)?;
        Ok(&self.progress)
    }

    /// Sends what the machine submitted, if it submitted anything, and hands the answer over.
    /// Where nothing is submitted, time goes on to the next wake-up, but no more than `patience`.
    ///
    /// # Errors
    ///
    /// If the machine refuses the answer.
    pub async fn turn(&mut self) -> anyhow::Result<()> {
        let Some((exchange, endpoint, body)) = self.outgoing() else {
            self.pass();
            self.advance(Input::Woke)?;
            return Ok(());
        };
        let answer = match self.poster.post(endpoint, body.clone()).await {
            Ok(reply) => {
                self.log.push(Exchange {
                    endpoint,
                    request: body,
                    reply: reply.clone(),
                });
                Answer::Hq(reply.body)
            }
            Err(error) => Answer::Failed(Failure {
                kind: FailureKind::Unreachable,
                detail: format!("{error:#}"),
                retry_after: None,
            }),
        };
        self.advance(Input::Answered { exchange, answer })?;
        Ok(())
    }

    /// Takes what the machine submitted.
    pub fn outgoing(&mut self) -> Option<(ExchangeId, Endpoint, Vec<u8>)> {
        match self.host.submitted.pop_front()? {
            (_, exchange, Request::Hq { endpoint, body }) => Some((exchange, endpoint, body)),
            (_, _, Request::Seeder(_) | Request::Ca(_) | Request::Dns(_)) => None,
        }
    }

    /// Turns until the box has a credential of at least that version and nothing in the air.
    ///
    /// # Errors
    ///
    /// If that does not happen within `limit`.
    pub async fn reach(&mut self, version: u64, limit: Duration) -> anyhow::Result<()> {
        let deadline = Instant::now() + limit;
        loop {
            let settled = !self.progress.busy && self.host.submitted.is_empty();
            if self.progress.credential_version >= version && settled {
                return Ok(());
            }
            if Instant::now() > deadline {
                bail!(
                    "no credential {version} within {limit:?}; instead {:?}",
                    self.progress
                );
            }
            self.turn().await?;
            if self.host.submitted.is_empty() {
                // HQ works with a real CA meanwhile.
                tokio::time::sleep(STEP).await;
            }
        }
    }

    /// The certificate it serves.
    ///
    /// # Errors
    ///
    /// If it serves none.
    pub fn leaf(&self) -> anyhow::Result<Leaf> {
        let pair = self.device.credential().context("no credential")?;
        Leaf::read(pair.chain.first().context("an empty chain")?)
    }

    /// Seed of its identity key, out of its storage.
    ///
    /// # Errors
    ///
    /// If it has none.
    pub fn identity_seed(&self) -> anyhow::Result<[u8; 32]> {
        identity_seed(&self.host)
    }

    /// Lets the box's clocks run ahead to its next wake-up.
    fn pass(&mut self) {
        let now = self.now().monotonic;
        if let Some(wake) = self.progress.wake_at {
            self.ahead += Duration::from_millis(wake.since(now).millis());
        }
    }

    fn now(&self) -> Moment {
        moment(self.origin, self.ahead)
    }
}

/// Seed of the identity key in a box's storage.
pub(crate) fn identity_seed(host: &MemoryHost) -> anyhow::Result<[u8; 32]> {
    let stored = host.records.get(records::DEVICE_KEY);
    let bytes = stored.context("nothing stored")?;
    let device: records::DeviceRecord = record::open(RecordKind::Device, bytes, &RustCrypto)?;
    match device.phase {
        records::Phase::Fresh(_) => bail!("no identity yet"),
        records::Phase::Enrolling(identity, _) => Ok(*identity.seed.expose()),
        records::Phase::Enrolled(member, _) => Ok(*member.identity.seed.expose()),
    }
}

/// The machine's config of such a box.
pub(crate) fn config(roots: &Roots, options: &NativeOptions) -> anyhow::Result<Config> {
    Ok(Config {
        crypto: options.crypto,
        roots: roots.clone(),
        model: ShortText::parse("model", &options.model)?,
        firmware: ShortText::parse("firmware", "1.0.0")?,
        build_time: Timestamp::from_millis(BUILD_TIME_MS),
        personal: options.personal.clone(),
        credential: options.credential.clone(),
        hq_trusted: false,
        seeder: None,
        assessments: Vec::new(),
        durable_storage: true,
    })
}

/// The wall clock is HQ's, so that certificates are valid; the monotonic one may run ahead, so that
/// waiting takes no time.
fn moment(origin: Instant, ahead: Duration) -> Moment {
    let millis = u64::try_from((origin.elapsed() + ahead).as_millis()).unwrap_or(u64::MAX);
    Moment {
        wall: Timestamp::from_millis(wall_ms()),
        trust: ClockTrust::Trusted,
        monotonic: Monotonic::from_millis(millis),
    }
}

/// 2026-11-01.
const BUILD_TIME_MS: u64 = 1_793_491_200_000;
const STEP: Duration = Duration::from_millis(20);
