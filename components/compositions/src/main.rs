//! `otscert-compose`: puts a composition together, from the parts of this tree and parts of one's own.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, bail};
use clap::Parser;
use otscert_compositions::{DEVICE, DEVICE_PINNED, Parts, WASI, compose};

/// Puts a composition together and writes it.
#[derive(Debug, Parser)]
#[command(name = "otscert-compose", version)]
struct Args {
    /// A `.wac` file, or `device` or `device-pinned` for those of this project
    composition: String,
    /// Where to write the component
    #[arg(long, short)]
    output: PathBuf,
    /// A part of one's own: the name that the `.wac` file gives it, and its file; it may take the place of a built one
    #[arg(long, value_name = "NAME=FILE")]
    part: Vec<String>,
    /// Lets the whole import interfaces that begin so, besides `wasi:`: those that your own runtime has
    #[arg(long, value_name = "START")]
    allow: Vec<String>,
}

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let wac = match args.composition.as_str() {
        "device" => DEVICE.to_owned(),
        "device-pinned" => DEVICE_PINNED.to_owned(),
        file => fs::read_to_string(file).with_context(|| format!("reading {file}"))?,
    };
    let mut parts = Parts::built();
    for part in &args.part {
        let Some((name, file)) = part.split_once('=') else {
            bail!("--part {part}: expected NAME=FILE");
        };
        parts.put(
            name,
            fs::read(file).with_context(|| format!("reading {file}"))?,
        );
    }
    let own = args.allow.iter().map(String::as_str);
    let allowed: Vec<_> = WASI.iter().copied().chain(own).collect();
    let bytes = compose(&wac, &parts, &allowed)?;
    fs::write(&args.output, bytes).with_context(|| format!("writing {}", args.output.display()))
}
