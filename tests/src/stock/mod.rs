//! A stock runtime: a host for commands of WASI 0.2 that links wasmtime-wasi and wasmtime-wasi-http and nothing of this
//! project's. The one thing that it adds to them is a root of TLS that it trusts (`trust.rs`).

mod trust;

use std::path::Path;
use std::sync::Arc;

use rustls::ClientConfig;
use wasmtime::component::{Component, Linker, ResourceTable};
use wasmtime::{Engine, Store, format_err};
use wasmtime_wasi::p2::bindings::Command;
use wasmtime_wasi::p2::pipe::MemoryOutputPipe;
use wasmtime_wasi::{FsPerms, WasiCtx, WasiCtxView, WasiView};
use wasmtime_wasi_http::{WasiHttpCtx, WasiHttpCtxView, WasiHttpView};

use trust::Trusting;

/// Runs a command on a folder and returns what it printed, on both streams.
///
/// # Errors
///
/// If it does not start, traps, or fails, with what it printed.
pub async fn run(
    command: &Component,
    folder: &Path,
    tls: Arc<ClientConfig>,
    arguments: &[&str],
) -> wasmtime::Result<String> {
    let printed = MemoryOutputPipe::new(MAX_PRINTED);
    let (linker, mut store) = host(command.engine(), folder, tls, arguments, &printed)?;
    let command = Command::instantiate_async(&mut store, command, &linker).await?;
    let ended = command.wasi_cli_run().call_run(&mut store).await;
    let printed = String::from_utf8_lossy(&printed.contents()).into_owned();
    match ended {
        Ok(Ok(())) => Ok(printed),
        Ok(Err(())) => Err(format_err!("the command failed:\n{printed}")),
        Err(trap) => Err(trap.context(format!("the command trapped:\n{printed}"))),
    }
}

/// What a component is instantiated on.
///
/// # Errors
///
/// If there is no such folder.
pub fn host(
    engine: &Engine,
    folder: &Path,
    tls: Arc<ClientConfig>,
    arguments: &[&str],
    printed: &MemoryOutputPipe,
) -> wasmtime::Result<(Linker<Stock>, Store<Stock>)> {
    let mut linker = Linker::new(engine);
    wasmtime_wasi::p2::add_to_linker_async(&mut linker)?;
    wasmtime_wasi_http::p2::add_only_http_to_linker_async(&mut linker)?;
    let mut wasi = WasiCtx::builder();
    wasi.args(arguments)
        .stdout(printed.clone())
        .stderr(printed.clone())
        .preopened_dir(folder, "/", FsPerms::ReadWrite)?;
    let stock = Stock {
        wasi: wasi.build(),
        http: WasiHttpCtx::new(),
        hooks: Trusting(tls),
        table: ResourceTable::new(),
    };
    Ok((linker, Store::new(engine, stock)))
}

/// Compiles a command.
///
/// # Errors
///
/// If it is no component.
pub fn compile(command: &[u8]) -> wasmtime::Result<Component> {
    Component::new(&Engine::default(), command)
}

/// What a store holds.
#[expect(
    missing_debug_implementations,
    reason = "parts of it have none, and nobody prints it"
)]
pub struct Stock {
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

const MAX_PRINTED: usize = 1024 * 1024;
