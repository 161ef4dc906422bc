//! Checks a component against the contract before anything of it runs.

use wasmtime::Engine;
use wasmtime::component::Component;
use wasmtime::component::types::ComponentItem;

/// A role of HQ's or the device's that a component can export.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Exports `provisioner` and `inspect` (world `device`).
    Device,
    /// Exports `registrar` and `inspect` (world `hq`).
    Hq,
}

/// Why a component is not run.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The bytes are no component that this engine can run.
    #[error("the component file cannot be compiled: it is damaged, or not a WebAssembly component")]
    Compile(#[source] wasmtime::Error),
    /// The engine or its clock does not start.
    #[error(
        "no WebAssembly engine can be made here: check the machine's limits on memory and threads"
    )]
    Engine(#[source] wasmtime::Error),
    /// A function or type is not the host's.
    #[error(
        "the component's functions or types are not those of {CONTRACT} as this host has it: use one built from the \
         same release"
    )]
    Link(#[source] wasmtime::Error),
    /// It wants something from the host that the contract does not have.
    #[error(
        "the component asks for `{import}`, which is not in the contract ({CONTRACT}): use a component that imports only \
         entropy, network and storage"
    )]
    ForeignImport {
        /// The import, by name.
        import: String,
    },
    /// It does not do what it is to be used for.
    #[error(
        "the component does not export `{export}`: use one built for the role {role:?} of {CONTRACT}"
    )]
    MissingExport {
        /// The role it was to take.
        role: Role,
        /// The export, by name.
        export: String,
    },
}

/// Compiles a component and checks that it imports the contract's three interfaces and nothing else, and exports
/// at least one role.
///
/// `bytes` come from a file that the operator or this build chose; they are compiled, never trusted as machine code.
///
/// # Errors
///
/// [`LoadError`] names what is wrong with the file.
pub fn load(engine: &Engine, bytes: &[u8]) -> Result<Component, LoadError> {
    let component = Component::from_binary(engine, bytes).map_err(LoadError::Compile)?;
    check_imports(engine, &component)?;
    match require(engine, &component, Role::Device) {
        Ok(()) => Ok(component),
        Err(_) => require(engine, &component, Role::Hq).map(|()| component),
    }
}

/// Checks that a component exports a role.
///
/// # Errors
///
/// [`LoadError::MissingExport`] names what it lacks.
pub fn require(engine: &Engine, component: &Component, role: Role) -> Result<(), LoadError> {
    let ty = component.component_type();
    for interface in [role.interface(), "inspect"] {
        let export = qualified(interface);
        match ty.get_export(engine, &export).map(|found| found.ty) {
            Some(ComponentItem::ComponentInstance(_)) => {}
            _ => return Err(LoadError::MissingExport { role, export }),
        }
    }
    Ok(())
}

impl Role {
    fn interface(self) -> &'static str {
        match self {
            Self::Device => "provisioner",
            Self::Hq => "registrar",
        }
    }
}

fn check_imports(engine: &Engine, component: &Component) -> Result<(), LoadError> {
    for (name, import) in component.component_type().imports(engine) {
        let foreign = |import: String| Err(LoadError::ForeignImport { import });
        let Some((_, functions)) = IMPORTS
            .iter()
            .find(|(interface, _)| qualified(interface) == name)
        else {
            return foreign(name.to_owned());
        };
        let ComponentItem::ComponentInstance(instance) = import.ty else {
            return foreign(name.to_owned());
        };
        for (item, export) in instance.exports(engine) {
            match export.ty {
                ComponentItem::Type(_) => {}
                ComponentItem::ComponentFunc(_) if functions.contains(&item) => {}
                ComponentItem::ComponentFunc(_)
                | ComponentItem::CoreFunc(_)
                | ComponentItem::Module(_)
                | ComponentItem::Component(_)
                | ComponentItem::ComponentInstance(_)
                | ComponentItem::Resource(_) => return foreign(format!("{name}#{item}")),
            }
        }
    }
    Ok(())
}

fn qualified(interface: &str) -> String {
    let (package, version) = CONTRACT_PARTS;
    format!("{package}/{interface}@{version}")
}

