//! `voucher`: lists of serials that the maker signs, offline, and that HQ believes.

use std::collections::BTreeSet;
use std::io::Write;

use otscert_crypto::RustCrypto;
use otscert_machine::types::ShortText;
use otscert_machine::wire::jws::Unverified;
use otscert_machine::wire::voucher::{MAX_SERIALS, Voucher};

use super::claims::write_told;
use super::lists::{self, Access, ListError, Progress};
use super::{CliError, Verdict, VoucherImportArgs, VoucherKeyArgs, VoucherSignArgs, own};
use crate::config::{Config, ConfigError, KeyError, Overrides, Seed};
use crate::init::ceremony::{self, CeremonyError};
use crate::serve::socket::{self, Order, SocketError};

/// Why nothing is signed or imported.
#[derive(Debug, thiserror::Error)]
pub enum VoucherCliError {
    /// The key.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// A list, or a file that is made.
    #[error(transparent)]
    List(#[from] ListError),
    /// No randomness.
    #[error(transparent)]
    Random(#[from] CeremonyError),
    /// The config, for HQ's id.
    #[error("whom the vouchers are for is not known: give --hq-id, or a config")]
    HqId(#[source] ConfigError),
    /// HQ did not take one.
    #[error(
        "HQ has {done} of {total} vouchers and refused the next; run it again when that is mended, which does no harm to \
         those that it has"
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
}

/// Makes a voucher key.
pub(super) fn key(args: &VoucherKeyArgs, out: &mut dyn Write) -> Result<Verdict, CliError> {
    let seed = ceremony::fresh_seed().map_err(VoucherCliError::Random)?;
    lists::create(&args.out, seed.to_line().as_bytes(), Access::Owner)
        .map_err(VoucherCliError::List)?;
    let file = args.out.display();
    writeln!(
        out,
        "The voucher key is in {file}. It stays where lists of serials are signed. Its public half goes under [keys] \
         in HQ's config; then start HQ again:\n\nvoucher_keys = [\"{}\"]\n",
        seed.ed25519_public()
    )?;
    writeln!(
        out,
        "Next: otscert-hq voucher sign --key {file} --model MODEL --serials FILE --out vouchers.jsonl"
    )?;
    Ok(Verdict::Well)
}

/// Signs lists of serials.
pub(super) fn sign(args: &VoucherSignArgs, out: &mut dyn Write) -> Result<Verdict, CliError> {
    let hq_id = match &args.hq_id {
        Some(id) => id.clone(),
        None => {
            Config::load(&args.config, &Overrides::default())
                .map_err(VoucherCliError::HqId)?
                .hq_id
        }
    };
    let (serials, vouchers) = sign_list(args, &hq_id)?;
    let (model, file) = (&args.model, args.out.display());
    writeln!(
        out,
        "{serials} serials of {model}, {vouchers} vouchers for HQ {hq_id}: {file}\n\
         Next, at HQ: otscert-hq voucher import {file}"
    )?;
    Ok(Verdict::Well)
}

fn sign_list(args: &VoucherSignArgs, hq_id: &str) -> Result<(usize, usize), VoucherCliError> {
    let key = Seed::read("--key", &args.key)?.to_machine();
    let mut known = BTreeSet::new();
    let serials = lists::read(&args.serials, "serial", |line| {
        let serial = ShortText::parse("serial", line).map_err(|error| error.to_string())?;
        match known.insert(serial.clone()) {
            true => Ok(serial),
            false => Err("it stands in the list twice".to_owned()),
        }
    })?;
    let mut lines = Vec::new();
    for part in serials.chunks(MAX_SERIALS) {
        let voucher = Voucher {
            model: args.model.clone(),
            serials: part.to_vec(),
        };
        lines.extend(voucher.sign(&RustCrypto, hq_id, &key).to_bytes());
        lines.push(b'\n');
    }
    lists::create(&args.out, &lines, Access::All)?;
    Ok((serials.len(), serials.len().div_ceil(MAX_SERIALS)))
}

/// Tells a running HQ of vouchers.
pub(super) async fn import(
    config: &Config,
    args: &VoucherImportArgs,
    out: &mut dyn Write,
) -> Result<Verdict, CliError> {
    let vouchers = lists::read(&args.vouchers, "voucher", |line| {
        // Whose they are and what they say is for HQ to judge.
        match Unverified::parse(line.as_bytes()) {
            Ok(_) => Ok(line.to_owned()),
            Err(error) => Err(error.to_string()),
        }
    })
    .map_err(VoucherCliError::List)?;
    let (total, mut told) = (vouchers.len(), Vec::new());
    let mut progress = Progress::new("vouchers", total);
    for (done, voucher) in vouchers.into_iter().enumerate() {
        let answer = socket::tell(&config.data, Order::ImportVoucher(voucher), own()).await;
        told.extend(answer.map_err(|source| VoucherCliError::Import {
            done,
            total,
            source,
        })?);
        progress.at(done + 1);
    }
    let file = args.vouchers.display();
    writeln!(out, "HQ has the {total} vouchers of {file}:")?;
    write_told(&told, out)?;
    Ok(Verdict::Well)
}
