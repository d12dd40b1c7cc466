//! Requests through [`super::answer`], against campaigns' objects that run natively.

use std::{cell::RefCell, ops::Range, rc::Rc};

use futures_util::future::LocalBoxFuture;

use super::{
    answer,
    head::{HttpHead, HttpRequest},
    ports::{ApiPorts, CampaignPage, ObjectStream, Runtime},
    reply::{Reply, ReplyBody},
    routes::{Method, ROUTES},
    settings::Settings,
};
use crate::{
    access::{CAMPAIGN_PREFIX, CampaignRecord, Scope},
    campaign::{
        log::state::LogError,
        object::answer as answer_command,
        protocol::{
            commands::{Command, Envelope},
            transport::NDJSON,
        },
        tests::{
            database::bytes,
            faults::{When, run},
        },
    },
    launch::{
        ports::{Clock, ObjectError},
        tests::{
            call::{Call, Chunks},
            world::{CAMPAIGN, World},
        },
    },
    limits::{BASE_COST, DRAIN_RATE_LIMITED, Limits},
    memory::{Budget, Reservation},
    problem::Cause,
    telemetry::DataPoint,
};

/// A deployment whose log lines and data points are kept.
struct Deployment {
    world: Rc<World>,
    settings: Result<Settings, Cause>,
    lines: RefCell<Vec<serde_json::Value>>,
    points: RefCell<Vec<(String, String)>>,
}

impl Deployment {
    fn new() -> Self {
        let world = World::new();
        for (name, scope) in SCOPES {
            world.grant(&token_of(name), name, &[scope], &[]);
            world.grant(&format!("{}-limited", token_of(name)), &format!("{name}-limited"), &[scope], &[2]);
        }
        world.define(9, 2);
        let settings = Settings {
            limits: world.limits,
            secrets: Rc::clone(&world.secrets),
            budget: Rc::clone(&world.budget),
            ..Settings::default()
        };
        let world = Rc::new(world);
        Self { world, settings: Ok(settings), lines: RefCell::default(), points: RefCell::default() }
    }

    fn send(&self, request: Sent<'_>) -> ReceivedReply {
        self.send_body(request, &mut Call::bare(request.body).chunks(&self.world))
    }

    fn send_body(&self, request: Sent<'_>, body: &mut Chunks<'_>) -> ReceivedReply {
        let header = |name: &str| {
            let found = request.headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
            found.map(|(_, value)| (*value).to_owned())
        };
        let url = format!("https://example.com{}", request.path);
        let head = HttpRequest { method: request.method, url: &url, header: &header };
        let reply = run(answer(self, head, body));
        ReceivedReply::new(reply)
    }

    /// The last line of the operator's log.
    fn line(&self) -> serde_json::Value {
        self.lines.borrow().last().unwrap().clone()
    }
}

const SCOPES: [(&str, Scope); 3] = [("launch", Scope::Launch), ("read", Scope::Read), ("admin", Scope::Admin)];

fn token_of(scope: &str) -> String {
    format!("a token with the scope {scope}").replace(' ', "-")
}

/// A request to send.
#[derive(Clone, Copy)]
struct Sent<'a> {
    method: &'a str,
    path: &'a str,
    headers: &'a [(&'a str, &'a str)],
    body: &'a str,
}

fn get<'a>(path: &'a str, headers: &'a [(&'a str, &'a str)]) -> Sent<'a> {
    Sent { method: "GET", path, headers, body: "" }
}

/// A reply, read to its end.
#[derive(Debug, PartialEq)]
struct ReceivedReply {
    status: u16,
    headers: Vec<(&'static str, String)>,
    body: String,
}

impl ReceivedReply {
    fn new(reply: Reply<Vec<u8>>) -> Self {
        let body = match reply.body {
            ReplyBody::Empty => Vec::new(),
            ReplyBody::Bytes(bytes) | ReplyBody::Stream(bytes) => bytes,
            ReplyBody::Pieces(pieces) => pieces.flatten().collect(),
        };
        Self { status: reply.status, headers: reply.headers, body: String::from_utf8(body).unwrap() }
    }

    fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| *known == name).map(|(_, value)| value.as_str())
    }

    fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap()
    }

    fn debug(&self) -> String {
        self.json()["error_debug"].as_str().unwrap().to_owned()
    }
}

impl Clock for Deployment {
    fn now(&self) -> u64 {
        self.world.now()
    }

