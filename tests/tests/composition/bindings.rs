//! Generated from `wit/` and `components/wit/`, and the instances that the tests use.

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

/// Makes an instance of a composition that asks for nothing.
pub(crate) fn instance<T>(
    composition: &[u8],
    instantiate: impl FnOnce(&mut Store<()>, &Component, &Linker<()>) -> wasmtime::Result<T>,
) -> (Store<()>, T) {
    let engine = Engine::default();
    let component = Component::new(&engine, composition).unwrap();
    let mut store = Store::new(&engine, ());
    let made = instantiate(&mut store, &component, &Linker::new(&engine)).unwrap();
    (store, made)
}