/// The package of `wit/`.
const CONTRACT: &str = "otscert:provision@0.1.0";
const CONTRACT_PARTS: (&str, &str) = ("otscert:provision", "0.1.0");
/// What a component may import: interfaces and their functions.
const IMPORTS: [(&str, &[&str]); 4] = [
    ("entropy", &["sources", "sample"]),
    ("network", &["submit"]),
    ("storage", &["read", "write", "remove"]),
    ("types", &[]),
];

#[cfg(test)]
mod tests {
    use crate::{Limits, engine_config};

    use super::*;

    fn engine() -> Engine {
        Engine::new(&engine_config(&Limits::default())).unwrap()
    }

    /// A component with these imports that exports these interfaces, all empty.
    fn component(imports: &str, exports: &[&str]) -> Vec<u8> {
        let exports: String = exports
            .iter()
            .map(|name| format!("(export \"otscert:provision/{name}@0.1.0\" (instance $empty))"))
            .collect();
        wat::parse_str(format!("(component {imports} (instance $empty) {exports})")).unwrap()
    }

    fn refused_import(imports: &str) -> String {
        let bytes = component(imports, &["registrar", "inspect"]);
        match load(&engine(), &bytes).map(drop).unwrap_err() {
            LoadError::ForeignImport { import } => import,
            other @ (LoadError::Compile(_)
            | LoadError::Engine(_)
            | LoadError::Link(_)
            | LoadError::MissingExport { .. }) => {
                panic!("refused for another reason: {other}")
            }
        }
    }

    const CONTRACT_IMPORTS: &str = r#"
        (import "otscert:provision/types@0.1.0" (instance
            (type $u (record (field "subject" string))) (export "exchange" (type (eq $u)))))
        (import "otscert:provision/storage@0.1.0" (instance
            (export "remove" (func (param "key" string)))))
    "#;

    #[test]
    fn a_component_with_the_imports_of_the_contract_is_loaded() {
        let engine = engine();
        for role in [Role::Device, Role::Hq] {
            let bytes = component(CONTRACT_IMPORTS, &[role.interface(), "inspect"]);
            let component = load(&engine, &bytes).unwrap();
            assert!(require(&engine, &component, role).is_ok());
        }
    }

    #[test]
    fn an_import_beyond_the_contract_is_refused_by_name() {
        assert_eq!(
            refused_import(r#"(import "wasi:clocks/monotonic-clock@0.2.0" (instance))"#),
            "wasi:clocks/monotonic-clock@0.2.0"
        );
        assert_eq!(
            refused_import(r#"(import "now" (func (result u64)))"#),
            "now"
        );
        assert_eq!(
            refused_import(r#"(import "otscert:provision/storage@0.2.0" (instance))"#),
            "otscert:provision/storage@0.2.0",
            "another version is another contract"
        );
    }

    #[test]
    fn a_function_beyond_the_contract_is_refused_by_name() {
        assert_eq!(
            refused_import(
                r#"(import "otscert:provision/entropy@0.1.0" (instance (export "now" (func (result u64)))))"#
            ),
            "otscert:provision/entropy@0.1.0#now"
        );
        assert_eq!(
            refused_import(
                r#"(import "otscert:provision/types@0.1.0" (instance (export "read" (func (result u64)))))"#
            ),
            "otscert:provision/types@0.1.0#read",
            "types has no functions"
        );
        assert_eq!(
            refused_import(
                r#"(import "otscert:provision/storage@0.1.0" (instance (export "handle" (type (sub resource)))))"#
            ),
            "otscert:provision/storage@0.1.0#handle",
            "the contract has no resources"
        );
    }

    #[test]
    fn a_component_without_the_role_is_refused_by_what_it_lacks() {
        let engine = engine();
        let device = load(&engine, &component("", &["provisioner", "inspect"])).unwrap();
        let error = require(&engine, &device, Role::Hq).unwrap_err().to_string();
        assert!(
            error.contains("otscert:provision/registrar@0.1.0"),
            "{error}"
        );

        let error = load(&engine, &component("", &["registrar"]))
            .map(drop)
            .unwrap_err()
            .to_string();
        assert!(error.contains("otscert:provision/inspect@0.1.0"), "{error}");
    }

    #[test]
    fn bytes_that_are_no_component_are_refused() {
        let core_module = wat::parse_str("(module)").unwrap();
        for bytes in [b"".as_slice(), b"no component", &core_module] {
            assert!(matches!(load(&engine(), bytes), Err(LoadError::Compile(_))));
        }
    }
}
