//! The command line of `otscert-device`.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::config::RawConfig;

/// Puts a publicly trusted certificate on this box.
///
/// The box calls its maker's HQ, is given a name and a certificate, and serves its admin page over HTTPS without a
/// browser warning, for its whole life: through reboots, changes of address, resets and outages of HQ. Nobody has to do
/// anything; `status` says what is going on.
///
/// Everything can be set in the config file, in the environment (OTSCERT_STORAGE=...) or by flags; flags win.
#[derive(Debug, Clone, PartialEq, Eq, Parser)]
#[command(name = "otscert-device", version, propagate_version = true, after_help = EXAMPLES)]
pub struct Cli {
    /// The config file [default: /etc/otscert/device.toml, if it is there]
    #[arg(
        long,
        short,
        env = "OTSCERT_CONFIG",
        value_name = "FILE",
        global = true
    )]
    pub config: Option<PathBuf>,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
    /// Flags and environment.
    #[command(
        flatten,
        next_help_heading = "Settings (each can stand in the config file)"
    )]
    pub settings: RawConfig,
}

/// What to do.
#[derive(Debug, Clone, PartialEq, Eq, Subcommand)]
pub enum Command {
    /// Runs the box until it is told to stop (Ctrl-C, SIGTERM)
    Run,
    /// Says what the running box is doing, what it waits for and what would help
    Status {
        /// As JSON, for programs
        #[arg(long)]
        json: bool,
    },
    /// Asks the running box for a new certificate with a new key, now
    Renew,
    /// Shows HQ the code on this box's label, for a box whose owner has no browser at hand
    ///
    /// The running box asks HQ anew with it, at once. It is only of use before the box has a name.
    Claim {
        /// The code; `-` reads it from standard input, where no list of processes shows it
        code: String,
    },
    /// Factory reset: the certificate is revoked, the name given back, all keys wiped
    ///
    /// Where the box is running, it is asked to do it. Where it is not, this command does it on the storage folder and
    /// tells HQ; what HQ cannot be told now is told when the box runs again.
    Reset {
        /// Starts over also where stored records cannot be read: they are set aside and kept
        ///
        /// Says first what is lost with them, and asks. The box must not be running.
        #[arg(long)]
        force: bool,
        /// Yes, whatever is lost: does not ask
        #[arg(long, requires = "force")]
        yes: bool,
    },
    /// Checks the config and the image bundle, and says what is wrong with them
    CheckConfig,
    /// Finds out what the clock of a kind of board is worth as a source of randomness
    ///
    /// For firmware teams; a box in service does not need it. A box credits the jitter of its clock only where HQ has
    /// signed an assessment of that kind of board: measured on several units, after real power cycles, and with a cause.
    #[command(subcommand, after_long_help = PROCEDURE)]
    Assess(AssessCommand),
}

/// About the clock of a kind of board.
#[derive(Debug, Clone, PartialEq, Eq, Subcommand)]
pub enum AssessCommand {
    /// Takes runtime samples on this board, in one run
    Collect(CollectArgs),
    /// Takes one row of restart samples on this board: for an init script, once after each power cycle
    Restart(RestartArgs),
    /// Judges the samples of at least three units: a table, a verdict in words, and a file for HQ to sign
    ///
    /// Exits with 1 where the clock is refused. What the --danger flags override is for a trial of the kit: it is said
    /// in the file, and HQ does not sign such a file by accident.
    Judge(JudgeArgs),
}

/// Runtime samples.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct CollectArgs {
    /// The folder of all units; this one's is made in it
    #[arg(long, value_name = "FOLDER")]
    pub out: PathBuf,
    /// This unit's name, another one on each board
    #[arg(long, value_name = "NAME")]
    pub unit_name: String,
    /// How many samples
    #[arg(long, value_name = "COUNT", default_value_t = 1_000_000)]
    pub samples: u64,
}

