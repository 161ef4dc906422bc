//! For this machine: is HQ well, and what has it done.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use hickory_proto::op::ResponseCode;
use hickory_proto::rr::RecordType;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Method};
use metrics::Label;
use otscert_hq_ca::RequestCounters;
use otscert_hq_dns::{DnsMetrics, DnsName, Recursion, Transport, ask};
use serde::Serialize;

use crate::cli::format::{date, rfc3339};
use crate::clock::Clock;
use crate::error::chain;
use crate::hq::Hq;
use crate::store::{Lane, RestoreNotice};
use crate::tls::Resolver;

use super::metrics::Metrics;
use super::problem::{self, Problem};

/// What is looked at to see whether HQ is well.
#[derive(Debug)]
pub struct Health {
    /// HQ.
    pub hq: Arc<Hq>,
    /// What time it is.
    pub clock: Arc<dyn Clock>,
    /// Where HQ's DNS listens.
    pub dns: SocketAddr,
    /// The device zone.
    pub zone: DnsName,
    /// The lanes of the outbox.
    pub lanes: Vec<Lane>,
}

/// How each part is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Whether all of it is well.
    pub well: bool,
    /// SHA-256 of the component that runs.
    pub component_sha256: String,
    /// Whether it answers.
    pub component: Part,
    /// Whether the database can be read and written.
    pub database: Part,
    /// Whether HQ's DNS answers for the zone.
    pub dns: Part,
    /// Whether work that is due gets done.
    pub workers: Part,
    /// That HQ was restored from a backup, if it was lately: to know, not an illness.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub restored: Option<Restored>,
}

/// What the operator is to know of a restored HQ.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Restored {
    /// How many devices were ahead of HQ's records.
    pub devices: u64,
    /// When the first of them was heard.
    pub first: String,
    /// When the last of them was heard.
    pub last: String,
    /// What has most likely happened.
    pub likely_cause: &'static str,
    /// What is to be done.
    pub what_to_do: &'static str,
}

/// How one part is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Part {
    /// Whether it is well.
    pub well: bool,
    /// What is wrong; empty if nothing is.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub detail: String,
}

/// What the endpoint is made of.
#[derive(Clone)]
pub struct AdminApi {
    /// Whether HQ is well.
    pub health: Arc<Health>,
    /// What it counted.
    pub metrics: Metrics,
    /// What its DNS counted.
    pub dns: Arc<DnsMetrics>,
    /// What its requests to CAs came to.
    pub ca_requests: Arc<RequestCounters>,
    /// The certificates of its endpoints, by name.
    pub certificates: Vec<(&'static str, Arc<Resolver>)>,
}

/// The endpoint's paths.
pub fn router(api: AdminApi) -> Router {
    Router::new()
        .route(
            "/healthz",
            get(async |State(api): State<AdminApi>| health(&api.health).await),
        )
        .route(
            "/metrics",
            get(async |State(api): State<AdminApi>| render(&api).await),
        )
        .method_not_allowed_fallback(async || Problem::Method {
            allowed: Method::GET,
        })
        .fallback(async || Problem::NotFound)
        .with_state(api)
}

/// 200 or 503, and nothing that a stranger could use.
pub async fn brief_health(health: &Health) -> Response {
    let report = health.report().await;
    (
        problem::health_status(report.well),
        Json(serde_json::json!({ "well": report.well })),
    )
        .into_response()
}

async fn health(health: &Health) -> Response {
    let report = health.report().await;
    (problem::health_status(report.well), Json(report)).into_response()
}

impl Health {
    /// Looks at every part.
    pub async fn report(&self) -> Report {
        let (component, database, dns, workers, restored) = tokio::join!(
            self.component(),
            self.database(),
            self.dns(),
            self.workers(),
            self.restored()
        );
        Report {
            well: component.well && database.well && dns.well && workers.well,
            component_sha256: self.hq.component_sha256().to_owned(),
            component,
            database,
            dns,
            workers,
            restored,
        }
    }

