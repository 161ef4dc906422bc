//! The command line of `otscert-device`.

use std::path::PathBuf;

use clap::{Parser, Subcommand};

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
#[derive(Debug, Clone, Copy, PartialEq, Eq, Subcommand)]
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
}

const EXAMPLES: &str = "\
Examples:
  otscert-device check-config --config device.toml
  otscert-device run --config device.toml
  otscert-device status";

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
        for name in ["run", "status", "renew", "reset", "check-config"] {
            let whole = help(command.find_subcommand_mut(name).unwrap());
            // The settings are those above.
            let (own, _settings) = whole.split_once("\nSettings (").unwrap();
            text.push_str(&format!("\n==== {name}\n{own}"));
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
