//! No secret of a box leaves it: not in any byte that it sends, not in HQ's database, not in any log at TRACE.
//!
//! The marker is the secret itself, looked for in every spelling that a program might give it. That the search finds what is
//! there is shown on the box's own storage, where each of them must be.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, ensure};
use memchr::memmem::Finder;
use otscert_crypto::RustCrypto;
use otscert_device::storage::{FolderStore, Key, Records};
use otscert_machine::crypto::{Secret, SecretBytes};
use otscert_machine::device::config::Credential;
use otscert_machine::device::drive::Input;
use otscert_machine::device::records::{
    CREDENTIAL_KEY, CredentialRecord, DEVICE_KEY, DeviceRecord, Phase,
};
use otscert_machine::factory::{ClaimCode, UnitSecret};
use otscert_machine::record::{self, RecordKind};
use otscert_machine::types::ShortText;
use otscert_machine::wire::base64url;
use otscert_tests::{BoxOptions, NativeBox, NativeOptions, Poster, World, WorldOptions};
use toml::{Table, Value};

use crate::{TO_HTTPS, limited};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_secret_of_a_box_is_in_its_messages_or_at_hq() -> anyhow::Result<()> {
    limited(240, async {
        let mut world = world_at_trace().await?;
        let poster = Poster::new(&world.hq.bundle())?;
        let key = Secret::new(BATCH_KEY);
        let (model, serial) = (short("router")?, short("SN-1")?);
        let unit = UnitSecret::derive(&RustCrypto, &key, 1, &model, &serial);
        let code = ClaimCode::parse(CLAIM_CODE)?;
        let options = NativeOptions {
            credential: Credential {
                claim_code: Some(code.clone()),
                serial: Some(serial),
                secret: Some(unit.clone()),
            },
            ..NativeOptions::new("router", 5)
        };
        let mut boxed = NativeBox::with(&poster, &options)?;
        let mut secrets = Secrets::default();
        let companion = [0xc5; 32].map(|byte: u8| byte.wrapping_mul(31));
        boxed.advance(Input::Companion(SecretBytes::new(companion.to_vec())))?;
        boxed.reach(1, PATIENCE).await?;
        secrets.learn(&boxed.host.records)?;
        boxed.advance(Input::Renew)?;
        boxed.reach(2, PATIENCE).await?;
        secrets.learn(&boxed.host.records)?;
        let stored = boxed.host.records.clone();
        secrets.found_in(
            "the storage of the box",
            &stored.values().flatten().copied().collect::<Vec<_>>(),
        )?;
        boxed.advance(Input::Reset)?;
        boxed.reach(4, PATIENCE).await?;
        secrets.learn(&boxed.host.records)?;

        // What is in no record of the box must not be anywhere either.
        secrets.add("the factory secret", unit.secret.expose());
        secrets.add("the companion seed", &companion);
        for (n, given) in boxed.host.given.iter().enumerate() {
            secrets.add(&format!("sample {n}"), &given[..given.len().min(32)]);
        }
        ensure!(boxed.log.len() > 12, "too few messages to say anything");
        for exchange in &boxed.log {
            secrets.absent("a message", &spelled_out(&exchange.request)?)?;
        }
        world.hq.stop()?;
        secrets.absent_at_hq(&world)?;
        // HQ keeps no code, and logs none: it is the owner's.
        let mut code_alone = Secrets::default();
        code_alone.add("the claim code", code.expose().as_bytes());
        code_alone.add("the claim code as printed", code.printed().as_bytes());
        code_alone.absent_at_hq(&world)
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_secret_of_a_box_is_in_its_own_logs() -> anyhow::Result<()> {
    limited(240, async {
        let mut world = world_at_trace().await?;
        let options = BoxOptions {
            record: true,
            ..BoxOptions::of_model("router")
        };
        let mut boxed = world.box_process("traced", &options)?;
        let folder = world.folder().join("traced");
        let config = folder.join("device.toml");
        let text = fs::read_to_string(&config)?;
        let quiet = text
            .lines()
            .find(|line| line.starts_with("log_level"))
            .context("no log_level")?
            .to_owned();
        fs::write(
            &config,
            text.replace(&quiet, &format!("log_level = {TRACE:?}")),
        )?;
        boxed.start()?;
        boxed.on_https(TO_HTTPS).await?;
        boxed.run(&["renew"])?;
        let said = boxed.run(&["status"])?;
        boxed.stop()?;

        let store = FolderStore::open(&folder.join("storage"))?;
        let mut records = BTreeMap::new();
        for key in [DEVICE_KEY, CREDENTIAL_KEY, "seed/0", "seed/1"] {
            if let Some(bytes) = store.read(&Key::parse(key)?)? {
                records.insert(key.to_owned(), bytes);
            }
        }
        let mut secrets = Secrets::default();
        secrets.learn(&records)?;
        let log = fs::read(folder.join("device.log"))?;
        ensure!(
            Finder::new(b"TRACE").find(&log).is_some(),
            "the log is not at TRACE"
        );
        secrets.absent("the box's log", &log)?;
        secrets.absent("what `status` prints", said.as_bytes())?;
        let events = fs::read(folder.join("record.jsonl"))?;
        ensure!(
            Finder::new(b"Serving").find(&events).is_some(),
            "the event log says nothing"
        );
        secrets.absent("the event log", &events)?;
        world.hq.stop()?;
        secrets.absent_at_hq(&world)
    })
    .await
}

async fn world_at_trace() -> anyhow::Result<World> {
    let mut world = World::start(&WorldOptions::Private).await?;
    world.hq.stop()?;
    let key = world.hq.folder().join("batch.key");
    fs::write(&key, format!("{}\n", base64url::encode(&BATCH_KEY)))?;
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600))?;
    world.hq.edit(|config| {
        let mut batch = Table::new();
        batch.insert("epoch".to_owned(), Value::Integer(1));
        batch.insert("key".to_owned(), Value::String("batch.key".to_owned()));
        if let Some(Value::Table(keys)) = config.get_mut("keys") {
            keys.insert("batch".to_owned(), Value::Array(vec![Value::Table(batch)]));
        }
    })?;
    world.hq.set_environment("OTSCERT_HQ_LOG", TRACE);
    world.hq.start().await?;
    Ok(world)
}

/// What must not be anywhere, by name, in every spelling.
#[derive(Default)]
struct Secrets {
    spelled: BTreeMap<String, Vec<Vec<u8>>>,
}

impl Secrets {
    fn add(&mut self, name: &str, secret: &[u8]) {
        self.spelled.insert(name.to_owned(), spellings(secret));
    }

    /// All secrets in a box's records.
    fn learn(&mut self, records: &BTreeMap<String, Vec<u8>>) -> anyhow::Result<()> {
        let mut keys = Vec::new();
        let bytes = records.get(DEVICE_KEY).context("no device record")?;
        let device: DeviceRecord = record::open(RecordKind::Device, bytes, &RustCrypto)?;
        match device.phase {
            Phase::Fresh(_) => {}
            Phase::Enrolling(identity, _) => keys.push(("identity", identity.seed)),
            Phase::Enrolled(member, pursuit) => {
                keys.push(("identity", member.identity.seed));
                keys.extend(pursuit.map(|pursuit| ("TLS key", pursuit.key)));
            }
        }
        if let Some(bytes) = records.get(CREDENTIAL_KEY) {
            let held: CredentialRecord =
                record::open(RecordKind::DeviceCredential, bytes, &RustCrypto)?;
            keys.push(("TLS key", held.current.key));
            keys.extend(held.previous.map(|previous| ("TLS key", previous.key)));
        }
        ensure!(keys.len() > 1, "no TLS key in the records");
        for (what, key) in keys {
            let number = self.spelled.len();
            let known = self.spelled.values().any(|it| it[0] == key.expose());
            if !known {
                self.add(&format!("{what}, {number}"), key.expose());
            }
        }
        for slot in ["seed/0", "seed/1"] {
            let Some(bytes) = records.get(slot) else {
                continue;
            };
            // Its type shows no seed; whatever in it looks random is one, or as good as.
            let random = |part: &&[u8]| {
                let different: std::collections::BTreeSet<_> = part.iter().collect();
                different.len() > 18
            };
            let parts: Vec<&[u8]> = bytes.windows(24).filter(random).collect();
            ensure!(parts.len() > 8, "no seed in {slot}");
            for (n, part) in parts.into_iter().enumerate().step_by(4) {
                self.add(&format!("{slot}, from {n}, {}", self.spelled.len()), part);
            }
        }
        Ok(())
    }

    fn absent(&self, place: &str, hay: &[u8]) -> anyhow::Result<()> {
        for (name, spelled) in &self.spelled {
            for spelling in spelled {
                ensure!(
                    Finder::new(spelling).find(hay).is_none(),
                    "{name} stands in {place}, as {:?}",
                    String::from_utf8_lossy(spelling)
                );
            }
        }
        Ok(())
    }

    /// The search finds what is there: without this, the others could not fail.
    fn found_in(&self, place: &str, hay: &[u8]) -> anyhow::Result<()> {
        for (name, spelled) in &self.spelled {
            let gone = name.starts_with("seed/");
            ensure!(
                gone || spelled.iter().any(|it| Finder::new(it).find(hay).is_some()),
                "{name} is not in {place}: the search finds nothing"
            );
        }
        Ok(())
    }

    /// HQ must have stopped: a running one makes files and takes them away while they are listed.
    fn absent_at_hq(&self, world: &World) -> anyhow::Result<()> {
        let log = world.hq.log();
        ensure!(log.contains("TRACE"), "HQ's log is not at TRACE");
        self.absent("HQ's log", log.as_bytes())?;
        let data = world.hq.store();
        let folder = data.parent().context("no folder")?;
        let mut looked_at = 0;
        for file in files(folder)? {
            self.absent(&file.display().to_string(), &fs::read(&file)?)?;
            looked_at += 1;
        }
        ensure!(looked_at > 0, "HQ has no files");
        Ok(())
    }
}

fn files(folder: &Path) -> anyhow::Result<Vec<std::path::PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let kind = entry.file_type()?;
        if kind.is_dir() {
            found.extend(files(&entry.path())?);
        } else if kind.is_file() {
            found.push(entry.path());
        }
    }
    Ok(found)
}

