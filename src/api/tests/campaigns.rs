//! Defining, reading and listing campaigns.

use super::{Deployment, TRIGGERS, TestRequest};
use crate::{
    access::campaign_key,
    campaign::tests::faults::When,
    launch::tests::call::{Call, End},
    limits::DEFINITION_LIMIT,
};

const CAMPAIGN_8: &str = "/api/v1.1/campaigns/triggers/8";

/// A definition of campaign 8 without its body.
const DEFINE: TestRequest<'_> =
    TestRequest { method: "PUT", path: CAMPAIGN_8, token: Some("admin"), headers: &[], body: "" };

#[test]
fn replies_to_a_definition_with_the_campaign_as_it_is_read() {
    let deployment = Deployment::new();
    let path = format!("{TRIGGERS}/500");
    let defined = deployment.put("admin", &path, r#"{"name":"Welcome","database":1,"active":true}"#);
    let expected = r#"{"id":500,"name":"Welcome","database":1,"active":true,"launches":0,"recipients":0}"#;
    assert_eq!((defined.status, defined.body.as_str()), (200, expected));
    assert_eq!(deployment.get("admin", &path), defined);
    assert_eq!(deployment.put("admin", &path, expected), defined, "the reply is itself a valid definition");
    let paused = deployment.put("admin", &path, r#"{"active":false}"#);
    assert_eq!(paused.body, expected.replace("true", "false"));
}

#[test]
fn names_what_is_wrong_with_a_definition() {
    let deployment = Deployment::new();
    for (body, field) in
        [(r#"{"name":"x"}"#, "database"), (r#"{"database":1}"#, "name"), (r#"{"name":"x","database":1}"#, "active")]
    {
        let (status, debug) = deployment.put("admin", &format!("{TRIGGERS}/500"), body).refusal();
        assert_eq!((status, debug.split(':').next()), (400, Some(field)), "{body}");
    }
    for body in ["", "[]", r#"{"name":"#, r#"{"actve":false}"#, r#"{"id":9}"#] {
        assert_eq!(deployment.put("admin", CAMPAIGN_8, body).status, 400, "{body}");
    }
    assert_eq!(deployment.put("admin", CAMPAIGN_8, r#"{"database":2}"#).status, 409);
}

#[test]
fn limits_a_definition_whether_its_length_is_announced_or_not() {
    let deployment = Deployment::new();
    let fits = format!("{{}}{}", " ".repeat(DEFINITION_LIMIT - 2));
    let too_large = format!("{fits} ");
    for (body, status) in [(&fits, 200), (&too_large, 413)] {
        let length = body.len().to_string();
        let request = TestRequest { body, ..DEFINE };
        assert_eq!(deployment.send(request).status, status);
        let headers = [("Content-Length", length.as_str())];
        assert_eq!(deployment.send(TestRequest { headers: &headers, ..request }).status, status);
    }
}

#[test]
fn rejects_a_definition_that_ends_early() {
    let deployment = Deployment::new();
    let cut_off = |end| Call { ends: Some((9, end)), ..Call::bare(r#"{"active":false}"#) };
    let disconnected = cut_off(End::Disconnects);
    let refused = deployment.send_body(DEFINE, &mut disconnected.chunks(&deployment.world)).refusal();
    assert_eq!(refused, (400, "byte 9: the body ends early".to_owned()));
    let stalled = cut_off(End::Stalls);
    assert_eq!(deployment.send_body(DEFINE, &mut stalled.chunks(&deployment.world)).status, 408);
    assert_eq!(deployment.get("admin", CAMPAIGN_8).json()["active"], true);
}

#[test]
fn refuses_with_the_cause_if_the_object_cannot_be_reached() {
    for method in ["GET", "PUT"] {
        let deployment = Deployment::new();
        deployment.world.faults.always("command", When::After);
        let refused = deployment.send(TestRequest { method, body: "{}", ..DEFINE }).refusal();
        assert_eq!(refused, (503, "the campaign cannot be reached now: retry later".to_owned()));
        assert_eq!(deployment.cause(), "the connection is gone");
    }
}

#[test]
fn lists_the_campaigns_of_the_token_page_by_page() {
    let deployment = Deployment::new();
    for id in [10, 11, 12] {
        deployment.world.define(id, 1);
    }
    let list = |token: &str, query: &str| {
        let list = deployment.get(token, &format!("{TRIGGERS}{query}")).json();
        let campaigns = list["campaigns"].as_array().unwrap();
        let ids: Vec<u64> = campaigns.iter().map(|campaign| campaign["id"].as_u64().unwrap()).collect();
        (ids, list["next"].as_u64())
    };
    for (token, query, ids, next) in [
        ("admin", "", &[8, 9, 10, 11, 12][..], None),
        ("admin", "?limit=5", &[8, 9, 10, 11, 12], None),
        ("admin", "?limit=2", &[8, 9], Some(9)),
        ("admin", "?limit=2&after=9", &[10, 11], Some(11)),
        ("admin", "?after=11&limit=2", &[12], None),
        ("admin", "?after=0&limit=1000", &[8, 9, 10, 11, 12], None),
        ("admin", "?after=12", &[], None),
        ("admin-2", "", &[9], None),
        ("admin-2", "?limit=1", &[9], None),
        ("admin-2", "?after=9", &[], None),
    ] {
        assert_eq!(list(token, query), (ids.to_vec(), next), "{token} {query}");
    }
}

#[test]
fn lists_a_campaign_as_its_copy_has_it() {
    let deployment = Deployment::new();
    let without_active = r#"{"id":10,"name":"Ten","database":1}"#;
    deployment.world.kv.borrow_mut().insert(campaign_key(10), without_active.to_owned());
    let [eight, nine] = [(8, 1), (9, 2)]
        .map(|(id, database)| format!(r#"{{"id":{id},"name":"campaign {id}","database":{database},"active":true}}"#));
    let expected = format!(r#"{{"campaigns":[{eight},{nine},{without_active}],"next":null}}"#);
    assert_eq!(deployment.get("admin", TRIGGERS).body, expected, "an earlier version wrote no `active`");
}

#[test]
fn rejects_list_parameters_out_of_range() {
    let deployment = Deployment::new();
    let after = "after: must be 0 to 9007199254740991";
    let limit = "limit: must be 1 to 1000";
    for (query, debug) in [
        ("limit=0", limit),
        ("limit=1001", limit),
        ("limit=x", limit),
        ("limit=", limit),
        ("limit=%2B1", limit),
        ("after=-1", after),
        ("after=1.5", after),
        ("after=9007199254740992", after),
        ("after=x&limit=x", after),
    ] {
        let refused = deployment.get("admin", &format!("{TRIGGERS}?{query}")).refusal();
        assert_eq!(refused, (400, debug.to_owned()), "{query}");
    }
}

#[test]
fn refuses_a_list_with_the_cause_if_kv_fails_on_any_page() {
    for page in [1, 2] {
        let deployment = Deployment::new();
        deployment.world.faults.plan("list", page, When::Before);
        let refused = deployment.get("admin", TRIGGERS).refusal();
        assert_eq!(refused, (503, "the campaign cannot be looked up now: retry later".to_owned()));
        assert_eq!(deployment.cause(), "KV is down");
    }
}
