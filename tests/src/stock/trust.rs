//! The hook by which the stock runtime trusts the roots that a test names, instead of a public list.

use std::sync::Arc;

use http::uri::Scheme;
use http_body_util::BodyExt as _;
use rustls::ClientConfig;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use wasmtime_wasi_http::io::TokioIo;
use wasmtime_wasi_http::{Error, RequestOptions, WasiBody, WasiHttpHooks};

/// Sends requests, those to `https` with this config.
pub(super) struct Trusting(pub(super) Arc<ClientConfig>);

type Sent = Result<(http::Response<WasiBody>, Io), Error>;
type Io = Box<dyn Future<Output = Result<(), Error>> + Send>;

impl WasiHttpHooks for Trusting {
    fn send_request(
        &mut self,
        request: http::Request<WasiBody>,
        _options: Option<RequestOptions>,
        _response: Io,
    ) -> Box<dyn Future<Output = Sent> + Send> {
        let tls = TlsConnector::from(Arc::clone(&self.0));
        Box::new(async move {
            let uri = request.uri();
            let (Some(host), Some(port)) = (uri.host(), uri.port_u16()) else {
                return Err(Error::HttpRequestUriInvalid);
            };
            let tcp = TcpStream::connect((host, port)).await;
            let tcp = tcp.map_err(Error::Connect)?;
            if uri.scheme() == Some(&Scheme::HTTP) {
                return send(tcp, request).await;
            }
            let name = host.to_owned().try_into();
            let name = name.map_err(|_no_name| Error::HttpRequestUriInvalid)?;
            send(tls.connect(name, tcp).await.map_err(Error::Tls)?, request).await
        })
    }
}

async fn send(
    stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    request: http::Request<WasiBody>,
) -> Sent {
    let stream = TokioIo::new(stream);
    let (mut sender, connection) = hyper::client::conn::http1::handshake(stream).await?;
    let connection = tokio::spawn(connection);
    let response = sender.send_request(request).await?;
    let response = response.map(|body| body.map_err(Error::from).boxed_unsync());
    let io = async move { connection.await.map_or(Ok(()), |ended| Ok(ended?)) };
    Ok((response, Box::new(io) as Io))
}
