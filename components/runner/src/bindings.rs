//! Generated from `wit/` and `components/wit/`.

wit_bindgen::generate!({
    world: "otscert:wasi/runner",
    path: ["../../wit", "../wit/wasi"],
    generate_all,
});

wasi::cli::command::export!(Runner);

use super::Runner;
