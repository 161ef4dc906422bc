//! HQ's account at a CA, as a file.
//!
//! The key is on disk before the CA hears of it. So a crash at any point leaves at worst a key
//! without a URL, and the next start registers the same key again, which gives the same account
//! (RFC 8555 section 7.3.1). In a rollover both keys are on disk until the CA has answered; after a
//! crash the CA is asked which one it knows.

use std::path::{Path, PathBuf};

use otscert_host::files;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::jws::{AccountKey, EabKey, Signer, binding};
use crate::authority::CaError;
use crate::config::{Contact, OpenError};
use crate::operation::CaProblemKind;
use crate::seal::MasterKey;
use crate::stop::Stop;

/// The account of one CA.
pub(crate) struct AcmeAccount {
    path: PathBuf,
    master: MasterKey,
    stored: Stored,
    key: AccountKey,
    /// The new key of a rollover whose outcome is not known.
    next: Option<AccountKey>,
}

/// The file's content. Keys are sealed.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    version: u32,
    ca: String,
    directory: String,
    account: Option<String>,
    key: String,
    next_key: Option<String>,
}

impl AcmeAccount {
    /// Reads the account's file, or makes a key and writes the file. No network is used.
    pub(crate) fn load_or_create(
        path: &Path,
        ca: &str,
        directory: &str,
        master: MasterKey,
    ) -> Result<Self, OpenError> {
        let refuse = |detail: &str, source| OpenError::Account {
            ca: ca.to_owned(),
            path: path.to_owned(),
            detail: detail.to_owned(),
            source,
        };
        let read =
            files::read(path).map_err(|error| refuse("it cannot be read", Some(error.into())))?;
        let Some(bytes) = read else {
            return Self::create(path, ca, directory, master);
        };
        let stored: Stored = serde_json::from_slice(&bytes).map_err(|error| {
            refuse(
                "it is damaged; restore it from a backup",
                Some(error.into()),
            )
        })?;
        if stored.version != VERSION {
            let detail = format!(
                "it has version {}, this program knows {VERSION}; use the program that wrote it",
                stored.version
            );
            return Err(refuse(&detail, None));
        }
        if stored.directory != directory {
            let detail = format!(
                "it belongs to the directory {}, the config says {directory}; give a CA with \
                 another directory another name, since orders and certificates belong to the old",
                stored.directory
            );
            return Err(refuse(&detail, None));
        }
        let open = |slot: &str, sealed: &str| {
            let pkcs8 = master
                .open(&context(ca, slot), sealed)
                .map_err(|error| refuse("its key does not open", Some(error.into())))?;
            AccountKey::from_pkcs8(pkcs8).map_err(|detail| refuse(detail, None))
        };
        let key = open(SLOT, &stored.key)?;
        let next = stored
            .next_key
            .as_deref()
            .map(|sealed| open(SLOT, sealed))
            .transpose()?;
        Ok(Self {
            path: path.to_owned(),
            master,
            stored,
            key,
            next,
        })
    }

    fn create(
        path: &Path,
        ca: &str,
        directory: &str,
        master: MasterKey,
    ) -> Result<Self, OpenError> {
        let refuse = |detail: &str, source| OpenError::Account {
            ca: ca.to_owned(),
            path: path.to_owned(),
            detail: detail.to_owned(),
            source,
        };
        let key = AccountKey::generate().map_err(|detail| refuse(detail, None))?;
        let sealed = master
            .seal(&context(ca, SLOT), key.pkcs8())
            .map_err(|error| refuse("its key cannot be sealed", Some(error.into())))?;
        let stored = Stored {
            version: VERSION,
            ca: ca.to_owned(),
            directory: directory.to_owned(),
            account: None,
            key: sealed,
            next_key: None,
        };
        let account = Self {
            path: path.to_owned(),
            master,
            stored,
            key,
            next: None,
        };
        if let Some(folder) = path.parent() {
            files::private_folder(folder)
                .map_err(|error| refuse("its folder cannot be made", Some(error.into())))?;
        }
        files::replace(path, &account.stored.bytes())
            .map_err(|error| refuse("it cannot be written", Some(error.into())))?;
        Ok(account)
    }

    /// The account's URL, once registered.
    pub(crate) fn url(&self) -> Option<&str> {
        self.stored.account.as_deref()
    }

    /// The account's key.
    pub(crate) fn key(&self) -> &AccountKey {
        &self.key
    }

    /// Makes sure that the CA knows the account by the key in use.
    pub(crate) async fn connect(
        &mut self,
        signer: Signer<'_>,
        contact: &[Contact],
        eab: Option<&EabKey>,
        terms_agreed: bool,
    ) -> Result<(), Stop> {
        if self.next.is_some() {
            self.settle_rollover(signer).await?;
        }
        if self.stored.account.is_some() {
            return Ok(());
        }
        let url = signer.directory.new_account.clone();
        let mut payload = json!({
            "contact": contact.iter().map(Contact::as_str).collect::<Vec<_>>(),
        });
        if terms_agreed {
            payload["termsOfServiceAgreed"] = json!(true);
        }
        if let Some(eab) = eab {
            payload["externalAccountBinding"] = binding(eab, &url, &self.key)?;
        }
        let reply = signer.post(&self.key, None, &url, &payload).await?;
        let account =
            reply
                .header("location")
                .map(str::to_owned)
                .ok_or_else(|| CaError::NotUnderstood {
                    ca: self.stored.ca.clone(),
                    url,
                    detail: "expected the account's Location (RFC 8555 section 7.3)".to_owned(),
                    retry_after: None,
                    source: None,
                })?;
        tracing::info!(ca = self.stored.ca, account, "registered at the CA");
        self.stored.account = Some(account);
        self.save()
    }