    /// Has an instance read a message, which is none: whatever it says to it, it answers.
    async fn component(&self) -> Part {
        use crate::registrar::{CallError, GuestError};
        match tokio::time::timeout(PATIENCE, self.hq.describe_message(b"{}".to_vec())).await {
            Ok(Ok(_) | Err(CallError::Guest(GuestError::Inspect(_)))) => Part::well(),
            Ok(Err(error)) => Part::unwell(chain(&error)),
            Err(_) => Part::unwell("it does not answer".to_owned()),
        }
    }

    async fn database(&self) -> Part {
        match self.hq.store().component().await {
            Ok(_) => self
                .hq
                .store()
                .trouble()
                .map_or_else(Part::well, Part::unwell),
            Err(error) => Part::unwell(chain(&error)),
        }
    }

    async fn dns(&self) -> Part {
        let server = reachable(self.dns);
        match ask(
            server,
            Transport::Udp,
            self.zone.as_name(),
            RecordType::SOA,
            Recursion::Unwanted,
            PATIENCE,
        )
        .await
        {
            Ok(answer)
                if answer.metadata.response_code == ResponseCode::NoError
                    && !answer.answers.is_empty() =>
            {
                Part::well()
            }
            Ok(answer) => Part::unwell(format!(
                "{server} says {} for the zone",
                answer.metadata.response_code
            )),
            Err(error) => Part::unwell(format!("{server}: {}", chain(&error))),
        }
    }

    /// None also where the database cannot say: that is told as the database's own trouble.
    async fn restored(&self) -> Option<Restored> {
        let now = self.clock.now().wall;
        let notice = self.hq.store().restore_notice(now).await.ok().flatten()?;
        Some(Restored {
            devices: notice.devices,
            first: rfc3339(notice.first),
            last: rfc3339(notice.last),
            likely_cause: RestoreNotice::CAUSE,
            what_to_do: RestoreNotice::ADVICE,
        })
    }

    /// A row that has been due for long says that its worker does not come by.
    async fn workers(&self) -> Part {
        let overdue = self.clock.now().wall.minus_millis(OVERDUE_MS);
        for lane in &self.lanes {
            match self.hq.store().next_in_lane(lane).await {
                Ok(Some(due)) if due < overdue => {
                    let since = date(due);
                    return Part::unwell(format!("work for {lane} is due since {since}"));
                }
                Ok(_) => {}
                Err(error) => return Part::unwell(chain(&error)),
            }
        }
        Part::well()
    }
}

impl Part {
    fn well() -> Self {
        Self {
            well: true,
            detail: String::new(),
        }
    }

