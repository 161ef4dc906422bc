//! `dig`, for tests: a second opinion on the wire format and on every rule.

use std::io;
use std::net::SocketAddr;
use std::process::{Command, Output};

/// Asks a server without recursion and returns the status, the flags and the records in one line; the
/// OPT record and the question left out. `args` are dig's own, separated by spaces.
///
/// # Errors
///
/// If `dig` cannot be started, with what to do, or got no answer, with what it said.
pub fn answer(server: SocketAddr, args: &str) -> io::Result<String> {
    let output = output(server, &format!("+norecurse {args}"))?;
    let after = |mark: &str| output.split_once(mark).map_or("", |(_, rest)| rest);
    let status = after("status: ").split(',').next().unwrap_or_default();
    let flags = after("flags: ").split(';').next().unwrap_or_default();
    if status.is_empty() {
        return Err(io::Error::other(format!(
            "dig got no answer to {args}: {output}"
        )));
    }
    let mut parts = vec![format!("{status} {flags}")];
    for line in output
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with(';'))
    {
        parts.push(line.split_whitespace().collect::<Vec<_>>().join(" "));
    }
    Ok(parts.join("; "))
}

/// Asks a server and returns everything that `dig` prints.
///
/// # Errors
///
/// If `dig` cannot be started, with what to do.
pub fn output(server: SocketAddr, args: &str) -> io::Result<String> {
    let Output { stdout, stderr, .. } = Command::new("dig")
        .args([
            "-r",
            &format!("@{}", server.ip()),
            "-p",
            &server.port().to_string(),
            "+tries=1",
            "+time=5",
        ])
        .args(args.split_whitespace())
        .output()
        .map_err(|source| io::Error::new(source.kind(), format!("{MISSING} ({source})")))?;
    Ok(String::from_utf8_lossy(&[stdout, stderr].concat()).into_owned())
}

const MISSING: &str = "this test asks the server with `dig`, which cannot be started: install it (Debian and \
    Ubuntu: `apt-get install -y bind9-dnsutils`; Fedora: `dnf install bind-utils`; or let the project's `x` do it) \
    and run the test again";
