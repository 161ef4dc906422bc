//! Generated from `wit/` and `components/wit/`.
#![expect(
    unsafe_code,
    reason = "generated code, as all that crosses the component's border"
)]

wit_bindgen::generate!({
    world: "otscert:doubles/network-script",
    path: ["../../wit", "../wit/doubles"],
    generate_all,
});

export!(NetworkScript);

use super::NetworkScript;
