//! Bindings of world `device`, generated from `wit/`.
//!
//! What a box gives to the machine has the types of the event log, so that it can be written down as it is.
//! The WIT types stop at `convert`, `host` and `record`; nothing else in this crate names them.

wasmtime::component::bindgen!({
    path: "../wit",
    world: "otscert:provision/device",
    imports: { default: trappable },
    with: {
        "otscert:provision/types": otscert_log::bindings::otscert::provision::types,
        "otscert:provision/entropy": otscert_log::bindings::otscert::provision::entropy,
        "otscert:provision/network": otscert_log::bindings::otscert::provision::network,
        "otscert:provision/storage": otscert_log::bindings::otscert::provision::storage,
    },
});