    fn unwell(detail: String) -> Self {
        Self {
            well: false,
            detail,
        }
    }
}

async fn render(api: &AdminApi) -> Response {
    if let Err(error) = gather(api).await {
        tracing::error!(error = chain(&error), "metrics cannot be gathered");
        return problem::internal("metrics").into_response();
    }
    let mut response = api.metrics.render().into_response();
    response.headers_mut().insert(
        CONTENT_TYPE,
        HeaderValue::from_static("text/plain; version=0.0.4"),
    );
    response
}

/// Reads what is counted elsewhere.
async fn gather(api: &AdminApi) -> Result<(), crate::store::StoreError> {
    let metrics = &api.metrics;
    let (hq, now) = (&api.health.hq, api.health.clock.now().wall);
    let store = hq.store();
    let label = |key: &'static str, value: String| Label::new(key, value);

    let component = vec![label("component", hq.component_sha256().to_owned())];
    metrics.gauge("otscert_hq_info", component, 1.0);
    let subjects = store.state_counts().await?.into_iter().map(|count| {
        let labels = vec![label("kind", count.kind), label("state", count.state)];
        (labels, float(count.subjects))
    });
    metrics.gauges("otscert_hq_subjects", subjects.collect());
    let rows = store.outbox_counts().await?.into_iter().map(|count| {
        let state = count.state.as_str().to_owned();
        (
            vec![label("lane", count.lane), label("state", state)],
            float(count.rows),
        )
    });
    metrics.gauges("otscert_hq_outbox_rows", rows.collect());
    if let Some(end) = store.earliest_not_after(now).await? {
        metrics.gauge(
            "otscert_hq_earliest_not_after_seconds",
            vec![],
            float(end.as_millis() / 1000),
        );
    }
    metrics.gauge(
        "otscert_hq_orders_waiting_for_quota",
        vec![],
        float(store.queued_first_orders().await?),
    );
    metrics.gauge(
        "otscert_hq_restored_devices",
        vec![],
        float(
            store
                .restore_notice(now)
                .await?
                .map_or(0, |notice| notice.devices),
        ),
    );
    for (name, value) in store.counters().await? {
        metrics.total("otscert_hq_events_total", vec![label("event", name)], value);
    }
    for (endpoint, resolver) in &api.certificates {
        if let Some(end) = resolver.not_after() {
            let labels = vec![label("endpoint", (*endpoint).to_owned())];
            metrics.gauge(
                "otscert_hq_own_not_after_seconds",
                labels,
                float(end.as_millis() / 1000),
            );
        }
    }

    let registrar = hq.registrar_totals();
    metrics.total("otscert_hq_registrar_calls_total", vec![], registrar.calls);
    metrics.total(
        "otscert_hq_registrar_conflicts_total",
        vec![],
        registrar.conflicts,
    );
    metrics.total("otscert_hq_registrar_busy_total", vec![], registrar.busy);
    metrics.total(
        "otscert_hq_registrar_instances_total",
        vec![],
        registrar.instances,
    );
    metrics.total(
        "otscert_hq_registrar_spoiled_total",
        vec![],
        registrar.spoiled,
    );
    metrics.gauge(
        "otscert_hq_registrar_queue",
        vec![],
        float(registrar.queued),
    );
    metrics.total("otscert_hq_commits_total", vec![], store.commits());

    let ca = &api.ca_requests;
    metrics.total("otscert_hq_ca_requests_total", vec![], ca.requests());
    metrics.total("otscert_hq_ca_refused_total", vec![], ca.refused());
    metrics.total("otscert_hq_ca_failed_total", vec![], ca.failed());

    let dns = api.dns.totals();
    for (transport, totals) in [("udp", dns.udp), ("tcp", dns.tcp)] {
        for (rcode, value) in [
            ("noerror", totals.no_error),
            ("formerr", totals.form_err),
            ("nxdomain", totals.nx_domain),
            ("notimp", totals.not_imp),
            ("refused", totals.refused),
            ("badvers", totals.bad_vers),
            ("servfail", totals.serv_fail),
        ] {
            let labels = vec![
                label("transport", transport.to_owned()),
                label("rcode", rcode.to_owned()),
            ];
            metrics.total("otscert_hq_dns_answers_total", labels, value);
        }
    }
    metrics.total("otscert_hq_dns_limited_total", vec![], dns.limited);
    metrics.total("otscert_hq_dns_ignored_total", vec![], dns.ignored);
    metrics.total("otscert_hq_dns_tcp_refused_total", vec![], dns.tcp_refused);
    Ok(())
}

/// An address under which this machine reaches its own listener.
pub(crate) fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        ip if !ip.is_unspecified() => ip,
        IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::LOCALHOST),
    };
    SocketAddr::new(ip, address.port())
}

/// Prometheus has floating point only; above 2^53 a count is off by one.
fn float(number: u64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "no count here comes near 2^53")]
    let float = number as f64;
    float
}

const PATIENCE: Duration = Duration::from_secs(2);
/// Workers look every five seconds; one operation may take as long as a lease.
const OVERDUE_MS: u64 = 5 * 60 * 1000;
