//! What the factory and the operator do about who may have a name.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use otscert_machine::types::ShortText;

use super::ConfigArgs;
use crate::cli::labels::SetupUrl;
use crate::firmware::MacRange;

/// Secrets of the factory.
#[derive(Debug, Subcommand)]
pub enum FactoryCommand {
    /// Draws the maker's master secret, from which the keys of all batches come
    ///
    /// Once in a maker's life. Keep it offline, with a copy elsewhere: HQ and the factory line never need it. Whoever
    /// has it can pose as every unit.
    Master(MasterArgs),
    /// Derives the key of a batch from the master
    ///
    /// HQ and the factory line have it. Whoever steals it can pose as the units of that batch, and of no other: take
    /// the next epoch for the next batch, and end an epoch by taking its key out of HQ's config.
    Batch(BatchArgs),
    /// Derives the secret of each unit of a batch, and writes the file that the unit reads
    ///
    /// HQ derives the same secrets from the batch key, so there is nothing to import. Each file belongs into the flash
    /// of its own unit, never into an image; `unit` in the config of otscert-device names it.
    Derive(DeriveArgs),
}

/// A new master.
#[derive(Debug, Args)]
pub struct MasterArgs {
    /// The file to make, mode 0600; never overwritten
    #[arg(long, value_name = "FILE")]
    pub out: PathBuf,
}

/// The key of a batch.
#[derive(Debug, Args)]
pub struct BatchArgs {
    /// The master, as `factory master` wrote it
    #[arg(long, value_name = "FILE")]
    pub master: PathBuf,
    /// Number of the batch; the next batch gets the next
    #[arg(long, value_name = "N")]
    pub epoch: u32,
    /// The file to make, mode 0600; never overwritten
    #[arg(long, value_name = "FILE")]
    pub out: PathBuf,
}

/// The files of units.
#[derive(Debug, Args)]
pub struct DeriveArgs {
    /// The key of the batch, as `factory batch` wrote it
    #[arg(long, value_name = "FILE")]
    pub batch: PathBuf,
    /// The epoch of that key
    #[arg(long, value_name = "N")]
    pub epoch: u32,
    /// The units' model, as they send it
    #[arg(long, value_parser = parse_model)]
    pub model: ShortText,
    /// Serials, one a line; `-` is standard input
    #[arg(
        long,
        value_name = "FILE",
        conflicts_with = "given",
        required_unless_present = "given"
    )]
    pub serials: Option<PathBuf>,
    /// Serials
    #[arg(value_name = "SERIAL", id = "given")]
    pub given: Vec<String>,
    /// The folder for the files, SERIAL.toml, mode 0600; none is ever overwritten
    #[arg(long, value_name = "FOLDER")]
    pub out: PathBuf,
    /// Draw a claim code for each unit too, and list them in claim-codes.txt beside, for `claims import` and `labels`
    #[arg(long)]
    pub claim_codes: bool,
}

/// About claim codes.
#[derive(Debug, Subcommand)]
pub enum ClaimsCommand {
    /// Draws codes at random (offline)
    ///
    /// A code is 80 random bits and a check symbol, so that one that is mistyped is told from one that is unknown. HQ
    /// keeps no code, only a digest of it: this file is the one place where they stand. Print the labels, then
    /// destroy it.
    Draw(ClaimsDrawArgs),
    /// Tells the running HQ of codes; a box that shows one of them may have a name
    ///
    /// Only digests go to HQ. Importing a file again does no harm: a code that was used stays used.
    Import(ClaimsImportArgs),
    /// Lets a used code be used by another box
    ///
    /// A code belongs to one box for as long as that box has its name; a factory reset or `devices retire` sets it free
    /// by itself. This is for a box that is lost with its name.
    Release(ClaimsReleaseArgs),
}

/// New claim codes.
#[derive(Debug, Args)]
pub struct ClaimsDrawArgs {
    /// How many
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=i64::from(crate::cli::lists::MOST_ENTRIES)))]
    pub count: u32,
    /// 130 bits instead of 80: too long to type, good against whoever recorded all of a box's traffic; for QR codes
    #[arg(long)]
    pub long: bool,
    /// The file to make, one code a line, mode 0600; never overwritten
    #[arg(long, value_name = "FILE")]
    pub out: PathBuf,
}

/// Codes for HQ.
#[derive(Debug, Args)]
pub struct ClaimsImportArgs {
    /// The config and what overrides it.
    #[command(flatten)]
    pub config: ConfigArgs,
    /// Codes, one a line; what follows a tab on a line is not read; `-` is standard input
    #[arg(value_name = "FILE")]
    pub codes: PathBuf,
    /// Only boxes of this model may use them
    #[arg(long, value_parser = parse_model)]
    pub model: Option<ShortText>,
}

