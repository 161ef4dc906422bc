//! A Linux box: its entropy sources, a folder, the interfaces' addresses, the system's clock.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Instant, SystemTime, UNIX_EPOCH};
use std::{fs, io};

use nix::ifaddrs::getifaddrs;
use nix::net::if_::InterfaceFlags;
use rustls::RootCertStore;
use time::OffsetDateTime;
use time::macros::format_description;

use crate::board::sources::{SourceError, Sources, SourcesConfig};
use crate::board::{Board, SampleError, Source};
use crate::config::TrustAnchors;
use crate::pem::{PemError, read_certificates};
use crate::storage::{FolderStore, Key, OpenError, Records, StorageError};
use crate::types::{ClockTrust, Moment};

/// Where the box's addresses come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AddressSource {
    /// The network interfaces that are up.
    Interfaces,
    /// A list, for a box behind a translation or a test.
    Fixed(Vec<IpAddr>),
}

/// What the system's clock is worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClockSource {
    /// Found out each time: see [`LinuxBoard`].
    Auto,
    /// As the operator says.
    Says(ClockTrust),
}

/// What a [`LinuxBoard`] is made of.
#[derive(Debug, Clone)]
pub struct LinuxBoardConfig {
    /// The storage folder; made if missing.
    pub storage: PathBuf,
    /// Where the addresses come from.
    pub addresses: AddressSource,
    /// Loopback addresses are addresses too: for a demo on one machine.
    pub danger_loopback: bool,
    /// Where randomness comes from. With nothing that counts the box waits.
    pub sources: SourcesConfig,
    /// Public trust anchors.
    pub trust_anchors: TrustAnchors,
    /// What the clock is worth.
    pub clock: ClockSource,
    /// Build date of the image, milliseconds since 1970: a clock before it is wrong.
    pub build_time_ms: u64,
}

/// Why a board could not be made.
#[derive(Debug, thiserror::Error)]
pub enum LinuxBoardError {
    /// The storage folder.
    #[error("the storage folder cannot be used")]
    Storage(#[from] OpenError),
    /// The trust anchors file.
    #[error(
        "the trust anchors of `trust_anchors` cannot be used: give a PEM file of CA certificates, \"platform\" or \"none\""
    )]
    Anchors(#[from] PemError),
    /// An entropy source.
    #[error("an entropy source of the config cannot be used")]
    Source(#[from] SourceError),
    /// The system's own trust anchors.
    #[error(
        "the system has no trust anchors that could be read ({detail}): install ca-certificates, or set trust_anchors = \"none\""
    )]
    NoPlatformAnchors {
        /// What the system said.
        detail: String,
    },
}

/// A Linux box.
///
/// The clock, where nobody says what it is worth: `trusted` when systemd-timesyncd reports that it has synchronised,
/// `bounded` when the kernel set it from a battery-backed RTC and it stands after the image's build, else `unset`. A
/// wrong `unset` costs nothing, since HQ's signed time takes its place; a wrong `trusted` would.
#[derive(Debug)]
pub struct LinuxBoard {
    records: FolderStore,
    addresses: AddressSource,
    danger_loopback: bool,
    sources: Sources,
    anchors: Option<Arc<RootCertStore>>,
    clock: ClockSource,
    build_time_ms: u64,
    origin: Instant,
}

impl LinuxBoard {
    /// Opens the storage folder, alone, and the entropy sources, and reads the trust anchors.
    ///
    /// # Errors
    ///
    /// [`LinuxBoardError`] names what cannot be used.
    pub fn open(config: LinuxBoardConfig) -> Result<Self, LinuxBoardError> {
        Ok(Self {
            anchors: load_anchors(&config.trust_anchors)?.map(Arc::new),
            records: FolderStore::open(&config.storage)?,
            addresses: config.addresses,
            danger_loopback: config.danger_loopback,
            sources: Sources::open(&config.sources)?,
            clock: config.clock,
            build_time_ms: config.build_time_ms,
            origin: Instant::now(),
        })
    }
}

