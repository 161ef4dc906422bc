//! Bindings of world `device`, generated from `wit/`.
//!
//! The WIT types stop at `convert` and `host`; nothing else in this crate names them.
//!
//! Imports that fail do so with this crate's own errors, and `host` decides in one place what the
//! guest hears of them.

wasmtime::component::bindgen!({
    path: "../wit",
    world: "otscert:provision/device",
    imports: { default: trappable },
    trappable_error_type: {
        "otscert:provision/entropy.error" => crate::board::SampleError,
        "otscert:provision/network.error" => crate::host::SubmitError,
        "otscert:provision/storage.error" => crate::storage::StorageError,
    },
});
