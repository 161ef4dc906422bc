//! Commands, flags and environment.

mod admission;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use otscert_hq_dns::DnsName;

pub use admission::{
    BatchArgs, ClaimsCommand, ClaimsDrawArgs, ClaimsImportArgs, ClaimsReleaseArgs, DeriveArgs,
    FactoryCommand, FirmwareAddArgs, FirmwareCommand, LabelsArgs, MasterArgs, VoucherCommand,
    VoucherImportArgs, VoucherKeyArgs, VoucherSignArgs,
};

use crate::config::{Admission, LogFormat, Mode, Nameserver, Overrides};
use crate::init::{InitAcme, InitCa, InitOptions, LETS_ENCRYPT, LETS_ENCRYPT_STAGING, Listen};

/// HQ of a fleet of boxes: names them, gets their certificates, hands them out.
#[derive(Debug, Parser)]
#[command(name = "otscert-hq", version, max_term_width = 100)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Makes a new HQ in a folder: config, keys, image bundle; says what to do next
    Init(Box<InitArgs>),
    /// Runs HQ until SIGTERM or Ctrl-C
    Serve(ConfigArgs),
    /// Checks the config and the files it names, and prints what HQ makes of it
    CheckConfig(ConfigArgs),
    /// Looks at a running HQ from outside: delegation, DNS, CAs, certificates, clock
    Doctor(DoctorArgs),
    /// Shows devices and tells HQ what to do about them
    #[command(subcommand)]
    Devices(DevicesCommand),
    /// Secrets of the factory: the maker's master, keys of batches, a file for each unit (offline)
    #[command(subcommand)]
    Factory(FactoryCommand),
    /// Firmware releases: which keys they make on a box without entropy
    #[command(subcommand)]
    Firmware(FirmwareCommand),
    /// Codes on labels: draws them, tells HQ of them, lets a used one be used again
    #[command(subcommand)]
    Claims(ClaimsCommand),
    /// Lists of serials that the maker vouches for: signs them, tells HQ of them
    #[command(subcommand)]
    Voucher(VoucherCommand),
    /// Makes sheets of labels to print: claim codes, each with its QR code (offline)
    Labels(LabelsArgs),
    /// Signs a new delegation of the protocol key with a root (offline)
    Delegate(DelegateArgs),
    /// Makes the device endpoint's next certificate with the private TLS CA (offline)
    DeviceCertificate(DeviceCertificateArgs),
    /// Signs what was found out about the clock of a kind of board
    #[command(subcommand)]
    Assessment(AssessmentCommand),
}

/// About assessments of clocks.
#[derive(Debug, Subcommand)]
pub enum AssessmentCommand {
    /// Signs the file that `otscert-device assess judge` wrote, for the image bundle
    Sign(AssessmentSignArgs),
}

/// About devices.
#[derive(Debug, Subcommand)]
pub enum DevicesCommand {
    /// Lists devices, also while HQ is not running
    List(ListArgs),
    /// Tells the whole story of one device
    Show(ShowArgs),
    /// Revokes a device's certificate, withdraws its name, cuts off its key
    Retire(OrderArgs),
    /// Asks a device for a new key and certificate at its next contact
    Renew(OrderArgs),
    /// Accepts a device that is challenged, or that waits for a person before its first certificate
    Accept(OrderArgs),
}

