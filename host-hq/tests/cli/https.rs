//! A client that trusts one root, over blocking sockets.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, ServerName};

/// An HTTP answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) content_type: String,
    pub(crate) body: Vec<u8>,
}

/// Posts a message to the device endpoint, whose names do not matter to boxes but do to this client.
pub(crate) fn post(address: SocketAddr, root: &Path, path: &str, body: &str) -> Answer {
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\nContent-Type: application/jose+json\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    );
    exchange(address, root, &address.ip().to_string(), &head).unwrap()
}

/// Gets a page under a name.
pub(crate) fn get(
    address: SocketAddr,
    root: &Path,
    name: &str,
    path: &str,
) -> std::io::Result<Answer> {
    exchange(
        address,
        root,
        name,
        &format!("GET {path} HTTP/1.1\r\nHost: {name}\r\nConnection: close\r\n\r\n"),
    )
}

/// Gets a page without TLS.
pub(crate) fn plain_get(address: SocketAddr, path: &str) -> Answer {
    let mut stream = TcpStream::connect(address).unwrap();
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n"
    )
    .unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    parse(&answer)
}

fn exchange(
    address: SocketAddr,
    root: &Path,
    name: &str,
    request: &str,
) -> std::io::Result<Answer> {
    let mut roots = RootCertStore::empty();
    roots
        .add(CertificateDer::from_pem_file(root).unwrap())
        .unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(otscert_hq::tls::provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_secs(60)))?;
    let connection = ClientConnection::new(Arc::new(config), name).unwrap();
    let mut stream = StreamOwned::new(connection, stream);
    // A server that refuses the body answers before all of it is sent.
    match stream.write_all(request.as_bytes()) {
        Ok(()) => {}
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => {}
        Err(error) => return Err(error),
    }
    Ok(parse(&read(&mut stream.conn, &mut stream.sock)?))
}

/// Reads to the end, and sends nothing: what is left of a refused body would meet a closed connection.
fn read(connection: &mut ClientConnection, stream: &mut TcpStream) -> std::io::Result<Vec<u8>> {
    let mut answer = Vec::new();
    loop {
        match connection.read_tls(stream) {
            Ok(0) => return Ok(answer),
            Ok(_) => {}
            Err(error) if answer.is_empty() => return Err(error),
            Err(_) => return Ok(answer),
        }
        let processed = connection.process_new_packets();
        processed.map_err(std::io::Error::other)?;
        match connection.reader().read_to_end(&mut answer) {
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
            Ok(_) | Err(_) => return Ok(answer),
        }
    }
}

fn parse(answer: &[u8]) -> Answer {
    let end = answer
        .windows(4)
        .position(|window| window == b"\r\n\r\n")
        .expect("a head");
    let head = String::from_utf8(answer[..end].to_vec()).unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    let header = |name: &str| {
        let lower = head.to_ascii_lowercase();
        lower
            .lines()
            .find_map(|line| line.strip_prefix(&format!("{name}: ")).map(str::to_owned))
            .unwrap_or_default()
    };
    Answer {
        status,
        content_type: header("content-type"),
        body: answer[end + 4..].to_vec(),
    }
}
