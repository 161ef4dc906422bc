//! A device on a stock runtime: the composition of standard interfaces, against a real HQ with a real ACME server
//! behind it.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, ensure};
use otscert_compositions::{Allowed, DEVICE, DEVICE_PINNED, Parts, compose};
use otscert_tests::{World, WorldOptions, stock};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};
use serde_json::Value;
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

#[test]
pub(crate) fn a_device_on_a_stock_runtime_reaches_serving() {
    on_a_runtime(async {
        let world = World::start(&WorldOptions::Pebble { life: 90 * 86_400 }).await?;
        let device = Device::new(&world, "device")?;
        let printed = device.run_once(DEVICE).await?;
        ensure!(printed.contains("AwaitingCertificate: "), "{printed}");
        let names = device.serves(&world).await?;
        ensure!(names.len() == 1 && names[0].starts_with("*."), "{names:?}");
        ensure!(device.status()?["grade"] == "A", "{}", device.status()?);

        // A second start goes on where the first has ended, by what is in the folder.
        let id = device.status()?["device_id"].clone();
        let again = device.run_once(DEVICE_PINNED).await?;
        ensure!(!again.contains("Enrolling"), "{again}");
        ensure!(device.serves(&world).await? == names);
        ensure!(device.status()?["device_id"] == id && id.is_string());
        Ok(())
    });
}

#[test]
fn a_device_with_the_attenuator_reaches_serving_with_the_private_ca() {
    on_a_runtime(async {
        let world = World::start(&WorldOptions::Private).await?;
        let device = Device::new(&world, "pinned")?;
        device.run_once(DEVICE_PINNED).await?;
        device.serves(&world).await?;
        Ok(())
    });
}

#[test]
fn a_runtime_that_does_not_trust_hq_s_root_gets_no_message_through() {
    on_a_runtime(async {
        let world = World::start(&WorldOptions::Private).await?;
        let device = Device::new(&world, "stranger")?;
        let running = device.run(DEVICE, RootCertStore::empty(), ONCE);
        let ended = tokio::time::timeout(Duration::from_secs(10), running).await;
        ensure!(ended.is_err(), "it goes on trying: {ended:?}");
        let status = device.status()?;
        ensure!(status["state"] == "AwaitingContact", "{status}");
        let listed = world.hq.json(&["devices", "list"])?;
        ensure!(listed.as_array().is_some_and(Vec::is_empty), "{listed}");
        Ok(())
    });
}

#[test]
fn a_folder_that_makes_no_device_is_refused_with_the_reason() {
    on_a_runtime(async {
        let world = World::prepare(&WorldOptions::Private, |_| {}).await?;
        for (file, text, reason) in [
            (
                "runner.toml",
                "firmwear = \"1\"",
                "did you mean `firmware`?",
            ),
            ("unit.toml", "epoch = 1", "`secret`"),
            ("image-bundle/bundle.toml", "", "missing field"),
        ] {
            let device = Device::new(&world, "refused")?;
            fs::write(device.folder().join(file), text)?;
            let error = device.run_once(DEVICE).await.unwrap_err();
            let error = format!("{error:?}");
            ensure!(error.contains(reason), "{file}: {error}");
            fs::remove_dir_all(&device.preopen)?;
        }
        let device = Device::new(&world, "refused")?;
        let run = device.run(DEVICE, RootCertStore::empty(), &["device", "--twice"]);
        let error = format!("{:?}", run.await.unwrap_err());
        ensure!(error.contains("\"--twice\" is no argument"), "{error}");
        Ok(())
    });
}

/// A device's folder, inside the folder that its runtime gives it.
struct Device {
    preopen: PathBuf,
}

impl Device {
    fn new(world: &World, name: &str) -> anyhow::Result<Self> {
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

    fn folder(&self) -> PathBuf {
        self.preopen.join("otscert")
    }

    async fn run(
        &self,
        wac: &str,
        roots: RootCertStore,
        arguments: &[&str],
    ) -> anyhow::Result<String> {
        let composition = compose(wac, &Parts::built(), Allowed::Wasi)?;
        let tls = ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let running = stock::run(&composition, &self.preopen, Arc::new(tls), arguments);
        running.await.map_err(|error| anyhow::anyhow!("{error:?}"))
    }

    async fn run_once(&self, wac: &str) -> anyhow::Result<String> {
        let root = self.folder().join("image-bundle/tls-root.pem");
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(root)?)?;
        let running = tokio::time::timeout(TO_SERVING, self.run(wac, roots, ONCE));
        running
            .await
            .with_context(|| format!("not serving in time: {:?}", self.status()))?
    }

    fn status(&self) -> anyhow::Result<Value> {
        Ok(serde_json::from_slice(&fs::read(
            self.folder().join("status.json"),
        )?)?)
    }

    /// Checks the file that a server reads; returns the certificate's names.
    async fn serves(&self, world: &World) -> anyhow::Result<Vec<String>> {
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
        let names: Vec<_> = names
            .filter_map(|name| match name {
                GeneralName::DNSName(name) => Some((*name).to_owned()),
                _ => None,
            })
            .collect();
        let shown = names[0].replace('*', "192-168-1-7").try_into()?;
        let verifier = rustls::client::WebPkiServerVerifier::builder_with_provider(
            Arc::new(roots),
            provider(),
        )
        .build()?;
        use rustls::client::danger::ServerCertVerifier as _;
        verifier
            .verify_server_cert(
                &chain[0],
                &chain[1..],
                &shown,
                &[],
                rustls::pki_types::UnixTime::now(),
            )
            .context("a browser does not trust it")?;
        Ok(names)
    }
}

fn on_a_runtime(test: impl Future<Output = anyhow::Result<()>>) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(test).unwrap();
}

fn provider() -> Arc<rustls::crypto::CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

const ONCE: &[&str] = &["device", "--once"];
const RUNNER: &str = "firmware = \"1.0.0\"\naddresses = [\"192.168.1.7\"]\n";
/// On a busy machine; the component is compiled in it as well.
const TO_SERVING: Duration = Duration::from_secs(120);
