//! Generated from `wit/` and `components/wit/`.

wit_bindgen::generate!({
    world: "otscert:wasi/contract-types",
    path: ["../../wit", "../wit/wasi"],
    generate_all,
});