/// A message, and what is inside its base64url.
fn spelled_out(message: &[u8]) -> anyhow::Result<Vec<u8>> {
    let mut all = message.to_vec();
    let json: serde_json::Value = serde_json::from_slice(message)?;
    for member in ["protected", "payload", "signature"] {
        if let Some(text) = json[member].as_str() {
            all.extend(base64url::decode(text).map_err(|_| anyhow::anyhow!("no base64url"))?);
        }
    }
    Ok(all)
}

/// Raw, hexadecimal, base64 in both alphabets and at every offset, and as Rust prints bytes.
fn spellings(secret: &[u8]) -> Vec<Vec<u8>> {
    let hex: String = secret.iter().map(|byte| format!("{byte:02x}")).collect();
    let decimal: Vec<_> = secret.iter().map(ToString::to_string).collect();
    let mut all = vec![
        secret.to_vec(),
        hex.to_uppercase().into_bytes(),
        hex.into_bytes(),
        decimal.join(", ").into_bytes(),
        decimal.join(",").into_bytes(),
    ];
    for offset in 0..3 {
        let mut shifted = vec![0; offset];
        shifted.extend_from_slice(secret);
        let text = base64url::encode(&shifted);
        // What depends on the neighbours stays out.
        let inner = &text[4.min(text.len())..text.len() - 4];
        all.push(inner.as_bytes().to_vec());
        all.push(inner.replace('-', "+").replace('_', "/").into_bytes());
    }
    all
}

fn short(text: &str) -> anyhow::Result<ShortText> {
    Ok(ShortText::parse("text", text)?)
}

const BATCH_KEY: [u8; 32] = [0x3d; 32];
/// All but the compiler, which sees no secrets and writes gigabytes.
const TRACE: &str = "trace,cranelift_codegen=warn,cranelift_frontend=warn,cranelift_isle=warn,regalloc2=warn,wasmtime_internal_cranelift=warn";
const CLAIM_CODE: &str = "7K3M-Q2WT-9XHB-04ZF-J";
const PATIENCE: Duration = Duration::from_secs(60);
