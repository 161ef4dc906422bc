//! The names by which a browser reaches this box (DESIGN 6).

use std::net::IpAddr;

use crate::types::{NameMode, Progress};

/// An address as HQ's DNS spells it in a name: `192-168-1-7`, `fd12--7`.
///
/// IPv4 as four decimals, IPv6 as the text of RFC 5952, both with `-` for `.` and `:`, and a `0` where a label
/// would begin or end with `-`, which no label may (RFC 1123 section 2.1).
#[must_use]
pub fn address_label(address: IpAddr) -> String {
    match address.to_canonical() {
        IpAddr::V4(v4) => v4.to_string().replace('.', "-"),
        IpAddr::V6(v6) => {
            let text = v6.to_string().replace(':', "-");
            let before = if text.starts_with('-') { "0" } else { "" };
            let after = if text.ends_with('-') { "0" } else { "" };
            format!("{before}{text}{after}")
        }
    }
}

/// The host name for a browser that reached this box at `address`; none before there is one.
#[must_use]
pub fn host_name(progress: &Progress, address: IpAddr) -> Option<String> {
    let name = progress.names.first()?;
    match progress.mode? {
        NameMode::Word => Some(name.clone()),
        NameMode::Address => {
            let below = name.strip_prefix("*.").unwrap_or(name);
            Some(format!("{}.{below}", address_label(address)))
        }
    }
}

/// The page's URL under a host name; the port is left out where it is the usual one.
#[must_use]
pub fn url(host: &str, port: u16) -> String {
    match port {
        443 => format!("https://{host}/"),
        port => format!("https://{host}:{port}/"),
    }
}

/// Every URL of this box, one for each of its addresses, or the one of its name.
#[must_use]
pub fn urls(progress: &Progress, addresses: &[IpAddr], port: u16) -> Vec<String> {
    let mut urls: Vec<String> = match progress.mode {
        None => Vec::new(),
        Some(NameMode::Word) => progress
            .names
            .first()
            .map(|name| url(name, port))
            .into_iter()
            .collect(),
        Some(NameMode::Address) => addresses
            .iter()
            .filter_map(|address| host_name(progress, *address))
            .map(|host| url(&host, port))
            .collect(),
    };
    urls.dedup();
    urls
}

/// Whether a granted name covers a host name: `*.x` covers one label below `x` (RFC 9525 section 6.3).
#[must_use]
pub fn covers(granted: &str, host: &str) -> bool {
    match granted.strip_prefix("*.") {
        None => granted.eq_ignore_ascii_case(host),
        Some(below) => host
            .split_once('.')
            .is_some_and(|(label, rest)| !label.is_empty() && rest.eq_ignore_ascii_case(below)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_spelt_as_hq_spells_them() {
        for (address, label) in [
            ("192.168.1.7", "192-168-1-7"),
            ("::ffff:192.168.1.7", "192-168-1-7"),
            ("fd12::7", "fd12--7"),
            ("fd12:0:0:1:0:0:0:7", "fd12-0-0-1--7"),
            ("fd12::", "fd12--0"),
            ("::1", "0--1"),
        ] {
            assert_eq!(address_label(address.parse().unwrap()), label, "{address}");
        }
    }

    #[test]
    fn the_url_names_the_address_or_the_word_and_an_unusual_port() {
        let lan: Vec<IpAddr> = vec!["192.168.1.7".parse().unwrap(), "fd12::7".parse().unwrap()];
        let address = progress("*.abc.boxes.test", NameMode::Address);
        assert_eq!(
            urls(&address, &lan, 443),
            [
                "https://192-168-1-7.abc.boxes.test/",
                "https://fd12--7.abc.boxes.test/"
            ]
        );
        let word = progress("nifty-babbage.boxes.test", NameMode::Word);
        assert_eq!(
            urls(&word, &lan, 8443),
            ["https://nifty-babbage.boxes.test:8443/"]
        );
        assert_eq!(urls(&Progress::default(), &lan, 443), Vec::<String>::new());
    }

    #[test]
    fn a_wildcard_covers_one_label_below_and_nothing_else() {
        assert!(covers("*.abc.test", "1-2-3-4.ABC.test"));
        assert!(covers("word.test", "WORD.test"));
        for host in [
            "abc.test",
            "x.y.abc.test",
            ".abc.test",
            "xabc.test",
            "word.test.evil",
        ] {
            assert!(
                !covers("*.abc.test", host) && !covers("word.test", host),
                "{host}"
            );
        }
    }

    fn progress(name: &str, mode: NameMode) -> Progress {
        Progress {
            names: vec![name.to_owned()],
            mode: Some(mode),
            ..Progress::default()
        }
    }
}
