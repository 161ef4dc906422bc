//! What the files that the config names must be.

use std::fs;

use otscert_hq_ca::CaConfig;

use super::keys::{CheckedDelegation, Seed};
use super::{CertificateFiles, Config, PeopleCertificate};
use crate::error::chain;
use crate::tls;
use crate::types::Timestamp;

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// As it should be.
    Ok,
    /// HQ runs, and somebody should do something about it.
    Warn,
    /// It does not work.
    Fail,
}

/// What was found about one thing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// What was looked at, what was found, what to do.
    pub text: String,
}

impl Finding {
    pub(crate) fn ok(text: impl Into<String>) -> Self {
        Self {
            severity: Severity::Ok,
            text: text.into(),
        }
    }

    pub(crate) fn warn(text: impl Into<String>) -> Self {
        Self {
            severity: Severity::Warn,
            text: text.into(),
        }
    }

    pub(crate) fn fail(text: impl Into<String>) -> Self {
        Self {
            severity: Severity::Fail,
            text: text.into(),
        }
    }
}

impl Config {
    /// Looks at the files that the config names: there, readable by this user only where secret, and fitting each
    /// other.
    #[must_use]
    pub fn check_files(&self, now: Timestamp) -> Vec<Finding> {
        let mut findings = vec![self.check_signing(now)];
        let batches = self.keys.batches.iter();
        let batches = batches.map(|(_, path)| ("keys.batch", path));
        let own = [
            ("keys.token_key", &self.keys.token_key),
            ("keys.master_key", &self.keys.master_key),
        ];
        for (setting, path) in own.into_iter().chain(batches) {
            findings.push(match Seed::read(setting, path) {
                Ok(_) => Finding::ok(format!("{setting}: {} is a key", path.display())),
                Err(error) => fail(&error),
            });
        }
        findings.push(check_certificate(
            "device_endpoint",
            &self.device_endpoint.files,
            now,
        ));
        if let PeopleCertificate::Files(files) = &self.people.certificate {
            findings.push(check_certificate("people", files, now));
        }
        for ca in &self.cas {
            if let CaConfig::Acme(acme) = &ca.config {
                let eab = acme
                    .eab
                    .as_ref()
                    .map(|eab| ("eab.hmac_key_file", &eab.hmac_key_file));
                let root = acme.root_pem.as_ref().map(|path| ("root_pem", path));
                for (setting, path) in eab.into_iter().chain(root) {
                    findings.push(match fs::metadata(path) {
                        Ok(_) => Finding::ok(format!(
                            "CA {}: {setting} {} is there",
                            ca.name,
                            path.display()
                        )),
                        Err(error) => Finding::fail(format!(
                            "CA {}: `{setting}` {} cannot be read: {error}",
                            ca.name,
                            path.display()
                        )),
                    });
                }
            }
        }
        if let Some(component) = &self.component {
            findings.push(match fs::read(component) {
                Ok(bytes) => Finding::ok(format!(
                    "component: {} has SHA-256 {}",
                    component.display(),
                    otscert_component::sha256_hex_of(&bytes)
                )),
                Err(error) => Finding::fail(format!(
                    "`component` {} cannot be read: {error}",
                    component.display()
                )),
            });
        }
        findings
    }

    fn check_signing(&self, now: Timestamp) -> Finding {
        let checked = Seed::read("keys.signing_key", &self.keys.signing_key).and_then(|key| {
            CheckedDelegation::read(&self.keys.delegation, &self.hq_id, &key, &self.keys.roots)
        });
        match checked {
            Ok(delegation) => judge_delegation(&delegation, now),
            Err(error) => fail(&error),
        }
    }
}

/// Whether a delegation still holds, and for how long.
pub(crate) fn judge_delegation(delegation: &CheckedDelegation, now: Timestamp) -> Finding {
    let ends = crate::cli::format::date(delegation.not_after);
    let epoch = delegation.epoch;
    if delegation.not_after <= now {
        return Finding::fail(format!(
            "the delegation of the protocol key (epoch {epoch}) ended on {ends}: boxes refuse HQ's answers and go \
                 on serving; the holder of a root must run `otscert-hq delegate`"
        ));
    }
    if delegation.not_after <= now.plus_millis(DELEGATION_WARN_MS) {
        return Finding::warn(format!(
            "the delegation of the protocol key (epoch {epoch}) ends on {ends}: let the holder of a root run \
                 `otscert-hq delegate` before"
        ));
    }
    Finding::ok(format!(
        "the protocol key is delegated by a root until {ends} (epoch {epoch})"
    ))
}

fn check_certificate(table: &str, files: &CertificateFiles, now: Timestamp) -> Finding {
    match tls::read_pair(&files.certificate, &files.key) {
        Ok(pair) => {
            let ends = crate::cli::format::date(pair.not_after);
            let file = files.certificate.display();
            match pair.not_after {
                end if end <= now => Finding::fail(format!(
                    "{table}: the certificate {file} ended on {ends}: make a new one"
                )),
                end if end <= now.plus_millis(LEAF_WARN_MS) => Finding::warn(format!(
                    "{table}: the certificate {file} ends on {ends}: make a new one before"
                )),
                _ => Finding::ok(format!(
                    "{table}: the certificate {file} fits its key and ends on {ends}"
                )),
            }
        }
        Err(error) => fail(&error),
    }
}

fn fail(error: &dyn std::error::Error) -> Finding {
    Finding::fail(chain(error))
}

const DAY_MS: u64 = 86_400_000;
const DELEGATION_WARN_MS: u64 = 60 * DAY_MS;
const LEAF_WARN_MS: u64 = 14 * DAY_MS;