/// The config and what overrides it.
#[derive(Debug, Args)]
pub struct ConfigArgs {
    /// The config file
    #[arg(
        long,
        env = "OTSCERT_HQ_CONFIG",
        default_value = "otscert-hq.toml",
        value_name = "FILE"
    )]
    pub config: PathBuf,
    /// Folder of everything HQ writes [config: data]
    #[arg(long, env = "OTSCERT_HQ_DATA", value_name = "FOLDER")]
    pub data: Option<PathBuf>,
    /// The database [config: store]
    #[arg(long, env = "OTSCERT_HQ_STORE", value_name = "FILE")]
    pub store: Option<PathBuf>,
    /// Another component file than the one in the program [config: component]
    #[arg(long, env = "OTSCERT_HQ_COMPONENT", value_name = "FILE")]
    pub component: Option<PathBuf>,
    /// Where boxes come to [config: device_endpoint.listen]
    #[arg(long, env = "OTSCERT_HQ_DEVICE_LISTEN", value_name = "ADDR:PORT")]
    pub device_listen: Option<SocketAddr>,
    /// Where people come to [config: people.listen]
    #[arg(long, env = "OTSCERT_HQ_PEOPLE_LISTEN", value_name = "ADDR:PORT")]
    pub people_listen: Option<SocketAddr>,
    /// Where /healthz and /metrics are [config: admin.listen]
    #[arg(long, env = "OTSCERT_HQ_ADMIN_LISTEN", value_name = "ADDR:PORT")]
    pub admin_listen: Option<SocketAddr>,
    /// Where DNS is served, several times or with commas [config: dns.listen]
    #[arg(
        long,
        env = "OTSCERT_HQ_DNS_LISTEN",
        value_name = "ADDR:PORT",
        value_delimiter = ','
    )]
    pub dns_listen: Vec<SocketAddr>,
    /// How logs look [config: log.format]
    #[arg(long, env = "OTSCERT_HQ_LOG_FORMAT", value_enum)]
    pub log_format: Option<LogFormat>,
    /// Which logs are written, as in info or otscert_hq=debug,info [config: log.level]
    #[arg(long, env = "OTSCERT_HQ_LOG", value_name = "FILTER")]
    pub log_level: Option<String>,
}

/// A new HQ.
#[derive(Debug, Args)]
pub struct InitArgs {
    /// The folder to make
    #[arg(value_name = "DIR")]
    pub folder: PathBuf,
    /// The zone for boxes, on a domain of its own, as in devices.example.net
    #[arg(long)]
    pub zone: DnsName,
    /// HQ's name, as in hq.example.com
    #[arg(long)]
    pub hq_name: DnsName,
    /// HQ's id in every message [default: the name]
    #[arg(long, value_name = "ID")]
    pub hq_id: Option<String>,
    /// A server of the zone and its public address, as in ns1.example.net=198.51.100.7; several times
    #[arg(long = "nameserver", value_name = "NAME=ADDRESS", required = true, value_parser = parse_nameserver)]
    pub nameservers: Vec<Nameserver>,
    /// An address of HQ for boxes; several times [default: those of the nameservers]
    #[arg(long = "address", value_name = "ADDRESS")]
    pub addresses: Vec<IpAddr>,
    /// Where boxes look for HQ; several times [default: name and addresses, port of --device-listen]
    #[arg(long = "origin", value_name = "URL")]
    pub origins: Vec<String>,
    /// The boxes' model in the image bundle
    #[arg(long, default_value = "box")]
    pub model: String,
    /// How names are used
    #[arg(long, value_enum, default_value = "address")]
    pub mode: Mode,
    /// Who may have a name: open, closed, or claim-code, factory-secret, voucher, approval joined by +; alternatives
    /// with commas [default: open; closed with --ca letsencrypt]
    #[arg(long, value_name = "POLICY", value_parser = parse_admission)]
    pub admission: Option<Admission>,
    /// letsencrypt-staging, letsencrypt, private, or an ACME directory's URL
    #[arg(long, default_value = "letsencrypt-staging", value_name = "CA")]
    pub ca: String,
    /// The only root to trust for the CA's API, for a CA of your own
    #[arg(long, value_name = "PEM-FILE")]
    pub ca_root: Option<PathBuf>,
    /// Certificate profile [default: tlsserver with Let's Encrypt]
    #[arg(long, value_name = "NAME")]
    pub ca_profile: Option<String>,
    /// Where the CA can write to, as in ops@example.com
    #[arg(long, value_name = "MAIL")]
    pub contact: Option<String>,
    /// You have read the CA's terms of service and agree
    #[arg(long)]
    pub agree_tos: bool,
    /// Mailbox in the zone's SOA [default: hostmaster at HQ's domain]
    #[arg(long, value_name = "MAIL")]
    pub hostmaster: Option<String>,
    /// Where boxes come to
    #[arg(long, value_name = "ADDR:PORT", default_value_t = any(8443))]
    pub device_listen: SocketAddr,
    /// Where people come to
    #[arg(long, value_name = "ADDR:PORT", default_value_t = any(443))]
    pub people_listen: SocketAddr,
    /// Where /healthz and /metrics are
    #[arg(long, value_name = "ADDR:PORT", default_value_t = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 9580))]
    pub admin_listen: SocketAddr,
    /// Where DNS is served, several times or with commas
    #[arg(long, value_name = "ADDR:PORT", value_delimiter = ',', default_values_t = any_dns())]
    pub dns_listen: Vec<SocketAddr>,
    /// HQ's name may be in the zone's domain: for a demo
    #[arg(long)]
    pub danger_same_site: bool,
    /// Loopback addresses are LAN addresses: for a demo on one machine
    #[arg(long)]
    pub danger_loopback: bool,
    /// With --admission open and a public CA: strangers may use up its quota
    #[arg(long)]
    pub danger_open_public: bool,
}

