//! `firmware`: the keys that a release makes on a box without entropy become known at HQ, which refuses them.

use std::io::Write;
use std::num::NonZero;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use super::claims::write_told;
use super::lists::Progress;
use super::{CliError, FirmwareAddArgs, Verdict, own};
use crate::config::Config;
use crate::firmware::{NoKey, first_key};
use crate::serve::socket::{self, Digest, Order, SocketError, Told};
use crate::types::MAX_IMPORT;

/// Why the keys of a release are not known at HQ.
#[derive(Debug, thiserror::Error)]
pub enum FirmwareError {
    /// More than anybody waits for.
    #[error(
        "{got} addresses are too many for one run, {MOST_ADDRESSES} is the most: give --macs in parts"
    )]
    TooMany {
        /// How many were given.
        got: u64,
    },
    /// The template.
    #[error(
        "--personal needs {{mac}} where the address stands, and knows \\n, \\0 and \\\\: see `firmware add --help`"
    )]
    Template,
    /// A fault of this program.
    #[error(transparent)]
    NoKey(#[from] NoKey),
    /// HQ did not take a part of them.
    #[error("HQ has {done} of {total} keys; run it again, which does no harm to those that it has")]
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

/// Computes the keys and tells the running HQ of them.
pub(super) async fn add(
    config: &Config,
    args: &FirmwareAddArgs,
    out: &mut dyn Write,
) -> Result<Verdict, CliError> {
    let total: u64 = args.macs.iter().map(|range| range.len()).sum();
    if total > MOST_ADDRESSES {
        return Err(FirmwareError::TooMany { got: total }.into());
    }
    let template = unescaped(&args.personal).ok_or(FirmwareError::Template)?;
    let units: Vec<Vec<u8>> = args
        .macs
        .iter()
        .flat_map(|range| range.addresses())
        .map(|mac| template.replace(PLACE, &mac).into_bytes())
        .collect();
    let keys = compute(&units).map_err(FirmwareError::NoKey)?;
    let told = send(config, args, &keys).await?;
    let (count, release) = (keys.len(), &args.release);
    writeln!(
        out,
        "HQ refuses the {count} keys that {release} makes without entropy:"
    )?;
    write_told(&told, out)?;
    Ok(Verdict::Well)
}

/// On every core: a key takes a millisecond or two.
fn compute(units: &[Vec<u8>]) -> Result<Vec<[u8; 32]>, NoKey> {
    let cores = thread::available_parallelism().map_or(1, NonZero::get);
    let part = units.len().div_ceil(cores).max(1);
    let done = AtomicUsize::new(0);
    let mut progress = Progress::new("keys computed", units.len());
    thread::scope(|scope| {
        let parts: Vec<_> = units
            .chunks(part)
            .map(|part| {
                let done = &done;
                scope.spawn(move || {
                    part.iter()
                        .map(|personal| {
                            let key = first_key(personal)?;
                            done.fetch_add(1, Ordering::Relaxed);
                            Ok(key.spki_sha256)
                        })
                        .collect::<Result<Vec<_>, NoKey>>()
                })
            })
            .collect();
        while parts.iter().any(|part| !part.is_finished()) {
            thread::sleep(LOOK);
            progress.at(done.load(Ordering::Relaxed));
        }
        let mut keys = Vec::with_capacity(units.len());
        for part in parts {
            let part = part
                .join()
                .map_err(|_| NoKey("a thread panicked".to_owned()))?;
            keys.extend(part?);
        }
        Ok(keys)
    })
}

async fn send(
    config: &Config,
    args: &FirmwareAddArgs,
    keys: &[[u8; 32]],
) -> Result<Vec<Told>, FirmwareError> {
    let (total, mut done, mut told) = (keys.len(), 0, Vec::new());
    let mut progress = Progress::new("keys", total);
    for part in keys.chunks(MAX_IMPORT) {
        let order = Order::ImportStarvedKeys {
            release: args.release.to_string(),
            keys: part.iter().copied().map(Digest).collect(),
        };
        let answer = socket::tell(&config.data, order, own()).await;
        told.extend(answer.map_err(|source| FirmwareError::Import {
            done,
            total,
            source,
        })?);
        done += part.len();
        progress.at(done);
    }
    Ok(told)
}

/// The bytes that a template spells; none without a place for the address.
fn unescaped(template: &str) -> Option<String> {
    let mut text = String::new();
    let mut chars = template.chars();
    while let Some(c) = chars.next() {
        let c = match c {
            '\\' => match chars.next()? {
                'n' => '\n',
                '0' => '\0',
                '\\' => '\\',
                _ => return None,
            },
            c => c,
        };
        text.push(c);
    }
    text.contains(PLACE).then_some(text)
}

/// Where the address stands in a template.
const PLACE: &str = "{mac}";
/// So many fit into a hundred megabytes, and into half an hour of one core.
const MOST_ADDRESSES: u64 = 1 << 20;
const LOOK: std::time::Duration = std::time::Duration::from_millis(50);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_template_spells_bytes_and_has_a_place_for_the_address() {
        assert_eq!(unescaped("{mac}\\n\\0").as_deref(), Some("{mac}\n\0"));
        assert_eq!(unescaped("a\\\\{mac}").as_deref(), Some("a\\{mac}"));
        for wrong in ["", "mac", "{mac}\\", "{mac}\\x"] {
            assert_eq!(unescaped(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn keys_come_in_the_order_of_their_units() {
        let units: Vec<_> = (0..5).map(|n| format!("unit {n}").into_bytes()).collect();
        let keys = compute(&units).unwrap();
        for (unit, key) in units.iter().zip(keys) {
            assert_eq!(first_key(unit).unwrap().spki_sha256, key);
        }
    }
}
