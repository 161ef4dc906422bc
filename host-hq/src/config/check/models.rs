//! Kinds of box: who may have a name, by which CA, within which limits.

use otscert_hq_ca::CaConfig;
use otscert_hq_dns::DnsName;
use otscert_machine::hq::admission::Proof;

use super::{Check, is_public};
use crate::config::raw::{RawAdmission, RawModel};
use crate::config::{Admission, Model, NamedCa};

impl Check<'_> {
    pub(super) fn models(
        &mut self,
        raw: Vec<RawModel>,
        cas: &[NamedCa],
        zone: Option<&DnsName>,
    ) -> Vec<Model> {
        if raw.is_empty() || raw.len() > MAX_MODELS {
            self.wrong("model", format!("must be there 1 to {MAX_MODELS} times, as `[[model]]`; `*` as the name takes every box"));
        }
        let mut models: Vec<Model> = Vec::new();
        for RawModel {
            name,
            mode,
            admission,
            enrolments_from_prefix,
            enrolments_of_model,
            ca,
            danger_open_public,
        } in raw
        {
            let admission = self.admission(&name, admission);
            let limits = otscert_machine::hq::config::Limits::default();
            if name.is_empty() || name.len() > MAX_MODEL_NAME || name.chars().any(char::is_control)
            {
                self.wrong(
                    "model.name",
                    format!("has {name:?}: take 1 to {MAX_MODEL_NAME} characters, or `*`"),
                );
            }
            if models.iter().any(|other| other.name == name) {
                self.wrong("model.name", format!("has {name:?} twice"));
            }
            let used = match &ca {
                None => cas.first(),
                Some(wanted) => cas.iter().find(|ca| ca.name == *wanted),
            };
            if let (Some(wanted), None) = (&ca, used) {
                let names: Vec<_> = cas.iter().map(|ca| ca.name.as_str()).collect();
                self.wrong(
                    "model.ca",
                    format!(
                        "names {wanted:?}, and there is no such [[ca]]: there are {}",
                        names.join(", ")
                    ),
                );
            }
            if let (Some(used), Some(zone)) = (used, zone)
                && let CaConfig::Private(private) = &used.config
                && !private.zones.is_empty()
                && !private
                    .zones
                    .iter()
                    .any(|held| held.covers(&zone.to_string()))
            {
                self.wrong(
                    "ca.zones",
                    format!(
                        "of {:?} does not hold {zone}, where {name:?} gets its names, so that it would refuse every \
                         order: add the zone, or leave `zones` out",
                        used.name
                    ),
                );
            }
            if let (true, Some(used), Some(zone)) = (admission.is_open(), used, zone)
                && !danger_open_public
                && is_public(&used.config)
                && !is_public_suffix(zone)
            {
                self.wrong(
                    "model.admission",
                    format!(
                        "lets anybody in for {name:?} with the public CA {:?}, whose quota for {zone} any stranger could then \
                         use up: put the zone on the Public Suffix List, or get the CA's limits raised and set \
                         `danger_open_public = true`",
                        used.name
                    ),
                );
            }
            models.push(Model {
                name,
                mode,
                admission,
                enrolments_from_prefix: enrolments_from_prefix.unwrap_or(limits.from_prefix),
                enrolments_of_model: enrolments_of_model.unwrap_or(limits.of_model),
                ca,
            });
        }
        models
    }

    fn admission(&mut self, model: &str, raw: RawAdmission) -> Admission {
        let alternatives = match raw {
            RawAdmission::One(text) => vec![text],
            RawAdmission::Several(texts) => texts,
        };
        match Admission::parse(&alternatives) {
            Ok(admission) => {
                let needs = |proof| admission.asks_for(proof);
                if needs(Proof::FactorySecret) && !self.has_batches {
                    self.wrong(
                        "model.admission",
                        format!("of {model:?} asks for a factory secret, and there is no `[[keys.batch]]`: `otscert-hq factory batch` makes a key"),
                    );
                }
                if needs(Proof::Voucher) && !self.has_voucher_keys {
                    self.wrong(
                        "model.admission",
                        format!("of {model:?} asks for a voucher, and `keys.voucher_keys` names nobody who may sign one"),
                    );
                }
                admission
            }
            Err(error) => {
                self.wrong("model.admission", format!("of {model:?}: {error}"));
                Admission::closed()
            }
        }
    }
}

/// Whether each name one label below the zone counts as a registered domain of its own.
fn is_public_suffix(zone: &DnsName) -> bool {
    let zone = zone.to_string();
    psl::suffix(zone.as_bytes())
        .is_some_and(|suffix| suffix.is_known() && suffix.as_bytes() == zone.as_bytes())
}

const MAX_MODELS: usize = 256;
const MAX_MODEL_NAME: usize = 64;
