//! The endpoint for people: a first page that says where one is. The dashboard comes into its place.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;
use http::header::{CONTENT_SECURITY_POLICY, STRICT_TRANSPORT_SECURITY, X_CONTENT_TYPE_OPTIONS};
use http::{HeaderValue, Method};

use super::admin::{Health, brief_health};
use super::problem::Problem;

/// What the endpoint is made of.
#[derive(Clone)]
pub struct PeopleApi {
    /// HQ's id.
    pub hq_id: Arc<str>,
    /// Whether HQ is well.
    pub health: Arc<Health>,
}

/// The endpoint's paths.
pub fn router(api: PeopleApi) -> Router {
    Router::new()
        .route("/", get(first_page))
        .route(
            "/healthz",
            get(async |State(api): State<PeopleApi>| brief_health(&api.health).await),
        )
        .method_not_allowed_fallback(async || Problem::Method {
            allowed: Method::GET,
        })
        .fallback(async || Problem::NotFound)
        .layer(axum::middleware::map_response(harden))
        .with_state(api)
}

async fn first_page(State(api): State<PeopleApi>) -> Html<String> {
    let hq_id = escape(&api.hq_id);
    Html(format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width\"><title>{hq_id}</title></head>\n\
         <body><h1>{hq_id}</h1>\n<p>This server gives boxes their names and certificates. Nothing can be done here.</p>\n\
         <p>For its operator: <code>otscert-hq devices list</code> and <code>otscert-hq doctor</code> on the server.</p>\
         </body></html>\n"
    ))
}

async fn harden(mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.insert(
        CONTENT_SECURITY_POLICY,
        HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'"),
    );
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(
        STRICT_TRANSPORT_SECURITY,
        HeaderValue::from_static("max-age=31536000"),
    );
    response.into_response()
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}
