//! Messages to HQ with every byte in the test's hands, and boxes made by hand.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, bail, ensure};
use http_body_util::{BodyExt, Full, Limited};
use hyper::Request;
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use otscert_crypto::RustCrypto;
use otscert_device::bundle::Bundle;
use otscert_device::hq::PinnedKeys;
use otscert_machine::crypto::{Crypto, Secret};
use otscert_machine::entropy::Grade;
use otscert_machine::factory::{ClaimCode, UnitSecret};
use otscert_machine::peer::Endpoint;
use otscert_machine::time::Timestamp;
use otscert_machine::types::{CertName, Digest, Ed25519Public, Nonce, ShortText};
use otscert_machine::wire::json::Object;
use otscert_machine::wire::jws::{self, Header, Signer, Typ, Unverified};
use otscert_machine::wire::message::{
    Contact, Continuity, Credential, Enrol, EntropyReport, Order, Poll, Problem, UnitClaim,
    UnitProof,
};
use otscert_machine::wire::trust::{Expiry, Roots};
use otscert_machine::x509::csr;
use otscert_replay::Seeded;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::net::TcpSocket;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

/// Posts bytes to HQ's device endpoint, over TLS checked as a box checks it.
#[derive(Clone)]
pub struct Poster {
    tls: TlsConnector,
    host: String,
    port: u16,
    /// What a box pins.
    pub roots: Roots,
}

/// What HQ answered to bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// HTTP status.
    pub status: u16,
    /// `Content-Type`.
    pub content_type: String,
    /// Body.
    pub body: Vec<u8>,
}

impl Poster {
    /// For the HQ of an image bundle.
    ///
    /// # Errors
    ///
    /// If the bundle is unusable.
    pub fn new(bundle: &Path) -> anyhow::Result<Self> {
        let bundle = Bundle::read(bundle)?;
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let pinned = PinnedKeys::new(
            &bundle.tls_roots,
            provider.signature_verification_algorithms,
        )?;
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(pinned))
            .with_no_client_auth();
        let uri = bundle.origins.first().context("no origin")?.uri().clone();
        Ok(Self {
            tls: TlsConnector::from(Arc::new(config)),
            host: uri.host().context("no host")?.to_owned(),
            port: uri.port_u16().context("no port")?,
            roots: Roots {
                hq_id: bundle.hq_id,
                keys: bundle
                    .protocol_roots
                    .into_iter()
                    .map(Ed25519Public::new)
                    .collect(),
            },
        })
    }

    /// Posts a body to an endpoint.
    ///
    /// # Errors
    ///
    /// If HQ does not answer by HTTP.
    pub async fn post(&self, endpoint: Endpoint, body: Vec<u8>) -> anyhow::Result<Reply> {
        timeout(PATIENCE, self.exchange(path_of(endpoint), body))
            .await
            .with_context(|| format!("{endpoint:?}: no answer within {PATIENCE:?}"))?
    }

    async fn exchange(&self, path: &str, body: Vec<u8>) -> anyhow::Result<Reply> {
        let mut lane = self.lane(Ipv4Addr::LOCALHOST).await?;
        lane.exchange(path, body).await
    }

    /// A connection from that address of this machine, for many messages.
    ///
    /// # Errors
    ///
    /// If HQ takes none.
    pub async fn lane(&self, from: Ipv4Addr) -> anyhow::Result<Lane> {
        let socket = TcpSocket::new_v4()?;
        socket.bind(SocketAddr::from((from, 0)))?;
        let to = SocketAddr::new(self.host.parse()?, self.port);
        let tcp = socket.connect(to).await?;
        tcp.set_nodelay(true)?;
        let tls = self
            .tls
            .connect(ServerName::try_from(self.host.clone())?, tcp)
            .await?;
        let (sender, connection) = http1::handshake(TokioIo::new(tls)).await?;
        let driving = tokio::spawn(async move {
            // The sender's side hears of it.
            let _broken = connection.await;
        });
        Ok(Lane {
            sender,
            driving,
            host: format!("{}:{}", self.host, self.port),
        })
    }
}

/// A connection to HQ.
#[derive(Debug)]
pub struct Lane {
    sender: http1::SendRequest<Full<Bytes>>,
    driving: JoinHandle<()>,
    host: String,
}

impl Lane {
    /// Posts a body to an endpoint, after whatever was posted before.
    ///
    /// # Errors
    ///
    /// If HQ does not answer by HTTP.
    pub async fn post(&mut self, endpoint: Endpoint, body: Vec<u8>) -> anyhow::Result<Reply> {
        timeout(PATIENCE, self.exchange(path_of(endpoint), body))
            .await
            .with_context(|| format!("{endpoint:?}: no answer within {PATIENCE:?}"))?
    }

