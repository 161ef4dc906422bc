//! Generated from `wit/` and `components/wit/`, and the instances that the tests use.

use std::sync::OnceLock;

use otscert_compositions::{NOTHING, PARTS, Parts, compose};
use wasmtime::component::{Component, Linker};
use wasmtime::{Engine, Store};

/// The shipped component on doubles.
pub(crate) mod doubles {
    wasmtime::component::bindgen!({
        path: ["../wit", "../components/wit/doubles"],
        world: "otscert:doubles/device-on-doubles",
        additional_derives: [PartialEq, Clone],
    });
}

/// The attenuator before a double.
pub(crate) mod pinned {
    wasmtime::component::bindgen!({
        path: ["../wit", "../components/wit/doubles"],
        world: "otscert:doubles/pinned-before-a-double",
        additional_derives: [PartialEq],
    });
}

/// Interface `entropy` over WASI.
pub(crate) mod entropy {
    wasmtime::component::bindgen!({
        path: ["../wit", "../components/wit/wasi"],
        world: "otscert:wasi/entropy-adapter",
        exports: { default: async },
        additional_derives: [PartialEq],
    });
}

/// Interface `storage` over WASI.
pub(crate) mod storage {
    wasmtime::component::bindgen!({
        path: ["../wit", "../components/wit/wasi"],
        world: "otscert:wasi/storage-adapter",
        exports: { default: async },
        additional_derives: [PartialEq],
    });
}

/// Interfaces `network` and `deliveries` over WASI.
pub(crate) mod network {
    wasmtime::component::bindgen!({
        path: ["../wit", "../components/wit/wasi"],
        world: "otscert:wasi/network-adapter",
        exports: { default: async },
        additional_derives: [PartialEq],
    });
}

/// A part, compiled; by itself, for its own tests.
pub(crate) fn part(name: &str) -> Component {
    let name = format!("otscert:{name}");
    let (_, bytes) = PARTS.iter().find(|(known, _)| *known == name).unwrap();
    Component::new(&Engine::default(), bytes).unwrap()
}

/// Makes an instance of a composition that asks for nothing; compiled once for all tests.
pub(crate) fn instance<T>(
    wac: &'static str,
    compiled: &'static OnceLock<Component>,
    instantiate: impl FnOnce(&mut Store<()>, &Component, &Linker<()>) -> wasmtime::Result<T>,
) -> (Store<()>, T) {
    let component = compiled.get_or_init(|| {
        let composition = compose(wac, &Parts::built(), NOTHING).unwrap();
        Component::new(&Engine::default(), composition).unwrap()
    });
    let mut store = Store::new(component.engine(), ());
    let linker = Linker::new(component.engine());
    let made = instantiate(&mut store, component, &linker).unwrap();
    (store, made)
}
