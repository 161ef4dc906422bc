//! A stock runtime: a host for commands of WASI 0.2 that links wasmtime-wasi and wasmtime-wasi-http and nothing of this
//! project's. The one thing that it adds to them is a root of TLS that it trusts (`trust.rs`).

mod trust;

use std::sync::Arc;

use rustls::ClientConfig;
use wasmtime::component::{Component, Linker, ResourceTable};
use wasmtime::{Engine, Result, Store};
use wasmtime_wasi::p2::add_to_linker_async;
use wasmtime_wasi::p2::bindings::Command;
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};
use wasmtime_wasi_http::p2::add_only_http_to_linker_async;
use wasmtime_wasi_http::{WasiHttpCtx, WasiHttpCtxView, WasiHttpView};

/// What a store holds.
#[expect(missing_debug_implementations, reason = "its parts have none")]
pub struct Stock(WasiCtx, WasiHttpCtx, trust::Trusting, ResourceTable);

/// Runs a command. False: it failed, and has said why on the streams of `wasi`.
///
/// # Errors
///
/// If it does not start, or traps.
pub async fn run(command: &Component, wasi: WasiCtx, tls: Arc<ClientConfig>) -> Result<bool> {
    let (linker, mut store) = host(command.engine(), wasi, tls)?;
    let command = Command::instantiate_async(&mut store, command, &linker).await?;
    Ok(command.wasi_cli_run().call_run(store).await?.is_ok())
}

/// What a component is instantiated on.
///
/// # Errors
///
/// If the runtime is not what it was built with.
pub fn host(
    engine: &Engine,
    wasi: WasiCtx,
    tls: Arc<ClientConfig>,
) -> Result<(Linker<Stock>, Store<Stock>)> {
    let mut linker = Linker::new(engine);
    add_to_linker_async(&mut linker)?;
    add_only_http_to_linker_async(&mut linker)?;
    let (http, hooks) = (WasiHttpCtx::new(), trust::Trusting(tls));
    let stock = Stock(wasi, http, hooks, ResourceTable::new());
    Ok((linker, Store::new(engine, stock)))
}

impl WasiView for Stock {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        let Self(ctx, _, _, table) = self;
        WasiCtxView { ctx, table }
    }
}

impl WasiHttpView for Stock {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        let Self(_, ctx, hooks, table) = self;
        WasiHttpCtxView { ctx, table, hooks }
    }
}
