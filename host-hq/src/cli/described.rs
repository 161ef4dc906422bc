//! What the component says of stored records: only it can read them.

use std::sync::Arc;

use serde_json::{Value, json};

use super::DevicesError;
use crate::config::Config;
use crate::error::chain;
use crate::host::entropy::SystemEntropy;
use crate::registrar::{Guest, GuestError, RegistrarConfig, SecretKey, WasmFactory};
use crate::serve;
use crate::store::RecordRow;

/// A record, and what the component says of it.
pub(super) struct Described {
    pub(super) record: RecordRow,
    pub(super) content: Value,
}

/// Describes records. Its instance is never opened, so no key of HQ's is needed.
pub(super) struct Describer {
    factory: WasmFactory,
    instance: Option<Box<dyn Guest>>,
}

impl Describer {
    pub(super) async fn new(config: &Config) -> Result<Self, DevicesError> {
        let nobody = RegistrarConfig {
            hq_id: config.hq_id.clone(),
            zone: config.zone.to_string(),
            signing_seed: SecretKey::from_bytes([0; 32]),
            delegation: Vec::new(),
            token_key: SecretKey::from_bytes([0; 32]),
            roots: config.keys.roots.clone(),
            models: serve::models(config),
            batch_keys: Vec::new(),
            voucher_keys: Vec::new(),
            cas: serve::rules(config),
            own_names: Vec::new(),
            oldest_grant_epoch: None,
            danger_loopback: config.dns.danger_loopback,
        };
        let component = serve::read_component(config)?;
        let (factory, _) =
            serve::compile(config, component, nobody, Arc::new(SystemEntropy)).await?;
        let instance = None;
        Ok(Self { factory, instance })
    }

    pub(super) fn describe(&mut self, record: RecordRow) -> Described {
        let content = match self.ask(&record) {
            Ok(text) => serde_json::from_str(&text).unwrap_or(Value::String(text)),
            // A record of another component than this one: the rest of the story still counts.
            Err(error) => json!({ "error": chain(&error) }),
        };
        Described { record, content }
    }

    fn ask(&mut self, record: &RecordRow) -> Result<String, GuestError> {
        // After a failure the instance is not put back.
        let mut instance = match self.instance.take() {
            Some(instance) => instance,
            None => Box::new(self.factory.instantiate()?),
        };
        let text = instance.describe_record(&record.key, &record.value)?;
        self.instance = Some(instance);
        Ok(text)
    }
}

impl Described {
    /// A member of the record, if the component could read it.
    pub(super) fn member(&self, name: &str) -> Option<&Value> {
        self.content.get("content")?.get(name)
    }

    /// A member of the record as text.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.member(name)?.as_str()
    }
}
