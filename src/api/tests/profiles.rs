//! Profiles: reading the state of a database, changing profiles, and the requests of the command line.

use futures_util::StreamExt as _;
use serde_json::{Value, json};
use std::rc::Rc;

use super::{Deployment, TestReply, TestRequest};
use crate::{
    api::{
        Stream, answer,
        head::HttpRequest,
        reply::{Reply, ReplyBody},
    },
    campaign::tests::faults::run,
    launch::tests::call::Call,
    limits::{CHANGES_LIMIT, LIVE_DELAY_MS},
    memory::Reservation,
    profiles::{
        live::message::PendingList,
        manifest::{Manifest, manifest_key},
    },
    text::rfc3339,
};

const PROFILES: &str = "/api/v1.1/profiles";
const A: &str = "6606e08f10bcdd88297057a7";

impl Deployment {
    fn profiles(&self, method: &str, path: &str, body: &str, headers: &[(&str, &str)]) -> TestReply {
        let path = format!("{PROFILES}{path}");
        self.send(TestRequest { method, path: &path, token: Some("profiles"), body, headers })
    }

    fn change(&self, body: &str) -> TestReply {
        self.profiles("POST", "/1/changes", body, &[])
    }

    /// Turns live changes of database 1 on.
    fn start(&self) -> TestReply {
        let mut manifest = Manifest::parse(Some(&self.world.kv.borrow()[&manifest_key(1)])).unwrap();
        manifest.live = true;
        self.world.kv.borrow_mut().insert(manifest_key(1), manifest.to_json());
        let body = json!({ "live": true, "manifest": manifest }).to_string();
        self.profiles("PUT", "/1/live", &body, &[])
    }

    fn go_live(&self) {
        assert_eq!(self.start().status, 200);
        self.world.advance(LIVE_DELAY_MS);
    }

    fn state(&self) -> Value {
        self.get("profiles", &format!("{PROFILES}/1")).json()
    }
}

