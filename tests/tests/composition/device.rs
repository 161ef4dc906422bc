//! A device that has no host of this project's: a folder, and commands that run on it.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use anyhow::Context;
use otscert_compositions::{DEVICE, DEVICE_PINNED, Parts, WASI, compose};
use otscert_tests::{World, WorldOptions, free_port, stock};
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier as _;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use rustls::{ClientConfig, RootCertStore};
use serde_json::Value;
use toml::Table;
use wasmtime::Engine;
use wasmtime::component::Component;
use wasmtime_wasi::p2::pipe::MemoryOutputPipe;
use wasmtime_wasi::{FsPerms, WasiCtx};
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

/// A device's folder, inside the folder that its runtime gives it.
pub(crate) struct Device {
    pub(crate) preopen: PathBuf,
}

impl Device {
    pub(crate) fn new(world: &World, name: &str) -> anyhow::Result<Self> {
        let device = Self {
            preopen: world.folder().join(name),
        };
        let bundle = device.folder().join("image-bundle");
        fs::create_dir_all(&bundle)?;
        for file in ["bundle.toml", "tls-root.pem"] {
            fs::copy(world.hq.bundle().join(file), bundle.join(file))
                .with_context(|| file.to_owned())?;
        }
        fs::write(device.folder().join("runner.toml"), RUNNER)?;
        Ok(device)
    }

    /// Puts an origin before the others; `settings` is added to what the runner is told.
    pub(crate) fn prefer(&self, origin: &str, settings: &str) -> anyhow::Result<()> {
        let bundle = self.folder().join("image-bundle/bundle.toml");
        let mut table: Table = fs::read_to_string(&bundle)?.parse()?;
        let origins = table
            .get_mut("origins")
            .and_then(|origins| origins.as_array_mut());
        origins.context("no origins")?.insert(0, origin.into());
        fs::write(&bundle, toml::to_string(&table)?)?;
        fs::write(
            self.folder().join("runner.toml"),
            format!("{RUNNER}{settings}"),
        )?;
        Ok(())
    }

    pub(crate) fn folder(&self) -> PathBuf {
        self.preopen.join("otscert")
    }

    pub(crate) async fn run(
        &self,
        wac: &str,
        roots: RootCertStore,
        arguments: &[&str],
    ) -> anyhow::Result<String> {
        let printed = MemoryOutputPipe::new(MAX_PRINTED);
        let wasi = wasi(&self.preopen, arguments, &printed)?;
        let ended = stock::run(compiled(wac)?, wasi, trusting(roots)).await;
        let printed = String::from_utf8_lossy(&printed.contents()).into_owned();
        match ended {
            Ok(true) => Ok(printed),
            Ok(false) => anyhow::bail!("the command failed:\n{printed}"),
            Err(trap) => anyhow::bail!("the command trapped: {trap:?}\n{printed}"),
        }
    }

    /// Runs with a runtime that has been told of HQ's root.
    pub(crate) async fn run_trusting_hq(
        &self,
        wac: &str,
        arguments: &[&str],
    ) -> anyhow::Result<String> {
        self.run(wac, self.roots()?, arguments).await
    }

    pub(crate) async fn run_once(&self, wac: &str) -> anyhow::Result<String> {
        self.run_once_trusting(wac, self.roots()?).await
    }

