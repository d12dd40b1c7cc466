//! The lines of the operator's log, and the data points of metrics.

use serde_json::json;

use super::{Deployment, LAUNCH, NO_LAUNCH, SINGLE, START, START_BATCH, TRIGGERS, TestRequest, path_of};
use crate::{
    api::routes::{ROUTES, UNKNOWN_RESOURCE, UNKNOWN_ROUTE},
    campaign::tests::faults::When,
};

#[test]
fn health_checks_are_not_recorded_and_every_other_request_is_recorded_once() {
    let deployment = Deployment::new();
    for method in ["GET", "HEAD"] {
        deployment.send(TestRequest { method, path: "/healthz/", ..TestRequest::default() });
    }
    assert!(deployment.lines.borrow().is_empty() && deployment.points.borrow().is_empty());
    let requests = [("POST", "/healthz"), ("GET", "/nowhere"), ("POST", START_BATCH), ("GET", TRIGGERS)];
    for (count, (method, path)) in (1..).zip(requests) {
        deployment.send(TestRequest { method, path, ..TestRequest::default() });
        assert_eq!((deployment.lines.borrow().len(), deployment.points.borrow().len()), (count, count), "{path}");
    }
}

#[test]
fn the_line_of_a_launch_has_its_counts() {
    let deployment = Deployment::new();
    let body = r#"{"trigger_id":8,"data":[{"email":"example1@example.com"},{"email":"nobody@example.com"},{}]}"#;
    let launch_id = deployment.launch(body).header("Launch-ID").unwrap().to_owned();
    let mut line = deployment.line();
    let reserved = line["reserved_bytes"].take().as_u64().unwrap();
    assert!(reserved > 0, "the request itself is included");
    assert!(line["kv_reads"].take().as_u64().unwrap() > 0 && line["kv_keys"].take().as_u64().unwrap() > 0);
    let expected = json!({
        "request_id": "ab".repeat(16), "status": 200, "total_ms": 0, "bytes": body.len(),
        "parse_ms": 0, "match_ms": 0, "commit_ms": 0, "wasm_bytes": 65_536, "reserved_bytes": null,
        "launch_id": launch_id, "repeated": false, "matched": 1, "unmatched": 1, "invalid": 1, "duplicates": 0,
        "kv_reads": null, "kv_keys": null,
    });
    assert_eq!(line, expected);
}

#[test]
fn the_line_of_another_request_has_no_fields_of_launches() {
    let deployment = Deployment::new();
    let id = "ab".repeat(16);
    deployment.get("admin", TRIGGERS);
    assert_eq!(deployment.line(), json!({"request_id": id, "status": 200, "total_ms": 0}));
    deployment.get("admin", &format!("{TRIGGERS}/777"));
    assert_eq!(deployment.line(), json!({"request_id": id, "status": 404, "total_ms": 0, "error": "Not found"}));
    // A launch that is refused before its body is read.
    let headers = [("Content-Type", "text/csv"), ("Request-ID", "mine")];
    deployment.send(TestRequest { method: "POST", path: START, headers: &headers, ..TestRequest::default() });
    let error = "Unsupported media type";
    assert_eq!(deployment.line(), json!({"request_id": "mine", "status": 415, "total_ms": 0, "error": error}));
}

#[test]
fn the_line_of_a_server_error_has_its_cause() {
    let deployment = Deployment::new();
    deployment.world.faults.always("campaign", When::Before);
    let request = TestRequest { method: "POST", path: START, token: Some("launch"), ..TestRequest::default() };
    assert_eq!(deployment.send(TestRequest { body: SINGLE, ..request }).status, 503);
    let line = deployment.line();
    assert_eq!((&line["error"], &line["cause"]), (&"Service unavailable".into(), &"KV is down".into()));
    assert_eq!(line["bytes"], SINGLE.len());
}

#[test]
fn the_data_point_of_a_request_has_the_name_of_its_route() {
    for spec in ROUTES.iter().filter(|spec| spec.name != "healthz") {
        let deployment = Deployment::new();
        let path = path_of(spec);
        deployment.send(TestRequest::of(spec, &path, None));
        let point = deployment.point();
        assert_eq!(point.index(), spec.name, "{path}");
        assert_eq!(point.blobs(), [spec.name, "401", "json", "API token required"], "{path}");
    }
    let deployment = Deployment::new();
    let log = format!("{TRIGGERS}/8/launches");
    for (method, path, name) in [
        ("GET", "/nowhere".to_owned(), UNKNOWN_ROUTE),
        ("DELETE", TRIGGERS.to_owned(), UNKNOWN_ROUTE),
        ("POST", "/healthz".to_owned(), UNKNOWN_ROUTE),
        ("GET", format!("{log}/x"), UNKNOWN_RESOURCE),
        ("GET", format!("{log}/{NO_LAUNCH}/attachments/x"), UNKNOWN_RESOURCE),
    ] {
        deployment.send(TestRequest { method, path: &path, ..TestRequest::default() });
        assert_eq!(deployment.point().index(), name, "{method} {path}");
    }
}

#[test]
fn the_data_point_of_a_launch_has_its_outcome_and_counts() {
    let deployment = Deployment::new();
    let headers = [("Request-ID", "a")];
    let send = |path, body| {
        deployment.send(TestRequest { method: "POST", path, token: Some("launch"), headers: &headers, body });
        deployment.point()
    };
    let dry_run = r#"{"trigger_id":8,"dry_run":true,"format":"xml","data":[{"email":"example1@example.com"}]}"#;
    assert_eq!(send(START_BATCH, dry_run).blobs(), ["start_batch", "200", "xml", "dry run"]);
    let launched = send(START_BATCH, LAUNCH);
    assert_eq!(launched.blobs(), ["start_batch", "200", "json", "launched"]);
    let length = LAUNCH.len() as u64;
    let doubles = launched.doubles();
    assert_eq!((&doubles[..9], &doubles[11..]), (&[0, length, 0, 0, 0, 1, 0, 0, 0][..], &[65_536][..]));
    assert!(doubles[9] > 0 && doubles[10] > 0, "{doubles:?}");
    let repeated = send(START_BATCH, LAUNCH);
    assert_eq!(repeated.blobs(), ["start_batch", "200", "json", "repeated"]);
    assert_eq!(repeated.doubles()[5..9], [1, 0, 0, 0]);
    let refused = send(START, "{");
    assert_eq!(refused.blobs(), ["start", "400", "json", "Invalid request"]);
    assert_eq!((refused.doubles().len(), refused.doubles()[1]), (12, 1));
    deployment.get("admin", TRIGGERS);
    assert_eq!(deployment.point().blobs(), ["campaigns", "200", "json", "answered"]);
    assert_eq!(deployment.point().doubles(), [0]);
}
