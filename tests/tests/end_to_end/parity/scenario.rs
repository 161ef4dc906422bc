//! One life of a box on the native machine, with every input of both roles written down.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use anyhow::{Context, bail, ensure};
use otscert_crypto::RustCrypto;
use otscert_machine::crypto::{Crypto, Secret};
use otscert_machine::device::config::Credential;
use otscert_machine::device::drive::Input as DeviceInput;
use otscert_machine::device::progress::Progress;
use otscert_machine::device::{Config as DeviceConfig, Device};
use otscert_machine::factory::{ClaimCode, UnitSecret};
use otscert_machine::hq::config::{Ca, Limits, RawConfig, RawModel};
use otscert_machine::hq::drive::{Command, Input as HqInput};
use otscert_machine::hq::event::Load;
use otscert_machine::hq::{self, Config as HqConfig};
use otscert_machine::peer::{
    Answer, Authorization, AuthorizationState, CaAnswer, CaOperation, Challenge, DnsAnswer,
    DnsOperation, Endpoint, OrderRef, OrderReport, OrderState, Request, SuggestedWindow,
};
use otscert_machine::time::{ClockTrust, Moment, Monotonic, Span, Timestamp};
use otscert_machine::types::{CertName, Ed25519Public, NameMode, ShortText};
use otscert_machine::wire::trust::{Delegation, Roots};
use otscert_tests::{MemoryHost, Seeded};
use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, DistinguishedName,
    DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, SerialNumber,
};

use otscert_replay::bindings::exports::otscert::provision::{provisioner, registrar};

/// Every input of a life.
#[derive(Default)]
pub(super) struct Script {
    pub(super) device: Vec<(Moment, DeviceInput)>,
    pub(super) hq: Vec<(Moment, HqInput)>,
    /// Kinds of history rows that were written.
    pub(super) notes: BTreeSet<String>,
    /// Problems that HQ answered with.
    pub(super) problems: BTreeSet<String>,
    /// Versions of the credential that the box served.
    pub(super) versions: BTreeSet<u64>,
}

struct Life {
    script: Script,
    now: u64,
    device: Device,
    device_host: MemoryHost,
    progress: Progress,
    hq: HqConfig,
    hq_host: MemoryHost,
    /// When HQ wants to hear `due`, by subject.
    due: BTreeMap<String, u64>,
    delivered: (usize, usize),
    requests: Vec<(Endpoint, Vec<u8>)>,
    ca: YesCa,
}

impl Script {
    /// From power-on through a renewal to a factory reset.
    pub(super) fn play(model: &str) -> anyhow::Result<Self> {
        let mut device = Device::new(device_config(model)?)?;
        let mut device_host = MemoryHost::new(DEVICE_SEED);
        let first = DeviceInput::Resumed(1);
        let progress = device.advance(&mut device_host, moment(START), first.clone())?;
        let mut life = Life {
            script: Self {
                device: vec![(moment(START), first)],
                ..Self::default()
            },
            now: START,
            device,
            device_host,
            progress,
            hq: hq_config()?,
            hq_host: MemoryHost::new(0),
            due: BTreeMap::new(),
            delivered: (0, 0),
            requests: Vec::new(),
            ca: YesCa::new()?,
        };
        life.device(DeviceInput::ClaimCode(claim_code()))?;
        let digest = claim_code().digest(&RustCrypto);
        life.hq(HqInput::Command {
            subject: "own".to_owned(),
            order: Command::ImportClaims {
                codes: vec![digest],
                model: Some(short(model)?),
            },
        })?;
        life.device(DeviceInput::Addresses(vec![LAN]))?;
        life.until("the first certificate", |life| {
            life.progress.credential_version == 1
        })?;

        // Whatever was sent comes again, and so does nonsense.
        for (endpoint, body) in life.requests.clone() {
            life.request(endpoint, body)?;
        }
        life.request(Endpoint::Poll, b"{\"payload\":1}".to_vec())?;
        life.request(Endpoint::Order, vec![b'x'; 70_000])?;

        life.device(DeviceInput::Addresses(vec![OTHER_LAN]))?;
        let subject = life.subject()?;
        life.hq(HqInput::Command {
            subject,
            order: Command::Renew,
        })?;
        life.until("the second certificate", |life| {
            life.progress.credential_version == 2
        })?;
        life.device(DeviceInput::CredentialRefused {
            version: 2,
            reason: "a test".to_owned(),
        })?;
        life.until("a third", |life| life.progress.credential_version == 3)?;
        life.device(DeviceInput::Resumed(2))?;
        life.device(DeviceInput::Reset)?;
        life.until("the revocation", |life| {
            life.script.notes.contains("revoked")
        })?;
        Ok(life.script)
    }
}

