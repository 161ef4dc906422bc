//! Generated from `wit/`.
#![expect(
    unsafe_code,
    clippy::allow_attributes,
    clippy::allow_attributes_without_reason,
    clippy::wildcard_enum_match_arm,
    reason = "generated code; the WIT files hold the documentation"
)]

wit_bindgen::generate!({
    world: "otscert",
    path: "../wit",
});

export!(Component);

use super::Component;
