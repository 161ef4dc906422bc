//! LAN addresses spelled as a DNS label: `192-168-1-7`, `fd12--7`.
//!
//! IPv4 is four decimals without leading zeros joined by `-`. IPv6 is the text of [RFC 5952] with `:`
//! replaced by `-`, and a `0` put before a leading and after a trailing `-`, since a host name may
//! neither begin nor end with one. An address has exactly one spelling and no other is read: two
//! names for one address would be two origins in the browser, and room for tricks.
//!
//! [RFC 5952]: https://www.rfc-editor.org/rfc/rfc5952#section-4

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

/// Says which addresses a zone computes beyond the private ranges that are always on.
///
/// Always on: 10/8, 172.16/12, 192.168/16 ([RFC 1918]), 169.254/16 ([RFC 3927]) and fd00::/8
/// ([RFC 4193]). Never: fe80::/10, which needs a zone id that a name cannot carry, and public
/// addresses, with which anyone who has dumped one box could host a page in the maker's zone.
///
/// [RFC 1918]: https://www.rfc-editor.org/rfc/rfc1918#section-3
/// [RFC 3927]: https://www.rfc-editor.org/rfc/rfc3927
/// [RFC 4193]: https://www.rfc-editor.org/rfc/rfc4193#section-3.1
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ranges {
    /// Also 100.64/10, the shared space of carriers ([RFC 6598]).
    ///
    /// [RFC 6598]: https://www.rfc-editor.org/rfc/rfc6598#section-7
    pub cgnat: bool,
    /// Also 127/8 and `::1`, for a demonstration on one machine: any page of such a name then talks to
    /// whatever listens on the visitor's own computer.
    pub danger_loopback: bool,
}

impl Ranges {
    /// Tells whether `address` lies in a range that is on.
    pub fn contains(self, address: IpAddr) -> bool {
        match address {
            IpAddr::V4(v4) => {
                let [a, b, ..] = v4.octets();
                v4.is_private()
                    || v4.is_link_local()
                    || (self.cgnat && a == 100 && (64..128).contains(&b))
                    || (self.danger_loopback && v4.is_loopback())
            }
            IpAddr::V6(v6) => {
                v6.octets()[0] == 0xfd || (self.danger_loopback && v6 == Ipv6Addr::LOCALHOST)
            }
        }
    }
}

/// An address in a computed range, which has a spelling as a label.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct LanAddress(IpAddr);

impl LanAddress {
    /// Checks that `address` lies in `ranges`.
    ///
    /// # Errors
    ///
    /// [`LanAddressError::OutOfRange`] if it does not.
    pub fn new(address: IpAddr, ranges: Ranges) -> Result<Self, LanAddressError> {
        if !ranges.contains(address) {
            return Err(LanAddressError::OutOfRange { got: address });
        }
        Ok(Self(address))
    }

    /// Reads a label in lower case.
    ///
    /// # Errors
    ///
    /// [`LanAddressError::NotCanonical`] if the label is not the one spelling of an address,
    /// [`LanAddressError::OutOfRange`] if it is, but of an address outside `ranges`.
    pub fn parse(label: &str, ranges: Ranges) -> Result<Self, LanAddressError> {
        let address = read(label).ok_or(LanAddressError::NotCanonical)?;
        Self::new(address, ranges)
    }

    /// Returns the address.
    pub const fn ip(self) -> IpAddr {
        self.0
    }
}

impl fmt::Display for LanAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&spell(self.0))
    }
}

/// Why a label or an address is not a [`LanAddress`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LanAddressError {
    /// The label is no address, or not in its one spelling.
    #[error("cannot read the label as a LAN address: it is not the canonical spelling of one")]
    NotCanonical,
    /// The address is not in a range that this zone computes.
    #[error(
        "the zone computes no name for {got}: it is not in a private range that is switched on"
    )]
    OutOfRange {
        /// The address in question.
        got: IpAddr,
    },
}

/// Writes any address the way a label spells it.
fn spell(address: IpAddr) -> String {
    match address {
        IpAddr::V4(v4) => v4.to_string().replace('.', "-"),
        IpAddr::V6(v6) => {
            let mut label = v6.to_string().replace(':', "-");
            if label.starts_with('-') {
                label.insert(0, '0');
            }
            if label.ends_with('-') {
                label.push('0');
            }
            label
        }
    }
}

