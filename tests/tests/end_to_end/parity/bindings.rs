//! Generated from `wit/`. The types here stop at `convert.rs` and `wasm.rs`.

wasmtime::component::bindgen!({
    path: "../wit",
    world: "otscert",
    imports: { default: trappable },
    additional_derives: [PartialEq],
});