impl Life {
    fn device(&mut self, input: DeviceInput) -> anyhow::Result<()> {
        let now = moment(self.now);
        self.script.device.push((now, input.clone()));
        self.progress = self.device.advance(&mut self.device_host, now, input)?;
        if self.progress.credential_version > 0 {
            self.script
                .versions
                .insert(self.progress.credential_version);
        }
        Ok(())
    }

    fn hq(&mut self, input: HqInput) -> anyhow::Result<Option<Vec<u8>>> {
        let now = moment(self.now);
        // The same randomness as in the runs that are compared.
        self.hq_host.random = Seeded::new(u64::try_from(self.script.hq.len())?);
        self.script.hq.push((now, input.clone()));
        let decision = hq::advance(&self.hq, &mut self.hq_host, now, input)?;
        for summary in decision.summaries {
            let subject = summary.subject.to_string();
            match summary.wake_at {
                Some(wake) => self.due.insert(subject, wake.millis()),
                None => self.due.remove(&subject),
            };
        }
        self.script.notes.extend(
            decision
                .notes
                .iter()
                .map(|note| note.kind.as_str().to_owned()),
        );
        Ok(decision.reply.map(|reply| {
            if !reply.problem.is_empty() {
                self.script.problems.insert(reply.problem);
            }
            reply.body
        }))
    }

    fn request(&mut self, endpoint: Endpoint, body: Vec<u8>) -> anyhow::Result<Vec<u8>> {
        let prefix = "192.0.2.0/24".to_owned();
        let request = HqInput::Request {
            endpoint,
            prefix,
            load: Load::default(),
            body,
        };
        self.hq(request)?.context("a request without a reply")
    }

    fn subject(&self) -> anyhow::Result<String> {
        let device = self.progress.device.as_ref().context("no device id")?;
        Ok(format!("device/{device}"))
    }

    /// Delivers what was submitted, else lets time pass, until `done`.
    fn until(&mut self, what: &str, done: impl Fn(&Self) -> bool) -> anyhow::Result<()> {
        for _ in 0..MAX_STEPS {
            let (device, hq) = self.delivered;
            if let Some((_, exchange, request)) = self.device_host.submitted.get(device).cloned() {
                self.delivered.0 += 1;
                let Request::Hq { endpoint, body } = request else {
                    bail!("a box asks {request:?}")
                };
                self.requests.push((endpoint, body.clone()));
                let answer = Answer::Hq(self.request(endpoint, body)?);
                self.device(DeviceInput::Answered { exchange, answer })?;
            } else if let Some((subject, exchange, request)) =
                self.hq_host.submitted.get(hq).cloned()
            {
                self.delivered.1 += 1;
                let answer = self.ca.answer(&request, self.now)?;
                self.hq(HqInput::Answered {
                    subject,
                    exchange,
                    answer,
                })?;
            } else if done(self) {
                return Ok(());
            } else {
                self.pass()?;
            }
        }
        bail!(
            "{what}: not in {MAX_STEPS} steps; the box: {:?}",
            self.progress
        )
    }

    fn pass(&mut self) -> anyhow::Result<()> {
        let box_wakes = self.progress.wake_at.map(|wake| START + wake.millis());
        let hq_wakes = self.due.iter().min_by_key(|(_, at)| **at);
        let hq_wakes = hq_wakes.map(|(subject, at)| (subject.clone(), *at));
        match (box_wakes, hq_wakes) {
            (None, None) => bail!("nothing will ever happen; the box: {:?}", self.progress),
            (Some(at), other) if other.as_ref().is_none_or(|(_, due)| at <= *due) => {
                self.now = self.now.max(at);
                self.device(DeviceInput::Woke)
            }
            (_, Some((subject, at))) => {
                self.now = self.now.max(at);
                self.due.remove(&subject);
                self.hq(HqInput::Due(subject)).map(drop)
            }
            (Some(_), None) => bail!("unreachable: the first arm took it"),
        }
    }
}

/// A CA and a zone that say yes.
struct YesCa {
    orders: Vec<(Vec<CertName>, OrderState, Vec<u8>)>,
    issuer: Issuer<'static, KeyPair>,
    root: Vec<u8>,
}