    async fn exchange(&mut self, path: &str, body: Vec<u8>) -> anyhow::Result<Reply> {
        let request = Request::post(path)
            .header("host", &self.host)
            .header("content-type", "application/jose+json")
            .body(Full::new(Bytes::from(body)))?;
        self.sender.ready().await?;
        let (head, body) = self.sender.send_request(request).await?.into_parts();
        let body = Limited::new(body, MAX_ANSWER).collect().await;
        let body = body.map_err(|error| anyhow::anyhow!("reading the answer failed: {error}"))?;
        let content_type = head
            .headers
            .get("content-type")
            .and_then(|value| value.to_str().ok());
        Ok(Reply {
            status: head.status.as_u16(),
            content_type: content_type.unwrap_or_default().to_owned(),
            body: body.to_bytes().to_vec(),
        })
    }
}

impl Drop for Lane {
    fn drop(&mut self) {
        self.driving.abort();
    }
}

impl Reply {
    /// The message's type and payload, its signature and delegation checked.
    ///
    /// # Errors
    ///
    /// If it is no message that HQ signed.
    pub fn open(&self, roots: &Roots) -> anyhow::Result<(Typ, Object)> {
        let unverified =
            Unverified::parse(&self.body).with_context(|| format!("not signed: {self:?}"))?;
        let typ = unverified.header().typ;
        let expiry = Expiry::NotBefore(Timestamp::from_millis(0));
        let (verified, _) = roots.open(&RustCrypto, unverified, typ, 0, expiry)?;
        Ok((typ, verified.payload))
    }

    /// The signed problem's slug; none if this is a signed answer.
    ///
    /// # Errors
    ///
    /// If it is no message that HQ signed.
    pub fn problem(&self, roots: &Roots) -> anyhow::Result<Option<&'static str>> {
        let (typ, payload) = self.open(roots)?;
        if typ != Typ::Problem {
            return Ok(None);
        }
        let problem = Problem::parse(&payload)?;
        ensure!(
            !problem.detail.is_empty(),
            "a problem without a word about what is wrong"
        );
        Ok(Some(
            problem.kind.context("a problem of an unknown kind")?.slug(),
        ))
    }

    /// The payload of a signed answer.
    ///
    /// # Errors
    ///
    /// If it is a problem, or not signed.
    pub fn answer(&self, roots: &Roots) -> anyhow::Result<Object> {
        match self.open(roots)? {
            (Typ::Problem, problem) => {
                bail!(
                    "HQ refused: {}",
                    String::from_utf8_lossy(&problem.to_bytes())
                )
            }
            (_, payload) => Ok(payload),
        }
    }
}

/// A box made by hand: nothing keeps it from sending nonsense.
#[derive(Clone)]
pub struct HandBox {
    /// The way to HQ.
    pub poster: Poster,
    /// Seed of the identity key.
    pub seed: Secret<32>,
    /// What HQ calls it.
    pub device: String,
    /// The names that HQ granted.
    pub names: Vec<CertName>,
    /// The continuity token of the last answer.
    pub token: String,
    /// HQ's word that the name is its own; shown with every enrolment once there is one.
    pub grant: Option<Object>,
    /// The code on its label.
    pub claim_code: Option<ClaimCode>,
    /// What its factory wrote into it.
    pub unit: Option<HandUnit>,
    random: Seeded,
}

/// What a factory wrote into a box.
#[derive(Clone, Debug)]
pub struct HandUnit {
    /// Its serial.
    pub serial: ShortText,
    /// Its secret, if it has one.
    pub secret: Option<UnitSecret>,
}

impl HandBox {
    /// A box with a key of its own, which HQ has never heard of.
    #[must_use]
    pub fn new(poster: Poster, seed: u64) -> Self {
        let mut random = Seeded::new(seed);
        Self {
            poster,
            seed: Secret::new(random.array()),
            device: String::new(),
            names: Vec::new(),
            token: String::new(),
            grant: None,
            claim_code: None,
            unit: None,
            random,
        }
    }

    /// Makes contact; returns HQ's nonce.
    ///
    /// # Errors
    ///
    /// If HQ refuses.
    pub async fn contact(&mut self) -> anyhow::Result<String> {
        let contact = Contact {
            aud: self.poster.roots.hq_id.clone(),
            nonce: Digest::new(self.random.array()),
            model: text("router")?,
            firmware: text("1.0.0")?,
            boot_count: 1,
            unit: None,
        };
        let reply = self
            .poster
            .post(Endpoint::Contact, contact.to_bytes())
            .await?;
        Ok(reply
            .answer(&self.poster.roots)?
            .text("hqNonce")?
            .to_owned())
    }