    async fn sleep(&self, milliseconds: u64) {
        Clock::sleep(&*self.world, milliseconds).await;
    }
}

impl Runtime for Deployment {
    type Ports = World;

    fn settings(&self) -> Result<Settings, Cause> {
        self.settings.clone()
    }

    fn ports(&self, _: &HttpHead<'_>) -> Result<Rc<World>, Cause> {
        Ok(Rc::clone(&self.world))
    }

    fn random(&self, bytes: &mut [u8]) {
        bytes.fill(0xAB);
    }

    fn after_reply(&self, work: LocalBoxFuture<'static, ()>) {
        run(work);
    }

    fn log(&self, line: &str) {
        self.lines.borrow_mut().push(serde_json::from_str(line).unwrap());
    }

    fn measure(&self, request_id: &str, point: &DataPoint) {
        self.points.borrow_mut().push((request_id.to_owned(), point.index().to_owned()));
    }

    fn linear_memory(&self) -> u64 {
        65_536
    }
}

impl ApiPorts for World {
    type Stream = Vec<u8>;

    async fn command(&self, trigger_id: u64, command: Command, databases: &[u64]) -> Result<Vec<u8>, ObjectError> {
        let log = self.object(trigger_id);
        let envelope = Envelope { databases: databases.to_vec(), command };
        let answer = answer_command(&log, &envelope, self.now()).and_then(|reply| bytes(&log, reply));
        answer.map_err(|fault| match fault {
            LogError::Refused(refusal) => ObjectError::Refused(refusal.into()),
            error => ObjectError::Lost(error.into()),
        })
    }

    async fn stream(
        &self,
        trigger_id: u64,
        command: Command,
        databases: &[u64],
    ) -> Result<ObjectStream<Vec<u8>>, ObjectError> {
        let is_ndjson = matches!(command, Command::RecipientsStream(_));
        let content_type = if is_ndjson { NDJSON } else { "application/json" }.to_owned();
        let body = self.command(trigger_id, command, databases).await?;
        Ok(ObjectStream { content_type, body })
    }

    /// Pages of one campaign, so that every listing reads several.
    async fn campaigns(&self, cursor: Option<String>) -> Result<CampaignPage, Cause> {
        let kv = self.kv.borrow();
        let keys: Vec<_> = kv.keys().filter(|key| key.starts_with(CAMPAIGN_PREFIX)).collect();
        let at = cursor.map_or(0, |cursor| cursor.parse().unwrap());
        let records: Vec<CampaignRecord> =
            keys.iter().skip(at).take(1).map(|key| serde_json::from_str(&kv[*key]).unwrap()).collect();
        let cursor = (at + 1 < keys.len()).then(|| (at + 1).to_string());
        Ok(CampaignPage { records, cursor })
    }

    async fn file(&self, key: &str, _: u64, range: Option<Range<u64>>) -> Result<Option<Vec<u8>>, Cause> {
        let file = self.bucket.get(key);
        Ok(file.map(|file| match range {
            Some(range) => file[range.start as usize..range.end as usize].to_vec(),
            None => file,
        }))
    }
}

/// The path of a row, with parameters that name nothing but campaign 8.
fn path_of(template: &str) -> String {
    let launch_id = "01a2b3c4-d5e6-7890-8abc-def012345678";
    template.replace("{trigger_id}", "8").replace("{launch_id}", launch_id).replace("{n}", "0")
}

fn method_of(method: Method) -> &'static str {
    match method {
        Method::Get => "GET",
        Method::Post => "POST",
        Method::Put => "PUT",
    }
}

const LAUNCH: &str = r#"{"trigger_id":8,"data":[{"email":"example1@example.com"}]}"#;
const SINGLE: &str = r#"{"id":8,"email":"example1@example.com"}"#;

fn body_of(name: &str) -> &'static str {
    match name {
        "start_batch" => LAUNCH,
        "start" => SINGLE,
        "define" => r#"{"name":"Welcome","database":1}"#,
        _ => "",
    }
}

