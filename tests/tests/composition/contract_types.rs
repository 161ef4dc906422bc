//! The part `contract-types`.

use wasmtime::component::types::ComponentItem;

use crate::bindings::part;

#[test]
pub(crate) fn the_types_are_all_that_it_exports() {
    let component = part("contract-types");
    let engine = component.engine().clone();
    let ty = component.component_type();
    assert_eq!(ty.imports(&engine).count(), 0);
    let exports: Vec<_> = ty.exports(&engine).collect();
    let [(name, item)] = &exports[..] else {
        panic!("{} exports", exports.len());
    };
    assert_eq!(*name, "otscert:provision/types@0.1.0");
    let ComponentItem::ComponentInstance(instance) = &item.ty else {
        panic!("no interface");
    };
    let is_type = |item: &ComponentItem| matches!(item, ComponentItem::Type(_));
    assert!(instance.exports(&engine).all(|(_, item)| is_type(&item.ty)));
    assert!(instance.exports(&engine).count() > 20);
}
