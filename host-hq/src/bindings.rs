//! Generated from `wit/`. The types here stop at `convert.rs` and `host/`.

wasmtime::component::bindgen!({
    path: "../wit",
    world: "hq",
    imports: { default: trappable },
    trappable_error_type: {
        "otscert:provision/entropy.error" => crate::host::entropy::EntropyError,
        "otscert:provision/network.error" => crate::host::network::SubmitError,
        "otscert:provision/storage.error" => crate::host::storage::StorageError,
    },
});
