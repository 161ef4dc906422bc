//! What lies in the folder, and what happens where it does not fit.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use super::bench::Bench;
use crate::config::DnsSuffix;
use crate::private::*;

#[test]
fn keys_are_private_and_survive() {
    let bench = Bench::new("90d", &[]);
    let root = bench.open().root_pem();
    assert_eq!(bench.open().root_pem(), root);
    assert_eq!(root, fs::read_to_string(bench.path("root.pem")).unwrap());
    for key in ["root.key", "issuing.key"] {
        let mode = fs::metadata(bench.path(key)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{key}");
    }
    // Kept in a safe.
    fs::remove_file(bench.path("root.key")).unwrap();
    assert_eq!(bench.open().root_pem(), root);
}

#[test]
fn a_crash_while_the_ca_is_made_is_healed_at_the_next_start() {
    for kept in [
        &["root.key"][..],
        &["root.key", "root.pem"],
        &["root.key", "root.pem", "issuing.key"],
    ] {
        let bench = Bench::new("90d", &[]);
        bench.open();
        let key = fs::read(bench.path("root.key")).unwrap();
        for file in ["root.pem", "issuing.key", "issuing.pem"] {
            if !kept.contains(&file) {
                fs::remove_file(bench.path(file)).unwrap();
            }
        }
        if !kept.contains(&"issuing.pem") {
            let _ = fs::remove_file(bench.path("issuing.pem"));
        }
        bench.open();
        assert_eq!(fs::read(bench.path("root.key")).unwrap(), key);
    }
}

#[test]
fn files_that_do_not_fit_are_refused_and_say_what_to_do() {
    let bench = Bench::new("90d", &["fleet.test"]);
    bench.open();
    let refused = |bench: &Bench| bench.try_open().err().expect("a refusal").to_string();

    let mut other = bench.config.clone();
    other.zones = vec![DnsSuffix::try_from("other.test".to_owned()).unwrap()];
    let moved = Bench {
        config: other,
        ..bench
    };
    assert!(
        refused(&moved).contains("remove issuing.pem"),
        "{}",
        refused(&moved)
    );
    // Following the advice works.
    fs::remove_file(moved.path("issuing.pem")).unwrap();
    fs::remove_file(moved.path("issuing.key")).unwrap();
    moved.open();

    let issuing = fs::read(moved.path("issuing.pem")).unwrap();
    fs::write(moved.path("issuing.pem"), &issuing[..issuing.len() / 2]).unwrap();
    assert!(refused(&moved).contains("damaged"));
    fs::write(moved.path("issuing.pem"), &issuing).unwrap();
    fs::remove_file(moved.path("issuing.key")).unwrap();
    assert!(refused(&moved).contains("restore both"));
    fs::remove_file(moved.path("issuing.pem")).unwrap();
    fs::remove_file(moved.path("root.key")).unwrap();
    assert!(refused(&moved).contains("bring the root's key back"));
}

#[tokio::test]
async fn a_damaged_order_is_an_error_of_that_order_only() {
    let bench = Bench::new("90d", &[]);
    let ca = bench.open();
    let damaged = bench.ordered(&["a.fleet.test"]).await.order;
    let fine = bench.ordered(&["b.fleet.test"]).await.order;
    let id = damaged.order.rsplit('/').next().unwrap().to_owned();
    fs::write(
        bench.path(&format!("orders/{id}.json")),
        "{\"version\":1,\"na",
    )
    .unwrap();

    let error = ca
        .perform(&CaOperation::OrderStatus(damaged))
        .await
        .unwrap_err();
    let cause = std::error::Error::source(&error).unwrap().to_string();
    assert!(cause.contains("damaged") && cause.contains(&id), "{cause}");
    let status = ca.perform(&CaOperation::OrderStatus(fine)).await.unwrap();
    assert!(matches!(status, CaAnswer::Order(_)));
}
