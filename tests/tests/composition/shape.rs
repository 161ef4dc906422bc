//! What compositions ask for, what is inside them, and what is refused.

use otscert_component::{COMPONENT as SHIPPED, sha256_hex, sha256_hex_of};
use otscert_compositions::{
    COMPONENT, ComposeError, DEVICE, DEVICE_PINNED, DOUBLES, NOTHING, PARTS, PINNED, Parts, WASI,
    compose,
};
use wasmparser::{Parser, Payload};
use wasmtime::Engine;
use wasmtime::component::Component;

#[test]
fn a_device_composition_asks_for_standard_interfaces_only_and_is_a_command() {
    let engine = Engine::default();
    for wac in [DEVICE, DEVICE_PINNED] {
        let bytes = compose(wac, &Parts::built(), WASI).unwrap();
        let component = Component::new(&engine, &bytes).unwrap();
        let ty = component.component_type();
        let imports: Vec<_> = ty.imports(&engine).map(|(name, _)| name).collect();
        assert!(
            imports.iter().all(|name| name.starts_with("wasi:")),
            "{imports:?}"
        );
        for needed in [
            "wasi:random/random@",
            "wasi:http/outgoing-handler@",
            "wasi:filesystem/types@",
        ] {
            assert!(
                imports.iter().any(|name| name.starts_with(needed)),
                "{needed}: {imports:?}"
            );
        }
        for unwanted in ["wasi:random/insecure", "wasi:sockets"] {
            assert!(
                !imports.iter().any(|name| name.starts_with(unwanted)),
                "{unwanted}: {imports:?}"
            );
        }
        let exports: Vec<_> = ty.exports(&engine).map(|(name, _)| name).collect();
        assert!(
            matches!(&exports[..], [run] if run.starts_with("wasi:cli/run@0.2.")),
            "{exports:?}"
        );
        println!("{} bytes, imports {imports:?}", bytes.len());
    }
}

#[test]
fn the_component_inside_has_the_shipped_digest() {
    for wac in [DEVICE, DEVICE_PINNED, DOUBLES] {
        let bytes = compose(wac, &Parts::built(), WASI).unwrap();
        let inside = components_inside(&bytes);
        let digests: Vec<_> = inside.iter().map(|bytes| sha256_hex_of(bytes)).collect();
        let found = digests.iter().filter(|digest| **digest == sha256_hex());
        assert_eq!(found.count(), 1, "{digests:?}");
    }
}

#[test]
fn no_double_is_in_a_device_composition() {
    let doubles = ["entropy-fixed", "network-script", "storage-memory"].map(part);
    for wac in [DEVICE, DEVICE_PINNED] {
        let bytes = compose(wac, &Parts::built(), WASI).unwrap();
        for inside in components_inside(&bytes) {
            assert!(!doubles.contains(&inside));
        }
    }
    let on_doubles = compose(DOUBLES, &Parts::built(), NOTHING).unwrap();
    let inside = components_inside(&on_doubles);
    assert!(doubles.iter().all(|double| inside.contains(double)));
}

#[test]
fn compositions_of_doubles_ask_for_nothing() {
    let engine = Engine::default();
    for wac in [DOUBLES, PINNED] {
        let bytes = compose(wac, &Parts::built(), NOTHING).unwrap();
        let component = Component::new(&engine, bytes).unwrap();
        assert_eq!(component.component_type().imports(&engine).count(), 0);
    }
}

#[test]
fn a_component_that_asks_for_more_is_refused_with_the_name_of_the_import() {
    for import in ["wasi:clocks/monotonic-clock@0.2.0", "acme:camera/shutter"] {
        let contract = ["entropy", "network", "storage", "types"];
        let contract = contract.map(|name| format!("otscert:provision/{name}@0.1.0"));
        let mut parts = Parts::built();
        let asked = contract.iter().map(String::as_str).chain([import]);
        parts.put(COMPONENT, asking_for(asked));
        for wac in [DEVICE, DEVICE_PINNED, DOUBLES] {
            let error = compose(wac, &parts, WASI).unwrap_err();
            assert!(error.to_string().contains(import), "{error}");
            let ComposeError::ForeignImport { part, import: got } = error else {
                panic!("refused for another reason: {error}");
            };
            assert_eq!((part.as_str(), got.as_str()), (COMPONENT, import));
        }
    }
}

#[test]
fn an_adapter_that_asks_for_more_than_standard_interfaces_is_refused_too() {
    let adapter = "otscert:entropy-wasi";
    let mut parts = Parts::built();
    parts.put(adapter, asking_for(["acme:camera/shutter"]));
    let error = compose(DEVICE, &parts, WASI).unwrap_err();
    assert!(!matches!(error, ComposeError::Encode { .. }), "{error}");

    // One that does its work, and looks through the shutter as well.
    let source = format!("package t:t;\nlet a = new {adapter} {{ ... }};\nexport a as a;\n");
    let error = compose(&source, &parts, WASI).unwrap_err();
    let ComposeError::ForeignImport { part, import } = error else {
        panic!("refused for another reason: {error}");
    };
    assert_eq!(
        (part.as_str(), import.as_str()),
        (adapter, "acme:camera/shutter")
    );
}

#[test]
fn what_is_no_component_is_refused_by_name() {
    let mut parts = Parts::built();
    parts.put(COMPONENT, b"no component".to_vec());
    let error = compose(DEVICE, &parts, WASI).unwrap_err();
    assert!(error.to_string().contains(COMPONENT), "{error}");
    assert!(
        matches!(error, ComposeError::NoComponent { .. }),
        "{error:?}"
    );

    let error = compose("package", &Parts::built(), WASI).unwrap_err();
    assert!(matches!(error, ComposeError::Syntax { .. }), "{error:?}");
}

#[test]
fn a_part_that_does_not_do_its_work_is_refused() {
    let mut parts = Parts::built();
    parts.put("otscert:entropy-wasi", part("storage-wasi"));
    let error = compose(DEVICE, &parts, WASI).unwrap_err();
    assert!(matches!(error, ComposeError::Resolve { .. }), "{error:?}");
    assert_ne!(SHIPPED, part("runner"));
}

fn part(name: &str) -> Vec<u8> {
    let name = format!("otscert:{name}");
    let found = PARTS.iter().find(|(known, _)| *known == name);
    found.unwrap().1.to_vec()
}

/// A component with these imports, all empty, and nothing else.
fn asking_for<'a>(imports: impl IntoIterator<Item = &'a str>) -> Vec<u8> {
    let imports = imports.into_iter();
    let imports: String = imports
        .map(|name| format!("(import \"{name}\" (instance))"))
        .collect();
    wat::parse_str(format!("(component {imports})")).unwrap()
}

/// The components that a composition is made of, as the file holds them.
fn components_inside(composition: &[u8]) -> Vec<Vec<u8>> {
    let mut inside = Vec::new();
    let mut parser = Parser::new(0);
    parser.set_features(wasmparser::WasmFeatures::all());
    let mut depth = 0_usize;
    for payload in parser.parse_all(composition) {
        let payload = payload.unwrap();
        if let Payload::ComponentSection {
            unchecked_range: range,
            ..
        } = &payload
        {
            if depth == 0 {
                inside.push(composition[range.start as usize..range.end as usize].to_vec());
            }
            depth += 1;
        } else if let Payload::ModuleSection { .. } = payload {
            depth += 1;
        } else if let Payload::End(_) = payload {
            depth = depth.saturating_sub(1);
        }
    }
    inside
}
