//! `factory`: what the maker's safe and the factory line do, offline.
//!
//! The rules of derivation are the machine's (`otscert_machine::factory`), so that HQ and box derive the same.

use std::collections::BTreeSet;
use std::io::Write;
use std::path::{Path, PathBuf};

use base64ct::{Base64UrlUnpadded, Encoding};
use otscert_crypto::RustCrypto;
use otscert_machine::factory::unit_secret::batch_key;
use otscert_machine::factory::{ClaimCode, UnitSecret};
use otscert_machine::types::ShortText;
use zeroize::Zeroizing;

use super::claims::ClaimsError;
use super::lists::{self, Access, ListError, Progress};
use super::{BatchArgs, CliError, DeriveArgs, MasterArgs, Verdict, claims};
use crate::config::{KeyError, Seed};
use crate::init::ceremony::{self, CeremonyError};

/// Why the factory gets nothing.
#[derive(Debug, thiserror::Error)]
pub enum FactoryError {
    /// A key file.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// A list, or a file that is made.
    #[error(transparent)]
    List(#[from] ListError),
    /// No randomness.
    #[error(transparent)]
    Random(#[from] CeremonyError),
    /// A claim code.
    #[error(transparent)]
    Claims(#[from] ClaimsError),
    /// A serial of the command line.
    #[error("the serial {serial:?} cannot be used: {problem}; nothing was done")]
    Serial {
        /// As it was given.
        serial: String,
        /// What is wrong.
        problem: String,
    },
}

/// Draws the maker's master.
pub(super) fn master(args: &MasterArgs, out: &mut dyn Write) -> Result<Verdict, CliError> {
    let seed = ceremony::fresh_seed().map_err(FactoryError::Random)?;
    create_key(&args.out, &seed).map_err(FactoryError::List)?;
    writeln!(
        out,
        "The master is in {}. Keep it offline and a copy elsewhere; neither HQ nor the factory line needs it.\n\
         Next: otscert-hq factory batch --master {} --epoch 1 --out batch-1.key",
        args.out.display(),
        args.out.display()
    )?;
    Ok(Verdict::Well)
}

/// Derives the key of a batch.
pub(super) fn batch(args: &BatchArgs, out: &mut dyn Write) -> Result<Verdict, CliError> {
    let master = Seed::read("--master", &args.master).map_err(FactoryError::Key)?;
    let key = batch_key(&RustCrypto, &master.to_machine(), args.epoch);
    create_key(&args.out, &Seed::new(*key.expose())).map_err(FactoryError::List)?;
    let name = args.out.file_name().unwrap_or_default().to_string_lossy();
    writeln!(
        out,
        "The key of batch {} is in {}. Copy it to HQ, mode 0600, as keys/{name}, add this to the end of HQ's config, \
         and start HQ again:\n\n[[keys.batch]]\nepoch = {}\nkey = \"keys/{name}\"\n",
        args.epoch,
        args.out.display(),
        args.epoch
    )?;
    writeln!(
        out,
        "For the factory line: otscert-hq factory derive --batch {} --epoch {} --model MODEL --serials FILE --out FOLDER",
        args.out.display(),
        args.epoch
    )?;
    Ok(Verdict::Well)
}

/// Writes the files of units.
pub(super) fn derive(args: &DeriveArgs, out: &mut dyn Write) -> Result<Verdict, CliError> {
    let count = write_units(args)?;
    let (folder, units) = (
        args.out.display(),
        if count == 1 { "unit" } else { "units" },
    );
    writeln!(
        out,
        "{count} {units} of {}, epoch {}: {folder}/SERIAL.toml. Each file belongs into the flash of its own unit, \
         mode 0600, never into an image.",
        args.model, args.epoch
    )?;
    if args.claim_codes {
        let codes = args.out.join(CODES);
        let codes = codes.display();
        writeln!(
            out,
            "Their claim codes: {codes}\n\
             Next: otscert-hq claims import --model {} {codes}\n\
             and:  otscert-hq labels --codes {codes} --out labels.svg",
            shell_word(args.model.as_str())
        )?;
    }
    Ok(Verdict::Well)
}

fn write_units(args: &DeriveArgs) -> Result<usize, FactoryError> {
    let key = Seed::read("--batch", &args.batch)?.to_machine();
    let serials = serials(args)?;
    let codes_file = args.out.join(CODES);
    let files: Vec<PathBuf> = serials
        .iter()
        .map(|serial| args.out.join(format!("{serial}.toml")))
        .collect();
    files
        .iter()
        .try_for_each(|file| lists::must_be_free(file))?;

    let mut codes = Vec::new();
    if args.claim_codes {
        lists::must_be_free(&codes_file)?;
        let mut text = Zeroizing::new(String::new());
        for serial in &serials {
            let code = claims::draw(false)?;
            text.push_str(&format!("{}\t{serial}\n", *Zeroizing::new(code.printed())));
            codes.push(code);
        }
        // Before the units: a code that is on no list could never be imported.
        lists::create(&codes_file, text.as_bytes(), Access::Owner)?;
    }
    let mut progress = Progress::new("units", serials.len());
    for (index, (serial, file)) in serials.iter().zip(&files).enumerate() {
        let unit = UnitSecret::derive(&RustCrypto, &key, args.epoch, &args.model, serial);
        let text = unit_file(serial, &unit, codes.get(index));
        lists::create(file, text.as_bytes(), Access::Owner)?;
        progress.at(index + 1);
    }
    Ok(serials.len())
}

/// What the unit reads: `unit` in the config of otscert-device names it.
fn unit_file(serial: &ShortText, unit: &UnitSecret, code: Option<&ClaimCode>) -> Zeroizing<String> {
    let secret = Zeroizing::new(Base64UrlUnpadded::encode_string(unit.secret.expose()));
    let (epoch, secret) = (unit.epoch, &*secret);
    let mut text = Zeroizing::new(format!(
        "# The secret of one unit, from its factory. For this unit alone: never in an image, never in two units.\n\
         serial = \"{serial}\"\nepoch = {epoch}\nsecret = \"{secret}\"\n"
    ));
    if let Some(code) = code {
        let printed = Zeroizing::new(code.printed());
        text.push_str(&format!("claim_code = \"{}\"\n", *printed));
    }
    text
}

fn serials(args: &DeriveArgs) -> Result<Vec<ShortText>, FactoryError> {
    let mut known = BTreeSet::new();
    let mut check = |text: &str| {
        let serial = file_name(text)?;
        match known.insert(serial.clone()) {
            true => Ok(serial),
            false => Err("it stands in the list twice".to_owned()),
        }
    };
    match &args.serials {
        Some(file) => Ok(lists::read(file, "serial", check)?),
        None => {
            let checked = args.given.iter().map(|text| {
                check(text).map_err(|problem| FactoryError::Serial {
                    serial: text.clone(),
                    problem,
                })
            });
            checked.collect()
        }
    }
}

/// A serial that a file can be named by, on every system and in every shell.
fn file_name(text: &str) -> Result<ShortText, String> {
    let serial = ShortText::parse("serial", text).map_err(|error| error.to_string())?;
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    match text.bytes().all(plain) && text.starts_with(|first: char| first.is_ascii_alphanumeric()) {
        true => Ok(serial),
        false => Err(
            "a file is named by it: expected A-Z a-z 0-9 . _ and -, a letter or digit first"
                .to_owned(),
        ),
    }
}

fn create_key(path: &Path, seed: &Seed) -> Result<(), ListError> {
    lists::create(path, seed.to_line().as_bytes(), Access::Owner)
}

/// As one word of a POSIX shell.
fn shell_word(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    match text.bytes().all(plain) {
        true => text.to_owned(),
        false => format!("'{}'", text.replace('\'', r"'\''")),
    }
}

/// The list of claim codes beside the units' files.
const CODES: &str = "claim-codes.txt";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_serial_names_a_file_in_its_folder_and_nowhere_else() {
        for good in ["SN-0001", "7", "a.b_c", &"x".repeat(64)] {
            assert_eq!(file_name(good).unwrap().as_str(), good);
        }
        for bad in [
            "",
            "..",
            "../x",
            "a/b",
            ".x",
            "-x",
            "a b",
            "ä",
            "a\"b",
            "a\n",
            &"x".repeat(65),
        ] {
            assert!(file_name(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_model_is_one_word_of_the_shell() {
        assert_eq!(shell_word("router-1"), "router-1");
        assert_eq!(shell_word("it's a $x"), r"'it'\''s a $x'");
    }
}