fn row(email: &str) -> String {
    format!(r#"[{{"profile_id":"{A}","email":"{email}"}}]"#)
}

#[test]
fn the_state_of_a_database_is_for_operators_and_for_those_who_change_profiles() {
    let deployment = Deployment::new();
    let created_at = rfc3339(deployment.world.now());
    let expected = json!({
        "database": 1, "generation": "g1", "created_at": created_at, "live": false, "live_since": null, "version": 0,
        "pending": 0, "limit": CHANGES_LIMIT,
    });
    for token in ["profiles", "admin"] {
        let reply = deployment.get(token, &format!("{PROFILES}/1"));
        assert_eq!((reply.status, reply.json()), (200, expected.clone()), "{token}");
    }
    assert_eq!(deployment.get("read", &format!("{PROFILES}/1")).status, 403);
    let live_since = rfc3339(deployment.world.now() + LIVE_DELAY_MS);
    deployment.start();
    let state = deployment.state();
    assert_eq!((&state["live"], &state["live_since"]), (&json!(true), &json!(live_since)));
}

#[test]
fn a_foreign_database_and_one_without_an_index_are_not_found() {
    let deployment = Deployment::new();
    let not_found = (404, "no such database".to_owned());
    assert_eq!(deployment.get("profiles-2", &format!("{PROFILES}/1")).refusal(), not_found);
    assert_eq!(deployment.get("profiles", &format!("{PROFILES}/2")).refusal(), not_found);
    for path in ["/2/changes", "/2/generations"] {
        let body = if path.ends_with("changes") { "[]" } else { super::PUBLICATION };
        assert_eq!(deployment.profiles("POST", path, body, &[]).refusal(), not_found, "{path}");
    }
    assert_eq!(deployment.profiles("GET", "/2/changes", "", &[]).refusal(), not_found);
    assert_eq!(deployment.profiles("GET", "/2/entries", "", &[]).refusal(), not_found);
    assert_eq!(deployment.get("profiles", &format!("{PROFILES}/0")).status, 404);
}

#[test]
fn changes_are_refused_until_they_are_live() {
    let deployment = Deployment::new();
    let off = deployment.change(&row("a@b.example"));
    assert_eq!(off.refusal(), (409, "live changes are off".to_owned()));
    assert_eq!((off.header("Retry-After"), &off.json()["error_text"]), (None, &json!("Live changes unavailable")));
    deployment.start();
    let since = rfc3339(deployment.world.now() + LIVE_DELAY_MS);
    let early = deployment.change(&row("a@b.example"));
    assert_eq!(early.refusal(), (409, format!("live changes begin at {since}")));
    assert_eq!(early.header("Retry-After"), Some("300"));
    deployment.world.advance(LIVE_DELAY_MS);
    assert_eq!(deployment.change(&row("a@b.example")).status, 200);
    assert_eq!(deployment.state()["pending"], 2);
    let stop = deployment.profiles("PUT", "/1/live", r#"{"live":false}"#, &[]);
    assert_eq!(stop.refusal(), (409, "2 changes are pending: compact first".to_owned()));
}

#[test]
fn good_rows_are_applied_and_bad_ones_reported() {
    let deployment = Deployment::new();
    deployment.go_live();
    let rows =
        format!(r#"[{{"profile_id":"{A}","email":"a@b.example"}},{{"profile_id":"x"}},{{"email":"c@d.example"}}]"#);
    let expected = json!({
        "error": 0, "error_text": "Successful operation", "version": 1, "applied": 1, "refused": [
            { "index": 1, "field": "profile_id", "reason": "malformed" },
            { "index": 2, "field": "profile_id", "reason": "missing_field" },
        ],
    });
    let strict = deployment.profiles("POST", "/1/changes?strict=true", &rows, &[]);
    let first = "strict: 2 rows refused; the first is row 1: profile_id: malformed";
    assert_eq!(strict.refusal(), (400, first.to_owned()));
    assert_eq!(deployment.change(&rows).json(), expected);
    let lines = rows.trim_matches(['[', ']']).replace("},{", "}\n{");
    let ndjson = deployment.profiles("POST", "/1/changes", &lines, &[("Content-Type", "application/x-ndjson")]);
    assert_eq!(ndjson.json(), expected, "nothing has changed");
    assert_eq!(deployment.change(&lines).json(), expected, "the first byte decides");
    for (headers, body, status) in [
        (&[("Content-Type", "application/xml")][..], "", 415),
        (&[("Content-Length", "10485761")], "", 413),
        (&[], "[", 400),
        (&[], "[{}] x", 400),
    ] {
        assert_eq!(deployment.profiles("POST", "/1/changes", body, headers).status, status, "{headers:?} {body}");
    }
    let large = format!("[{}]", " ".repeat(10 * 1024 * 1024));
    assert_eq!(deployment.change(&large).status, 413);
}

#[test]
fn a_request_id_is_applied_once() {
    let deployment = Deployment::new();
    deployment.go_live();
    let send = |body: &str| deployment.profiles("POST", "/1/changes", body, &[("Request-ID", "r1")]);
    let first = send(&row("a@b.example"));
    assert_eq!((first.json()["version"].as_u64(), first.header("Duplicate-Request")), (Some(1), None));
    deployment.change(&row("c@d.example"));
    let repeat = send(&row("a@b.example"));
    assert_eq!((repeat.json(), repeat.header("Duplicate-Request")), (first.json(), Some("true")));
    assert_eq!(deployment.state()["version"], 2, "the repeat has not changed anything");
    assert_eq!(send(&row("e@f.example")).status, 422);
}

#[test]
fn the_limit_of_pending_changes_is_reported_and_enforced() {
    let deployment = Deployment::new();
    deployment.go_live();
    let values: Vec<String> = (0..999).map(|value| value.to_string()).collect();
    let rows = |first: u64, count: u64| {
        let row = |number| format!(r#"{{"profile_id":"{number:024x}","custom:x":[{}]}}"#, values.join(","));
        format!("[{}]", (first..first + count).map(row).collect::<Vec<_>>().join(","))
    };
    assert_eq!(deployment.change(&rows(0, 79)).status, 200);
    assert!(deployment.world.reported.borrow().is_empty());
    assert_eq!(deployment.change(&rows(79, 21)).status, 200);
    let reported = deployment.world.reported.borrow().clone();
    assert_eq!(reported.len(), 1);
    assert_eq!(reported[0].1.0, "database 1: 100000 of 100000 pending changes");
    let full = deployment.change(&rows(100, 1));
    assert_eq!(full.refusal(), (507, "compact first".to_owned()));
    assert_eq!(full.json()["error_text"], "Too many pending changes");
}

#[test]
fn the_command_line_reads_pending_changes_entries_and_the_manifest() {
    let deployment = Deployment::new();
    deployment.go_live();
    deployment.change(&row("a@b.example"));
    let manifest = deployment.profiles("GET", "/1/manifest", "", &[]).json();
    assert_eq!((&manifest["manifest"]["current"]["name"], &manifest["pending"]), (&json!("g1"), &json!(2)));
    let entries = deployment.profiles("GET", "/1/entries?generation=g1", "", &[]);
    assert_eq!((entries.status, entries.kind), (200, "lines"));
    let lines: Vec<Value> = entries.body.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines[0]["generation"]["name"], "g1");
    assert_eq!(lines.last(), Some(&json!({ "next": null })));
    let buckets = &lines[1..lines.len() - 1];
    assert!(buckets.iter().all(|line| line["bucket"].as_str().unwrap().starts_with("TLB")));
    assert!(!entries.body.contains('@'), "no addresses");
    let from = deployment.profiles("GET", "/1/entries?generation=g1&from=2", "", &[]).body;
    assert_eq!(from.lines().count(), lines.len() - 2);
    let unknown = deployment.profiles("GET", "/1/entries?generation=g9", "", &[]);
    assert_eq!(unknown.refusal(), (404, "no such generation".to_owned()));
}

#[test]
fn a_generation_is_published_by_compare_and_set() {
    let deployment = Deployment::new();
    deployment.go_live();
    deployment.change(&row("a@b.example"));
    let mut generation = deployment.profiles("GET", "/1/manifest", "", &[]).json()["manifest"]["current"].clone();
    generation["name"] = json!("g2");
    let publish = |replaces: &str| {
        let body = json!({ "replaces": replaces, "generation": generation, "contents": { "changes_through": 1 } });
        deployment.profiles("POST", "/1/generations", &body.to_string(), &[])
    };
    let other = publish("g0");
    assert_eq!(other.refusal(), (409, "generation g1 has become current in the meantime".to_owned()));
    let reply = publish("g1").json();
    assert_eq!((&reply["superseded"], &reply["later"]), (&json!(1), &json!(0)));
    let state = deployment.state();
    assert_eq!((&state["generation"], &state["pending"], &state["version"]), (&json!("g2"), &json!(0), &json!(1)));
    let bad = deployment.profiles("POST", "/1/generations", "{}", &[]);
    assert_eq!(bad.status, 400);
}

/// Sends a request for entries, and returns the reply before its lines are read.
fn entries(deployment: &Deployment) -> Reply<Stream<Deployment>> {
    let url = format!("https://example.com{PROFILES}/1/entries");
    let header = |name: &str| (name == "Authorization").then(|| "Bearer profiles".to_owned());
    let request = HttpRequest { method: "GET", url: &url, header: &header };
    run(answer(deployment, request, &mut Call::bare("").chunks(&deployment.world)))
}

#[test]
fn entries_reserve_no_memory_while_the_caller_reads() {
    let deployment = Deployment::new();
    let budget = &deployment.world.budget;
    let reply = entries(&deployment);
    assert_eq!(budget.reserved(), 0);
    let ReplyBody::Lines(mut lines) = reply.body else { panic!() };
    for _ in 0..2 {
        assert!(run(lines.next()).is_some_and(|piece| piece.is_ok()));
        assert_eq!(budget.reserved(), 0);
    }
}

#[test]
fn entries_end_with_the_place_to_continue_when_there_is_no_memory() {
    let deployment = Deployment::new();
    let reply = entries(&deployment);
    let budget = Rc::clone(&deployment.world.budget);
    let mut others = Reservation::verified(&budget);
    while others.grow(64).is_ok() {}
    let body = TestReply::new(reply).body;
    let lines: Vec<&str> = body.lines().collect();
    assert_eq!((lines.len(), lines.last()), (2, Some(&r#"{"next":0}"#)), "{body}");
    drop(others);
}

#[test]
fn a_generation_of_a_client_is_checked() {
    let deployment = Deployment::new();
    deployment.go_live();
    let manifest = deployment.profiles("GET", "/1/manifest", "", &[]).json()["manifest"].clone();
    let custom = |field: &str| json!({ "class": "custom", "field": field, "buckets": 1, "largest": 16 });
    let many: Vec<Value> = (0..=1000).map(|number| custom(&number.to_string())).collect();
    for (pointer, value, fault) in [
        ("/name", json!(""), "name: must be 1 to 64 letters, digits, - and _"),
        ("/name", json!("a:b"), "name: must be 1 to 64 letters, digits, - and _"),
        ("/key", json!("k".repeat(65)), "key: must be 1 to 64 letters, digits, - and _"),
        ("/classes/0/buckets", json!(0), "classes[0].buckets: must be 1 to 45000"),
        ("/classes/0/buckets", json!(45_001), "classes[0].buckets: must be 1 to 45000"),
        ("/classes/0/largest", json!(0), "classes[0].largest: must be 1 to 81920"),
        ("/classes/0/largest", json!(81_921), "classes[0].largest: must be 1 to 81920"),
        ("/classes/0", custom(""), "classes[0].field: must have 1 to 1024 bytes"),
        ("/classes/0", custom(&"x".repeat(1025)), "classes[0].field: must have 1 to 1024 bytes"),
        ("/classes", json!([custom("x"), custom("x")]), "classes[1].class: a second index of the same class and field"),
        (
            "/classes/0",
            json!({ "class": "email", "field": "x", "buckets": 1, "largest": 16 }),
            "classes[0].field: must be empty for the class email",
        ),
        (
            "/classes",
            json!(many),
            "classes: 1001 custom fields and channels with 2894 bytes of names; the limits are 1000 and 262144",
        ),
    ] {
        let mut generation = manifest["current"].clone();
        generation["name"] = json!("g2");
        *generation.pointer_mut(pointer).unwrap() = value.clone();
        let body = json!({ "replaces": "g1", "generation": generation, "contents": { "changes_through": 0 } });
        let publication = deployment.profiles("POST", "/1/generations", &body.to_string(), &[]);
        assert_eq!(publication.refusal(), (400, format!("generation.{fault}")));
        let mut manifest = manifest.clone();
        manifest["previous"] = generation;
        let body = json!({ "live": true, "manifest": manifest });
        let start = deployment.profiles("PUT", "/1/live", &body.to_string(), &[]);
        assert_eq!(start.refusal(), (400, format!("manifest.previous.{fault}")));
    }
    let deleted = json!({
        "replaces": "g1", "generation": manifest["current"], "deleted": vec!["x"; 5001], "contents": { "changes_through": 0 },
    });
    let refused = deployment.profiles("POST", "/1/generations", &deleted.to_string(), &[]);
    assert_eq!(refused.refusal(), (400, "deleted: 5001 entries; the limit is 5000".to_owned()));
    let mut old = manifest.clone();
    old["format"] = json!(1);
    let start = deployment.profiles("PUT", "/1/live", &json!({ "live": true, "manifest": old }).to_string(), &[]);
    assert_eq!(start.refusal(), (400, "manifest.format: must be 2".to_owned()));
    assert_eq!(deployment.state()["generation"], "g1");
}

/// The list is not text, so it is read from the object.
#[test]
fn a_pending_list_contains_the_state_and_the_changed_profiles() {
    let status = serde_json::from_value(json!({
        "manifest": { "format": 1, "current": { "name": "g1", "created": 1, "normalisation": 2, "key": "k", "classes": [] } },
        "live": true, "live_since": 5, "version": 7, "pending": 0,
    }))
    .unwrap();
    let list = PendingList::begin(&status);
    let read = PendingList::read(&list).unwrap();
    assert_eq!((read.rows().count(), read.status), (0, status));
}