#[test]
fn each_route_needs_its_scope_and_no_other() {
    for spec in ROUTES.iter().filter(|spec| spec.scope.is_some()) {
        for (name, scope) in SCOPES {
            let deployment = Deployment::new();
            let authorization = format!("Bearer {}", token_of(name));
            let headers = [("Authorization", authorization.as_str())];
            let path = path_of(spec.path);
            let sent =
                Sent { method: method_of(spec.method), path: &path, headers: &headers, body: body_of(spec.name) };
            let received = deployment.send(sent);
            let row = format!("{} {} with the scope {name}", sent.method, spec.path);
            if spec.scope == Some(scope) {
                let expected = if spec.path.contains("{launch_id}") { 404 } else { 200 };
                assert_eq!(received.status, expected, "{row}: {}", received.body);
            } else {
                assert_eq!(received.status, 403, "{row}");
                let needed = spec.scope.unwrap().as_str();
                assert_eq!(received.debug(), format!("the token lacks the scope {needed}"), "{row}");
            }
            assert_eq!(deployment.points.borrow().last().unwrap().1, spec.name, "{row}");
        }
    }
}

#[test]
fn each_route_refuses_a_request_without_a_token_or_with_an_unknown_one() {
    for spec in ROUTES.iter().filter(|spec| spec.scope.is_some()) {
        for headers in [&[][..], &[("Authorization", "Bearer an-unknown-token")]] {
            let deployment = Deployment::new();
            let path = path_of(spec.path);
            let sent = Sent { method: method_of(spec.method), path: &path, headers, body: body_of(spec.name) };
            let received = deployment.send(sent);
            assert_eq!(received.status, 401, "{} {}", sent.method, spec.path);
            assert_eq!(deployment.line()["error"], "API token required", "{}", spec.path);
        }
    }
}

/// Method, path, headers, expected status.
type HeadRow<'a> = (&'a str, &'a str, &'a [(&'a str, &'a str)], u16);

#[test]
fn refuses_in_the_documented_order_what_the_head_alone_shows() {
    let deployment = Deployment::new();
    let bad_token = ("Authorization", "Bearer an-unknown-token");
    let too_long = ("Content-Length", "1000000000");
    let bad_type = ("Content-Type", "text/csv");
    let bad_id = ("Request-ID", "not visible ASCII: é");
    let batch = "/api/v1.1/campaigns/triggers/start_batch";
    let definition = "/api/v1.1/campaigns/triggers/8";
    let rows: [HeadRow<'_>; 12] = [
        ("POST", "/nowhere", &[bad_type, too_long, bad_token, bad_id], 404),
        ("GET", batch, &[bad_type, too_long, bad_token, bad_id], 405),
        ("POST", batch, &[bad_type, too_long, bad_token, bad_id], 415),
        ("POST", batch, &[too_long, bad_token, bad_id], 413),
        ("POST", batch, &[bad_token, bad_id], 401),
        ("POST", batch, &[bad_id], 401),
        ("PUT", definition, &[bad_type, too_long, bad_token, bad_id], 415),
        ("PUT", definition, &[too_long, bad_token, bad_id], 413),
        ("PUT", definition, &[bad_token, bad_id], 401),
        ("GET", "/api/v1.1/campaigns/triggers?limit=x", &[bad_token, bad_id], 401),
        ("GET", "/api/v1.1/campaigns/triggers/8/launches?limit=x", &[bad_token], 401),
        ("PATCH", definition, &[bad_token], 405),
    ];
    for (method, path, headers, status) in rows {
        let received = deployment.send(Sent { method, path, headers, body: LAUNCH });
        assert_eq!(received.status, status, "{method} {path} {headers:?}: {}", received.body);
        assert_eq!(deployment.line()["status"], status, "{method} {path}");
    }
    let admin = format!("Bearer {}", token_of("admin"));
    let headers = [("Authorization", admin.as_str()), bad_id];
    let received = deployment.send(get("/api/v1.1/campaigns/triggers?limit=x", &headers));
    assert_eq!(received.status, 400);
    assert!(received.debug().starts_with("Request-ID: "), "a bad ID ranks before a bad parameter");
}

