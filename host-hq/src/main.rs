//! `otscert-hq`: see the library.

use std::io::{self, Write};
use std::process::ExitCode;

use anyhow::anyhow;
use clap::Parser;
use otscert_hq::cli::{self, Cli, Verdict};

fn main() -> ExitCode {
    match run() {
        Ok(Verdict::Well) => ExitCode::SUCCESS,
        Ok(Verdict::NotWell) => ExitCode::FAILURE,
        Err(error) => {
            // Where even that cannot be written, the exit code says it.
            let _unheard = writeln!(io::stderr(), "otscert-hq: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> anyhow::Result<Verdict> {
    // Before anything uses TLS: with two providers compiled in somewhere, rustls would not know which to take.
    otscert_hq::tls::provider()
        .install_default()
        .map_err(|_| anyhow!("another TLS provider is installed, which is a bug of HQ"))?;
    let cli = Cli::parse();
    cli::run(cli, &mut io::stdout()).map_err(Into::into)
}