/// About firmware releases.
#[derive(Debug, Subcommand)]
pub enum FirmwareCommand {
    /// Computes the keys that a release makes on a box into whose pool nothing gets, and has the running HQ refuse them
    ///
    /// A box without entropy makes a key that follows from its MAC address, and so can whoever has the image. HQ refuses
    /// such a key when a box orders a certificate for it, and notes it at a box that has one already. A key takes one to
    /// two milliseconds on a core.
    Add(FirmwareAddArgs),
}

/// The keys of a release.
#[derive(Debug, Args)]
pub struct FirmwareAddArgs {
    /// The config and what overrides it.
    #[command(flatten)]
    pub config: ConfigArgs,
    /// The release, for people, as in "acme-router 1.4.2"
    #[arg(long, value_name = "TEXT", value_parser = parse_short)]
    pub release: ShortText,
    /// MAC addresses of the boxes, as in 02:00:00:00:00:00-02:00:00:00:ff:ff; several times
    #[arg(long, value_name = "FIRST-LAST", required = true)]
    pub macs: Vec<MacRange>,
    /// What the board gives as what tells the unit apart, with {mac} for its address; knows \\n, \\0 and \\\\
    #[arg(long, value_name = "TEMPLATE", default_value = "{mac}\\n\\0")]
    pub personal: String,
}

/// A code that may be used again.
#[derive(Debug, Args)]
pub struct ClaimsReleaseArgs {
    /// The config and what overrides it.
    #[command(flatten)]
    pub config: ConfigArgs,
    /// The code, as on the label
    pub code: String,
}

/// About vouchers.
#[derive(Debug, Subcommand)]
pub enum VoucherCommand {
    /// Makes a key that signs vouchers and nothing else (offline)
    Key(VoucherKeyArgs),
    /// Signs a list of serials (offline)
    ///
    /// A serial is no secret: whoever reads one off a box, or guesses the next, can pose as that unit until the unit
    /// itself has enrolled. Where that matters, ask for `factory-secret`, or for `voucher+claim-code`.
    Sign(VoucherSignArgs),
    /// Tells the running HQ of signed lists; a box that names one of their serials may have a name
    Import(VoucherImportArgs),
}

/// A new voucher key.
#[derive(Debug, Args)]
pub struct VoucherKeyArgs {
    /// The file to make, mode 0600; never overwritten
    #[arg(long, value_name = "FILE")]
    pub out: PathBuf,
}

/// A signed list of serials.
#[derive(Debug, Args)]
pub struct VoucherSignArgs {
    /// The key, as `voucher key` wrote it
    #[arg(long, value_name = "FILE")]
    pub key: PathBuf,
    /// The units' model, as they send it
    #[arg(long, value_parser = parse_model)]
    pub model: ShortText,
    /// Serials, one a line; `-` is standard input
    #[arg(long, value_name = "FILE")]
    pub serials: PathBuf,
    /// The HQ that the vouchers are for [default: `hq_id` in the config]
    #[arg(long, value_name = "ID")]
    pub hq_id: Option<String>,
    /// The config to take it from
    #[arg(
        long,
        env = "OTSCERT_HQ_CONFIG",
        default_value = "otscert-hq.toml",
        value_name = "FILE"
    )]
    pub config: PathBuf,
    /// The file to make, one voucher of up to 48 serials a line; never overwritten
    #[arg(long, value_name = "FILE")]
    pub out: PathBuf,
}

/// Vouchers for HQ.
#[derive(Debug, Args)]
pub struct VoucherImportArgs {
    /// The config and what overrides it.
    #[command(flatten)]
    pub config: ConfigArgs,
    /// Vouchers, one a line, as `voucher sign` writes them; `-` is standard input
    #[arg(value_name = "FILE")]
    pub vouchers: PathBuf,
}

/// Labels.
#[derive(Debug, Args)]
pub struct LabelsArgs {
    /// Codes, one a line; what follows a tab on a line, as a serial, is printed below the code; `-` is standard input
    #[arg(long, value_name = "FILE")]
    pub codes: PathBuf,
    /// The box's page that takes a code. The code stands behind a #, which browsers send to no server
    #[arg(long, value_name = "URL", default_value = SetupUrl::DEFAULT)]
    pub url: SetupUrl,
    /// A line above each code, at most 24 characters
    #[arg(long, value_name = "TEXT", default_value = "Set-up code")]
    pub title: String,
    /// The SVG file to make, A4, 24 labels of 70 x 37 mm a page, mode 0600; several pages are FILE-1.svg and so on
    #[arg(long, value_name = "FILE")]
    pub out: PathBuf,
}

fn parse_short(text: &str) -> Result<ShortText, String> {
    ShortText::parse("release", text).map_err(|error| error.to_string())
}

fn parse_model(text: &str) -> Result<ShortText, String> {
    ShortText::parse("model", text).map_err(|error| error.to_string())
}
