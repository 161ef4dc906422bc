//! A stock runtime: a host for commands of WASI 0.2 that links wasmtime-wasi and wasmtime-wasi-http and nothing of this
//! project's. The one thing it adds to them is a root of TLS that it trusts.

use std::path::Path;
use std::sync::Arc;

use http_body_util::BodyExt as _;
use rustls::ClientConfig;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use wasmtime::component::{Component, Linker, ResourceTable};
use wasmtime::{Engine, Store, format_err};
use wasmtime_wasi::p2::bindings::Command;
use wasmtime_wasi::p2::pipe::MemoryOutputPipe;
use wasmtime_wasi::{FsPerms, WasiCtx, WasiCtxView, WasiView};
use wasmtime_wasi_http::io::TokioIo;
use wasmtime_wasi_http::{
    Error, RequestOptions, WasiBody, WasiHttpCtx, WasiHttpCtxView, WasiHttpHooks, WasiHttpView,
};

/// Runs a command on a folder and returns what it printed, on both streams.
///
/// # Errors
///
/// If it does not start, traps, or fails, with what it printed.
pub async fn run(
    command: &[u8],
    folder: &Path,
    tls: Arc<ClientConfig>,
    arguments: &[&str],
) -> wasmtime::Result<String> {
    let engine = Engine::default();
    let mut linker = Linker::new(&engine);
    wasmtime_wasi::p2::add_to_linker_async(&mut linker)?;
    wasmtime_wasi_http::p2::add_only_http_to_linker_async(&mut linker)?;
    let printed = MemoryOutputPipe::new(MAX_PRINTED);
    let mut wasi = WasiCtx::builder();
    wasi.args(arguments)
        .stdout(printed.clone())
        .stderr(printed.clone())
        .preopened_dir(folder, "/", FsPerms::ReadWrite)?;
    let host = Stock {
        wasi: wasi.build(),
        http: WasiHttpCtx::new(),
        hooks: Trusting(tls),
        table: ResourceTable::new(),
    };
    let mut store = Store::new(&engine, host);
    let component = Component::new(&engine, command)?;
    let command = Command::instantiate_async(&mut store, &component, &linker).await?;
    let ended = command.wasi_cli_run().call_run(&mut store).await;
    let printed = String::from_utf8_lossy(&printed.contents()).into_owned();
    match ended {
        Ok(Ok(())) => Ok(printed),
        Ok(Err(())) => Err(format_err!("the command failed:\n{printed}")),
        Err(trap) => Err(trap.context(format!("the command trapped:\n{printed}"))),
    }
}

struct Stock {
    wasi: WasiCtx,
    http: WasiHttpCtx,
    hooks: Trusting,
    table: ResourceTable,
}

impl WasiView for Stock {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView {
            ctx: &mut self.wasi,
            table: &mut self.table,
        }
    }
}

impl WasiHttpView for Stock {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        WasiHttpCtxView {
            ctx: &mut self.http,
            table: &mut self.table,
            hooks: &mut self.hooks,
        }
    }
}

/// Sends requests over TLS with this config.
struct Trusting(Arc<ClientConfig>);

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
            let name = host.to_owned().try_into();
            let name = name.map_err(|_no_name| Error::HttpRequestUriInvalid)?;
            let tcp = TcpStream::connect((host, port)).await;
            let stream = tls.connect(name, tcp.map_err(Error::Connect)?).await;
            let stream = TokioIo::new(stream.map_err(Error::Tls)?);
            let (mut sender, connection) = hyper::client::conn::http1::handshake(stream).await?;
            let connection = tokio::spawn(connection);
            let response = sender.send_request(request).await?;
            let response = response.map(|body| body.map_err(Error::from).boxed_unsync());
            let io = async move { connection.await.map_or(Ok(()), |ended| Ok(ended?)) };
            Ok((response, Box::new(io) as Io))
        })
    }
}

const MAX_PRINTED: usize = 1024 * 1024;
