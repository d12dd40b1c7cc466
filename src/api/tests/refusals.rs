//! What is refused early, in which order, and how much of the body is then read.

use super::{Deployment, LAUNCH, START, START_BATCH, TRIGGERS, TestRequest};
use crate::{
    api::{
        answer,
        head::{HttpHead, HttpRequest},
        routes, serve,
        settings::Settings,
    },
    campaign::tests::faults::{When, pause},
    launch::{
        ports::{Body, Clock as _, Disconnected},
        receive::pace::PacedBody,
        tests::call::Call,
    },
    limits::{BASE_COST, DRAIN_RATE_LIMITED, Limits, MIB, READ_BUFFER, READ_START},
    memory::{Budget, Reservation},
    problem::{Cause, RateLimit},
};

const CAMPAIGN_8: &str = "/api/v1.1/campaigns/triggers/8";

/// One thing that is wrong with a request, and the status that it causes.
#[derive(Clone, Copy)]
struct HeadFault {
    status: u16,
    header: Option<(&'static str, &'static str)>,
    token: Option<&'static str>,
    query: &'static str,
}

const NO_FAULT: HeadFault = HeadFault { status: 200, header: None, token: None, query: "" };

const MEDIA_TYPE: HeadFault = HeadFault { status: 415, header: Some(("Content-Type", "text/csv")), ..NO_FAULT };
const CODING: HeadFault = HeadFault { status: 415, header: Some(("Content-Encoding", "gzip")), ..NO_FAULT };
const LENGTH: HeadFault = HeadFault { status: 413, header: Some(("Content-Length", "1000000000")), ..NO_FAULT };
const UNKNOWN_TOKEN: HeadFault = HeadFault { status: 401, token: Some("unknown"), ..NO_FAULT };
const REQUEST_ID: HeadFault = HeadFault { status: 400, header: Some(("Request-ID", "a b")), ..NO_FAULT };
const PARAMETER: HeadFault = HeadFault { status: 400, query: "?limit=x", ..NO_FAULT };

fn scope(token: &'static str) -> HeadFault {
    HeadFault { status: 403, token: Some(token), ..NO_FAULT }
}

#[test]
fn reports_the_first_fault_of_the_head_in_the_documented_order() {
    let launches = &format!("{TRIGGERS}/8/launches");
    for (method, path, valid_token, faults) in [
        ("POST", START_BATCH, "launch", &[MEDIA_TYPE, LENGTH, UNKNOWN_TOKEN, REQUEST_ID][..]),
        ("POST", START_BATCH, "launch", &[CODING, LENGTH, UNKNOWN_TOKEN, REQUEST_ID]),
        ("POST", START, "launch", &[MEDIA_TYPE, LENGTH, UNKNOWN_TOKEN, REQUEST_ID]),
        ("POST", START, "launch", &[LENGTH, scope("read"), REQUEST_ID]),
        ("PUT", CAMPAIGN_8, "admin", &[MEDIA_TYPE, LENGTH, UNKNOWN_TOKEN, REQUEST_ID]),
        ("PUT", CAMPAIGN_8, "admin", &[CODING, LENGTH, scope("read"), REQUEST_ID]),
        ("GET", TRIGGERS, "admin", &[UNKNOWN_TOKEN, REQUEST_ID, PARAMETER]),
        ("GET", TRIGGERS, "admin", &[scope("launch"), REQUEST_ID, PARAMETER]),
        ("GET", launches, "read", &[UNKNOWN_TOKEN, REQUEST_ID, PARAMETER]),
        ("GET", launches, "read", &[scope("admin"), REQUEST_ID, PARAMETER]),
    ] {
        for (at, first) in faults.iter().enumerate() {
            let deployment = Deployment::new();
            // The request has this fault and all later ones.
            let later = &faults[at..];
            let headers: Vec<_> = later.iter().filter_map(|fault| fault.header).collect();
            let token = later.iter().find_map(|fault| fault.token).or(Some(valid_token));
            let query: String = later.iter().map(|fault| fault.query).collect();
            let path = &format!("{path}{query}");
            let body = if path == START { super::SINGLE } else { LAUNCH };
            let reply = deployment.send(TestRequest { method, path, token, headers: &headers, body });
            assert_eq!(reply.status, first.status, "{method} {path} {headers:?} {token:?}: {}", reply.body);
            let line = deployment.line();
            assert_eq!((&line["status"], &line["error"]), (&first.status.into(), &reply.json()["error_text"]));
            assert!(line.get("cause").is_none(), "{line}");
        }
    }
}

#[test]
fn reports_the_path_and_the_method_before_everything_else() {
    let headers = [("Content-Type", "text/csv"), ("Content-Length", "1000000000"), ("Request-ID", "a b")];
    for (method, path, status) in
        [("POST", "/nowhere", 404), ("GET", START_BATCH, 405), ("DELETE", CAMPAIGN_8, 405), ("POST", TRIGGERS, 405)]
    {
        let mut deployment = Deployment::new();
        deployment.settings = Err(Cause::new("BODY_LIMIT is not a decimal integer"));
        deployment.is_binding_missing.set(true);
        let reply = deployment.send(TestRequest { method, path, headers: &headers, ..TestRequest::default() });
        assert_eq!(reply.status, status, "{method} {path}");
    }
}