/// A look from outside.
#[derive(Debug, Args)]
pub struct DoctorArgs {
    /// The config and what overrides it.
    #[command(flatten)]
    pub config: ConfigArgs,
    /// Resolver for what the world sees [default: the first of /etc/resolv.conf]
    #[arg(long, value_name = "ADDR[:PORT]", value_parser = parse_resolver)]
    pub resolver: Option<SocketAddr>,
    /// Ask this address instead of each nameserver's own, for a demo on one machine
    #[arg(long, value_name = "ADDR:PORT")]
    pub nameserver_at: Option<SocketAddr>,
    /// JSON instead of lines for people
    #[arg(long)]
    pub json: bool,
}

/// A list of devices.
#[derive(Debug, Args)]
pub struct ListArgs {
    /// The config and what overrides it.
    #[command(flatten)]
    pub config: ConfigArgs,
    /// Only devices in this state, as in Issued, or AwaitingApproval: those that wait for `devices accept`
    #[arg(long)]
    pub state: Option<String>,
    /// Only this model
    #[arg(long)]
    pub model: Option<String>,
    /// Only devices whose id or name contains this text
    #[arg(long)]
    pub matching: Option<String>,
    /// Only devices that reported this firmware last; adds it to the JSON. Takes longer: each record is read
    #[arg(long, value_name = "VERSION")]
    pub firmware: Option<String>,
    /// At most so many
    #[arg(long, default_value_t = 100)]
    pub limit: u32,
    /// Only devices after this id: the last one of the page before
    #[arg(long, value_name = "ID")]
    pub after: Option<String>,
    /// JSON instead of a table
    #[arg(long)]
    pub json: bool,
    /// Ids alone, one a line, as `devices retire -` and the like read them
    #[arg(long, conflicts_with = "json")]
    pub ids: bool,
}

/// One device.
#[derive(Debug, Args)]
pub struct ShowArgs {
    /// The config and what overrides it.
    #[command(flatten)]
    pub config: ConfigArgs,
    /// Its name or id; `own` is HQ's own certificate
    #[arg(value_name = "NAME|ID")]
    pub device: String,
    /// JSON instead of text
    #[arg(long)]
    pub json: bool,
}

/// An order about one device, or about all that standard input names.
#[derive(Debug, Args)]
pub struct OrderArgs {
    /// The config and what overrides it.
    #[command(flatten)]
    pub config: ConfigArgs,
    /// Its name or id; `-` reads them from standard input, one a line
    #[arg(value_name = "NAME|ID|-")]
    pub device: String,
}

/// A new delegation.
#[derive(Debug, Args)]
pub struct DelegateArgs {
    /// The config and what overrides it.
    #[command(flatten)]
    pub config: ConfigArgs,
    /// The root's key file, active or spare
    #[arg(long, value_name = "FILE")]
    pub root: PathBuf,
    /// How long it lasts
    #[arg(long, default_value_t = crate::init::ceremony::DELEGATION_DAYS, value_parser = clap::value_parser!(u32).range(1..=3650))]
    pub days: u32,
    /// Make a new protocol key as well, with the next epoch
    #[arg(long)]
    pub new_key: bool,
}

/// The device endpoint's next certificate.
#[derive(Debug, Args)]
pub struct DeviceCertificateArgs {
    /// The config and what overrides it.
    #[command(flatten)]
    pub config: ConfigArgs,
    /// Folder with tls-root.pem and tls-root.key
    #[arg(long, value_name = "FOLDER")]
    pub roots: PathBuf,
}

/// An assessment to sign.
#[derive(Debug, Args)]
pub struct AssessmentSignArgs {
    /// The config and what overrides it.
    #[command(flatten)]
    pub config: ConfigArgs,
    /// The file that `otscert-device assess judge` wrote
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// The signed file [default: beside FILE, as NAME.signed.json]
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// Signs also what was judged with --danger flags: for a trial, never for boxes that are sold
    #[arg(long)]
    pub danger_overridden: bool,
}

