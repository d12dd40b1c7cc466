//! Matching, the order of faults, repeated requests, and stale reads.

use super::{
    call::{Call, reply},
    world::{CAMPAIGN, TOKEN, World},
};
use crate::{
    access::Scope, campaign::protocol::commands::RequestIdentity, fields::Endpoint, launch::LaunchOutcome,
    problem::Problem, wire::Format,
};

const A: &str = "6606e08f10bcdd88297057a7";
const B: &str = "66101437dc4594c2934da6da";

/// A body with a valid token, the campaign and these fields.
fn body(fields: &str) -> String {
    format!(r#"{{"token":"{TOKEN}","trigger_id":8,{fields}}}"#)
}

/// Sends a body. The head has no token, no request ID and no length.
fn post(world: &World, body: impl Into<Vec<u8>>) -> LaunchOutcome {
    world.send(Call::bare(body))
}

fn problem(outcome: LaunchOutcome) -> Problem {
    outcome.result.unwrap_err().problem
}

/// Matches items, and summarizes the report: profile IDs, unmatched and invalid items with their reasons, duplicates.
fn outcomes(world: &World, mode: &str, data: &str) -> String {
    let outcome = post(world, body(&format!(r#"{mode},"report":true,"data":[{data}]"#)));
    let answer: serde_json::Value = serde_json::from_str(&reply(outcome, Format::Json)).unwrap();
    let ids = answer["result"].as_array().unwrap().iter().map(|one| one["profile_id"].as_str().unwrap());
    let ids: Vec<_> = ids
        .map(|id| match id {
            A => "A",
            B => "B",
            other => other,
        })
        .collect();
    let reasons = ["unmatched", "invalid"].iter().flat_map(|list| answer["report"][list].as_array().unwrap());
    let reasons: Vec<_> = reasons.map(|one| format!("{}:{}", one["index"], one["reason"].as_str().unwrap())).collect();
    format!("{} {} {}", ids.join(","), reasons.join(","), answer["report"]["duplicates"])
}

#[test]
fn matches_in_every_mode() {
    let world = World::new();
    for (mode, data, expected) in [
        // A profile's e-mail ranks before a subscription's.
        (r#""matching":"email""#, r#"{"email":" Example1@Example.com "},{"email":"sub2@example.com"}"#, "A,B  []"),
        (r#""strict":false"#, r#"{"email":"example1@example.com"}"#, "A  []"),
        (
            r#""matching":"email_profile""#,
            r#"{"email":"sub2@example.com"},{"email":"ÜNÏ@EXAMPLE.com"}"#,
            "6610000000000000000000aa 0:not_found []",
        ),
        (
            r#""matching":"email_sub""#,
            r#"{"email":"sub2@example.com"},{"email":"example2@example.com"}"#,
            "B 1:not_found []",
        ),
        // Ambiguous among profiles: subscriptions are not searched.
        (r#""matching":"email""#, r#"{"email":"both@example.com"}"#, " 0:ambiguous []"),
        (r#""matching":"email_sub""#, r#"{"email":"both@example.com"}"#, "6610000000000000000000aa  []"),
        (r#""matching":"phone""#, r#"{"phone":"+7 (900) 000.00-01"},{"phone":"79000000012"}"#, "A,B  []"),
        (r#""matching":"phone_sub""#, r#"{"phone":"79000000012"},{"phone":"79000000001"}"#, "B 1:not_found []"),
        (
            r#""matching":"profile_id""#,
            r#"{"profile_id":"6606E08F10BCDD88297057A7"},{"profile_id":"x"}"#,
            "A 1:malformed []",
        ),
        (
            r#""matching":"push_sub""#,
            r#"{"provider":"android-firebase","subscription_id":"f00:1"},{"provider":"x"}"#,
            "A 1:missing_field []",
        ),
        (
            r#""matching":"custom","field_name":"Custom_ID""#,
            r#"{"field_value":"003"},{"field_value":42},{"field_value":1.0}"#,
            "A,6610000000000000000000aa 2:wrong_type []",
        ),
        (
            r#""matching":"custom_sub","field_name":"chat""#,
            r#"{"field_value":"c2"},{"field_value":"c1"}"#,
            "B 1:ambiguous []",
        ),
        (r#""matching":"custom","field_name":"other""#, r#"{"field_value":"003"}"#, " 0:not_found []"),
        // After a missing, invalid or unknown e-mail the phone is searched; after an ambiguous one it is not.
        (
            r#""matching":"email_phone""#,
            r#"{"phone":"79000000001"},{"email":5,"phone":"79000000002"},{"email":"x@y.z","phone":"79000000003"},{"email":"both@example.com","phone":"79000000004"},{},{"email":7}"#,
            "A,B,6610000000000000000000aa 3:ambiguous,4:missing_field,5:wrong_type []",
        ),
        (
            r#""matching":"email_phone_sub""#,
            r#"{"email":"sub2@example.com"},{"email":"no@no","phone":"79000000004"}"#,
            "B,6610000000000000000000bb  []",
        ),
        (
            r#""matching":"email""#,
            r#"{"email":"example1@example.com"},{"email":"example1@example.com"},7,{"email":null},{"email":" "}"#,
            "A 2:malformed,3:missing_field,4:malformed [1]",
        ),
    ] {
        assert_eq!(outcomes(&world, mode, data), expected, "{mode} {data}");
    }
    assert_eq!(world.budget.reserved(), 0);
}

#[test]
fn accepts_fields_in_any_order() {
    let world = World::new();
    let sorted = format!(
        r#"{{"data":[{{"field_value":"003"}},{{"field_value":"YY"}}],"field_name":"Custom_ID","matching":"custom","token":"{TOKEN}","trigger_id":"8"}}"#
    );
    for chunk in [1, 3, 7, 64 * 1024] {
        let outcome = world.send(Call { chunk, ..Call::bare(sorted.as_str()) });
        assert_eq!(outcome.result.as_ref().unwrap().counts.matched, 2, "{chunk}");
    }
}

#[test]
fn answers_the_first_fault_of_the_documented_order() {
    let world = World::new();
    world.grant("reader-token-0123456789", "reader", &[Scope::Read], &[]);
    world.grant("other-token-0123456789", "other", &[Scope::Launch], &[2]);
    let long = format!("{}{}", " ".repeat(10 << 20), r#"{"token":"nobody","trigger_id":8,"data":[]}"#);
    let unknown = "nobody-nobody-nobody";
    let own = |fields: &str| Call::bare(format!(r#"{{"token":"{TOKEN}",{fields}}}"#));
    let head = |token: &str, call: Call| Call { tokens: vec![token.into()], ..call };
    for (what, call, expected) in [
        ("malformed before 401", Call::bare(format!(r#"{{"token":"{unknown}","#)), 400),
        ("401 before a bad field", Call::bare(format!(r#"{{"token":"{unknown}","data":5}}"#)), 401),
        ("403 before a bad field", Call::bare(r#"{"token":"reader-token-0123456789","data":5}"#), 403),
        ("413 before malformed", Call::bare(format!("?{}", " ".repeat(10 << 20))), 413),
        ("413 before 401", Call::bare(long.as_str()), 413),
        ("401 of a header before 413", head(unknown, Call::bare(long)), 401),
        ("a bad field before 404", own(r#""trigger_id":9,"data":[]"#), 400),
        ("404 before an empty index", own(r#""trigger_id":9,"data":[{}]"#), 404),
        (
            "another database is not found",
            Call::bare(r#"{"token":"other-token-0123456789","trigger_id":8,"data":[{}]}"#),
            404,
        ),
        ("two tokens that differ", head("other-token-0123456789", own(r#""trigger_id":8,"data":[{}]"#)), 401),
        ("the same token twice is one", head(TOKEN, own(r#""trigger_id":8,"data":[{}]"#)), 200),
        ("no token", Call::bare(r#"{"trigger_id":8,"data":[{}]}"#), 401),
        ("a field twice", own(r#""matching":"email","matching":"email","trigger_id":8,"data":[{}]"#), 400),
        ("a length that is not the body's", Call { length: Some(3), ..Call::bare("{}") }, 400),
    ] {
        let outcome = world.send(call);
        assert_eq!(outcome.result.map_or_else(|problem| problem.status(), |_| 200), expected, "{what}");
        assert_eq!(world.budget.reserved(), 0, "{what}");
    }
}

#[test]
fn looks_nothing_up_for_a_caller_without_a_valid_token() {
    let world = World::new();
    let body = r#"{"token":"nobody-nobody-nobody","trigger_id":8,"data":[{"email":"example1@example.com"}]}"#;
    assert_eq!(problem(post(&world, body)).status(), 401);
    assert_eq!(
        (world.faults.calls("buckets"), world.faults.calls("preflight"), world.faults.calls("commit")),
        (0, 0, 0)
    );
}

#[test]
fn a_repeat_ranks_before_a_pause_and_before_strict() {
    let world = World::new();
    let strict = body(r#""strict":true,"data":[{"email":"example1@example.com"}]"#);
    let launch = |body: &str| world.send(Call { request_id: Some("order-1".into()), ..Call::bare(body) });
    let first = launch(&strict).result.unwrap();
    assert!(!first.repeated);
    world.pause_campaign(CAMPAIGN);
    world.import(1, "profile_id,email\n6606e08f10bcdd88297057a7,gone@example.com\n");
    world.advance(120_000);
    let again = launch(&strict).result.unwrap();
    assert_eq!((again.repeated, again.launch_id), (true, first.launch_id));
    assert_eq!(launch(&body(r#""data":[{"email":"a@b.c"}]"#)).result.unwrap_err().problem, Problem::RequestIdReused);
    let paused = world.send(Call { request_id: Some("order-2".into()), ..Call::bare(strict) });
    assert_eq!(problem(paused), Problem::NotActive, "a pause ranks before strict");
}

#[test]
fn a_dry_run_and_an_error_do_not_use_up_the_request_id() {
    let world = World::new();
    let launch = |body: &str| world.send(Call { request_id: Some("order-1".into()), ..Call::bare(body) });
    let dry = launch(&body(r#""dry_run":true,"data":[{"email":"example1@example.com"}]"#)).result.unwrap();
    assert_eq!((dry.launch_id, dry.counts.matched), (None, 1));
    assert!(launch(&body(r#""strict":true,"data":[{"email":"no@no"}]"#)).result.is_err());
    assert!(world.launches().is_empty());
    assert!(!launch(&body(r#""data":[{"email":"no@no"}]"#)).result.unwrap().repeated);
    assert_eq!(world.launches().len(), 1, "a launch that matches nobody is recorded too");
}

#[test]
fn uses_a_digest_of_the_body_as_the_id_of_a_request_without_one() {
    let world = World::new();
    let call = Call { checksum: true, ..Call::bare(body(r#""data":[{"email":"example1@example.com"}]"#)) };
    let first = world.send(call.clone());
    let again = world.send(call.clone());
    assert_eq!(first.request_id, again.request_id);
    assert!(again.result.unwrap().repeated);
    assert!(!world.send(Call { request_id: Some("own".into()), ..call }).result.unwrap().repeated);
}

#[test]
fn recognises_a_large_repeat_before_the_search() {
    let world = World::new();
    let items = vec![r#"{"email":"example1@example.com"}"#; 4000].join(",");
    let text = body(&format!(r#""matching":"email","data":[{items}]"#));
    let call = Call { request_id: Some("large".into()), chunk: 16 * 1024, ..Call::bare(text) };
    let launch = || world.send(call.clone());
    assert!(!launch().result.unwrap().repeated);
    let reads = world.faults.calls("buckets");
    let again = launch().result.unwrap();
    assert!(again.repeated);
    assert_eq!(world.faults.calls("buckets"), reads);
    assert_eq!(world.faults.calls("commit"), 1);
}

#[test]
fn a_stale_manifest_or_a_missing_bucket_never_means_not_found() {
    let world = World::new();
    let text = body(r#""data":[{"email":"example1@example.com"}]"#);
    let matched = || post(&world, text.as_str()).result.map(|launched| launched.counts.matched);
    assert_eq!(matched(), Ok(1));
    // After a new import this location still uses the cached manifest and its buckets.
    world.import(1, "profile_id,email\n6606e08f10bcdd88297057a7,new@example.com\n");
    assert_eq!(matched(), Ok(1), "all items are matched in the old import");
    world.advance(60_000);
    assert_eq!(matched(), Ok(0), "all items are matched in the new import");
    // The manifest is new, but a bucket has not arrived yet: the whole launch uses the previous generation.
    world.import(1, "profile_id,email\n6606e08f10bcdd88297057a7,example1@example.com\n");
    let hidden: Vec<_> = world.kv.borrow().keys().filter(|key| key.contains(":g3:")).cloned().collect();
    let removed: Vec<_> = hidden.iter().map(|key| world.kv.borrow_mut().remove(key).unwrap()).collect();
    world.advance(60_000);
    assert_eq!(matched(), Ok(0), "the launch searches the previous generation, which does not have this address");
    // The bucket arrives, but the location caches its absence for a minute.
    world.kv.borrow_mut().extend(hidden.into_iter().zip(removed));
    assert_eq!(matched(), Ok(0));
    world.advance(60_000);
    assert_eq!(matched(), Ok(1));
    // Neither generation can be read.
    world.kv.borrow_mut().retain(|key, _| !key.starts_with("bucket:"));
    world.advance(60_000);
    assert_eq!(matched().unwrap_err().status(), 503);
}

#[test]
fn reports_why_an_index_cannot_be_used() {
    let mut world = World::new();
    world.define(9, 2);
    let text = format!(r#"{{"token":"{TOKEN}","trigger_id":9,"data":[{{"email":"a@b.c"}}]}}"#);
    let debug = |world: &World| problem(post(world, text.as_str())).debug("").into_owned();
    assert_eq!(debug(&world), "database 2 has no profile index: import profiles first");
    world.import(2, "profile_id,email\n6606e08f10bcdd88297057a7,a@b.c\n");
    world.advance(60_000);
    assert!(post(&world, text.as_str()).result.is_ok());
    world.secrets = [crate::profiles::key::IndexKey::new(&"x".repeat(32)).unwrap()].into();
    world.advance(60_000);
    assert_eq!(debug(&world), "profile index of database 2 was built with another key: import profiles again");
}

#[test]
fn asks_the_object_of_a_campaign_that_kv_does_not_know_yet() {
    let world = World::new();
    world.define(9, 1);
    world.kv.borrow_mut().retain(|key, _| !key.starts_with("campaign:"));
    let text = format!(r#"{{"token":"{TOKEN}","trigger_id":9,"data":[{{"email":"example1@example.com"}}]}}"#);
    assert_eq!(post(&world, text.as_str()).result.unwrap().counts.matched, 1);
}

#[test]
fn returns_503_and_all_memory_if_memory_runs_out() {
    let mut world = World::new();
    let room = 300 << 10;
    world.budget = crate::memory::Budget::new(room, room);
    let items = vec![r#"{"email":"example1@example.com"}"#; 40_000].join(",");
    let refused = problem(post(&world, body(&format!(r#""matching":"email","data":[{items}]"#))));
    assert_eq!((refused.status(), refused.retry_after()), (503, Some(5)));
    assert_eq!(world.budget.reserved(), 0);
    let small = post(&world, body(r#""data":[{"email":"example1@example.com"}]"#));
    assert!(small.result.is_ok(), "{:?}", small.result);
}

/// The field arrived, but there was no memory for it. The request is valid and can be retried.
#[test]
fn does_not_report_a_field_as_missing_if_memory_ran_out() {
    let fields = [("token", TOKEN), ("trigger_id", "8"), ("matching", "custom"), ("field_name", "Custom_ID")];
    let json = fields.map(|(name, value)| format!("\"{name}\":\"{value}\",")).concat();
    let json = format!(r#"{{{json}"data":[{{"field_value":"\u0061","custom_data":{{}}}}]}}"#);
    let xml = fields.map(|(name, value)| format!("<{name}>{value}</{name}>")).concat();
    let xml = format!("<xml>{xml}<data><field_value>&#97;</field_value><custom_data/></data></xml>");
    for body in [json, xml] {
        let mut launched = 0;
        for memory in (0..300).step_by(2).chain([1 << 20]) {
            let mut world = World::new();
            world.budget = crate::memory::Budget::new(memory, memory);
            match world.send(Call { chunk: 5, ..Call::bare(body.as_str()) }).result {
                Ok(_) => launched += 1,
                Err(problem) => assert_eq!(problem.status(), 503, "{memory} bytes: {problem:?}"),
            }
        }
        assert!(launched > 0, "no amount of memory was enough");
    }
}

#[test]
fn start_matches_one_profile_like_start_batch() {
    let world = World::new();
    let launch = |body: &str| world.send(Call { endpoint: Endpoint::Start, ..Call::bare(body) });
    for (fields, matched) in [
        (r#""email":"example1@example.com","content":{"a":1}"#, 1),
        (r#""matching":"custom","field_name":"Custom_ID","field_value":42"#, 1),
        (r#""matching":"phone","phone":"none""#, 0),
        (r#""data":"unknown here","email":"example2@example.com""#, 1),
    ] {
        let text = format!(r#"{{"token":"{TOKEN}","id":8,{fields}}}"#);
        assert_eq!(launch(&text).result.unwrap().counts.matched, matched, "{fields}");
    }
    let none = format!(r#"{{"token":"{TOKEN}","id":8}}"#);
    assert_eq!(launch(&none).result.unwrap().counts.invalid, 1);
    let request = RequestIdentity { token_name: "crm".into(), request_id: "x".into() };
    assert!(world.object(CAMPAIGN).preflight(&request, world.now()).unwrap().is_none());
}