    fn roots(&self) -> anyhow::Result<RootCertStore> {
        let root = self.folder().join("image-bundle/tls-root.pem");
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(root)?)?;
        Ok(roots)
    }

    pub(crate) async fn run_once_trusting(
        &self,
        wac: &str,
        roots: RootCertStore,
    ) -> anyhow::Result<String> {
        let running = tokio::time::timeout(TO_SERVING, self.run(wac, roots, ONCE));
        running
            .await
            .with_context(|| format!("not serving in time: {:?}", self.status()))?
    }

    pub(crate) fn status(&self) -> anyhow::Result<Value> {
        Ok(serde_json::from_slice(&fs::read(
            self.folder().join("status.json"),
        )?)?)
    }

    /// Checks the file that a server reads; returns the certificate's names.
    pub(crate) async fn serves(&self, world: &World) -> anyhow::Result<Vec<String>> {
        let file = self.folder().join("tls/server.pem");
        let chain: Vec<_> = CertificateDer::pem_file_iter(&file)?.collect::<Result<_, _>>()?;
        let key = PrivateKeyDer::from_pem_file(&file)?;
        let config = rustls::ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(chain.clone(), key);
        config.context("a server does not take it")?;
        let mut roots = RootCertStore::empty();
        for root in CertificateDer::pem_slice_iter(world.root_pem().await?.as_bytes()) {
            roots.add(root?)?;
        }
        let (_, leaf) = X509Certificate::from_der(&chain[0])?;
        let names = leaf.subject_alternative_name()?.context("no names")?;
        let names = names.value.general_names.iter();
        let dns = |name: &GeneralName<'_>| {
            let GeneralName::DNSName(name) = name else {
                anyhow::bail!("{name:?} in the certificate");
            };
            Ok((*name).to_owned())
        };
        let names: Vec<_> = names.map(dns).collect::<Result<_, _>>()?;
        let shown = names[0].replace('*', "192-168-1-7").try_into()?;
        let verifier =
            WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider()).build()?;
        verifier
            .verify_server_cert(&chain[0], &chain[1..], &shown, &[], UnixTime::now())
            .context("a browser does not trust it")?;
        Ok(names)
    }
}

/// Runs a test to its end.
pub(crate) fn on_a_runtime(test: impl Future<Output = anyhow::Result<()>>) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(test).unwrap();
}

/// The compositions, compiled once for all tests.
fn compiled(wac: &str) -> anyhow::Result<&'static Component> {
    static COMPILED: [OnceLock<Component>; 2] = [OnceLock::new(), OnceLock::new()];
    let index = [DEVICE, DEVICE_PINNED]
        .iter()
        .position(|known| *known == wac);
    let cell = &COMPILED[index.context("no composition of devices")?];
    if let Some(component) = cell.get() {
        return Ok(component);
    }
    let bytes = compose(wac, &Parts::built(), WASI)?;
    let component = Component::new(&Engine::default(), &bytes).map_err(wide)?;
    Ok(cell.get_or_init(|| component))
}

/// What a command is given: a folder as its root, arguments, and where it prints.
pub(crate) fn wasi(
    folder: &Path,
    arguments: &[&str],
    printed: &MemoryOutputPipe,
) -> anyhow::Result<WasiCtx> {
    let mut wasi = WasiCtx::builder();
    wasi.args(arguments)
        .stdout(printed.clone())
        .stderr(printed.clone())
        .preopened_dir(folder, "/", FsPerms::ReadWrite)
        .map_err(wide)?;
    Ok(wasi.build())
}

/// With its causes; wasmtime's own error is no `std` one.
pub(crate) fn wide(error: wasmtime::Error) -> anyhow::Error {
    anyhow::anyhow!("{error:?}")
}

/// TLS with these roots.
pub(crate) fn trusting(roots: RootCertStore) -> Arc<ClientConfig> {
    let config = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .unwrap();
    Arc::new(config.with_root_certificates(roots).with_no_client_auth())
}

fn provider() -> Arc<rustls::crypto::CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

/// A world whose HQ serves devices without TLS as well, and that origin.
pub(crate) async fn world_in_plain(options: &WorldOptions) -> anyhow::Result<(World, String)> {
    let mut world = World::prepare(options, |_| {}).await?;
    let plain = free_port()?.to_string();
    let origin = format!("http://{plain}");
    world.hq.edit(|config| {
        let endpoint = config.get_mut("device_endpoint");
        if let Some(endpoint) = endpoint.and_then(|endpoint| endpoint.as_table_mut()) {
            endpoint.insert("danger_plain_http".to_owned(), plain.into());
        }
    })?;
    world.hq.start().await?;
    Ok((world, origin))
}

pub(crate) const ONCE: &[&str] = &["device", "--once"];
const MAX_PRINTED: usize = 1024 * 1024;
const RUNNER: &str = "firmware = \"1.0.0\"\naddresses = [\"192.168.1.7\"]\n";
/// On a busy machine; the component is compiled in it as well.
const TO_SERVING: Duration = Duration::from_secs(120);
