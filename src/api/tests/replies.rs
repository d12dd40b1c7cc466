//! Status, headers and body of each kind of reply.

use super::{Deployment, LAUNCH, START, START_BATCH, TRIGGERS, TestReply, TestRequest};
use crate::campaign::tests::faults::When;

const RATE_LIMIT_POLICY: &str = "RateLimit-Policy: \"token\";q=1000;w=10, \"address\";q=100;w=10\n";
const JSON: &str = "Content-Type: application/json; charset=utf-8\n";
const XML: &str = "Content-Type: application/xml; charset=utf-8\n";
const CAMPAIGN_8: &str = "/api/v1.1/campaigns/triggers/8";

/// The headers of a reply as text, in order.
fn headers(reply: &TestReply) -> String {
    reply.headers.iter().map(|(name, value)| format!("{name}: {value}\n")).collect()
}

/// The headers of every reply, then `more`.
fn expected(request_id: &str, more: &str) -> String {
    format!(
        "Request-ID: {request_id}\n{RATE_LIMIT_POLICY}Cache-Control: no-store\nX-Content-Type-Options: nosniff\n{more}"
    )
}

/// The request ID that a request without one gets.
fn new_id() -> String {
    "ab".repeat(16)
}

/// Sends a launch with a request ID and these fields before the others.
fn launch(deployment: &Deployment, fields: &str, request_id: &str) -> TestReply {
    let body = LAUNCH.replacen('{', &format!("{{{fields}"), 1);
    deployment.send(TestRequest {
        method: "POST",
        path: START_BATCH,
        token: Some("launch"),
        headers: &[("Request-ID", request_id)],
        body: &body,
    })
}