    /// Replaces the account's key (RFC 8555 section 7.3.5). The account's URL stays.
    pub(crate) async fn roll(&mut self, signer: Signer<'_>) -> Result<(), Stop> {
        let ca = self.stored.ca.clone();
        let (Some(account), Some(url)) =
            (self.stored.account.clone(), &signer.directory.key_change)
        else {
            let detail = "its CA offers no `keyChange`, so the account's key cannot be replaced";
            return Err(CaError::misconfigured(&ca, detail).into());
        };
        let next = AccountKey::generate().map_err(|detail| CaError::misconfigured(&ca, detail))?;
        let payload = json!({ "account": account, "oldKey": self.key.jwk() });
        let inner = next.sign(json!({ "jwk": next.jwk(), "url": url }), &payload)?;

        self.stored.next_key = Some(self.sealed(&next)?);
        self.next = Some(next);
        self.save()?;
        match signer.post(&self.key, Some(&account), url, &inner).await {
            Ok(_) => self.promote(),
            // The CA has said no: the old key stays.
            Err(Stop::Problem(problem)) => {
                self.forget_next()?;
                Err(Stop::Problem(problem))
            }
            // Nobody knows: `connect` asks.
            Err(Stop::Error(error)) => Err(Stop::Error(error)),
        }
    }

    /// Asks the CA whether a rollover that was cut off came through.
    async fn settle_rollover(&mut self, signer: Signer<'_>) -> Result<(), Stop> {
        let Some(next) = &self.next else {
            return Ok(());
        };
        let url = &signer.directory.new_account;
        let payload = json!({ "onlyReturnExisting": true });
        match signer.post(next, None, url, &payload).await {
            Ok(_) => self.promote(),
            Err(Stop::Problem(problem)) if problem.kind == CaProblemKind::Account => {
                self.forget_next()
            }
            Err(stop) => Err(stop),
        }
    }

    fn promote(&mut self) -> Result<(), Stop> {
        if let (Some(key), Some(sealed)) = (self.next.take(), self.stored.next_key.take()) {
            self.key = key;
            self.stored.key = sealed;
        }
        tracing::info!(ca = self.stored.ca, "the account's key was replaced");
        self.save()
    }

    fn forget_next(&mut self) -> Result<(), Stop> {
        self.next = None;
        self.stored.next_key = None;
        self.save()
    }

    fn sealed(&self, key: &AccountKey) -> Result<String, Stop> {
        self.master
            .seal(&context(&self.stored.ca, SLOT), key.pkcs8())
            .map_err(|error| {
                Stop::Error(CaError::Misconfigured {
                    ca: self.stored.ca.clone(),
                    detail: "its account key cannot be sealed".to_owned(),
                    source: Some(error.into()),
                })
            })
    }

    fn save(&self) -> Result<(), Stop> {
        files::replace(&self.path, &self.stored.bytes()).map_err(|error| {
            Stop::Error(CaError::Misconfigured {
                ca: self.stored.ca.clone(),
                detail: format!(
                    "its account file {} cannot be written: free the disk or correct its owner",
                    self.path.display()
                ),
                source: Some(error.into()),
            })
        })
    }
}

impl Stored {
    fn bytes(&self) -> Vec<u8> {
        let mut text = serde_json::json!(self).to_string();
        text.push('\n');
        text.into_bytes()
    }
}

fn context(ca: &str, slot: &str) -> String {
    format!("otscert/{slot}/{ca}")
}

const VERSION: u32 = 1;
const SLOT: &str = "acme-account-key";

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    const DIRECTORY: &str = "https://ca.test/dir";

    fn master() -> MasterKey {
        MasterKey::new([3; 32])
    }

    #[test]
    fn the_key_is_on_disk_sealed_before_anything_is_registered() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state/le.account.json");
        let made = AcmeAccount::load_or_create(&path, "le", DIRECTORY, master()).unwrap();
        assert_eq!(made.url(), None);
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(!text.contains(&crate::encoding::base64url(made.key().pkcs8())));

        let again = AcmeAccount::load_or_create(&path, "le", DIRECTORY, master()).unwrap();
        assert_eq!(again.key().pkcs8(), made.key().pkcs8());
    }

    #[test]
    fn a_file_that_does_not_fit_is_refused_and_says_why() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("le.account.json");
        AcmeAccount::load_or_create(&path, "le", DIRECTORY, master()).unwrap();
        let refused = |ca: &str, directory: &str, master: MasterKey| {
            let error = AcmeAccount::load_or_create(&path, ca, directory, master)
                .err()
                .unwrap();
            let mut text = error.to_string();
            let mut source = std::error::Error::source(&error);
            while let Some(error) = source {
                text.push_str(&format!(": {error}"));
                source = error.source();
            }
            text
        };
        assert!(refused("le", "https://other.test/dir", master()).contains("another name"));
        assert!(refused("le", DIRECTORY, MasterKey::new([4; 32])).contains("master key"));
        // A file copied to another CA's place.
        assert!(refused("zerossl", DIRECTORY, master()).contains("for another CA"));
        let text = std::fs::read_to_string(&path).unwrap();
        std::fs::write(&path, text.replace("\"version\":1", "\"version\":9")).unwrap();
        assert!(refused("le", DIRECTORY, master()).contains("version 9"));
        std::fs::write(&path, &text[..text.len() / 2]).unwrap();
        assert!(refused("le", DIRECTORY, master()).contains("damaged"));
    }
}