impl ConfigArgs {
    /// What flags and environment override.
    #[must_use]
    pub fn overrides(&self) -> Overrides {
        Overrides {
            data: self.data.clone(),
            store: self.store.clone(),
            component: self.component.clone(),
            device_listen: self.device_listen,
            people_listen: self.people_listen,
            admin_listen: self.admin_listen,
            dns_listen: self.dns_listen.clone(),
            log_format: self.log_format,
            log_level: self.log_level.clone(),
        }
    }
}

impl InitArgs {
    /// As `init` takes them.
    #[must_use]
    pub fn options(&self) -> InitOptions {
        let mut nameservers: Vec<Nameserver> = Vec::new();
        for server in &self.nameservers {
            match nameservers
                .iter_mut()
                .find(|other| other.name == server.name)
            {
                Some(known) => known.addresses.extend(&server.addresses),
                None => nameservers.push(server.clone()),
            }
        }
        let addresses = match self.addresses.is_empty() {
            true => nameservers
                .iter()
                .flat_map(|server| server.addresses.clone())
                .collect(),
            false => self.addresses.clone(),
        };
        InitOptions {
            folder: self.folder.clone(),
            zone: self.zone.clone(),
            hq_name: self.hq_name.clone(),
            hq_id: self
                .hq_id
                .clone()
                .unwrap_or_else(|| self.hq_name.to_string()),
            nameservers,
            addresses,
            origins: self.origins.clone(),
            model: self.model.clone(),
            mode: self.mode,
            admission: self.admission.clone(),
            ca: self.ca(),
            hostmaster: self.hostmaster.clone(),
            listen: Listen {
                device: self.device_listen,
                people: self.people_listen,
                admin: self.admin_listen,
                dns: self.dns_listen.clone(),
            },
            danger_same_site: self.danger_same_site,
            danger_loopback: self.danger_loopback,
            danger_open_public: self.danger_open_public,
        }
    }

    fn ca(&self) -> InitCa {
        let known = [LETS_ENCRYPT, LETS_ENCRYPT_STAGING]
            .into_iter()
            .find(|(name, _)| *name == self.ca);
        let (name, directory, profile) = match (known, self.ca.as_str()) {
            (Some((name, directory)), _) => (name, directory, Some("tlsserver".to_owned())),
            (None, "private") => return InitCa::Private,
            (None, url) => ("acme", url, None),
        };
        let contact = self
            .contact
            .as_ref()
            .map(|mail| match mail.starts_with("mailto:") {
                true => mail.clone(),
                false => format!("mailto:{mail}"),
            });
        InitCa::Acme(InitAcme {
            name: name.to_owned(),
            directory: directory.to_owned(),
            root_pem: self.ca_root.clone(),
            profile: self.ca_profile.clone().or(profile),
            contact,
            agree_tos: self.agree_tos,
        })
    }
}

fn parse_nameserver(text: &str) -> Result<Nameserver, String> {
    let expected = "expected a name and an address, as in ns1.example.net=198.51.100.7";
    let (name, address) = text.split_once('=').ok_or(expected)?;
    let name = name
        .parse::<DnsName>()
        .map_err(|error| format!("{error}; {expected}"))?;
    let address = address
        .parse::<IpAddr>()
        .map_err(|error| format!("{error}; {expected}"))?;
    Ok(Nameserver {
        name,
        addresses: vec![address],
    })
}

fn parse_admission(text: &str) -> Result<Admission, String> {
    let alternatives: Vec<&str> = text.split(',').map(str::trim).collect();
    Admission::parse(&alternatives).map_err(|error| error.to_string())
}

fn parse_resolver(text: &str) -> Result<SocketAddr, String> {
    text.parse::<SocketAddr>()
        .or_else(|_| {
            text.parse::<IpAddr>()
                .map(|address| SocketAddr::new(address, 53))
        })
        .map_err(|_| "expected an address, with or without a port, as in 9.9.9.9".to_owned())
}

fn any(port: u16) -> SocketAddr {
    SocketAddr::new(IpAddr::V6(Ipv6Addr::UNSPECIFIED), port)
}

fn any_dns() -> Vec<SocketAddr> {
    vec![
        SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 53),
        any(53),
    ]
}
