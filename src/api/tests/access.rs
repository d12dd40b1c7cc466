//! Scopes, and tokens that are limited to some databases.

use super::{Deployment, LAUNCH, NO_LAUNCH, START_BATCH, TRIGGERS, TestRequest, path_of};
use crate::{access::Scope, api::routes::ROUTES};

#[test]
fn each_route_accepts_its_scope_and_no_other() {
    for spec in &ROUTES {
        let Some(needed) = spec.scopes.first() else { continue };
        for scope in Scope::ALL {
            let deployment = Deployment::new();
            let path = path_of(spec);
            let reply = deployment.send(TestRequest::of(spec, &path, Some(scope.as_str())));
            let row = format!("{} {} with the scope {}: {}", spec.name, path, scope.as_str(), reply.body);
            if spec.scopes.contains(&scope) {
                let expected = match spec.name {
                    _ if path.contains(NO_LAUNCH) => 404,
                    // Live changes are off.
                    "change_profiles" | "live" | "publish" => 409,
                    _ => 200,
                };
                assert_eq!(reply.status, expected, "{row}");
            } else {
                let debug = format!("the token lacks the scope {}", needed.as_str());
                assert_eq!(reply.refusal(), (403, debug), "{row}");
            }
        }
    }
}

#[test]
fn each_route_refuses_a_request_without_a_token_or_with_an_unknown_one() {
    for spec in ROUTES.iter().filter(|spec| !spec.scopes.is_empty()) {
        let deployment = Deployment::new();
        let path = path_of(spec);
        let (status, debug) = deployment.send(TestRequest::of(spec, &path, None)).refusal();
        assert_eq!(status, 401, "{path}");
        assert!(debug.starts_with("no token: send Authorization: Bearer"), "{path}: {debug}");
        let unknown = deployment.send(TestRequest::of(spec, &path, Some("unknown"))).refusal();
        assert_eq!(unknown, (401, "the token is not known".to_owned()), "{path}");
        let two = format!("{path}?token=read");
        let (status, _) = deployment.send(TestRequest::of(spec, &two, Some("admin"))).refusal();
        assert_eq!(status, 401, "{path}: two tokens");
    }
}

#[test]
fn describes_any_token_to_its_bearer() {
    let deployment = Deployment::new();
    for scope in Scope::ALL {
        let name = scope.as_str();
        let unlimited = format!(r#"{{"name":"{name}","scopes":["{name}"],"databases":[]}}"#);
        assert_eq!(deployment.get(name, "/api/v1.1/token").body, unlimited);
        let limited = format!(r#"{{"name":"{name}-2","scopes":["{name}"],"databases":[2]}}"#);
        assert_eq!(deployment.get(&format!("{name}-2"), "/api/v1.1/token/").body, limited);
    }
}

#[test]
fn accepts_a_token_in_the_query() {
    let deployment = Deployment::new();
    let path = format!("{TRIGGERS}/8?token=admin");
    assert_eq!(deployment.send(TestRequest { path: &path, ..TestRequest::default() }).status, 200);
}

#[test]
fn answers_a_limited_token_alike_for_a_foreign_and_an_unknown_campaign() {
    let deployment = Deployment::new();
    let launched = deployment.launch(LAUNCH);
    let launch_id = launched.header("Launch-ID").unwrap();
    let log = format!("/launches/{launch_id}");
    let not_found = (404, "no such trigger campaign");
    for (method, suffix, body, expected) in [
        ("GET", "", "", not_found),
        ("PUT", "", r#"{"active":false}"#, not_found),
        ("PUT", "", "{}", not_found),
        ("PUT", "", r#"{"name":"x","active":true}"#, not_found),
        ("PUT", "", r#"{"name":"x","database":1,"active":true}"#, not_found),
        ("PUT", "", r#"{"name":""}"#, (400, "name: must not be empty")),
        ("GET", "/launches", "", not_found),
        ("GET", "/launches?order=desc", "", not_found),
        ("GET", "/launches?limit=0", "", (400, "limit: must be 1 to 1000")),
        ("GET", "/stats", "", not_found),
        ("GET", "/stats?bucket=x", "", (400, "bucket: must be hour or day")),
        ("GET", "/launches?after=1000", "", not_found),
        ("GET", "/launches/not-an-id", "", not_found),
        ("GET", &format!("/launches/{NO_LAUNCH}"), "", not_found),
        ("GET", &log, "", not_found),
        ("GET", &format!("{log}/recipients"), "", not_found),
        ("GET", &format!("{log}/report"), "", not_found),
        ("GET", &format!("{log}/attachments/0"), "", not_found),
        ("GET", &format!("{log}/attachments/x"), "", not_found),
    ] {
        let token = if suffix.is_empty() { "admin-2" } else { "read-2" };
        let [foreign, unknown] = [8, 777].map(|id| {
            let path = format!("{TRIGGERS}/{id}{suffix}");
            deployment.send(TestRequest { method, path: &path, token: Some(token), body, ..TestRequest::default() })
        });
        assert_eq!(foreign, unknown, "{method} {suffix} {body}");
        assert_eq!(foreign.refusal(), (expected.0, expected.1.to_owned()), "{method} {suffix} {body}");
    }
    let campaign = deployment.get("admin", &format!("{TRIGGERS}/8")).json();
    assert_eq!((&campaign["active"], &campaign["name"]), (&true.into(), &"campaign 8".into()), "nothing was changed");
    let launch = |trigger_id: u64| {
        let body = LAUNCH.replace('8', &trigger_id.to_string());
        let request = TestRequest { method: "POST", path: START_BATCH, ..TestRequest::default() };
        deployment.send(TestRequest { token: Some("launch-2"), body: &body, ..request }).refusal()
    };
    assert_eq!(launch(8), (404, "no such trigger campaign".to_owned()));
    assert_eq!(launch(777), launch(8));
}

#[test]
fn a_limited_token_uses_the_campaigns_of_its_databases() {
    let deployment = Deployment::new();
    let path = |id: u64, suffix: &str| format!("{TRIGGERS}/{id}{suffix}");
    assert_eq!(deployment.get("admin-2", &path(9, "")).status, 200);
    assert_eq!(deployment.get("read-2", &path(9, "/launches")).status, 200);
    assert_eq!(deployment.put("admin-2", &path(9, ""), r#"{"active":false}"#).status, 200);
    let no_launch = (404, "no such launch".to_owned());
    assert_eq!(deployment.get("read-2", &path(9, "/launches/not-an-id")).refusal(), no_launch);
    assert_eq!(deployment.get("read-2", &path(9, &format!("/launches/{NO_LAUNCH}"))).refusal(), no_launch);
    let moved = deployment.put("admin-2", &path(9, ""), r#"{"database":1}"#);
    assert_eq!((moved.status, &moved.json()["error_text"]), (409, &"Database cannot be changed".into()));
    let definition = |database: u64| format!(r#"{{"name":"New","database":{database},"active":true}}"#);
    assert_eq!(deployment.put("admin-2", &path(778, ""), &definition(1)).status, 404, "a foreign database");
    assert_eq!(deployment.put("admin-2", &path(778, ""), &definition(2)).status, 200, "one of its databases");
}
