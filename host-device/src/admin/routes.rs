//! What is answered to whom.
//!
//! Once HTTPS works, HTTP redirects with 307. Not 301 or 308, which browsers keep for ever: after a reset, a resale or a
//! change of address the stored answer would lead to a name that is no longer this box's, and nobody could clear it.
//!
//! The `Host` header is checked, since a page on the internet can point a name of its own at a box's address (DNS
//! rebinding) and would then be of the same origin as the box. Names that nobody can own on the internet are let in.

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HOST, HeaderMap, HeaderName, HeaderValue,
    LOCATION, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
};
use axum::http::uri::Authority;
use axum::http::{StatusCode, Uri};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Extension, Json, Router};
use tokio::sync::{mpsc, watch};

use super::{page, same_address, setup};
use crate::board::is_lan;
use crate::names::{covers, host_name, url};
use crate::run::Command;
use crate::status::Status;
use crate::types::NameMode;

/// What the handlers need.
#[derive(Debug)]
pub(super) struct Site {
    pub(super) status: watch::Receiver<Status>,
    /// Names besides those that are known anyway.
    pub(super) hosts: Vec<String>,
    pub(super) https_port: Option<u16>,
    /// The way to the loop that owns the machine.
    pub(super) commands: Option<mpsc::Sender<Command>>,
}

/// The connection that a request came by.
#[derive(Debug, Clone, Copy)]
pub(super) struct Connection {
    /// This box's address on it.
    pub(super) local: IpAddr,
    pub(super) tls: bool,
}

pub(super) fn router(site: Arc<Site>) -> Router {
    Router::new()
        .route("/", get(index))
        .route("/status.json", get(status))
        .route("/style.css", get(style))
        .route("/setup", get(setup::page))
        .route("/setup.js", get(setup::script))
        .route("/seal.js", get(setup::seal))
        .route("/setup/seed", post(setup::seed))
        .route("/setup/code", post(setup::code))
        .fallback(|| async { StatusCode::NOT_FOUND })
        .layer(from_fn_with_state(Arc::clone(&site), redirect))
        .layer(from_fn_with_state(Arc::clone(&site), check_host))
        .layer(from_fn(protect))
        .with_state(site)
}

async fn index(State(site): State<Arc<Site>>) -> Response {
    let html = page::render(&site.status.borrow());
    ([(CONTENT_TYPE, "text/html; charset=utf-8")], html).into_response()
}

async fn status(State(site): State<Arc<Site>>) -> Response {
    Json(site.status.borrow().report()).into_response()
}

async fn style() -> Response {
    ([(CONTENT_TYPE, "text/css; charset=utf-8")], page::STYLE).into_response()
}

/// Sends a browser that came by HTTP to the right URL, if there is one for the address it came to.
async fn redirect(
    State(site): State<Arc<Site>>,
    Extension(connection): Extension<Connection>,
    request: Request,
    next: Next,
) -> Response {
    match target(&site, connection, request.uri())
        .and_then(|target| HeaderValue::try_from(target).ok())
    {
        Some(location) => (StatusCode::TEMPORARY_REDIRECT, [(LOCATION, location)]).into_response(),
        None => next.run(request).await,
    }
}

fn target(site: &Site, connection: Connection, uri: &Uri) -> Option<String> {
    let status = site.status.borrow();
    if connection.tls || !status.https {
        return None;
    }
    // HQ's DNS has no answer for other addresses (DESIGN 6): the page itself is of more use than a dead link.
    let named = is_lan(connection.local, false) || status.addresses.contains(&connection.local);
    if !named && status.progress.mode == Some(NameMode::Address) {
        return None;
    }
    let host = host_name(&status.progress, connection.local)?;
    let base = url(&host, site.https_port?);
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    Some(format!("{}{path}", base.trim_end_matches('/')))
}

async fn check_host(
    State(site): State<Arc<Site>>,
    Extension(connection): Extension<Connection>,
    request: Request,
    next: Next,
) -> Response {
    if is_ours(&site, connection, request.headers()) {
        return next.run(request).await;
    }
    let text = "This box does not go by the name that the browser asked for. Use its address, or the name it shows on its page.\n";
    (StatusCode::MISDIRECTED_REQUEST, text).into_response()
}

fn is_ours(site: &Site, connection: Connection, headers: &HeaderMap) -> bool {
    let mut values = headers.get_all(HOST).iter();
    // Exactly one (RFC 9112 section 3.2).
    let (Some(value), None) = (values.next(), values.next()) else {
        return false;
    };
    let Some(host) = value.to_str().ok().and_then(host_of) else {
        return false;
    };
    if let Ok(address) = host
        .trim_start_matches('[')
        .trim_end_matches(']')
        .parse::<IpAddr>()
    {
        return same_address(address, connection.local) || site.hosts.contains(&host);
    }
    if host == "localhost" {
        return connection.local.is_loopback();
    }
    !host.contains('.')
        || PRIVATE_SUFFIXES.iter().any(|suffix| host.ends_with(suffix))
        || site.hosts.contains(&host)
        || site
            .status
            .borrow()
            .progress
            .names
            .iter()
            .any(|name| covers(name, &host))
}

/// The host without the port, in lower case, without the final dot.
fn host_of(value: &str) -> Option<String> {
    let authority: Authority = value.parse().ok()?;
    if authority.as_str().contains('@') {
        return None;
    }
    Some(authority.host().trim_end_matches('.').to_ascii_lowercase())
}

async fn protect(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    for (name, value) in HEADERS {
        // A page that may do more says so itself.
        response
            .headers_mut()
            .entry(name)
            .or_insert(HeaderValue::from_static(value));
    }
    response
}

const HEADERS: [(HeaderName, &str); 5] = [
    (
        CONTENT_SECURITY_POLICY,
        "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    ),
    (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (REFERRER_POLICY, "no-referrer"),
    (CACHE_CONTROL, "no-store"),
    (
        HeaderName::from_static("cross-origin-resource-policy"),
        "same-origin",
    ),
];
/// Suffixes that nobody can register: RFC 6762, RFC 8375, ICANN's .internal, and what home routers use.
const PRIVATE_SUFFIXES: [&str; 5] = [".local", ".home.arpa", ".internal", ".lan", ".home"];
