//! Boards that differ in where their randomness comes from, and an HQ that knows their factory.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use anyhow::Context;
use otscert_crypto::RustCrypto;
use otscert_device::board::SourcesConfig;
use otscert_machine::crypto::Secret;
use otscert_machine::factory::UnitSecret;
use otscert_machine::types::ShortText;
use otscert_machine::wire::base64url;
use toml::{Table, Value};

use crate::boxes::BoxOptions;
use crate::hq::Hq;

/// The model that HQ admits by its factory secret alone.
pub const FACTORY_MODEL: &str = "meter";

/// Gives an HQ that is not running the batch key of a factory, and a model that only it makes.
///
/// # Errors
///
/// If its folder cannot be written.
pub fn know_the_factory(hq: &Hq) -> anyhow::Result<()> {
    let path = hq.folder().join(BATCH_FILE);
    fs::write(&path, format!("{}\n", base64url::encode(&BATCH_KEY)))?;
    fs::set_permissions(&path, Permissions::from_mode(0o600))?;
    hq.edit(|config| {
        let table = |pairs: Vec<(&str, Value)>| -> Value {
            let pairs = pairs.into_iter();
            let owned = pairs.map(|(key, value)| (key.to_owned(), value));
            Value::Table(owned.collect::<Table>())
        };
        let batch = table(vec![("epoch", EPOCH.into()), ("key", BATCH_FILE.into())]);
        if let Some(Value::Table(keys)) = config.get_mut("keys") {
            keys.insert("batch".to_owned(), Value::Array(vec![batch]));
        }
        let admission = Value::Array(vec!["factory-secret".into()]);
        let model = table(vec![
            ("name", FACTORY_MODEL.into()),
            ("mode", "address".into()),
            ("admission", admission),
        ]);
        if let Some(Value::Array(models)) = config.get_mut("model") {
            models.push(model);
        }
    })
}

/// A board without any source of randomness.
#[must_use]
pub fn bare() -> BoxOptions {
    BoxOptions {
        sources: SourcesConfig::none(),
        ..BoxOptions::of_model("router")
    }
}

/// A bare board with what that factory writes into a unit of that serial; its maker lets it make keys that only HQ
/// could compute.
///
/// # Errors
///
/// If the serial is none.
pub fn from_the_factory(serial: &str) -> anyhow::Result<BoxOptions> {
    let epoch = u32::try_from(EPOCH).context("an epoch")?;
    let unit = UnitSecret::derive(
        &RustCrypto,
        &Secret::new(BATCH_KEY),
        epoch,
        &ShortText::parse("model", FACTORY_MODEL)?,
        &ShortText::parse("serial", serial)?,
    );
    let secret = base64url::encode(unit.secret.expose());
    let unit = format!("serial = {serial:?}\nepoch = {epoch}\nsecret = {secret:?}\n");
    Ok(BoxOptions {
        unit: Some(unit),
        hq_trusted: true,
        model: Some(FACTORY_MODEL.to_owned()),
        ..bare()
    })
}

/// HQ's image bundle with another operator's in it, in a folder that is not there yet.
///
/// # Errors
///
/// If a file cannot be copied.
pub fn with_second_operator(hq: &Hq, other: &Hq, folder: &Path) -> anyhow::Result<()> {
    for (from, to) in [(hq, folder.to_owned()), (other, folder.join("other"))] {
        fs::create_dir(&to)?;
        for name in ["bundle.toml", "tls-root.pem"] {
            fs::copy(from.bundle().join(name), to.join(name))?;
        }
    }
    let path = folder.join("bundle.toml");
    let text = fs::read_to_string(&path)?;
    fs::write(&path, format!("{text}\nseeder = \"other\"\n"))?;
    Ok(())
}

const BATCH_FILE: &str = "batch.key";
const EPOCH: i64 = 1;
const BATCH_KEY: [u8; 32] = [9; 32];
