//! Generated from `wit/`.
#![expect(
    unsafe_code,
    reason = "generated code, as all that crosses the component's border"
)]

wit_bindgen::generate!({
    world: "guest-crypto",
    path: "wit",
});

export!(GuestCrypto);

use super::GuestCrypto;
