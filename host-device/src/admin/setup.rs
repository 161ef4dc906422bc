//! The set-up page: randomness from the owner's browser, for a box that has none of its own.
//!
//! A browser on a phone or a computer has a good generator (`crypto.getRandomValues`, which works on pages over plain
//! HTTP too). The page's script draws 32 bytes and posts them to the box; the machine counts them against everybody
//! but who listens in the owner's network at that moment (docs/THREATS.md). The script comes from the box, not from
//! HQ: else HQ could know the bytes.
//!
//! A page of somebody else in the same browser must not be able to post bytes that he knows: the request has a header
//! that a foreign page may not set without asking first, and nobody here answers that question.

use std::sync::Arc;

use axum::body::to_bytes;
use axum::extract::{Request, State};
use axum::http::header::{
    CONTENT_SECURITY_POLICY, CONTENT_TYPE, HOST, HeaderMap, HeaderName, HeaderValue, ORIGIN,
};
use axum::http::uri::Authority;
use axum::http::{StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use zeroize::Zeroizing;

use super::routes::Site;
use crate::control::give;
use crate::run::Order;
use crate::types::{CompanionSeed, Progress};

/// Whether the owner's browser would help: the machine waits for randomness.
pub(super) fn would_help(progress: &Progress) -> bool {
    progress.state == WAITS
}

/// The page.
pub(super) async fn page(State(site): State<Arc<Site>>) -> Response {
    let wanted = would_help(&site.status.borrow().progress);
    let html = if wanted { WANTED } else { DONE };
    let page = [
        (
            CONTENT_TYPE,
            HeaderValue::from_static("text/html; charset=utf-8"),
        ),
        (CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY)),
    ];
    (page, html).into_response()
}

/// Its script.
pub(super) async fn script() -> Response {
    ([(CONTENT_TYPE, "text/javascript; charset=utf-8")], SCRIPT).into_response()
}

/// Takes the bytes.
pub(super) async fn seed(State(site): State<Arc<Site>>, request: Request) -> Response {
    if !is_own_page(request.headers()) {
        let text =
            "Only this box's own set-up page may send randomness. Open /setup on this box.\n";
        return (StatusCode::FORBIDDEN, text).into_response();
    }
    if !would_help(&site.status.borrow().progress) {
        return (StatusCode::CONFLICT, "This box has enough randomness.\n").into_response();
    }
    let Some(commands) = &site.commands else {
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    };
    let Ok(body) = to_bytes(request.into_body(), MAX_SEED_BODY).await else {
        return (StatusCode::PAYLOAD_TOO_LARGE, EXPECTED).into_response();
    };
    let body = Zeroizing::new(body.to_vec());
    let Some(seed) = CompanionSeed::from_hex(&body) else {
        return (StatusCode::BAD_REQUEST, EXPECTED).into_response();
    };
    match give(commands, Order::Companion(seed)).await {
        Ok(()) => StatusCode::NO_CONTENT.into_response(),
        Err(reason) => {
            let text = format!("This box could not take the randomness: {reason}. Try again.\n");
            (StatusCode::SERVICE_UNAVAILABLE, text).into_response()
        }
    }
}

/// A page of another origin cannot set this header without a preflight request, which is answered by 405; and
/// browsers say in `Origin` where a page came from.
fn is_own_page(headers: &HeaderMap) -> bool {
    let text = |name: &HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    let marked = text(&MARK) == Some("1");
    let host = text(&HOST);
    let same = match text(&ORIGIN) {
        None => true,
        Some(origin) => origin
            .parse::<Uri>()
            .ok()
            .is_some_and(|origin| origin.authority().map(Authority::as_str) == host),
    };
    marked && same
}

/// State of a box that HQ has answered and that has not enough randomness for keys.
const WAITS: &str = "AwaitingEntropy";
const MARK: HeaderName = HeaderName::from_static("x-otscert-setup");
const MAX_SEED_BODY: usize = 64;
const EXPECTED: &str = "64 hexadecimal digits are expected: 32 random bytes.\n";
/// The page may run its own script and talk to its own box; nothing else.
const POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; base-uri 'none'; \
                      form-action 'none'; frame-ancestors 'none'";

const WANTED: &str = r#"<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>Set up this box</title>
<link rel="stylesheet" href="/style.css">
<script src="/setup.js" defer></script>
</head>
<body>
<main>
<h1 class="waiting">This box needs a hand</h1>
<p class="reason">To make its keys it needs randomness, and it has none of its own. Your browser has. Press the button
while you are at home, on a network that you trust: whoever listens in on it at this moment could learn the keys.</p>
<p><button id="give" type="button">Give randomness to this box</button></p>
<p id="said" role="status"></p>
<noscript><p class="trouble">This page needs JavaScript.</p></noscript>
<p class="foot"><a href="/">Back</a></p>
</main>
</body>
</html>
"#;
const DONE: &str = r#"<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>Set up this box</title>
<link rel="stylesheet" href="/style.css">
</head>
<body>
<main>
<h1 class="good">Nothing to do</h1>
<p class="reason">This box has enough randomness.</p>
<p class="foot"><a href="/">Back</a></p>
</main>
</body>
</html>
"#;
const SCRIPT: &str = r#""use strict";
const button = document.getElementById("give");
const said = document.getElementById("said");
button.addEventListener("click", async () => {
  button.disabled = true;
  const bytes = crypto.getRandomValues(new Uint8Array(32));
  const hex = Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
  bytes.fill(0);
  try {
    const answer = await fetch("/setup/seed", {
      method: "POST", body: hex, headers: { "x-otscert-setup": "1", "content-type": "text/plain" },
    });
    said.textContent = answer.ok ? "Done. The box goes on by itself." : await answer.text();
    button.disabled = answer.ok;
  } catch (error) {
    said.textContent = "The box did not answer. Is this device still on its network? Try again.";
    button.disabled = false;
  }
});
"#;
