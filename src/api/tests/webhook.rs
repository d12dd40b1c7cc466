//! Requests about a campaign's webhook. The object echoes the command.

use super::{Deployment, TRIGGERS, TestRequest};
use crate::limits::DEFINITION_LIMIT;

fn send(deployment: &Deployment, method: &str, suffix: &str, body: &str) -> (u16, String) {
    let path = format!("{TRIGGERS}/8/webhook{suffix}");
    let reply =
        deployment.send(TestRequest { method, path: &path, token: Some("admin"), body, ..TestRequest::default() });
    (reply.status, reply.body)
}

#[test]
fn each_request_becomes_its_command() {
    let deployment = Deployment::new();
    let definition =
        r#"{"define":{"url":"https://a.example","headers":null,"recipients":null,"ordering":null,"active":false}}"#;
    for (method, suffix, body, expected) in [
        ("GET", "", "", r#""read""#),
        ("PUT", "", r#"{"url":"https://a.example","active":0}"#, definition),
        ("DELETE", "", "", r#""remove""#),
        ("POST", "/rotate", "", r#""rotate""#),
        ("POST", "/test", "", r#""test""#),
        ("POST", "/replay", r#"{"after":0}"#, r#"{"replay":0}"#),
        ("POST", "/resume", "", r#""resume""#),
        ("POST", "/skip", "", r#""skip""#),
        ("GET", "/attempts", "", r#"{"attempts":100}"#),
        ("GET", "/attempts?limit=7", "", r#"{"attempts":7}"#),
    ] {
        assert_eq!(send(&deployment, method, suffix, body), (200, expected.to_owned()), "{method} {suffix}");
    }
}

#[test]
fn names_what_is_wrong_with_a_request() {
    let deployment = Deployment::new();
    let long = " ".repeat(DEFINITION_LIMIT + 1);
    for (method, suffix, body, status, text) in [
        ("GET", "/attempts?limit=101", "", 400, "limit: must be 1 to 100"),
        ("PUT", "", "{", 400, "the body is not JSON: line 1, column 1"),
        ("PUT", "", r#"{"ordering":"fast"}"#, 400, "ordering: must be"),
        ("PUT", "", &long, 413, "http: request body too large"),
        ("POST", "/replay", "{}", 400, "after: is missing"),
        ("POST", "", "", 405, "allowed here: GET, HEAD, PUT, DELETE"),
        ("GET", "/nothing", "", 404, "no such path"),
    ] {
        let (actual, body) = send(&deployment, method, suffix, body);
        assert!(actual == status && body.contains(text), "{method} {suffix}: {actual} {body}");
    }
}