#[test]
fn a_misconfigured_deployment_refuses_all_routes_but_healthz() {
    let mut deployment = Deployment::new();
    deployment.settings = Err(Cause::new("BODY_LIMIT is not a decimal integer"));
    let media_type = [("Content-Type", "text/csv")];
    for (method, path, token, headers) in [
        ("GET", TRIGGERS, Some("admin"), &[][..]),
        ("GET", TRIGGERS, None, &[]),
        ("PUT", CAMPAIGN_8, Some("admin"), &media_type),
        ("POST", START_BATCH, Some("launch"), &media_type),
    ] {
        let (status, debug) = deployment.send(TestRequest { method, path, token, headers, body: LAUNCH }).refusal();
        assert_eq!(status, 503, "{method} {path}");
        assert!(!debug.contains("BODY_LIMIT"), "the caller does not learn the cause: {debug}");
        assert_eq!(deployment.cause(), "configuration: BODY_LIMIT is not a decimal integer");
    }
    assert_eq!(deployment.send(TestRequest { path: "/healthz", ..TestRequest::default() }).status, 200);
}

#[test]
fn a_missing_index_key_refuses_launches_and_nothing_else() {
    let mut deployment = Deployment::new();
    let configured = deployment.settings.clone().unwrap();
    deployment.settings = Ok(Settings { secrets: [].into(), ..configured });
    let refused = deployment.launch(LAUNCH).refusal();
    assert_eq!(refused, (503, "the deployment has no PROFILE_INDEX_KEY".to_owned()));
    assert_eq!(deployment.cause(), "the secret PROFILE_INDEX_KEY is not set");
    assert_eq!(deployment.get("admin", CAMPAIGN_8).status, 200);
    let headers = [("Content-Type", "text/csv")];
    let request = TestRequest { method: "POST", path: START, headers: &headers, ..TestRequest::default() };
    assert_eq!(deployment.send(request).status, 415);
}

#[test]
fn a_missing_binding_is_an_internal_error_with_the_cause_in_the_log() {
    let deployment = Deployment::new();
    deployment.is_binding_missing.set(true);
    for reply in [deployment.launch(LAUNCH), deployment.get("admin", CAMPAIGN_8)] {
        let request_id = reply.header("Request-ID").unwrap().to_owned();
        assert_eq!(reply.refusal(), (500, request_id), "the caller learns the request ID only");
        assert_eq!(deployment.cause(), "no binding named ACCESS");
    }
}

#[test]
fn a_rate_limit_is_reported_before_a_bad_token_and_before_a_missing_scope() {
    let deployment = Deployment::new();
    deployment.world.rate_limited.set(Some(RateLimit::Address));
    for token in [None, Some("unknown")] {
        let reply = deployment.send(TestRequest { path: TRIGGERS, token, ..TestRequest::default() });
        assert_eq!((reply.status, reply.header("Retry-After")), (429, Some("10")), "{token:?}");
    }
    assert_eq!(deployment.get("admin", TRIGGERS).status, 200, "only 401s count for the address");
    deployment.world.rate_limited.set(Some(RateLimit::Token));
    assert_eq!(deployment.get("admin", TRIGGERS).status, 429);
    assert_eq!(deployment.get("launch", TRIGGERS).status, 429);
    assert_eq!(deployment.get("unknown", TRIGGERS).status, 401);
    assert_eq!(deployment.launch(LAUNCH).status, 429);
}

#[test]
fn a_failed_lookup_of_the_token_is_unavailable_with_the_cause_in_the_log() {
    let deployment = Deployment::new();
    deployment.world.faults.always("token", When::Before);
    for reply in [deployment.get("admin", CAMPAIGN_8), deployment.launch(LAUNCH)] {
        assert_eq!(reply.refusal(), (503, "tokens cannot be looked up now: retry later".to_owned()));
        assert_eq!(deployment.cause(), "KV is down");
    }
}

/// A body of zeros.
struct Zeros {
    left: u64,
    /// Bytes of the last read that were not taken.
    read: usize,
    /// Bytes of all reads.
    total: u64,
}

impl Zeros {
    fn new(size: u64) -> Self {
        Self { left: size, read: 0, total: 0 }
    }
}

impl Body for Zeros {
    async fn read(&mut self, at_once: usize) -> Result<Option<usize>, Disconnected> {
        pause().await;
        self.read = usize::try_from(self.left).unwrap().min(at_once);
        self.left -= self.read as u64;
        self.total += self.read as u64;
        Ok((self.read > 0).then_some(self.read))
    }

