//! Attacks on a box's keys, as `./x attack-sibling` and `./x attack-recorder` run them.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use otscert_tests::attack;

/// Shows what an adversary can compute of a box's keys, and what not. Everything runs on this machine.
#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    attack: Attack,
}

#[derive(Subcommand)]
enum Attack {
    /// Has the image, and knows what is printed on the victim
    Sibling,
    /// Has the image and all traffic between the victim and HQ
    Recorder,
}

#[tokio::main(worker_threads = 2)]
async fn main() -> ExitCode {
    let out = &mut std::io::stdout();
    let done = match Arguments::parse().attack {
        Attack::Sibling => attack::sibling(out).await,
        Attack::Recorder => attack::recorder(out).await,
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("attack: {error:#}");
            ExitCode::FAILURE
        }
    }
}
