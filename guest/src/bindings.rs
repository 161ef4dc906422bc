//! Generated from `wit/`.
#![expect(
    unsafe_code,
    reason = "generated code; the WIT files hold the documentation"
)]

wit_bindgen::generate!({
    world: "otscert",
    path: "../wit",
});

export!(Component);

use super::Component;
