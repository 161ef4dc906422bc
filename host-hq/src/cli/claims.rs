//! `claims`: codes on labels, drawn here, known at HQ by their digests.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::path::Path;

use otscert_crypto::RustCrypto;
use otscert_machine::factory::ClaimCode;
use otscert_machine::factory::claim_code::{FEWEST, MOST};
use otscert_machine::types::{Malformed, ShortText};
use zeroize::Zeroizing;

use super::lists::{self, Access, ListError, Progress};
use super::{ClaimsDrawArgs, ClaimsImportArgs, ClaimsReleaseArgs, CliError, Verdict, own};
use crate::config::Config;
use crate::init::ceremony::{self, CeremonyError};
use crate::serve::socket::{self, Digest, Order, SocketError, Told};
use crate::types::MAX_IMPORT;

/// Why codes are not drawn, imported or released.
#[derive(Debug, thiserror::Error)]
pub enum ClaimsError {
    /// A list, or a file that is made.
    #[error(transparent)]
    List(#[from] ListError),
    /// No randomness.
    #[error(transparent)]
    Random(#[from] CeremonyError),
    /// What the system gives is always the same.
    #[error("the operating system's randomness repeats itself: make no secrets on this machine")]
    NotRandom,
    /// The code on the command line.
    #[error("this is no claim code")]
    Code(#[source] Malformed),
    /// The config has no such model.
    #[error(
        "the config has no [[model]] {model:?}, so no box could use these codes: check --model; nothing was done"
    )]
    NoSuchModel {
        /// As it was given.
        model: ShortText,
    },
    /// HQ did not take a part of a list.
    #[error(
        "HQ has {done} of {total} codes; run it again, which does no harm to those that it has"
    )]
    Import {
        /// How many it has.
        done: usize,
        /// How many there are.
        total: usize,
        /// Why.
        #[source]
        source: SocketError,
    },
    /// HQ did not release a code.
    #[error("the code was not released: was it imported at this HQ?")]
    Release(#[source] SocketError),
}

/// A code, and what stands behind a tab on its line, for people.
pub(super) struct Listed {
    pub(super) code: ClaimCode,
    pub(super) remark: Option<ShortText>,
}

/// Draws codes.
pub(super) fn draw_list(args: &ClaimsDrawArgs, out: &mut dyn Write) -> Result<Verdict, CliError> {
    lists::must_be_free(&args.out).map_err(ClaimsError::List)?;
    let mut text = Zeroizing::new(String::new());
    for _ in 0..args.count {
        let code = draw(args.long)?;
        text.push_str(&Zeroizing::new(code.printed()));
        text.push('\n');
    }
    lists::create(&args.out, text.as_bytes(), Access::Owner).map_err(ClaimsError::List)?;
    let file = args.out.display();
    writeln!(
        out,
        "{} claim codes are in {file}, the one place where they stand.\n\
         Next: otscert-hq claims import {file}\n\
         and:  otscert-hq labels --codes {file} --out labels.svg",
        args.count
    )?;
    Ok(Verdict::Well)
}

/// Draws one code.
pub(super) fn draw(long: bool) -> Result<ClaimCode, ClaimsError> {
    // Five draws of 37 have a check symbol that is not on labels; as many in a row as this are no chance.
    for _ in 0..MOST_DRAWS {
        let code = match long {
            false => ClaimCode::draw(&*ceremony::random::<FEWEST>()?),
            true => ClaimCode::draw_long(&*ceremony::random::<MOST>()?),
        };
        if let Some(code) = code {
            return Ok(code);
        }
    }
    Err(ClaimsError::NotRandom)
}

/// Reads a list of codes.
pub(super) fn read_list(path: &Path) -> Result<Vec<Listed>, ListError> {
    let mut known = BTreeSet::new();
    lists::read(path, "claim code", |line| {
        let (code, remark) = match line.split_once('\t') {
            Some((code, remark)) => (code, Some(remark.trim())),
            None => (line, None),
        };
        let code = ClaimCode::parse(code).map_err(|error| error.to_string())?;
        let remark = remark.map(|text| ShortText::parse("what follows the tab", text));
        let remark = remark.transpose().map_err(|error| error.to_string())?;
        match known.insert(*code.digest(&RustCrypto).bytes()) {
            true => Ok(Listed { code, remark }),
            false => Err("it stands in the list twice".to_owned()),
        }
    })
}

/// Tells a running HQ of codes.
pub(super) async fn import(
    config: &Config,
    args: &ClaimsImportArgs,
    out: &mut dyn Write,
) -> Result<Verdict, CliError> {
    if let Some(model) = &args.model
        && !serves(config, model)
    {
        let model = model.clone();
        return Err(ClaimsError::NoSuchModel { model }.into());
    }
    let codes = read_list(&args.codes).map_err(ClaimsError::List)?;
    let told = send(config, args, &codes).await?;
    let (count, file) = (codes.len(), args.codes.display());
    writeln!(out, "HQ has the {count} claim codes of {file}:")?;
    write_told(&told, out)?;
    Ok(Verdict::Well)
}

async fn send(
    config: &Config,
    args: &ClaimsImportArgs,
    codes: &[Listed],
) -> Result<Vec<Told>, ClaimsError> {
    let (total, mut done, mut told) = (codes.len(), 0, Vec::new());
    let mut progress = Progress::new("claim codes", total);
    for part in codes.chunks(MAX_IMPORT) {
        let digest = |it: &Listed| Digest(*it.code.digest(&RustCrypto).bytes());
        let order = Order::ImportClaims {
            codes: part.iter().map(digest).collect(),
            model: args.model.as_ref().map(ToString::to_string),
        };
        let answer = socket::tell(&config.data, order, own()).await;
        told.extend(answer.map_err(|source| ClaimsError::Import {
            done,
            total,
            source,
        })?);
        done += part.len();
        progress.at(done);
    }
    Ok(told)
}

/// Lets another box use a code.
pub(super) async fn release(
    config: &Config,
    args: &ClaimsReleaseArgs,
    out: &mut dyn Write,
) -> Result<Verdict, CliError> {
    let code = ClaimCode::parse(&args.code).map_err(ClaimsError::Code)?;
    let order = Order::ReleaseClaim(Digest(*code.digest(&RustCrypto).bytes()));
    let told = socket::tell(&config.data, order, own())
        .await
        .map_err(ClaimsError::Release)?;
    match told.as_slice() {
        [] => writeln!(out, "No box has used this code: it is free.")?,
        told => {
            for Told { subject, text } in told {
                writeln!(out, "{subject}: {text}")?;
            }
        }
    }
    Ok(Verdict::Well)
}

/// What HQ said of the parts of an import: equal words once.
pub(super) fn write_told(told: &[Told], out: &mut dyn Write) -> std::io::Result<()> {
    let mut words: BTreeMap<&str, usize> = BTreeMap::new();
    for told in told {
        *words.entry(&told.text).or_default() += 1;
    }
    for (text, times) in words {
        match times {
            1 => writeln!(out, "  {text}")?,
            times => writeln!(out, "  {text}, {times} times")?,
        }
    }
    Ok(())
}

fn serves(config: &Config, model: &ShortText) -> bool {
    let mut models = config.models.iter();
    models.any(|it| it.name == model.as_str() || it.name == "*")
}

const MOST_DRAWS: usize = 64;
