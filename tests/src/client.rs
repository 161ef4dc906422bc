//! The browser of the tests: resolves through HQ's DNS, trusts one root, checks the name.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use hickory_proto::op::{Message, Query, ResponseCode};
use hickory_proto::rr::{Name, RData, RecordType};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1::{self, SendRequest};
use hyper::{HeaderMap, Request, Response, StatusCode, Uri};
use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UdpSocket};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

/// A browser with one trusted root.
#[derive(Clone)]
pub struct Client {
    dns: SocketAddr,
    tls: TlsConnector,
}

/// A page, and the certificate it came with.
#[derive(Debug)]
pub struct Page {
    /// HTTP status.
    pub status: StatusCode,
    /// Headers.
    pub headers: HeaderMap,
    /// Body.
    pub body: String,
    /// The server's certificate.
    pub leaf: Leaf,
}

/// What a certificate says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leaf {
    /// The whole.
    pub der: Vec<u8>,
    /// Who issued it: its common name, or its whole name if it has none.
    pub issuer: String,
    /// Serial number, big-endian.
    pub serial: Vec<u8>,
    /// Its first moment, milliseconds since 1970.
    pub not_before_ms: u64,
    /// Its last moment, milliseconds since 1970.
    pub not_after_ms: u64,
    /// SubjectPublicKeyInfo.
    pub key: Vec<u8>,
    /// DNS names.
    pub names: Vec<String>,
}

/// A connection that stays open.
pub struct Kept {
    sender: SendRequest<Empty<Bytes>>,
    driving: JoinHandle<()>,
    host: String,
    leaf: Leaf,
}

impl Client {
    /// A browser that resolves through `dns` and trusts the roots in `root_pem`.
    ///
    /// # Errors
    ///
    /// If there is no root in it.
    pub fn new(dns: SocketAddr, root_pem: &str) -> anyhow::Result<Self> {
        let mut roots = RootCertStore::empty();
        for root in CertificateDer::pem_slice_iter(root_pem.as_bytes()) {
            roots.add(root.context("the root is no PEM")?)?;
        }
        ensure!(!roots.is_empty(), "no root to trust");
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        // Each connection shows the certificate of its moment.
        config.resumption = rustls::client::Resumption::disabled();
        Ok(Self {
            dns,
            tls: TlsConnector::from(Arc::new(config)),
        })
    }

    /// Asks HQ's DNS, by UDP.
    ///
    /// # Errors
    ///
    /// If there is no answer.
    pub async fn query(&self, name: &str, kind: RecordType) -> anyhow::Result<Message> {
        let mut message = Message::query();
        message.add_query(Query::query(Name::from_ascii(format!("{name}."))?, kind));
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        socket.connect(self.dns).await?;
        let request = message.to_vec()?;
        let mut bytes = [0; MAX_DATAGRAM];
        for _ in 0..DNS_ATTEMPTS {
            socket.send(&request).await?;
            // Loopback loses nothing, but HQ may be just starting.
            match timeout(DNS_PATIENCE, socket.recv(&mut bytes)).await {
                Ok(Ok(length)) => {
                    let answer = Message::from_vec(&bytes[..length])?;
                    ensure!(
                        answer.metadata.id == message.metadata.id,
                        "an answer to another question"
                    );
                    return Ok(answer);
                }
                Ok(Err(_)) => tokio::time::sleep(DNS_PATIENCE).await,
                Err(_elapsed) => {}
            }
        }
        bail!("HQ's DNS at {} does not answer for {name}", self.dns)
    }

    /// The IPv4 addresses of a name.
    ///
    /// # Errors
    ///
    /// If there are none, with the DNS answer's code.
    pub async fn resolve(&self, name: &str) -> anyhow::Result<Vec<IpAddr>> {
        let answer = self.query(name, RecordType::A).await?;
        let addresses: Vec<IpAddr> = answer
            .answers
            .iter()
            .filter_map(|record| {
                let RData::A(address) = &record.data else {
                    return None;
                };
                Some(IpAddr::V4(address.0))
            })
            .collect();
        let code = answer.metadata.response_code;
        ensure!(
            !addresses.is_empty(),
            "HQ's DNS has no address for {name}: {code}"
        );
        Ok(addresses)
    }

    /// Whether HQ's DNS says that a name does not exist.
    ///
    /// # Errors
    ///
    /// If there is no answer.
    pub async fn is_gone(&self, name: &str) -> anyhow::Result<bool> {
        let answer = self.query(name, RecordType::A).await?;
        Ok(answer.metadata.response_code == ResponseCode::NXDomain)
    }

    /// Opens a page on a connection of its own.
    ///
    /// # Errors
    ///
    /// If the name does not resolve, nobody listens, or the certificate is not good for the name.
    pub async fn get(&self, url: &str) -> anyhow::Result<Page> {
        let uri: Uri = url.parse().context("no URL")?;
        let mut kept = self.open(url).await?;
        kept.get(uri.path()).await
    }