/// Reads the one spelling of an address: what is read, spelled again, must be the same text.
fn read(label: &str) -> Option<IpAddr> {
    // The padding zeros need no care of their own: "0::1" and "fd12::0" are IPv6 texts too.
    let address = label
        .replace('-', ".")
        .parse::<Ipv4Addr>()
        .map(IpAddr::V4)
        .or_else(|_| label.replace('-', ":").parse::<Ipv6Addr>().map(IpAddr::V6))
        .ok()?;
    (spell(address) == label).then_some(address)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_examples_of_the_design_are_read() {
        for (label, address) in [
            ("192-168-1-7", "192.168.1.7"),
            ("10-0-0-255", "10.0.0.255"),
            ("172-16-0-1", "172.16.0.1"),
            ("172-31-255-254", "172.31.255.254"),
            ("169-254-3-4", "169.254.3.4"),
            ("fd12--7", "fd12::7"),
            ("fd12--0", "fd12::"),
            ("fd12-0-0-1--2", "fd12:0:0:1::2"),
            ("fd00-1-2-3-4-5-6-7", "fd00:1:2:3:4:5:6:7"),
        ] {
            let read = LanAddress::parse(label, Ranges::default()).unwrap();
            assert_eq!(read.ip(), address.parse::<IpAddr>().unwrap(), "{label}");
            assert_eq!(read.to_string(), label);
        }
    }

    #[test]
    fn other_spellings_are_refused() {
        for label in [
            "",
            "-",
            "0",
            "192-168-1",
            "192-168-1-7-1",
            "192-168-01-7",
            "192-168-1-256",
            "192.168.1.7",
            "-192-168-1-7",
            "192-168-1-7-",
            "0xc0-168-1-7",
            "+10-0-0-1",
            "10-0-0-1 ",
            "fd12-0-0-0-0-0-0-7",
            "fd12--0-7",
            "fd12--07",
            "fd12--",
            "fd12-0--0",
            "FD12--7",
            "fd12---7",
            "fd12--1--2",
            "fd12::7",
            "0fd12--7",
            "fd12-0-0-0-1-0-0-0",
            "--1",
            "fd00-1-2-3-4-5-6--0",
        ] {
            assert_eq!(
                LanAddress::parse(label, Ranges::default()),
                Err(LanAddressError::NotCanonical),
                "{label}"
            );
        }
    }

    #[test]
    fn addresses_outside_the_ranges_are_refused() {
        for address in [
            "192::168:1:7",
            "8.8.8.8",
            "172.15.255.255",
            "172.32.0.0",
            "192.169.0.0",
            "11.0.0.0",
            "169.253.0.1",
            "169.255.0.1",
            "0.0.0.0",
            "255.255.255.255",
            "224.0.0.1",
            "fe80::1",
            "febf::1",
            "fc00::1",
            "2001:db8::1",
            "::",
            "ff02::1",
            "100.64.0.1",
            "127.0.0.1",
            "::1",
        ] {
            let got = address.parse().unwrap();
            let spelled = spell(got);
            assert_eq!(
                LanAddress::parse(&spelled, Ranges::default()),
                Err(LanAddressError::OutOfRange { got }),
                "{spelled}"
            );
        }
    }

    #[test]
    fn the_switches_open_their_range_and_no_other() {
        let cgnat = Ranges {
            cgnat: true,
            ..Ranges::default()
        };
        let loopback = Ranges {
            danger_loopback: true,
            ..Ranges::default()
        };
        for (label, with_cgnat, with_loopback) in [
            ("100-64-0-1", true, false),
            ("100-127-255-255", true, false),
            ("100-63-255-255", false, false),
            ("100-128-0-0", false, false),
            ("127-0-0-1", false, true),
            ("0--1", false, true),
            ("0--2", false, false),
            ("8-8-8-8", false, false),
        ] {
            assert_eq!(
                LanAddress::parse(label, cgnat).is_ok(),
                with_cgnat,
                "{label}"
            );
            assert_eq!(
                LanAddress::parse(label, loopback).is_ok(),
                with_loopback,
                "{label}"
            );
        }
    }

    proptest! {
        #[test]
        fn reading_undoes_spelling_v4(bits: u32) {
            let address = IpAddr::V4(Ipv4Addr::from_bits(bits));
            prop_assert_eq!(read(&spell(address)), Some(address));
        }

        #[test]
        fn reading_undoes_spelling_v6(groups in proptest::array::uniform8(prop_oneof![Just(0u16), any::<u16>()])) {
            let address = Ipv6Addr::from(groups);
            // Their text has dots (RFC 5952, section 5): no label, and never in a range.
            prop_assume!(!address.to_string().contains('.'));
            prop_assert_eq!(read(&spell(address.into())), Some(IpAddr::V6(address)));
        }

        #[test]
        fn a_spelling_is_a_host_name_label(groups in proptest::array::uniform7(prop_oneof![Just(0u16), any::<u16>()])) {
            let [b, c, d, e, f, g, h] = groups;
            let address = Ipv6Addr::new(0xfd00 | (b & 0xff), b, c, d, e, f, g, h);
            let label = LanAddress::new(address.into(), Ranges::default()).unwrap().to_string();
            prop_assert!(label.len() <= 63);
            prop_assert!(label.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-'));
            prop_assert!(!label.starts_with('-') && !label.ends_with('-'));
        }

        #[test]
        fn whatever_is_read_is_spelled_the_same_way(label in "[0-9a-f-]{0,45}") {
            if let Some(address) = read(&label) {
                prop_assert_eq!(spell(address), label);
            }
        }

        #[test]
        fn no_text_makes_it_panic(label in any::<String>()) {
            let _ = LanAddress::parse(&label, Ranges { cgnat: true, danger_loopback: true });
        }
    }
}
