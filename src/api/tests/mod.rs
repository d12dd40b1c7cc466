//! Requests through [`answer`], against campaigns' objects that run natively.

mod access;
mod campaigns;
mod log;
mod profiles;
mod records;
mod refusals;
mod replies;
mod webhook;

use std::{
    cell::{Cell, RefCell},
    ops::Range,
    rc::Rc,
};

use futures_util::{StreamExt as _, future::LocalBoxFuture};

use super::{
    answer,
    head::{HttpHead, HttpRequest},
    ports::{ApiPorts, CampaignPage, ObjectStream, Runtime},
    reply::{Reply, ReplyBody},
    routes::{Method, RouteSpec},
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
        tests::{database::bytes, faults::run},
    },
    launch::{
        ports::{Body, Clock, ObjectError},
        tests::{call::Call, world::World},
    },
    problem::{Cause, Problem},
    telemetry::DataPoint,
};

/// Path of the list of campaigns.
const TRIGGERS: &str = "/api/v1.1/campaigns/triggers";
const START_BATCH: &str = "/api/v1.1/campaigns/triggers/start_batch";
const START: &str = "/api/v1.1/campaigns/triggers/start";
/// The body of a launch of one recipient at `start_batch`.
const LAUNCH: &str = r#"{"trigger_id":8,"data":[{"email":"example1@example.com"}]}"#;
/// The body of the same launch at `start`.
const SINGLE: &str = r#"{"id":8,"email":"example1@example.com"}"#;
/// A generation that replaces another one, which does not exist.
const PUBLICATION: &str = r#"{"replaces":"x","generation":{"name":"y","created":1,"normalisation":2,"key":"k","classes":[]},
    "contents":{"changes_through":1}}"#;
/// A well-formed ID of a launch that does not exist.
const NO_LAUNCH: &str = "01a2b3c4-d5e6-7890-8abc-def012345678";
const DAY: u64 = 86_400_000;

/// A deployment that records its log lines and data points. Campaign 8 has the profiles of database 1, campaign 9 those of
/// database 2. For each scope there is a token for all databases, such as `read`, and one for database 2, such as `read-2`.
struct Deployment {
    world: Rc<World>,
    settings: Result<Settings, Cause>,
    is_binding_missing: Cell<bool>,
    lines: RefCell<Vec<serde_json::Value>>,
    points: RefCell<Vec<DataPoint>>,
}

impl Deployment {
    fn new() -> Self {
        let world = World::new();
        for scope in Scope::ALL {
            let name = scope.as_str();
            world.grant(name, name, &[scope], &[]);
            world.grant(&format!("{name}-2"), &format!("{name}-2"), &[scope], &[2]);
        }
        world.define(9, 2);
        let settings = Settings {
            limits: world.limits,
            secrets: Rc::clone(&world.secrets),
            budget: Rc::clone(&world.budget),
            ..Settings::default()
        };
        Self {
            world: Rc::new(world),
            settings: Ok(settings),
            is_binding_missing: Cell::new(false),
            lines: RefCell::default(),
            points: RefCell::default(),
        }
    }

    /// Sends a request and reads the reply to its end.
    fn send(&self, request: TestRequest<'_>) -> TestReply {
        self.send_body(request, &mut Call::bare(request.body).chunks(&self.world))
    }

    /// Sends a request with this body.
    fn send_body(&self, request: TestRequest<'_>, body: &mut impl Body) -> TestReply {
        let header = |name: &str| {
            let authorization = || request.token.map(|token| format!("Bearer {token}"));
            if name == "Authorization" {
                return authorization();
            }
            let found = request.headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
            found.map(|(_, value)| (*value).to_owned())
        };
        let url = format!("https://example.com{}", request.path);
        let reply = run(answer(self, HttpRequest { method: request.method, url: &url, header: &header }, body));
        let reply = TestReply::new(reply);
        assert_eq!(self.world.budget.reserved(), 0, "{} {}", request.method, request.path);
        reply
    }

    fn get(&self, token: &str, path: &str) -> TestReply {
        self.send(TestRequest { path, token: Some(token), ..TestRequest::default() })
    }

    fn put(&self, token: &str, path: &str, body: &str) -> TestReply {
        self.send(TestRequest { method: "PUT", path, token: Some(token), body, ..TestRequest::default() })
    }

    fn launch(&self, body: &str) -> TestReply {
        let request =
            TestRequest { method: "POST", path: START_BATCH, token: Some("launch"), ..TestRequest::default() };
        self.send(TestRequest { body, ..request })
    }

    /// The last line of the operator's log.
    fn line(&self) -> serde_json::Value {
        self.lines.borrow().last().unwrap().clone()
    }

    /// The cause in the last line of the operator's log.
    fn cause(&self) -> String {
        self.line()["cause"].as_str().unwrap().to_owned()
    }

    /// The last data point.
    fn point(&self) -> DataPoint {
        self.points.borrow().last().unwrap().clone()
    }
}

#[derive(Clone, Copy)]
struct TestRequest<'a> {
    method: &'a str,
    /// With the query.
    path: &'a str,
    /// The token in `Authorization`.
    token: Option<&'a str>,
    headers: &'a [(&'a str, &'a str)],
    body: &'a str,
}

