//! `devices retire`, `renew` and `accept`: orders to the running HQ, about one device or many.

use std::io::Write;
use std::path::Path;

use super::devices::{find, open};
use super::lists::{self, Progress};
use super::{CliError, DevicesError, Verdict};
use crate::config::Config;
use crate::serve::socket::{self, Order, SocketError};
use crate::types::Subject;

/// Has the running HQ do something about a device, or about each that standard input names.
pub(super) async fn order(
    config: &Config,
    device: &str,
    order: &Order,
    out: &mut (dyn Write + Send),
) -> Result<Verdict, CliError> {
    if device == STANDARD_INPUT {
        return order_all(config, order, out).await;
    }
    let store = open(config).await?;
    let subject = find(&store, device).await?.summary.summary.subject;
    drop(store);
    let told = socket::tell(&config.data, order.clone(), subject.clone())
        .await
        .map_err(DevicesError::Order)?;
    match told.is_empty() {
        false => writeln!(
            out,
            "HQ has it. How it goes: otscert-hq devices show {subject}"
        )?,
        true => writeln!(
            out,
            "There was nothing to do. How it stands: otscert-hq devices show {subject}"
        )?,
    }
    Ok(Verdict::Well)
}

async fn order_all(
    config: &Config,
    order: &Order,
    out: &mut (dyn Write + Send),
) -> Result<Verdict, CliError> {
    let names = lists::read(Path::new(STANDARD_INPUT), "device", |line| {
        Ok(line.to_owned())
    })
    .map_err(DevicesError::List)?;
    // All are looked up before HQ hears of one.
    let store = open(config).await?;
    let mut subjects: Vec<Subject> = Vec::with_capacity(names.len());
    for name in &names {
        subjects.push(find(&store, name).await?.summary.summary.subject);
    }
    drop(store);
    let total = subjects.len();
    let mut progress = Progress::new("devices", total);
    let (mut done, mut idle, mut refused) = (0, 0, 0);
    for (index, subject) in subjects.into_iter().enumerate() {
        match socket::tell(&config.data, order.clone(), subject.clone()).await {
            Ok(told) if told.is_empty() => idle += 1,
            Ok(_) => done += 1,
            // The others have nothing to do with it.
            Err(error @ SocketError::Refused { .. }) => {
                writeln!(out, "{subject}: {error}")?;
                refused += 1;
            }
            Err(
                source @ (SocketError::Listen { .. }
                | SocketError::Connect { .. }
                | SocketError::Silent),
            ) => {
                let told = index;
                return Err(DevicesError::Interrupted {
                    told,
                    total,
                    source,
                }
                .into());
            }
        }
        progress.at(index + 1);
    }
    writeln!(
        out,
        "HQ has {total} orders: {done} to be carried out, {idle} with nothing to do, {refused} refused."
    )?;
    match refused {
        0 => Ok(Verdict::Well),
        _ => Ok(Verdict::NotWell),
    }
}

const STANDARD_INPUT: &str = "-";
