//! `delegate` and `device-certificate`: what the holder of a root does once in a while, offline if they like.

use std::fs;
use std::io::{self, Write};
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use otscert_host::files;
use zeroize::Zeroizing;

use super::format::date;
use super::{CliError, DelegateArgs, DeviceCertificateArgs, Verdict};
use crate::config::{CheckedDelegation, Config, KeyError, Seed, read_private};
use crate::init::ceremony::{self, CeremonyError, TlsPair};
use crate::tls::{self, TlsError};
use crate::types::Timestamp;

/// Why no key or certificate was made. The old ones are as they were.
#[derive(Debug, thiserror::Error)]
pub enum KeysError {
    /// A key file.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The device endpoint's certificate.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// Something could not be made.
    #[error(transparent)]
    Ceremony(#[from] CeremonyError),
    /// The root is none of those that boxes pin.
    #[error("{} is not the key of a root that the config and the image bundle name: boxes would refuse it", path.display())]
    ForeignRoot {
        /// The file.
        path: PathBuf,
    },
    /// A file could not be read.
    #[error("{} cannot be read: check its path and owner", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// A file could not be written.
    #[error("{} cannot be written: check its folder, owner and disk", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

/// Signs a new delegation of the protocol key.
pub(super) fn delegate(
    config: &Config,
    args: &DelegateArgs,
    now: Timestamp,
    out: &mut dyn Write,
) -> Result<Verdict, CliError> {
    let delegation = sign_delegation(config, args, now)?;
    let ends = date(delegation.not_after);
    writeln!(
        out,
        "The protocol key is delegated until {ends} (epoch {}).",
        delegation.epoch
    )?;
    writeln!(out, "Start otscert-hq again to use it; boxes need nothing.")?;
    Ok(Verdict::Well)
}

/// Makes the device endpoint's next certificate for the names of the one before.
pub(super) fn device_certificate(
    config: &Config,
    args: &DeviceCertificateArgs,
    now: Timestamp,
    out: &mut dyn Write,
) -> Result<Verdict, CliError> {
    let not_after = sign_device_certificate(config, &args.roots, now)?;
    writeln!(
        out,
        "The device endpoint's new certificate ends on {}.",
        date(not_after)
    )?;
    writeln!(
        out,
        "A running otscert-hq reads it by itself; boxes need nothing."
    )?;
    Ok(Verdict::Well)
}

fn sign_delegation(
    config: &Config,
    args: &DelegateArgs,
    now: Timestamp,
) -> Result<CheckedDelegation, KeysError> {
    let root = Seed::read("--root", &args.root)?;
    if !config.keys.roots.contains(root.ed25519_public().bytes()) {
        return Err(KeysError::ForeignRoot {
            path: args.root.clone(),
        });
    }
    let (hq_id, files) = (&config.hq_id, &config.keys);
    let old_key = Seed::read("keys.signing_key", &files.signing_key)?;
    let old = CheckedDelegation::read(&files.delegation, hq_id, &old_key, &files.roots)?;
    let (key, epoch) = match args.new_key {
        true => (ceremony::fresh_seed()?, old.epoch + 1),
        false => (old_key, old.epoch),
    };
    let not_after = now.plus_millis(u64::from(args.days) * DAY_MS);
    let delegation = ceremony::delegate(hq_id, &root, &key, epoch, not_after);
    if args.new_key {
        replace(&files.signing_key, key.to_line().as_bytes())?;
    }
    replace(&files.delegation, &delegation)?;
    Ok(CheckedDelegation::read(
        &files.delegation,
        hq_id,
        &key,
        &files.roots,
    )?)
}

fn sign_device_certificate(
    config: &Config,
    roots: &Path,
    now: Timestamp,
) -> Result<Timestamp, KeysError> {
    let files = &config.device_endpoint.files;
    let old = tls::read_pair(&files.certificate, &files.key)?;
    let (root_pem, root_key) = (roots.join("tls-root.pem"), roots.join("tls-root.key"));
    let certificate = fs::read_to_string(&root_pem).map_err(|source| KeysError::Read {
        path: root_pem.clone(),
        source,
    })?;
    let key = Zeroizing::new(read_private("--roots", &root_key)?);
    let key = Zeroizing::new(String::from_utf8_lossy(&key).into_owned());
    let mut names = Vec::new();
    let mut addresses = Vec::new();
    for name in old.names {
        match name.parse::<IpAddr>() {
            Ok(address) => addresses.push(address),
            Err(_) => names.push(name),
        }
    }
    let leaf = ceremony::tls_leaf(&TlsPair { certificate, key }, &names, &addresses, now)?;
    // The key first: a watcher that sees one of the two leaves both alone, and looks again when the other changes.
    replace(&files.key, leaf.key.as_bytes())?;
    replace(&files.certificate, leaf.certificate.as_bytes())?;
    Ok(tls::read_pair(&files.certificate, &files.key)?.not_after)
}

/// The old file or the new one, also after a power cut: boxes would refuse a key without its delegation.
fn replace(path: &Path, content: &[u8]) -> Result<(), KeysError> {
    files::replace(path, content).map_err(|source| KeysError::Write {
        path: path.to_owned(),
        source,
    })
}

const DAY_MS: u64 = 86_400_000;