impl LinuxBoard {
    /// Takes a record that does not read out of the machine's reach; it is kept, with the time in its name. None if
    /// there is no such record.
    ///
    /// # Errors
    ///
    /// [`StorageError`] with the record where it was.
    pub fn set_aside(&self, key: &Key) -> Result<Option<PathBuf>, StorageError> {
        let seconds = i64::try_from(self.now().wall_ms / 1000).unwrap_or(0);
        let moment = OffsetDateTime::from_unix_timestamp(seconds)
            .unwrap_or(OffsetDateTime::UNIX_EPOCH)
            .format(format_description!(
                "[year]-[month]-[day]T[hour][minute][second]Z"
            ))
            .unwrap_or_default();
        self.records.set_aside(key, &moment)
    }
}

impl Board for LinuxBoard {
    fn sources(&self) -> Vec<Source> {
        self.sources.list()
    }

    fn sample(&self, source: u32, len: usize) -> Result<Vec<u8>, SampleError> {
        self.sources.sample(source, len)
    }

    fn records(&self) -> &dyn Records {
        &self.records
    }

    fn addresses(&self) -> Vec<IpAddr> {
        let candidates = match &self.addresses {
            AddressSource::Fixed(list) => return list.clone(),
            AddressSource::Interfaces => interface_addresses(),
        };
        let mut found: Vec<IpAddr> = candidates
            .into_iter()
            .filter(|address| is_lan(*address, self.danger_loopback))
            .collect();
        found.sort_unstable();
        found.dedup();
        found
    }

    fn personal(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut interfaces: Vec<PathBuf> = fs::read_dir("/sys/class/net")
            .map(|entries| {
                entries
                    .flatten()
                    .map(|entry| entry.path().join("address"))
                    .collect()
            })
            .unwrap_or_default();
        interfaces.sort();
        for path in interfaces
            .iter()
            .map(PathBuf::as_path)
            .chain(PERSONAL_FILES.iter().map(Path::new))
        {
            // What cannot be read is not there: these bytes are credited nothing anyway.
            if let Ok(content) = fs::read(path) {
                bytes.extend_from_slice(&content[..content.len().min(MAX_PERSONAL_FILE)]);
                bytes.push(0);
            }
            if bytes.len() >= MAX_PERSONAL {
                break;
            }
        }
        bytes.truncate(MAX_PERSONAL);
        bytes
    }

    fn trust_anchors(&self) -> Option<Arc<RootCertStore>> {
        self.anchors.clone()
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "this is the clock that others are given"
    )]
    fn now(&self) -> Moment {
        let wall_ms = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |since| {
                u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
            });
        let trust = match self.clock {
            ClockSource::Says(trust) => trust,
            ClockSource::Auto if wall_ms < self.build_time_ms => ClockTrust::Unset,
            ClockSource::Auto if Path::new(SYNCHRONISED).exists() => ClockTrust::Trusted,
            ClockSource::Auto if set_from_rtc() => ClockTrust::Bounded,
            ClockSource::Auto => ClockTrust::Unset,
        };
        Moment {
            wall_ms,
            trust,
            monotonic_ms: u64::try_from(self.origin.elapsed().as_millis()).unwrap_or(u64::MAX),
        }
    }
}

/// Whether an address is one that HQ's DNS gives names to (DESIGN 6).
pub(crate) fn is_lan(address: IpAddr, loopback: bool) -> bool {
    match address {
        IpAddr::V4(v4) => is_lan_v4(v4) || (loopback && v4.is_loopback()),
        IpAddr::V6(v6) => is_lan_v6(v6) || (loopback && v6.is_loopback()),
    }
}

fn is_lan_v4(address: Ipv4Addr) -> bool {
    // Not 100.64/10 (RFC 6598), which HQ names only by a switch that a box does not know of; `addresses` can list it.
    address.is_private() || address.is_link_local()
}

fn is_lan_v6(address: Ipv6Addr) -> bool {
    // fd00::/8, the locally assigned half of unique local addresses (RFC 4193). fe80::/10 needs a zone id, which no
    // URL of a browser has.
    address.octets()[0] == 0xfd
}