    /// Opens a connection for many requests.
    ///
    /// # Errors
    ///
    /// As [`Client::get`].
    pub async fn open(&self, url: &str) -> anyhow::Result<Kept> {
        let uri: Uri = url.parse().context("no URL")?;
        ensure!(uri.scheme_str() == Some("https"), "{url} is not HTTPS");
        let host = uri.host().context("no host")?.to_owned();
        let port = uri.port_u16().unwrap_or(443);
        let addresses = self.resolve(&host).await?;
        let address = addresses.first().context("no address")?;
        let opening = async {
            let tcp = TcpStream::connect((*address, port)).await?;
            let name = ServerName::try_from(host.clone())?;
            let tls = self.tls.connect(name, tcp).await?;
            anyhow::Ok(tls)
        };
        let tls = timeout(PATIENCE, opening)
            .await
            .with_context(|| format!("{url}: no connection within {PATIENCE:?}"))?
            .with_context(|| format!("{url} at {address} failed"))?;
        let certificates = tls
            .get_ref()
            .1
            .peer_certificates()
            .context("no certificate")?;
        let leaf = Leaf::read(certificates.first().context("no certificate")?)?;
        let (sender, driving) = drive(tls).await?;
        Ok(Kept {
            sender,
            driving,
            host,
            leaf,
        })
    }
}

impl Kept {
    /// Gets a page on this connection.
    ///
    /// # Errors
    ///
    /// If the connection broke.
    pub async fn get(&mut self, path: &str) -> anyhow::Result<Page> {
        let response = send(&mut self.sender, &self.host, path).await?;
        let (head, body) = read(response).await?;
        Ok(Page {
            status: head.0,
            headers: head.1,
            body,
            leaf: self.leaf.clone(),
        })
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        self.driving.abort();
    }
}

impl Leaf {
    /// Reads a certificate.
    ///
    /// # Errors
    ///
    /// If it is none.
    pub fn read(der: &[u8]) -> anyhow::Result<Self> {
        let (_, certificate) = X509Certificate::from_der(der)?;
        let issuer = certificate.issuer();
        let common = issuer
            .iter_common_name()
            .find_map(|name| name.as_str().ok());
        let millis = |seconds: i64| u64::try_from(seconds).unwrap_or(0) * 1000;
        let names = certificate.subject_alternative_name()?.map(|names| {
            let dns = names.value.general_names.iter().filter_map(|name| {
                let GeneralName::DNSName(name) = name else {
                    return None;
                };
                Some((*name).to_owned())
            });
            dns.collect()
        });
        Ok(Self {
            der: der.to_vec(),
            issuer: common.map_or_else(|| issuer.to_string(), ToOwned::to_owned),
            serial: certificate.raw_serial().to_vec(),
            not_before_ms: millis(certificate.validity().not_before.timestamp()),
            not_after_ms: millis(certificate.validity().not_after.timestamp()),
            key: certificate.public_key().raw.to_vec(),
            names: names.unwrap_or_default(),
        })
    }
}

/// Gets a page without TLS: status, headers, body.
///
/// # Errors
///
/// If nobody listens there.
pub async fn plain_get(
    address: SocketAddr,
    host: &str,
    path: &str,
) -> anyhow::Result<(StatusCode, HeaderMap, String)> {
    let tcp = timeout(PATIENCE, TcpStream::connect(address)).await??;
    let (mut sender, driving) = drive(tcp).await?;
    let answer = async { read(send(&mut sender, host, path).await?).await };
    let ((status, headers), body) = answer.await?;
    driving.abort();
    Ok((status, headers, body))
}

async fn drive<S>(stream: S) -> anyhow::Result<(SendRequest<Empty<Bytes>>, JoinHandle<()>)>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let driving = tokio::spawn(async move {
        // The sender's side hears of it.
        let _broken = connection.await;
    });
    Ok((sender, driving))
}

async fn send(
    sender: &mut SendRequest<Empty<Bytes>>,
    host: &str,
    path: &str,
) -> anyhow::Result<Response<Incoming>> {
    let request = Request::get(path).header("host", host).body(Empty::new())?;
    timeout(PATIENCE, sender.ready()).await??;
    Ok(timeout(PATIENCE, sender.send_request(request)).await??)
}

async fn read(response: Response<Incoming>) -> anyhow::Result<((StatusCode, HeaderMap), String)> {
    let (head, body) = response.into_parts();
    let body = timeout(PATIENCE, Limited::new(body, MAX_PAGE).collect()).await?;
    let body = body.map_err(|error| anyhow::anyhow!("reading the page failed: {error}"))?;
    let text = String::from_utf8(body.to_bytes().to_vec()).context("the page is no UTF-8")?;
    Ok(((head.status, head.headers), text))
}

const PATIENCE: Duration = Duration::from_secs(10);
const DNS_PATIENCE: Duration = Duration::from_millis(500);
const DNS_ATTEMPTS: usize = 10;
const MAX_DATAGRAM: usize = 4096;
const MAX_PAGE: usize = 1024 * 1024;