    fn chunk<T>(&mut self, take: impl FnOnce(&[u8]) -> T) -> Option<T> {
        let bytes = self.read.min(READ_BUFFER);
        self.read -= bytes;
        (bytes > 0).then(|| take(&[0; READ_BUFFER][..bytes]))
    }

    fn discard(&mut self) {
        self.read = 0;
    }
}

#[test]
fn discards_the_rest_of_a_refused_body_up_to_a_limit() {
    let drain = Limits::default().drain();
    let (first, limited) = (READ_START as u64, DRAIN_RATE_LIMITED);
    let (address, token) = (Some(RateLimit::Address), Some(RateLimit::Token));
    for (path, sent_token, rate_limited, status, size, is_announced, read) in [
        // Refused for its media type.
        (START_BATCH, "launch", None, 415, 150 * MIB, true, 150 * MIB..=150 * MIB),
        (START_BATCH, "launch", None, 415, 150 * MIB, false, 150 * MIB..=150 * MIB),
        (START_BATCH, "launch", None, 415, drain, true, drain..=drain),
        (START_BATCH, "launch", None, 415, drain + 1, true, 0..=0),
        (START_BATCH, "launch", None, 415, 2 * drain, false, drain..=drain + MIB),
        ("/nowhere", "launch", None, 404, 10 * MIB, true, 10 * MIB..=10 * MIB),
        (CAMPAIGN_8, "admin", None, 405, 10 * MIB, true, 10 * MIB..=10 * MIB),
        // Refused for a rate limit. A launch begins to read while its token is looked up.
        (START, "unknown", address, 429, limited, true, limited..=limited),
        (START, "unknown", address, 429, 3 * limited, true, 0..=first),
        (START, "unknown", address, 429, 30 * limited, false, limited..=2 * limited),
        (START, "launch", token, 429, 10 * MIB, true, 10 * MIB..=10 * MIB),
    ] {
        let deployment = Deployment::new();
        deployment.world.rate_limited.set(rate_limited);
        let mut body = Zeros::new(size);
        let length = size.to_string();
        let mut headers = vec![];
        if is_announced {
            headers.push(("Content-Length", length.as_str()));
        }
        if status == 415 {
            headers.push(("Content-Type", "text/csv"));
        }
        let request = TestRequest { method: "POST", path, token: Some(sent_token), headers: &headers, body: "" };
        assert_eq!(deployment.send_body(request, &mut body).status, status, "{path} {size}");
        assert!(read.contains(&body.total), "{path} {size} {is_announced}: {} bytes", body.total);
    }
}

#[test]
fn reads_no_body_of_a_request_that_needs_none() {
    let deployment = Deployment::new();
    for (path, token) in [("/healthz", None), (CAMPAIGN_8, Some("admin"))] {
        let mut body = Zeros::new(MIB);
        let request = TestRequest { path, token, ..TestRequest::default() };
        assert_eq!((deployment.send_body(request, &mut body).status, body.total), (200, 0), "{path}");
    }
}

#[test]
fn refuses_without_reading_if_there_is_no_room_for_the_request() {
    let mut deployment = Deployment::new();
    let budget = Budget::new(BASE_COST, BASE_COST);
    let mut other = Reservation::new(&budget, deployment.now());
    other.grow(BASE_COST).unwrap();
    other.verify();
    deployment.settings = deployment.settings.map(|settings| Settings { budget, ..settings });
    for path in [START_BATCH, "/nowhere"] {
        let mut body = Zeros::new(1000);
        let request = TestRequest { method: "POST", path, token: Some("launch"), ..TestRequest::default() };
        let reply = deployment.send_body(request, &mut body);
        assert_eq!((reply.status, reply.header("Retry-After"), body.total), (503, Some("5"), 0), "{path}");
        assert!(deployment.cause().contains("8192 bytes requested"), "{}", deployment.cause());
    }
    assert_eq!(deployment.send(TestRequest { path: "/healthz", ..TestRequest::default() }).status, 200);
}

#[test]
fn a_waiting_request_is_smaller_than_its_base_cost() {
    let deployment = Deployment::new();
    let call = Call::bare(LAUNCH);
    let no_header = |_: &str| None;
    let request = HttpRequest { method: "POST", url: "https://example.com/", header: &no_header };
    let mut chunks = call.chunks(&deployment.world);
    let for_room = size_of_val(&answer(&deployment, request, &mut chunks));
    let memory = Reservation::new(&deployment.world.budget, 0);
    let head = HttpHead::read(request, Vec::new(), false, |_| {});
    let mut body = PacedBody::new(&deployment, &mut chunks, memory.watch(), None);
    let (route, settings) = (routes::find("POST", START_BATCH), deployment.settings.clone());
    let for_body = size_of_val(&serve(&deployment, &head, route, settings, &mut body, memory));
    // Pointers are twice as large as in wasm.
    assert!(for_room <= 3 * 1024, "{for_room} bytes");
    assert!(for_room + for_body <= BASE_COST as usize, "{for_room} and {for_body} bytes");
}
