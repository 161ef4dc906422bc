//! Plain counters, which the host exports under names of its own.

use std::sync::atomic::{AtomicU64, Ordering};

use hickory_proto::op::ResponseCode;

use crate::server::Transport;

/// The counters of a server.
#[derive(Debug, Default)]
pub struct DnsMetrics {
    udp: RcodeCounters,
    tcp: RcodeCounters,
    truncated: AtomicU64,
    limited: AtomicU64,
    ignored: AtomicU64,
    tcp_accepted: AtomicU64,
    tcp_refused: AtomicU64,
}

impl DnsMetrics {
    /// Reads all counters. They are read one by one, so a query in flight may show in some only.
    pub fn totals(&self) -> MetricTotals {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        MetricTotals {
            udp: self.udp.totals(),
            tcp: self.tcp.totals(),
            truncated: read(&self.truncated),
            limited: read(&self.limited),
            ignored: read(&self.ignored),
            tcp_accepted: read(&self.tcp_accepted),
            tcp_refused: read(&self.tcp_refused),
        }
    }

    pub(crate) fn answered(&self, transport: Transport, rcode: ResponseCode) {
        let counters = match transport {
            Transport::Udp => &self.udp,
            Transport::Tcp => &self.tcp,
        };
        add_one(counters.of(rcode));
    }

    pub(crate) fn truncated(&self) {
        add_one(&self.truncated);
    }

    pub(crate) fn limited(&self) {
        add_one(&self.limited);
    }

    pub(crate) fn ignored(&self) {
        add_one(&self.ignored);
    }

    pub(crate) fn tcp_accepted(&self) {
        add_one(&self.tcp_accepted);
    }

    pub(crate) fn tcp_refused(&self) {
        add_one(&self.tcp_refused);
    }
}

/// What the counters stood at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MetricTotals {
    /// Replies over UDP.
    pub udp: RcodeTotals,
    /// Replies over TCP.
    pub tcp: RcodeTotals,
    /// Replies over UDP that were too large and sent the asker to TCP.
    pub truncated: u64,
    /// Replies over UDP that sent the asker to TCP because its network asks too often.
    pub limited: u64,
    /// Messages that get no reply: shorter than a header, or replies themselves.
    pub ignored: u64,
    /// TCP connections accepted.
    pub tcp_accepted: u64,
    /// TCP connections closed at once, because their network has too many.
    pub tcp_refused: u64,
}

impl MetricTotals {
    /// Returns how many queries were answered.
    pub fn queries(&self) -> u64 {
        self.udp.all() + self.tcp.all()
    }
}

/// Replies by result ([RFC 6895] 2.3).
///
/// [RFC 6895]: https://www.rfc-editor.org/rfc/rfc6895#section-2.3
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RcodeTotals {
    /// NOERROR, with records or without.
    pub no_error: u64,
    /// FORMERR.
    pub form_err: u64,
    /// NXDOMAIN.
    pub nx_domain: u64,
    /// NOTIMP.
    pub not_imp: u64,
    /// REFUSED.
    pub refused: u64,
    /// BADVERS.
    pub bad_vers: u64,
    /// SERVFAIL: a reply that could not be encoded; a fault of this program.
    pub serv_fail: u64,
}

impl RcodeTotals {
    /// Returns the sum of all.
    pub fn all(&self) -> u64 {
        let Self {
            no_error,
            form_err,
            nx_domain,
            not_imp,
            refused,
            bad_vers,
            serv_fail,
        } = self;
        no_error + form_err + nx_domain + not_imp + refused + bad_vers + serv_fail
    }
}

#[derive(Debug, Default)]
struct RcodeCounters {
    no_error: AtomicU64,
    form_err: AtomicU64,
    nx_domain: AtomicU64,
    not_imp: AtomicU64,
    refused: AtomicU64,
    bad_vers: AtomicU64,
    serv_fail: AtomicU64,
}

impl RcodeCounters {
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "of all the results there are, this server gives a few"
    )]
    fn of(&self, rcode: ResponseCode) -> &AtomicU64 {
        match rcode {
            ResponseCode::NoError => &self.no_error,
            ResponseCode::FormErr => &self.form_err,
            ResponseCode::NXDomain => &self.nx_domain,
            ResponseCode::NotImp => &self.not_imp,
            ResponseCode::Refused => &self.refused,
            ResponseCode::BADVERS => &self.bad_vers,
            _ => &self.serv_fail,
        }
    }

    fn totals(&self) -> RcodeTotals {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        RcodeTotals {
            no_error: read(&self.no_error),
            form_err: read(&self.form_err),
            nx_domain: read(&self.nx_domain),
            not_imp: read(&self.not_imp),
            refused: read(&self.refused),
            bad_vers: read(&self.bad_vers),
            serv_fail: read(&self.serv_fail),
        }
    }
}

fn add_one(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}