#[test]
fn a_launch_a_repeat_and_a_dry_run_have_the_headers_of_launches() {
    let deployment = Deployment::new();
    let timing = "Server-Timing: parse;dur=0, match;dur=0, commit;dur=0\n";
    let counts = "Launch-Matched: 1\nLaunch-Unmatched: 0\nLaunch-Invalid: 0\nLaunch-Duplicate: 0\n";
    let launched = launch(&deployment, "", "a");
    let id = launched.header("Launch-ID").unwrap();
    assert_eq!(headers(&launched), expected("a", &format!("{JSON}Launch-ID: {id}\n{counts}{timing}")));
    assert_eq!((launched.status, launched.kind), (200, "bytes"));
    let repeated = launch(&deployment, "", "a");
    let duplicate = "Duplicate-Request: true\nDuplicate-Key: a\n";
    assert_eq!(headers(&repeated), expected("a", &format!("{JSON}Launch-ID: {id}\n{counts}{duplicate}{timing}")));
    assert_eq!(repeated.body, launched.body);
    let dry_run = launch(&deployment, r#""dry_run":true,"format":"xml","#, "b");
    assert_eq!(headers(&dry_run), expected("b", &format!("{XML}{counts}{timing}")));
}

#[test]
fn a_large_reply_to_a_launch_is_written_in_pieces() {
    let deployment = Deployment::new();
    let items: Vec<_> = (0..5000).map(|n| format!(r#"{{"email":"nobody{n}@example.com"}}"#)).collect();
    let reply = deployment.launch(&format!(r#"{{"trigger_id":8,"report":true,"data":[{}]}}"#, items.join(",")));
    assert_eq!((reply.status, reply.kind), (200, "pieces"));
    assert_eq!(reply.json()["report"]["unmatched"].as_array().unwrap().len(), 5000);
    assert_eq!(reply.header("Launch-Unmatched"), Some("5000"));
}

#[test]
fn replies_to_reads_have_the_headers_of_every_reply_for_get_and_head() {
    let deployment = Deployment::new();
    let streamed_json = "Content-Type: application/json\n";
    for (token, path, more, kind) in [
        (None, "/healthz".to_owned(), JSON, "bytes"),
        (Some("admin"), TRIGGERS.to_owned(), JSON, "bytes"),
        (Some("admin"), CAMPAIGN_8.to_owned(), JSON, "bytes"),
        (Some("read"), format!("{TRIGGERS}/8/launches"), streamed_json, "stream"),
    ] {
        for method in ["GET", "HEAD"] {
            let reply = deployment.send(TestRequest { method, path: &path, token, ..TestRequest::default() });
            assert_eq!((reply.status, reply.kind), (200, kind), "{method} {path}");
            assert_eq!(headers(&reply), expected(&new_id(), more), "{method} {path}");
        }
    }
    let health = deployment.send(TestRequest { path: "/healthz", ..TestRequest::default() });
    assert_eq!(health.body, concat!(r#"{"status":"ok","version":""#, env!("CARGO_PKG_VERSION"), r#""}"#));
}

#[test]
fn a_download_has_headers_that_forbid_storing_displaying_and_sniffing_it() {
    let deployment = Deployment::new();
    let launched = launch(&deployment, r#""attach":[{"name":"a.txt","data":"data:text/plain;base64,QUJD"}],"#, "a");
    let path = format!("{TRIGGERS}/8/launches/{}/attachments/0", launched.header("Launch-ID").unwrap());
    let sha256 = "b5d4045c3f466fa91fe2cc6abe79232a1a57cdf104f7a26e716e0a1e2789df78";
    let expected = format!(
        "Request-ID: {}\n{RATE_LIMIT_POLICY}ETag: \"{sha256}\"\nAccept-Ranges: bytes\n\
         Cache-Control: private, no-store\nX-Content-Type-Options: nosniff\n\
         Content-Security-Policy: sandbox; default-src 'none'\n\
         Content-Disposition: attachment; filename=\"a.txt\"\nContent-Length: 3\nContent-Type: text/plain\n",
        new_id()
    );
    assert_eq!(headers(&deployment.get("read", &path)), expected);
}

#[test]
fn a_refusal_has_the_headers_of_its_status() {
    let deployment = Deployment::new();
    let send = |method, path, token, headers: &[(&str, &str)]| {
        deployment.send(TestRequest { method, path, token, headers, body: "" })
    };
    let not_allowed = send("DELETE", "/healthz", None, &[]);
    assert_eq!(headers(&not_allowed), expected(&new_id(), &format!("{JSON}Allow: GET, HEAD\n")));
    let not_allowed = send("DELETE", CAMPAIGN_8, None, &[]);
    assert_eq!(headers(&not_allowed), expected(&new_id(), &format!("{JSON}Allow: GET, HEAD, PUT\n")));
    let unknown = send("GET", TRIGGERS, Some("unknown"), &[("Request-ID", "mine")]);
    assert_eq!(headers(&unknown), expected("mine", JSON));
    deployment.world.faults.always("command", When::Before);
    let unavailable = send("GET", CAMPAIGN_8, Some("admin"), &[]);
    assert_eq!(headers(&unavailable), expected(&new_id(), &format!("{JSON}Retry-After: 5\n")));
}

#[test]
fn an_invalid_request_id_is_replaced_in_the_reply() {
    let deployment = Deployment::new();
    let headers = [("Idempotency-Key", "a b")];
    for (method, path, token) in [("POST", START, "launch"), ("GET", TRIGGERS, "admin")] {
        let request = TestRequest { method, path, token: Some(token), headers: &headers, body: super::SINGLE };
        let reply = deployment.send(request);
        assert_eq!(reply.status, 400, "{path}");
        assert!(reply.refusal().1.starts_with("Idempotency-Key: "), "{path}");
        assert_eq!(reply.header("Request-ID"), Some(new_id().as_str()), "{path}");
    }
}

#[test]
fn refuses_in_the_format_that_the_route_and_the_caller_allow() {
    let deployment = Deployment::new();
    let xml = [("Accept", "application/xml")];
    let unsupported = [("Accept", "application/xml"), ("Content-Type", "text/csv")];
    for (method, path, headers, status, is_xml) in [
        ("POST", START_BATCH, &unsupported[..], 415, true),
        ("POST", "/api/v1.1/campaigns/triggers/start_batch?format=json", &unsupported, 415, false),
        ("GET", START, &xml, 405, true),
        ("GET", "/nowhere", &xml, 404, true),
        ("GET", "/nowhere?format=xml", &[], 404, true),
        ("GET", "/nowhere", &[], 404, false),
        ("POST", "/healthz", &xml, 405, false),
        ("GET", TRIGGERS, &xml, 401, false),
        ("PUT", "/api/v1.1/campaigns/triggers/8?format=xml", &unsupported, 415, false),
        ("GET", "/api/v1.1/campaigns/triggers/8/launches/x", &xml, 401, false),
        ("GET", "/api/v1.1/campaigns/triggers/8/launch", &xml, 404, false),
    ] {
        let reply = deployment.send(TestRequest { method, path, headers, ..TestRequest::default() });
        assert_eq!(reply.status, status, "{method} {path}");
        assert_eq!(reply.body.starts_with("<xml><error>"), is_xml, "{method} {path}: {}", reply.body);
        let content_type = reply.header("Content-Type").unwrap();
        assert_eq!(content_type.starts_with("application/xml"), is_xml, "{method} {path}: {content_type}");
    }
}
