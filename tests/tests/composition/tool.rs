//! The program with which others compose.

use std::fs;
use std::process::{Command, Output};

use otscert_compositions::{DEVICE, Parts, WASI, compose};
use otscert_tests::program;

#[test]
fn the_tool_writes_what_the_library_makes() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("device.wasm");
    let output = tool(&["device", "--output", file.to_str().unwrap()]);
    assert!(output.status.success(), "{output:?}");
    let made = compose(DEVICE, &Parts::built(), WASI).unwrap();
    assert!(fs::read(file).unwrap() == made);
}

#[test]
fn a_part_of_one_s_own_may_ask_for_what_is_allowed_and_is_refused_by_name_otherwise() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let storage = r#"(component
        (import "acme:flash/pages" (instance $pages (export "erase" (func))))
        (export "otscert:provision/storage@0.1.0" (instance $pages)))"#;
    fs::write(path("flash.wasm"), wat::parse_str(storage).unwrap()).unwrap();
    let wac = "package acme:board;\nlet flash = new acme:flash { ... };\nexport flash...;\n";
    fs::write(path("board.wac"), wac).unwrap();
    let (board, output) = (path("board.wac"), path("board.wasm"));
    let part = format!("acme:flash={}", path("flash.wasm"));
    let words = [board.as_str(), "--output", &output, "--part", &part];

    let refused = tool(&words);
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success(), "{said}");
    assert!(
        said.contains("`acme:flash` asks for `acme:flash/pages`"),
        "{said}"
    );
    assert!(fs::metadata(&output).is_err(), "nothing is written");

    let allowed = tool(&[&words[..], &["--allow", "acme:flash/"]].concat());
    assert!(allowed.status.success(), "{allowed:?}");
    assert!(fs::metadata(&output).is_ok());
}

fn tool(arguments: &[&str]) -> Output {
    let mut command = Command::new(program("otscert-compose").unwrap());
    command.args(arguments).output().unwrap()
}