impl YesCa {
    fn new() -> anyhow::Result<Self> {
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, "Yes CA");
        let root = params.self_signed(&key)?.der().to_vec();
        Ok(Self {
            orders: Vec::new(),
            issuer: Issuer::new(params, key),
            root,
        })
    }

    fn answer(&mut self, request: &Request, now: u64) -> anyhow::Result<Answer> {
        Ok(match request {
            Request::Ca(operation) => Answer::Ca(self.ca(operation, now)?),
            Request::Dns(DnsOperation::Visible(_)) => Answer::Dns(DnsAnswer::Visible(true)),
            Request::Dns(DnsOperation::Publish(_) | DnsOperation::Withdraw(_)) => {
                Answer::Dns(DnsAnswer::Done)
            }
            Request::Hq { .. } | Request::Seeder(_) => bail!("HQ asks itself"),
        })
    }

    fn ca(&mut self, operation: &CaOperation, now: u64) -> anyhow::Result<CaAnswer> {
        Ok(match operation {
            CaOperation::NewOrder { names, .. } => {
                self.orders
                    .push((names.clone(), OrderState::Pending, Vec::new()));
                self.report(self.orders.len() - 1)
            }
            CaOperation::Authorizations(order) => {
                let (names, state, _) = &self.orders[self.index(order)?];
                let pending = *state == OrderState::Pending;
                let list = names.iter().map(|name| Authorization {
                    name: name.base.clone(),
                    state: match pending {
                        true => AuthorizationState::Pending,
                        false => AuthorizationState::Valid,
                    },
                    challenge: Some(Challenge {
                        url: format!("https://ca.test/challenge/{}", name.base),
                        txt_value: format!("txt-of-{}", order.order),
                    }),
                    problem: None,
                });
                CaAnswer::Authorizations(list.collect())
            }
            CaOperation::ChallengeReady { order, .. } => {
                let index = self.index(order)?;
                self.orders[index].1 = OrderState::Ready;
                CaAnswer::Accepted
            }
            CaOperation::OrderStatus(order) => self.report(self.index(order)?),
            CaOperation::Finalize { order, csr } => {
                let index = self.index(order)?;
                ensure!(
                    self.orders[index].1 == OrderState::Ready,
                    "finalized too early, or twice"
                );
                self.orders[index].1 = OrderState::Valid;
                self.orders[index].2 = csr.clone();
                self.report(index)
            }
            CaOperation::FetchChain(order) => {
                let index = self.index(order)?;
                CaAnswer::Chain(self.issue(index)?)
            }
            CaOperation::RenewalInfo { .. } => CaAnswer::RenewalWindow(Some(SuggestedWindow {
                start: Timestamp::from_millis(now) + Span::from_days(20),
                end: Timestamp::from_millis(now) + Span::from_days(22),
                retry_after: Span::from_hours(6),
            })),
            CaOperation::Revoke { .. } => CaAnswer::Revoked,
        })
    }

    fn issue(&self, index: usize) -> anyhow::Result<Vec<Vec<u8>>> {
        let csr = self.orders[index].2.clone();
        let mut request = CertificateSigningRequestParams::from_der(&csr.into())?;
        let params = &mut request.params;
        params.serial_number = Some(SerialNumber::from(1 + u64::try_from(index)?));
        params.not_before = rcgen::date_time_ymd(2026, 11, 1);
        params.not_after = rcgen::date_time_ymd(2026, 12, 31);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let leaf = request.signed_by(&self.issuer)?;
        Ok(vec![leaf.der().to_vec(), self.root.clone()])
    }

    fn report(&self, index: usize) -> CaAnswer {
        CaAnswer::Order(OrderReport {
            order: OrderRef {
                ca: CA.to_owned(),
                order: format!("https://ca.test/order/{index}"),
            },
            state: self.orders[index].1,
            expires: None,
            retry_after: None,
            problem: None,
        })
    }

    fn index(&self, order: &OrderRef) -> anyhow::Result<usize> {
        let number = order.order.rsplit('/').next().context("no order")?;
        let index: usize = number.parse()?;
        ensure!(index < self.orders.len(), "no such order");
        Ok(index)
    }
}

pub(super) fn device_config(model: &str) -> anyhow::Result<DeviceConfig> {
    Ok(DeviceConfig {
        crypto: &RustCrypto,
        roots: Roots {
            hq_id: HQ_ID.to_owned(),
            keys: vec![public(1)],
        },
        model: ShortText::parse("model", model)?,
        firmware: ShortText::parse("firmware", FIRMWARE)?,
        build_time: Timestamp::from_millis(BUILD_TIME),
        personal: PERSONAL.to_vec(),
        credential: Credential {
            claim_code: Some(claim_code()),
            serial: Some(short(SERIAL)?),
            secret: Some(unit_secret(model)?),
        },
        hq_trusted: false,
        seeder: None,
        assessments: Vec::new(),
        durable_storage: true,
    })
}

pub(super) fn wit_device_config(model: &str) -> anyhow::Result<provisioner::Config> {
    Ok(provisioner::Config {
        hq_id: HQ_ID.to_owned(),
        roots: vec![public(1).bytes().to_vec()],
        model: model.to_owned(),
        firmware: FIRMWARE.to_owned(),
        build_time_ms: BUILD_TIME,
        personal: PERSONAL.to_vec(),
        credential: provisioner::UnitCredential {
            claim_code: Some(claim_code().printed()),
            serial: Some(SERIAL.to_owned()),
            secret: Some(provisioner::UnitSecret {
                epoch: EPOCH,
                secret: unit_secret(model)?.secret.expose().to_vec(),
            }),
        },
        hq_trusted: false,
        seeder: None,
        assessments: Vec::new(),
        durable_storage: true,
    })
}

