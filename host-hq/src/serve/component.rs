//! The component, and the config it is opened with.

use std::borrow::Cow;
use std::fs;
use std::sync::Arc;

use otscert_component::Limits;
use otscert_hq_ca::CaConfig;

use super::ServeError;
use crate::config::{
    self, CheckedDelegation, Config, KeyError, Mode, Seed, Severity, judge_delegation,
};
use crate::host::entropy::EntropySource;
use crate::registrar::{CaRule, Model, NameMode, RegistrarConfig, SecretKey, WasmFactory};
use crate::types::Timestamp;

/// The registrar's config, with its keys.
///
/// # Errors
///
/// If a key cannot be used; a delegation that has ended is said in the log.
pub(super) fn registrar_config(
    config: &Config,
    now: Timestamp,
) -> Result<RegistrarConfig, KeyError> {
    let signing = Seed::read("keys.signing_key", &config.keys.signing_key)?;
    let token = Seed::read("keys.token_key", &config.keys.token_key)?;
    let batch_keys = config
        .keys
        .batches
        .iter()
        .map(|(epoch, path)| {
            let key = Seed::read("keys.batch", path)?;
            Ok((*epoch, SecretKey::from_bytes(*key.expose())))
        })
        .collect::<Result<_, KeyError>>()?;
    let roots = &config.keys.roots;
    let delegation =
        CheckedDelegation::read(&config.keys.delegation, &config.hq_id, &signing, roots)?;
    let judged = judge_delegation(&delegation, now);
    match judged.severity {
        Severity::Ok => {}
        // Boxes go on serving in any case, and an HQ that stands still helps none of them.
        Severity::Warn => tracing::warn!("{}", judged.text),
        Severity::Fail => tracing::error!("{}", judged.text),
    }
    Ok(RegistrarConfig {
        hq_id: config.hq_id.clone(),
        zone: config.zone.to_string(),
        signing_seed: SecretKey::from_bytes(*signing.expose()),
        delegation: delegation.bytes,
        token_key: SecretKey::from_bytes(*token.expose()),
        roots: roots.clone(),
        models: models(config),
        batch_keys,
        voucher_keys: config.keys.voucher_keys.clone(),
        cas: rules(config),
        own_names: config.own_names(),
        oldest_grant_epoch: config.keys.oldest_grant_epoch,
        danger_loopback: config.dns.danger_loopback,
    })
}

/// The models as the registrar has them.
pub(crate) fn models(config: &Config) -> Vec<Model> {
    let model = |model: &config::Model| Model {
        name: model.name.clone(),
        mode: match model.mode {
            Mode::Address => NameMode::Address,
            Mode::Word => NameMode::Word,
        },
        admission: model.admission.alternatives(),
        enrolments_from_prefix: model.enrolments_from_prefix,
        enrolments_of_model: model.enrolments_of_model,
        ca: model.ca.clone(),
    };
    config.models.iter().map(model).collect()
}

/// The CAs as the registrar has them.
pub(crate) fn rules(config: &Config) -> Vec<CaRule> {
    let rule = |ca: &config::NamedCa| CaRule {
        name: ca.name.clone(),
        profile: match &ca.config {
            CaConfig::Acme(acme) => acme.profile.as_ref().map(|name| name.as_str().to_owned()),
            CaConfig::Private(_) => None,
        },
        // Whoever has no ARI says so when asked; `renewal-info` is then answered with none.
        ari: true,
    };
    config.cas.iter().map(rule).collect()
}

/// The component's bytes: another file, or the one in the program.
pub(crate) fn read_component(config: &Config) -> Result<Cow<'static, [u8]>, ServeError> {
    match &config.component {
        None => Ok(otscert_component::COMPONENT.into()),
        Some(path) => match fs::read(path) {
            Ok(bytes) => Ok(bytes.into()),
            Err(source) => Err(ServeError::Component {
                path: path.clone(),
                source,
            }),
        },
    }
}

/// Compiles the component, which takes a second or two.
pub(crate) async fn compile(
    config: &Config,
    component: Cow<'static, [u8]>,
    registrar: RegistrarConfig,
    entropy: Arc<dyn EntropySource>,
) -> Result<(WasmFactory, String), ServeError> {
    let name = config
        .component
        .as_ref()
        .map_or_else(|| "built in".to_owned(), |path| path.display().to_string());
    let compiled = tokio::task::spawn_blocking(move || {
        WasmFactory::new(&component, Limits::default(), registrar, entropy)
    });
    let factory = compiled
        .await
        .map_err(|_| ServeError::Panicked)?
        .map_err(|source| ServeError::Load { name, source })?;
    let sha256 = factory.sha256().to_owned();
    Ok((factory, sha256))
}
