//! Generated from `wit/`: the contract's types are the log's types.
#![expect(
    missing_docs,
    reason = "generated code; the WIT files hold the documentation"
)]

wasmtime::component::bindgen!({
    path: "../../wit",
    world: "otscert",
    imports: { default: trappable },
    additional_derives: [PartialEq, serde::Serialize, serde::Deserialize],
});
