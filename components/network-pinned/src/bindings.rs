//! Generated from `wit/` and `components/wit/`.
#![expect(
    unsafe_code,
    reason = "generated code, as all that crosses the component's border"
)]

wit_bindgen::generate!({
    world: "otscert:wasi/network-attenuator",
    path: ["../../wit", "../wit/wasi"],
    generate_all,
});

export!(NetworkPinned);

use super::NetworkPinned;