/// One row of restart samples.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct RestartArgs {
    /// The folder of all units, on storage that survives the power cycle
    #[arg(long, value_name = "FOLDER")]
    pub out: PathBuf,
    /// This unit's name, as for `collect`
    #[arg(long, value_name = "NAME")]
    pub unit_name: String,
    /// Takes a row also where one was taken since this system started: for a trial, `judge` refuses such rows
    #[arg(long)]
    pub process_restarts: bool,
}

/// A judgement.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct JudgeArgs {
    /// Folders of units, or of one unit each
    #[arg(value_name = "FOLDER", required = true)]
    pub folders: Vec<PathBuf>,
    /// The assessment's name, which the firmware's config gives as its platform: board, clock and version
    #[arg(long, value_name = "NAME")]
    pub id: String,
    /// Kinds of box that it holds for, separated by commas: models as in image bundles, or * for any
    #[arg(long, value_name = "LIST", value_delimiter = ',', required = true)]
    pub models: Vec<String>,
    /// What makes this clock vary, in a sentence
    #[arg(long, value_name = "SENTENCE")]
    pub cause: String,
    /// The file to write if the clock is accepted
    #[arg(long, value_name = "FILE", default_value = "assessment.json")]
    pub out: PathBuf,
    /// Judges emulators, hypervisors and containers: for a trial
    #[arg(long)]
    pub danger_virtual: bool,
    /// Judges samples that were taken while something else ran: for a trial
    #[arg(long)]
    pub danger_busy: bool,
    /// Takes one board for several units: for a trial
    #[arg(long)]
    pub danger_one_board: bool,
    /// Takes restarts of the program for power cycles: for a trial
    #[arg(long)]
    pub danger_process_restarts: bool,
    /// Judges fewer samples and rows than it takes: for a trial
    #[arg(long)]
    pub danger_few: bool,
}

const EXAMPLES: &str = "\
Examples:
  otscert-device check-config --config device.toml
  otscert-device run --config device.toml
  otscert-device status";

const PROCEDURE: &str = "\
The whole procedure (docs/ASSESSMENT.md has the reasons):
  1. On each of at least 3 boards as they are sold, idle, some minutes after its start:
       otscert-device assess collect --out /data/assess --unit-name u1
  2. On each of them, from its init script, with the power cut after each start, 1000 times:
       otscert-device assess restart --out /data/assess --unit-name u1
  3. Copy the units' folders to one place and judge:
       otscert-device assess judge assess --id r2-tsc-1 --models acme-r2 \\
         --cause \"CPU and DRAM run on two oscillators\" --out r2.json
  4. At HQ, sign what was accepted; put the signed file into the image bundle, and name it there:
       otscert-hq assessment sign r2.json";

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn the_help_is_as_recorded() {
        let mut command = Cli::command();
        command.build();
        let mut text = help(&mut command);
        for path in [
            &["run"][..],
            &["status"],
            &["renew"],
            &["claim"],
            &["reset"],
            &["check-config"],
            &["assess"],
            &["assess", "collect"],
            &["assess", "restart"],
            &["assess", "judge"],
        ] {
            let of = path.iter().fold(&mut command, |command, name| {
                command.find_subcommand_mut(name).unwrap()
            });
            let whole = help(of);
            // The settings are those above; what follows them is the command's own again.
            let (own, settings) = whole.split_once("\nSettings (").unwrap();
            text.push_str(&format!("\n==== {}\n{own}", path.join(" ")));
            if let Some((_, after)) = settings.split_once("\nThe whole procedure") {
                text.push_str(&format!("\nThe whole procedure{after}"));
            }
        }
        insta::assert_snapshot!("help", text);
    }

    #[test]
    fn flags_stand_before_or_after_the_command() {
        let one = Cli::try_parse_from(["otscert-device", "--storage", "s", "run"]).unwrap();
        let two = Cli::try_parse_from(["otscert-device", "run", "--storage", "s"]).unwrap();
        assert_eq!(one, two);
    }

    fn help(command: &mut clap::Command) -> String {
        // The values of this test's environment are not part of the help.
        command
            .clone()
            .mut_args(|arg| arg.hide_env_values(true))
            .render_long_help()
            .to_string()
    }
}