pub(super) fn hq_config() -> anyhow::Result<HqConfig> {
    let model = |name: &str, mode| RawModel {
        name: name.to_owned(),
        mode,
        admission: ADMISSION.map(str::to_owned).to_vec(),
        limits: Limits::default(),
        ca: None,
    };
    let raw = RawConfig {
        hq_id: HQ_ID.to_owned(),
        zone: ZONE.to_owned(),
        signing_seed: vec![2; 32],
        delegation: delegation(),
        token_key: vec![3; 32],
        roots: vec![public(1).bytes().to_vec()],
        models: vec![
            model("router", NameMode::Address),
            model("camera", NameMode::Word),
        ],
        batch_keys: vec![(EPOCH, BATCH_KEY.to_vec())],
        voucher_keys: Vec::new(),
        cas: vec![Ca {
            name: CA.to_owned(),
            profile: Some("short".to_owned()),
            ari: true,
        }],
        own_names: Vec::new(),
        oldest_grant_epoch: None,
        danger_loopback: false,
    };
    Ok(HqConfig::new(&RustCrypto, raw)?)
}

pub(super) fn wit_hq_config() -> registrar::Config {
    let model = |name: &str, mode| registrar::Model {
        name: name.to_owned(),
        mode,
        admission: ADMISSION.map(str::to_owned).to_vec(),
        enrolments_from_prefix: Limits::default().from_prefix,
        enrolments_of_model: Limits::default().of_model,
        ca: None,
    };
    let ca = registrar::Ca {
        name: CA.to_owned(),
        profile: Some("short".to_owned()),
        ari: true,
    };
    registrar::Config {
        hq_id: HQ_ID.to_owned(),
        zone: ZONE.to_owned(),
        signing_seed: vec![2; 32],
        delegation: delegation(),
        token_key: vec![3; 32],
        roots: vec![public(1).bytes().to_vec()],
        models: vec![
            model("router", registrar::NameMode::Address),
            model("camera", registrar::NameMode::Word),
        ],
        batch_keys: vec![registrar::BatchKey {
            epoch: EPOCH,
            key: BATCH_KEY.to_vec(),
        }],
        voucher_keys: Vec::new(),
        cas: vec![ca],
        own_names: Vec::new(),
        oldest_grant_epoch: None,
        danger_loopback: false,
    }
}

/// What the factory wrote into the unit.
fn unit_secret(model: &str) -> anyhow::Result<UnitSecret> {
    let key = Secret::new(BATCH_KEY);
    let (model, serial) = (short(model)?, short(SERIAL)?);
    Ok(UnitSecret::derive(
        &RustCrypto,
        &key,
        EPOCH,
        &model,
        &serial,
    ))
}

fn short(text: &str) -> anyhow::Result<ShortText> {
    Ok(ShortText::parse("text", text)?)
}

/// What is printed on its label.
pub(super) fn claim_code() -> ClaimCode {
    (0..)
        .find_map(|n| ClaimCode::draw(&[n; 16]))
        .expect("most draws make a code")
}

const SERIAL: &str = "SN-0001";
const EPOCH: u32 = 3;
const BATCH_KEY: [u8; 32] = [4; 32];
/// The boxes show more than is asked for.
const ADMISSION: [&str; 2] = ["factory-secret+claim-code", "factory-secret"];

fn delegation() -> Vec<u8> {
    let not_after = Timestamp::from_millis(START) + Span::from_days(400);
    let delegation = Delegation {
        key: public(2),
        epoch: 1,
        not_after,
    };
    delegation
        .sign(&RustCrypto, HQ_ID, &Secret::new([1; 32]))
        .to_bytes()
}

fn public(seed: u8) -> Ed25519Public {
    Ed25519Public::new(RustCrypto.ed25519_public(&Secret::new([seed; 32])))
}

fn moment(now: u64) -> Moment {
    Moment {
        wall: Timestamp::from_millis(now),
        trust: ClockTrust::Trusted,
        monotonic: Monotonic::from_millis(now - START),
    }
}

pub(super) const DEVICE_SEED: u64 = 7;
/// 2026-11-23.
const START: u64 = 1_795_392_000_000;
/// 2026-11-01.
const BUILD_TIME: u64 = 1_793_491_200_000;
const HQ_ID: &str = "hq.test";
const ZONE: &str = "boxes.test";
const CA: &str = "yes";
const FIRMWARE: &str = "1.0.0";
const PERSONAL: &[u8] = b"02:00:00:00:00:01";
const LAN: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 168, 1, 7));
const OTHER_LAN: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 168, 1, 8));
const MAX_STEPS: usize = 400;
