//! The set-up page: what the owner of a box can do for it from a browser.
//!
//! **Randomness**, for a box that has none of its own. A browser on a phone or a computer has a good generator
//! (`crypto.getRandomValues`, which works on pages over plain HTTP too). The page's script draws 32 bytes and posts
//! them to the box; the machine counts them against everybody but who listens in the owner's network at that moment
//! (docs/THREATS.md), and against him too where they come sealed under the code on the label. The script comes from
//! the box, not from HQ: else HQ could know the bytes.
//!
//! **The code on the label**, for a box whose maker's HQ asks for it, until it has a name. A label's QR code leads here
//! with the code in the URL's fragment, which no browser sends anywhere.
//!
//! A page of somebody else in the same browser must not be able to post bytes that he knows: the requests have a header
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

use super::page::Escaped;
use super::routes::Site;
use crate::control::give;
use crate::run::Order;
use crate::status::Status;
use crate::types::{ClaimCode, CompanionSeed, MAX_CLAIM_CODE, SealedSeed};

/// The page.
pub(super) async fn page(State(site): State<Arc<Site>>) -> Response {
    let html = render(&site.status.borrow());
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
    ([(CONTENT_TYPE, JAVASCRIPT)], include_str!("setup.js")).into_response()
}

/// What its script seals with.
pub(super) async fn seal() -> Response {
    ([(CONTENT_TYPE, JAVASCRIPT)], include_str!("seal.js")).into_response()
}

/// Takes random bytes, or what sealed them.
pub(super) async fn seed(State(site): State<Arc<Site>>, request: Request) -> Response {
    let wanted = site.status.borrow().setup().randomness;
    take(&site, request, wanted, &SEED, |body| match body.len() {
        SEALED_DIGITS => SealedSeed::from_hex(body).map(Order::SealedCompanion),
        _ => CompanionSeed::from_hex(body).map(Order::Companion),
    })
    .await
}

/// Takes the code on the label.
pub(super) async fn code(State(site): State<Arc<Site>>, request: Request) -> Response {
    let wanted = site.status.borrow().setup().code;
    take(&site, request, wanted, &CODE, |body| {
        let text = std::str::from_utf8(body).ok()?;
        ClaimCode::from_text(text).map(Order::ClaimCode)
    })
    .await
}

/// What is taken by a path, in words.
struct Taken {
    most: usize,
    unwanted: &'static str,
    expected: &'static str,
}

/// Takes what the box's own page posts, where it is of use, and hands it to the machine. What the machine says of it
/// is told to whoever sits there.
async fn take(
    site: &Site,
    request: Request,
    wanted: bool,
    what: &Taken,
    parse: impl Fn(&[u8]) -> Option<Order>,
) -> Response {
    if !is_own_page(request.headers()) {
        let text = "Only this box's own set-up page may send this. Open /setup on this box.\n";
        return (StatusCode::FORBIDDEN, text).into_response();
    }
    if !wanted {
        return (StatusCode::CONFLICT, what.unwanted).into_response();
    }
    let Some(commands) = &site.commands else {
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    };
    let Ok(body) = to_bytes(request.into_body(), what.most).await else {
        return (StatusCode::PAYLOAD_TOO_LARGE, what.expected).into_response();
    };
    let body = Zeroizing::new(body.to_vec());
    let Some(order) = parse(&body) else {
        return (StatusCode::BAD_REQUEST, what.expected).into_response();
    };
    match give(commands, order).await {
        Ok(()) => StatusCode::NO_CONTENT.into_response(),
        Err(reason) => {
            let text = format!("This box could not take it: {reason}.\n");
            (StatusCode::UNPROCESSABLE_ENTITY, text).into_response()
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

/// The page for a status: everything is there, and what is of no use is hidden, so that the script can follow the box.
fn render(status: &Status) -> String {
    let setup = status.setup();
    let hidden = |shown: bool| if shown { "" } else { " hidden" };
    let seals = match status.label_seals {
        true => {
            " Type the code on the label below first, and what your browser sends is sealed under it: then not even who \
             listens in can learn them."
        }
        false => "",
    };
    format!(
        r#"<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>Set up this box</title>
<link rel="stylesheet" href="/style.css">
<script src="/seal.js" defer></script>
<script src="/setup.js" defer></script>
</head>
<body data-seals="{label_seals}">
<main>
<p class="model">{model}</p>
<h1>Set up this box</h1>
<p class="reason" id="reason" role="status">{reason}</p>
<noscript><p class="trouble">This page needs JavaScript.</p></noscript>
<section id="randomness"{no_randomness}>
<h2>Randomness</h2>
<p>To make its keys this box needs randomness, and it has too little of its own. Your browser has some. Press the button
while you are at home, on a network that you trust: whoever listens in on it at this moment could learn the keys.{seals}</p>
<p><button id="give" type="button">Give randomness to this box</button></p>
<p id="given" role="status"></p>
</section>
<section id="label"{no_code}>
<h2>The code on the label</h2>
<p>If the maker of this box asks for it: it stands on the box, in groups of four.</p>
<p><label for="code">Code</label> <input id="code" maxlength="{longest}" autocomplete="off" autocapitalize="characters"
spellcheck="false"> <button id="send" type="button">Send the code</button></p>
<p id="sent" role="alert"></p>
</section>
<p id="nothing"{something}>There is nothing to do here.</p>
<p class="foot"><a href="/">Back</a></p>
</main>
</body>
</html>
"#,
        label_seals = status.label_seals,
        model = Escaped(&status.model),
        reason = Escaped(&status.progress.reason),
        no_randomness = hidden(setup.randomness),
        no_code = hidden(setup.code),
        something = hidden(!setup.randomness && !setup.code),
        longest = MAX_CLAIM_CODE,
    )
}

const MARK: HeaderName = HeaderName::from_static("x-otscert-setup");
const JAVASCRIPT: &str = "text/javascript; charset=utf-8";
/// Hexadecimal digits of a nonce and what it sealed.
const SEALED_DIGITS: usize = 160;
const SEED: Taken = Taken {
    most: SEALED_DIGITS,
    unwanted: "This box has enough randomness.\n",
    expected: "64 hexadecimal digits are expected: 32 random bytes; or 160 digits where they are sealed.\n",
};
const CODE: Taken = Taken {
    most: MAX_CLAIM_CODE,
    unwanted: "This box has a name: the code is of no use.\n",
    expected: "The code on the label is expected, 17 to 27 letters and digits.\n",
};
/// The page may run its own script and talk to its own box; nothing else.
const POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; base-uri 'none'; \
                      form-action 'none'; frame-ancestors 'none'";