fn interface_addresses() -> Vec<IpAddr> {
    let interfaces = match getifaddrs() {
        Ok(interfaces) => interfaces,
        Err(error) => {
            tracing::warn!(%error, "the network interfaces could not be listed; no address is reported");
            return Vec::new();
        }
    };
    interfaces
        .filter(|interface| interface.flags.contains(InterfaceFlags::IFF_UP))
        .filter_map(|interface| interface.address)
        .filter_map(|address| {
            let v4 = address.as_sockaddr_in().map(|v4| IpAddr::V4(v4.ip()));
            v4.or_else(|| address.as_sockaddr_in6().map(|v6| IpAddr::V6(v6.ip())))
        })
        .take(MAX_INTERFACE_ADDRESSES)
        .collect()
}

/// Reads the trust anchors that a config names.
///
/// # Errors
///
/// [`LinuxBoardError`] names what cannot be read.
pub fn load_anchors(anchors: &TrustAnchors) -> Result<Option<RootCertStore>, LinuxBoardError> {
    let mut store = RootCertStore::empty();
    match anchors {
        TrustAnchors::None => return Ok(None),
        TrustAnchors::Platform => {
            let loaded = rustls_native_certs::load_native_certs();
            store.add_parsable_certificates(loaded.certs);
            if store.is_empty() {
                let detail = loaded
                    .errors
                    .first()
                    .map_or_else(|| "none found".to_owned(), ToString::to_string);
                return Err(LinuxBoardError::NoPlatformAnchors { detail });
            }
        }
        TrustAnchors::File(path) => {
            for certificate in read_certificates(path)? {
                store
                    .add(certificate)
                    .map_err(|source| PemError::Unusable {
                        path: path.clone(),
                        source,
                    })?;
            }
        }
    }
    Ok(Some(store))
}

fn set_from_rtc() -> bool {
    fs::read_to_string(RTC)
        .map(|text| text.trim() == "1")
        .unwrap_or_else(|_: io::Error| false)
}

const SYNCHRONISED: &str = "/run/systemd/timesync/synchronized";
const RTC: &str = "/sys/class/rtc/rtc0/hctosys";
const PERSONAL_FILES: [&str; 4] = [
    "/etc/machine-id",
    "/sys/class/dmi/id/product_serial",
    "/sys/firmware/devicetree/base/serial-number",
    "/proc/sys/kernel/hostname",
];
const MAX_PERSONAL_FILE: usize = 256;
const MAX_PERSONAL: usize = 1024;
const MAX_INTERFACE_ADDRESSES: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ranges_of_the_design_are_lan_and_nothing_else() {
        for text in [
            "10.0.0.1",
            "172.16.0.1",
            "172.31.255.254",
            "192.168.1.7",
            "169.254.3.4",
            "fd12::7",
        ] {
            assert!(is_lan(text.parse().unwrap(), false), "{text}");
        }
        for text in [
            "8.8.8.8",
            "172.32.0.1",
            "127.0.0.1",
            "100.64.0.1",
            "::1",
            "fe80::1",
            "fc00::1",
            "2001:db8::1",
        ] {
            assert!(!is_lan(text.parse().unwrap(), false), "{text}");
        }
    }

    #[test]
    fn loopback_is_an_address_only_when_somebody_said_so() {
        assert!(is_lan("127.0.0.1".parse().unwrap(), true));
        assert!(is_lan("::1".parse().unwrap(), true));
        assert!(!is_lan("127.0.0.1".parse().unwrap(), false));
    }

    #[test]
    fn a_clock_that_stands_before_the_build_of_the_image_is_not_believed() {
        let folder = tempfile::tempdir().unwrap();
        let board = LinuxBoard::open(LinuxBoardConfig {
            storage: folder.path().join("s"),
            addresses: AddressSource::Interfaces,
            danger_loopback: true,
            sources: SourcesConfig::none(),
            trust_anchors: TrustAnchors::None,
            clock: ClockSource::Auto,
            build_time_ms: u64::MAX,
        })
        .unwrap();
        assert_eq!(board.now().trust, ClockTrust::Unset);
        assert!(board.addresses().contains(&"127.0.0.1".parse().unwrap()));
    }
}