#[test]
fn a_limited_token_gets_the_same_answer_for_a_foreign_and_an_unknown_campaign() {
    for (scope, method, suffix, body) in [
        ("admin", "GET", "", ""),
        ("admin", "PUT", "", r#"{"active":false}"#),
        ("admin", "PUT", "", "{}"),
        ("read", "GET", "/launches", ""),
        ("read", "GET", "/launches/not-an-id", ""),
        ("read", "GET", "/launches/01a2b3c4-d5e6-7890-8abc-def012345678", ""),
        ("read", "GET", "/launches/01a2b3c4-d5e6-7890-8abc-def012345678/attachments/x", ""),
    ] {
        let deployment = Deployment::new();
        let authorization = format!("Bearer {}-limited", token_of(scope));
        let headers = [("Authorization", authorization.as_str()), ("Request-ID", "same")];
        let [foreign, unknown] = [8, 777].map(|id| {
            let path = format!("/api/v1.1/campaigns/triggers/{id}{suffix}");
            deployment.send(Sent { method, path: &path, headers: &headers, body })
        });
        assert_eq!(foreign, unknown, "{method} {suffix}");
        assert_eq!((foreign.status, foreign.debug().as_str()), (404, "no such trigger campaign"), "{method} {suffix}");
    }
    let deployment = Deployment::new();
    let authorization = format!("Bearer {}-limited", token_of("admin"));
    let headers = [("Authorization", authorization.as_str())];
    let define = |path: &str, database: u64| {
        let body = format!(r#"{{"name":"New","database":{database},"active":true}}"#);
        deployment.send(Sent { method: "PUT", path, headers: &headers, body: &body }).status
    };
    assert_eq!(define("/api/v1.1/campaigns/triggers/777", 2), 200, "one of its databases");
    assert_eq!(define("/api/v1.1/campaigns/triggers/778", 1), 404, "a foreign database");
}

#[test]
fn lists_the_campaigns_of_the_tokens_databases_page_by_page() {
    let deployment = Deployment::new();
    for id in [10, 11, 12] {
        deployment.world.define(id, 1);
    }
    let list = |token: &str, query: &str| {
        let authorization = format!("Bearer {token}");
        let path = format!("/api/v1.1/campaigns/triggers{query}");
        let headers = [("Authorization", authorization.as_str())];
        let list = deployment.send(get(&path, &headers)).json();
        let ids: Vec<u64> =
            list["campaigns"].as_array().unwrap().iter().map(|one| one["id"].as_u64().unwrap()).collect();
        (ids, list["next"].as_u64())
    };
    let admin = token_of("admin");
    assert_eq!(list(&admin, ""), (vec![8, 9, 10, 11, 12], None));
    assert_eq!(list(&admin, "?limit=2"), (vec![8, 9], Some(9)));
    assert_eq!(list(&admin, "?limit=2&after=9"), (vec![10, 11], Some(11)));
    assert_eq!(list(&admin, "?limit=2&after=11"), (vec![12], None));
    assert_eq!(list(&format!("{admin}-limited"), ""), (vec![9], None));
}

#[test]
fn every_kind_of_reply_has_its_headers() {
    let deployment = Deployment::new();
    let [launch, read] = ["launch", "read"].map(|scope| format!("Bearer {}", token_of(scope)));
    let every = ["Request-ID", "RateLimit-Policy", "Cache-Control", "X-Content-Type-Options"];
    let launched = deployment.send(Sent {
        method: "POST",
        path: "/api/v1.1/campaigns/triggers/start_batch",
        headers: &[("Authorization", &launch), ("Request-ID", "order-7001")],
        body: r#"{"trigger_id":8,"data":[{"email":"example1@example.com"}],"attach":[{"name":"a","data":"QUJD"}]}"#,
    });
    assert_eq!(launched.status, 200);
    assert_eq!(launched.header("Request-ID"), Some("order-7001"));
    assert_eq!(launched.header("Launch-Matched"), Some("1"));
    assert_eq!(launched.header("Duplicate-Request"), None);
    let launch_id = launched.header("Launch-ID").unwrap();
    let log = format!("/api/v1.1/campaigns/triggers/{CAMPAIGN}/launches/{launch_id}");
    let headers = [("Authorization", read.as_str())];
    let replies = [
        (deployment.send(get(&log, &headers)), 200, "application/json"),
        (deployment.send(get(&format!("{log}/recipients"), &headers)), 200, "application/json"),
        (deployment.send(get(&format!("{log}/recipients"), &[headers[0], ("Accept", NDJSON)])), 200, NDJSON),
        (deployment.send(get(&format!("{log}/attachments/0"), &headers)), 200, "application/octet-stream"),
        (
            deployment.send(get(&format!("{log}/attachments/0"), &[headers[0], ("Range", "bytes=1-1")])),
            206,
            "application/octet-stream",
        ),
        (deployment.send(get(&format!("{log}/attachments/1"), &headers)), 404, "application/json; charset=utf-8"),
        (deployment.send(get("/nowhere?format=xml", &[])), 404, "application/xml; charset=utf-8"),
        (deployment.send(get("/healthz", &[])), 200, "application/json; charset=utf-8"),
        (launched, 200, "application/json; charset=utf-8"),
    ];
    for (reply, status, content_type) in &replies {
        assert_eq!((reply.status, reply.header("Content-Type")), (*status, Some(*content_type)), "{}", reply.body);
        for name in every {
            assert_eq!(reply.headers.iter().filter(|(known, _)| *known == name).count(), 1, "{name}");
        }
    }
    assert_eq!(replies[3].0.body, "ABC");
    assert_eq!((replies[4].0.body.as_str(), replies[4].0.header("Content-Range")), ("B", Some("bytes 1-1/3")));
    let wrong_method = deployment.send(Sent { method: "DELETE", path: "/healthz", headers: &[], body: "" });
    assert_eq!((wrong_method.status, wrong_method.header("Allow")), (405, Some("GET, HEAD")));
}

#[test]
fn a_misconfigured_deployment_refuses_with_the_cause_in_its_log() {
    let mut deployment = Deployment::new();
    deployment.settings = Err(Cause::new("BODY_LIMIT: \"x\" is not an integer"));
    let received = deployment.send(get("/api/v1.1/campaigns/triggers", &[]));
    assert_eq!(received.status, 503);
    assert!(!received.body.contains("BODY_LIMIT"), "the caller does not learn the cause");
    assert_eq!(deployment.line()["cause"], "configuration: BODY_LIMIT: \"x\" is not an integer");
    assert_eq!(deployment.send(get("/healthz", &[])).status, 200);
}

#[test]
fn reads_the_rest_of_a_refused_body_up_to_a_limit() {
    let deployment = Deployment::new();
    let limit = Limits::default().drain() as usize;
    for (size, read) in [(100_000, 100_000), (limit + 1, 0)] {
        let call = Call::bare(vec![b' '; size]);
        let mut body = call.chunks(&deployment.world);
        let length = size.to_string();
        let headers = [("Content-Length", length.as_str()), ("Content-Type", "text/csv")];
        let path = "/api/v1.1/campaigns/triggers/start_batch";
        let received = deployment.send_body(Sent { method: "POST", path, headers: &headers, body: "" }, &mut body);
        assert_eq!((received.status, body.at), (415, read), "{size}");
    }
    assert!((DRAIN_RATE_LIMITED as usize) < limit);
    assert_eq!(deployment.world.budget.reserved(), 0);
}

#[test]
fn refuses_at_once_without_reading_if_there_is_no_room_for_the_request() {
    let mut deployment = Deployment::new();
    let budget = Budget::new(BASE_COST, BASE_COST);
    let mut other = Reservation::new(&budget, deployment.now());
    other.grow(BASE_COST).unwrap();
    other.verify();
    deployment.settings = deployment.settings.map(|settings| Settings { budget, ..settings });
    let call = Call::bare(LAUNCH);
    let mut body = call.chunks(&deployment.world);
    let path = "/api/v1.1/campaigns/triggers/start_batch";
    let received = deployment.send_body(Sent { method: "POST", path, headers: &[], body: "" }, &mut body);
    assert_eq!((received.status, received.header("Retry-After"), body.at), (503, Some("5"), 0));
    assert!(deployment.line()["cause"].as_str().unwrap().contains("bytes requested"), "{}", deployment.line());
}

#[test]
fn writes_one_line_for_each_request_but_health_checks() {
    let deployment = Deployment::new();
    let launch = format!("Bearer {}", token_of("launch"));
    deployment.send(get("/healthz", &[]));
    assert!(deployment.lines.borrow().is_empty());
    let path = "/api/v1.1/campaigns/triggers/start";
    deployment.send(Sent { method: "POST", path, headers: &[("Authorization", &launch)], body: SINGLE });
    let line = deployment.line();
    assert_eq!((&line["status"], &line["matched"], &line["bytes"]), (&200.into(), &1.into(), &SINGLE.len().into()));
    assert_eq!(line["request_id"], "ab".repeat(16), "a new ID is 16 random bytes");
    deployment.world.faults.always("campaign", When::Before);
    deployment.send(Sent { method: "POST", path, headers: &[("Authorization", &launch)], body: SINGLE });
    let line = deployment.line();
    assert_eq!(
        (&line["status"], &line["error"], &line["cause"]),
        (&503.into(), &"Service unavailable".into(), &"KV is down".into())
    );
    assert_eq!(deployment.lines.borrow().len(), 2);
}