impl Default for TestRequest<'_> {
    fn default() -> Self {
        Self { method: "GET", path: "/", token: None, headers: &[], body: "" }
    }
}

impl<'a> TestRequest<'a> {
    /// A request for a row of the table. `path` is the result of [`path_of`], with or without a query.
    fn of(spec: &RouteSpec, path: &'a str, token: Option<&'a str>) -> Self {
        let method = match spec.method {
            Method::Get => "GET",
            Method::Post => "POST",
            Method::Put => "PUT",
            Method::Delete => "DELETE",
        };
        let body = match spec.name {
            "start_batch" => LAUNCH,
            "start" => SINGLE,
            "define" => r#"{"name":"Welcome","database":1}"#,
            "change_profiles" => r#"[{"profile_id":"6606e08f10bcdd88297057a7"}]"#,
            "live" => r#"{"live":false}"#,
            "publish" => PUBLICATION,
            "webhook_define" => r#"{"url":"https://receiver.example"}"#,
            "webhook_replay" => r#"{"after":7}"#,
            _ => "",
        };
        Self { method, path, token, headers: &[], body }
    }
}

/// The path of a row, for campaign 8 and a launch that does not exist.
fn path_of(spec: &RouteSpec) -> String {
    spec.path
        .replace("{trigger_id}", "8")
        .replace("{database}", "1")
        .replace("{launch_id}", NO_LAUNCH)
        .replace("{n}", "0")
}

/// A reply that was read to its end.
#[derive(Debug, PartialEq)]
struct TestReply {
    status: u16,
    headers: Vec<(&'static str, String)>,
    /// Kind of the body: `empty`, `bytes`, `lines`, `pieces` or `stream`.
    kind: &'static str,
    body: String,
}

impl TestReply {
    fn new(reply: Reply<Vec<u8>>) -> Self {
        let (kind, body) = match reply.body {
            ReplyBody::Empty => ("empty", Vec::new()),
            ReplyBody::Bytes(bytes) => ("bytes", bytes),
            ReplyBody::Stream(bytes) => ("stream", bytes),
            ReplyBody::Lines(lines) => {
                let pieces: Vec<_> = run(lines.collect());
                ("lines", pieces.into_iter().flat_map(Result::unwrap).collect())
            }
            ReplyBody::Pieces(pieces) => ("pieces", pieces.flatten().collect()),
        };
        Self { status: reply.status, headers: reply.headers, kind, body: String::from_utf8_lossy(&body).into_owned() }
    }

    fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| *known == name).map(|(_, value)| value.as_str())
    }

    fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap()
    }

    /// Status and `error_debug` of a refusal in JSON.
    fn refusal(&self) -> (u16, String) {
        (self.status, self.json()["error_debug"].as_str().unwrap().to_owned())
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
        if self.is_binding_missing.get() {
            return Err(Cause::new("no binding named ACCESS"));
        }
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
        assert_eq!(self.line()["request_id"], request_id);
        self.points.borrow_mut().push(point.clone());
    }

    fn linear_memory(&self) -> u64 {
        65_536
    }
}

/// Operations that can fail: `command` (an object), `list` (KV) and `file` (R2). If `expire` fails, retention removes all
/// launches before a file is read.
impl ApiPorts for World {
    type Stream = Vec<u8>;

    async fn command(&self, trigger_id: u64, command: Command, databases: &[u64]) -> Result<Vec<u8>, ObjectError> {
        let lost = ObjectError::Lost(Cause::new("the connection is gone"));
        self.faults.run("command", lost, || {
            let log = self.object(trigger_id);
            if let Command::Webhook(command) = &command {
                // The tests of `delivery` cover what happens next.
                let reply = log.authorize(databases).map(|()| serde_json::to_vec(command).unwrap());
                return reply.map_err(|_| ObjectError::Refused(Problem::NotFound("trigger campaign").into()));
            }
            let envelope = Envelope { databases: databases.to_vec(), command };
            let reply = answer_command(&log, &envelope, self.now()).and_then(|reply| bytes(&log, reply));
            reply.map_err(|error| match error {
                LogError::Refused(refusal) => ObjectError::Refused(refusal.into()),
                error => ObjectError::Lost(error.into()),
            })
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
        self.faults.run("list", Cause::new("KV is down"), || {
            let kv = self.kv.borrow();
            let keys: Vec<_> = kv.keys().filter(|key| key.starts_with(CAMPAIGN_PREFIX)).collect();
            let at = cursor.map_or(0, |cursor| cursor.parse().unwrap());
            let records: Vec<CampaignRecord> =
                keys.iter().skip(at).take(1).map(|key| serde_json::from_str(&kv[*key]).unwrap()).collect();
            let cursor = (at + 1 < keys.len()).then(|| (at + 1).to_string());
            Ok(CampaignPage { records, cursor })
        })
    }

    async fn file(&self, key: &str, size: u64, range: Option<Range<u64>>) -> Result<Option<Vec<u8>>, Cause> {
        if self.faults.next("expire").is_some() {
            self.advance(365 * DAY);
        }
        self.faults.run("file", Cause::new("R2 is down"), || {
            let file = self.bucket.get(key);
            Ok(file.map(|file| {
                assert_eq!(file.len() as u64, size);
                let range = range.unwrap_or(0..size);
                file[range.start as usize..range.end as usize].to_vec()
            }))
        })
    }
}
