//! Lets each port fail at each call, and checks the answer and the line in the operator's log.

use super::{
    call::Call,
    staging::{REST, attach},
    world::{CAMPAIGN, TOKEN, World},
};
use crate::{
    access::token_key,
    campaign::tests::faults::{Faults, When},
    launch::LaunchOutcome,
    limits::Limits,
    profiles::manifest::manifest_key,
    telemetry::{FailureLine, IsolateMemory, RequestLine},
};

/// The line of a request, as JSON.
fn line(outcome: &LaunchOutcome) -> serde_json::Value {
    let text = RequestLine::of_launch(outcome, 0, IsolateMemory::default()).to_json();
    for private in [TOKEN, "example1@example.com", "policy"] {
        assert!(!text.contains(private), "{text}");
    }
    serde_json::from_str(&text).unwrap()
}

/// The lines of failures from which the request recovered.
fn failures(world: &World) -> Vec<String> {
    let reported = world.reported.borrow();
    reported.iter().map(|(failure, cause)| FailureLine::new(Some("id"), failure, cause).to_json()).collect()
}

/// Requests that use the ports in different ways.
fn shapes() -> Vec<(&'static str, String)> {
    let large = format!(r#""x":"{}""#, "y".repeat(100_000));
    vec![
        ("small", format!("{{{REST}}}")),
        ("large", format!("{{{large},{REST}}}")),
        ("attachments", format!("{{{},{REST}}}", attach(&[b"policy", b"prices"]))),
        ("dry run", format!(r#"{{"dry_run":true,{REST}}}"#)),
        ("strict", r#"{"strict":true,"trigger_id":8,"data":[{"email":"nobody@example.com"}]}"#.to_owned()),
        ("unknown to KV", format!("{{{}}}", REST.replace('8', "9"))),
    ]
}

fn world() -> World {
    let world = World::new();
    world.define(9, 1);
    world.kv.borrow_mut().remove(&crate::access::campaign_key(9));
    world
}

/// The name of a port's operation, the [`Faults`] that can fail the operation, and a part of the cause.
type Operation = (&'static str, fn(&World) -> &Faults, &'static str);

const OPERATIONS: [Operation; 16] = [
    ("token", |world| &world.faults, "KV is down"),
    ("rate limit", |world| &world.faults, "the rate limiter is down"),
    ("campaign", |world| &world.faults, "KV is down"),
    ("manifest", |world| &world.faults, "KV is down"),
    ("buckets", |world| &world.faults, "KV is down"),
    ("defined", |world| &world.faults, "the connection is gone"),
    ("preflight", |world| &world.faults, "the connection is gone"),
    ("commit", |world| &world.faults, "the connection is gone"),
    ("busy", |world| &world.faults, "the object is full"),
    ("completed", |world| &world.faults, "the connection is gone"),
    ("digest", |world| &world.bucket.faults, "no digest"),
    ("update", |world| &world.bucket.faults, "no digest"),
    ("begin", |world| &world.bucket.faults, "the bucket is down"),
    ("upload", |world| &world.bucket.faults, "the network is gone"),
    ("complete", |world| &world.bucket.faults, "the bucket is down"),
    ("abort", |world| &world.bucket.faults, "the bucket is down"),
];

#[test]
fn logs_the_cause_of_every_failure_of_every_port() {
    for (shape, body) in shapes() {
        let quiet = world();
        let expected = quiet.send_and_complete(Call::new(body.as_str())).result.map_or_else(|r| r.status(), |_| 200);
        for (operation, faults, cause) in OPERATIONS {
            for nth in 1..=faults(&quiet).calls(operation) {
                for when in [When::Before, When::After] {
                    let world = world();
                    faults(&world).plan(operation, nth, when);
                    let outcome = world.send_and_complete(Call::new(body.as_str()));
                    let what = format!("{shape}: {operation} {nth} {when:?}: {:?}", outcome.result);
                    let line = line(&outcome);
                    let status = outcome.result.as_ref().map_or_else(|refused| refused.status(), |_| 200);
                    assert_eq!(line["status"], status, "{what}");
                    assert_eq!(line["error"].is_string(), status != 200, "{what}");
                    if status == expected {
                        // The request recovered, and reported the failure.
                        let reported = failures(&world).iter().any(|line| line.contains(cause));
                        assert!(reported, "{what} {:?}", failures(&world));
                    } else {
                        assert_eq!(status, 503, "{what}");
                        assert!(line["cause"].as_str().is_some_and(|text| text.contains(cause)), "{what} {line}");
                    }
                    drop(outcome);
                    assert_eq!(world.budget.reserved(), 0, "{what}");
                }
            }
        }
    }
}

/// The request recovers from one failure of these operations, but not from failures of all calls.
#[test]
fn logs_the_cause_if_a_port_fails_for_good() {
    let body = format!("{{{REST}}}");
    for (operation, debug, cause) in [
        ("buckets", "profile index of database 1 cannot be read now: retry later", "generation g1: KV is down"),
        ("commit", "outcome unknown: retry with this Request-ID", "the connection is gone"),
        ("busy", "too many large requests at once: retry later", "the object is full"),
    ] {
        let world = World::new();
        world.faults.always(operation, When::Before);
        let outcome = world.send(Call::new(body.as_str()));
        let refused = outcome.result.as_ref().unwrap_err();
        assert_eq!((refused.status(), refused.problem.debug("").as_ref()), (503, debug));
        let line = line(&outcome);
        assert!(line["cause"].as_str().unwrap().contains(cause), "{line}");
        assert_eq!(line["error"], "Service unavailable");
    }
}

#[test]
fn logs_the_key_of_a_damaged_or_missing_record() {
    let body = format!("{{{REST}}}");
    let manifest = manifest_key(1);
    for (key, value, debug, cause) in [
        (
            manifest.as_str(),
            Some("{}"),
            "profile index of database 1 is damaged: import profiles again",
            "KV PROFILES manifest:1: damaged: missing field `format`",
        ),
        (
            manifest.as_str(),
            None,
            "database 1 has no profile index: import profiles first",
            "KV PROFILES manifest:1: not found",
        ),
    ] {
        let world = World::new();
        match value {
            Some(value) => drop(world.kv.borrow_mut().insert(key.to_owned(), value.to_owned())),
            None => drop(world.kv.borrow_mut().remove(key)),
        }
        let outcome = world.send(Call::new(body.as_str()));
        assert_eq!(outcome.result.as_ref().unwrap_err().problem.debug(""), debug);
        assert!(line(&outcome)["cause"].as_str().unwrap().starts_with(cause), "{}", line(&outcome));
    }
    let world = World::new();
    world.kv.borrow_mut().retain(|key, _| !key.starts_with("bucket:1:g1:email:"));
    let cause = line(&world.send(Call::new(body.as_str())))["cause"].as_str().unwrap().to_owned();
    assert!(cause.contains("KV PROFILES bucket:1:g1:email:0: not found"), "{cause}");
    assert!(world.kv.borrow().contains_key(&token_key(TOKEN)));
}

#[test]
fn reports_why_a_launch_used_the_previous_generation() {
    let world = World::new();
    world.import(1, "profile_id,email\n6606e08f10bcdd88297057a7,example1@example.com\n");
    world.kv.borrow_mut().retain(|key, _| !key.starts_with("bucket:1:g2:"));
    let outcome = world.send(Call::new(format!("{{{REST}}}")));
    assert_eq!(outcome.result.unwrap().counts.matched, 1);
    let reported = failures(&world);
    assert_eq!(reported.len(), 1, "{reported:?}");
    let line: serde_json::Value = serde_json::from_str(&reported[0]).unwrap();
    assert_eq!(line["request_id"], "id");
    assert_eq!(line["failure"], "generation g2 of the profile index could not be read");
    assert_eq!(line["cause"], "database 1, generation g2: KV PROFILES bucket:1:g2:email:0: not found");
}

#[test]
fn logs_the_memory_limit_that_was_reached() {
    for (limits, cause) in [
        (Limits { memory: 500, ..Limits::default() }, "MEMORY_LIMIT: "),
        (Limits { unverified: 500, ..Limits::default() }, "UNVERIFIED_LIMIT: "),
    ] {
        let world = World::with_limits(limits);
        let outcome = world.send(Call::bare(format!(r#"{{{REST},"token":"{TOKEN}"}}"#)));
        assert_eq!(outcome.result.as_ref().unwrap_err().status(), 503, "{:?}", outcome.result);
        let line = line(&outcome);
        assert!(line["cause"].as_str().is_some_and(|text| text.starts_with(cause)), "{line}");
    }
}

#[test]
fn logs_the_size_of_a_full_campaign_log() {
    let world = World::with_limits(Limits { log: 1, ..Limits::default() });
    let outcome = world.send(Call::new(format!("{{{REST}}}")));
    let line = line(&outcome);
    assert_eq!(line["status"], 507);
    assert!(line["cause"].as_str().unwrap().ends_with("bytes, LOG_LIMIT is 1"), "{line}");
    assert_eq!(world.object(CAMPAIGN).read().unwrap().launches, 0);
}
