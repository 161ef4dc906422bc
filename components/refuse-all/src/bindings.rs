//! Generated from `wit/`.
#![expect(
    unsafe_code,
    reason = "generated code, as all that crosses the component's border"
)]

wit_bindgen::generate!({
    world: "hq",
    path: "../../wit",
});

export!(RefuseAll);

use super::RefuseAll;