    /// An enrolment for that nonce.
    ///
    /// # Errors
    ///
    /// If the model is no text.
    pub fn enrol(&mut self, hq_nonce: &str, model: &str) -> anyhow::Result<Vec<u8>> {
        let key = Ed25519Public::new(RustCrypto.ed25519_public(&self.seed));
        let prove = |unit: &HandUnit| UnitClaim {
            serial: unit.serial.clone(),
            proof: unit.secret.as_ref().map(|secret| UnitProof {
                epoch: secret.epoch,
                mac: secret.proof(&RustCrypto, &key.thumbprint(&RustCrypto), hq_nonce),
            }),
        };
        let enrol = Enrol {
            nonce: Nonce::new(self.random.array()),
            hq_nonce: hq_nonce.to_owned(),
            model: text(model)?,
            firmware: text("1.0.0")?,
            boot_count: None,
            credential: Credential {
                claim_code: self.claim_code.clone(),
                unit: self.unit.as_ref().map(prove),
            },
            entropy: EntropyReport {
                grade: Grade::A,
                sources: vec![text("system")?],
            },
            grant: self.grant.clone(),
        };
        Ok(self.sign(Typ::Enrol, Signer::Key(key), &enrol.to_object()))
    }

    /// Makes contact, enrols, and keeps what HQ answers.
    ///
    /// # Errors
    ///
    /// If HQ refuses.
    pub async fn join(&mut self, model: &str) -> anyhow::Result<()> {
        let nonce = self.contact().await?;
        let request = self.enrol(&nonce, model)?;
        let reply = self.poster.post(Endpoint::Enrol, request).await?;
        self.joined(&reply)
    }

    /// Keeps what HQ answered to an enrolment.
    ///
    /// # Errors
    ///
    /// If HQ refused.
    pub fn joined(&mut self, reply: &Reply) -> anyhow::Result<()> {
        let answer = reply.answer(&self.poster.roots)?;
        self.device = answer.text("device")?.to_owned();
        self.token = answer.text("token")?.to_owned();
        self.names = answer.texts("names", 8, CertName::parse)?;
        self.grant = Some(answer.object("grant")?.clone());
        Ok(())
    }

    /// A CSR with a fresh TLS key for these names.
    ///
    /// # Errors
    ///
    /// If the names are none.
    pub fn csr(&mut self, names: &[CertName]) -> anyhow::Result<Vec<u8>> {
        let key = Secret::new(self.random.array());
        csr::build(&RustCrypto, &key, names, &self.random.array()).context("no CSR of these names")
    }

    /// An order with that CSR.
    #[must_use]
    pub fn order(&mut self, csr: Vec<u8>) -> Vec<u8> {
        let order = Order {
            continuity: self.continuity(),
            csr,
        };
        self.signed(Typ::Order, &order.to_object())
    }

    /// A poll.
    ///
    /// # Errors
    ///
    /// Never, in practice.
    pub fn poll(&mut self) -> anyhow::Result<Vec<u8>> {
        let poll = Poll {
            continuity: self.continuity(),
            firmware: text("1.0.0")?,
            serving: None,
            trouble: None,
            boot_count: None,
        };
        Ok(self.signed(Typ::Poll, &poll.to_object()))
    }

    /// A payload under this box's signature.
    #[must_use]
    pub fn signed(&self, typ: Typ, payload: &Object) -> Vec<u8> {
        self.sign(typ, Signer::Kid(self.device.clone()), payload)
    }

    /// Posts a message and keeps the token of the answer, if it has one.
    ///
    /// # Errors
    ///
    /// If HQ does not answer, or not signed.
    pub async fn send(&mut self, endpoint: Endpoint, body: Vec<u8>) -> anyhow::Result<Reply> {
        let reply = self.poster.post(endpoint, body).await?;
        let (_, payload) = reply.open(&self.poster.roots)?;
        if let Ok(token) = payload.text("token") {
            self.token = token.to_owned();
        }
        Ok(reply)
    }

    fn continuity(&mut self) -> Continuity {
        Continuity {
            token: self.token.clone(),
            nonce: Nonce::new(self.random.array()),
        }
    }

    fn sign(&self, typ: Typ, signer: Signer, payload: &Object) -> Vec<u8> {
        let aud = self.poster.roots.hq_id.clone();
        let header = Header {
            typ,
            aud,
            signer,
            delegation: None,
        };
        jws::sign(&RustCrypto, &self.seed, &header, payload).to_bytes()
    }
}

const fn path_of(endpoint: Endpoint) -> &'static str {
    match endpoint {
        Endpoint::Contact => "/otscert/v1/contact",
        Endpoint::Enrol => "/otscert/v1/enrol",
        Endpoint::Order => "/otscert/v1/order",
        Endpoint::Poll => "/otscert/v1/poll",
        Endpoint::Address => "/otscert/v1/address",
        Endpoint::Retire => "/otscert/v1/retire",
    }
}

fn text(text: &str) -> anyhow::Result<ShortText> {
    Ok(ShortText::parse("text", text)?)
}

const PATIENCE: std::time::Duration = std::time::Duration::from_secs(30);
const MAX_ANSWER: usize = 64 * 1024;
