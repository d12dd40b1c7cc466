//! Reading the launch log and its attachments.

use super::{Deployment, NO_LAUNCH, TRIGGERS, TestReply, TestRequest};
use crate::{
    campaign::{
        ports::AttachmentStore as _,
        tests::faults::{When, run},
    },
    text::{parse_rfc3339, rfc3339_in},
};

/// A deployment with a launch that has the attachment `ABC`, and the path of the launch.
fn launched() -> (Deployment, String) {
    let deployment = Deployment::new();
    let attach = r#""attach":[{"name":"a.txt","data":"QUJD"}]"#;
    let reply =
        deployment.launch(&format!(r#"{{"trigger_id":8,"data":[{{"email":"example1@example.com"}},{{}}],{attach}}}"#));
    let path = format!("{TRIGGERS}/8/launches/{}", reply.header("Launch-ID").unwrap());
    (deployment, path)
}

#[test]
fn reads_each_part_of_the_log() {
    let (deployment, path) = launched();
    let launch = deployment.get("read", &path);
    assert_eq!((&launch.json()["sequence"], &launch.json()["attachments"][0]["name"]), (&1.into(), &"a.txt".into()));
    let launches = deployment.get("read", &format!("{TRIGGERS}/8/launches?after=0&limit=1"));
    assert_eq!(launches.body, format!(r#"{{"launches":[{}],"first":1,"next":null}}"#, launch.body));
    let recipient = r#"{"index":0,"profile_id":"6606e08f10bcdd88297057a7"}"#;
    let recipients = deployment.get("read", &format!("{path}/recipients"));
    assert_eq!(recipients.body, format!(r#"{{"recipients":[{recipient}],"next":null}}"#));
    let headers = [("Accept", "application/x-ndjson")];
    let lines = format!("{path}/recipients?limit=1&after=0");
    let request = TestRequest { path: &lines, token: Some("read"), headers: &headers, ..TestRequest::default() };
    let lines = deployment.send(request);
    assert_eq!(lines.header("Content-Type"), Some("application/x-ndjson"));
    assert_eq!(lines.body, format!("{recipient}\n"), "NDJSON contains all recipients");
    let report = deployment.get("read", &format!("{path}/report")).json();
    assert_eq!(report["invalid"][0]["reason"], "missing_field");
    assert_eq!(deployment.get("read", &format!("{path}/attachments/0")).body, "ABC");
}

#[test]
fn rejects_parameters_out_of_range_before_it_checks_that_the_campaign_exists() {
    let deployment = Deployment::new();
    let ndjson = [("Accept", "application/x-ndjson")];
    for (path, headers, debug) in [
        ("launches?limit=1001", &[][..], "limit: must be 1 to 1000"),
        ("launches?after=-1", &[], "after: must be 0 to 9007199254740991"),
        (&format!("launches/{NO_LAUNCH}/recipients?limit=50001"), &[], "limit: must be 1 to 50000"),
        (&format!("launches/{NO_LAUNCH}/recipients?limit=0"), &ndjson, "limit: must be 1 to 50000"),
    ] {
        let path = format!("{TRIGGERS}/777/{path}");
        let request = TestRequest { path: &path, token: Some("read"), headers, ..TestRequest::default() };
        assert_eq!(deployment.send(request).refusal(), (400, debug.to_owned()), "{path}");
    }
}

#[test]
fn lists_launches_newest_first() {
    let (deployment, path) = launched();
    let launch = deployment.get("read", &path).body;
    let list = |query: &str| deployment.get("read", &format!("{TRIGGERS}/8/launches?{query}"));
    let page = format!(r#"{{"launches":[{launch}],"first":1,"next":null}}"#);
    for query in ["order=desc", "order=%20desc&limit=1", "order=desc&before=2", "order=asc", "order=asc&after=0"] {
        assert_eq!(list(query).body, page, "{query}");
    }
    for query in ["order=desc&before=1", "order=desc&before=0", "order=asc&after=1"] {
        assert_eq!(list(query).body, r#"{"launches":[],"first":1,"next":null}"#, "{query}");
    }
    for (query, debug) in [
        ("order=up", "order: must be asc or desc"),
        ("order=", "order: must be asc or desc"),
        ("before=1", "before: needs order=desc"),
        ("before=1&after=1", "before: needs order=desc"),
        ("order=asc&before=1", "before: needs order=desc"),
        ("order=desc&after=1", "after: not allowed with order=desc; send before"),
        ("order=desc&before=1&after=1", "after: not allowed with order=desc; send before"),
        ("order=desc&before=-1", "before: must be 0 to 9007199254740991"),
        ("order=desc&limit=0", "limit: must be 1 to 1000"),
    ] {
        assert_eq!(list(query).refusal(), (400, debug.to_owned()), "{query}");
    }
}

#[test]
fn returns_totals_of_hours_and_days() {
    let (deployment, path) = launched();
    let launch = deployment.get("read", &path).json();
    let accepted_at = parse_rfc3339(launch["accepted_at"].as_str().unwrap()).unwrap();
    let stats = |query: &str| deployment.get("read", &format!("{TRIGGERS}/8/stats?{query}"));
    for (query, count, last) in [
        ("", 24, accepted_at - accepted_at % 3_600_000),
        ("bucket=hour", 24, accepted_at - accepted_at % 3_600_000),
        ("bucket=day", 30, accepted_at - accepted_at % 86_400_000),
    ] {
        let reply = stats(query).json();
        let buckets = reply["buckets"].as_array().unwrap();
        assert_eq!(buckets.len(), count, "{query}");
        let counts = serde_json::json!({
            "at": rfc3339_in(last, 0), "launches": 1, "recipients": 1, "unmatched": 0, "invalid": 1,
        });
        assert_eq!(buckets.last(), Some(&counts), "{query}");
        assert!(buckets.iter().rev().skip(1).all(|bucket| bucket["launches"] == 0), "{query}");
    }
    for (query, starts) in [
        (
            "from=2026-01-01T10:30:00Z&to=2026-01-01T12:00:00Z",
            &["2026-01-01T10:00:00.000Z", "2026-01-01T11:00:00.000Z"][..],
        ),
        ("from=2026-01-01T10:00:00Z&to=2026-01-01T10:00:00Z", &[]),
        ("from=2026-01-01T10:00:00Z&to=2026-01-01T10:00:00.001Z", &["2026-01-01T10:00:00.000Z"]),
        (
            "bucket=day&from=2026-01-01T00:00:00+01:00&to=2026-01-03T00:00:00%2B01:00&offset=+01:00",
            &["2026-01-01T00:00:00.000+01:00", "2026-01-02T00:00:00.000+01:00"],
        ),
        (
            "bucket=day&from=2026-01-01T00:00:00Z&to=2026-01-01T06:00:00Z&offset=-05:30",
            &["2025-12-31T00:00:00.000-05:30", "2026-01-01T00:00:00.000-05:30"],
        ),
        ("bucket=hour&from=1960-01-01T00:00:00Z&to=1970-01-01T01:00:00Z", &["1970-01-01T00:00:00.000Z"]),
        ("bucket=day&to=1970-01-01T00:00:00Z&offset=z", &[]),
    ] {
        let reply = stats(query).json();
        let found: Vec<_> =
            reply["buckets"].as_array().unwrap().iter().map(|bucket| bucket["at"].as_str().unwrap()).collect();
        assert_eq!(found, starts, "{query}");
    }
    let to = stats("bucket=day&to=2026-03-15T12:00:00Z").json();
    assert_eq!(
        (&to["buckets"][0]["at"], &to["buckets"][29]["at"]),
        (&"2026-02-14T00:00:00.000Z".into(), &"2026-03-15T00:00:00.000Z".into())
    );
    assert_eq!(
        stats("bucket=hour&from=2026-01-01T00:00:00Z&to=2026-02-11T16:00:00Z").json()["buckets"][999]["launches"],
        0
    );
    let time = "must be a time in RFC 3339, such as 2026-11-23T18:00:00Z";
    for (query, debug) in [
        ("bucket=week", "bucket: must be hour or day"),
        ("bucket=", "bucket: must be hour or day"),
        ("from=yesterday", &format!("from: {time}")),
        ("to=2026-11-23", &format!("to: {time}")),
        ("to=2026-02-30T00:00:00Z", &format!("to: {time}")),
        ("offset=1", "offset: must be a time zone such as +01:00, -05:30 or Z"),
        ("offset=%2B24:00", "offset: must be a time zone such as +01:00, -05:30 or Z"),
        ("from=2026-01-02T00:00:00Z&to=2026-01-01T00:00:00Z", "to: must not be before from"),
        ("from=9999-12-31T00:00:00Z", "to: must not be before from"),
        (
            "bucket=hour&from=2026-01-01T00:00:00Z&to=2026-02-11T16:00:00.001Z",
            "from: the period has 1001 buckets, at most 1000 are allowed",
        ),
    ] {
        assert_eq!(stats(query).refusal(), (400, debug.to_owned()), "{query}");
    }
}

#[test]
fn names_the_kind_of_resource_that_does_not_exist() {
    let (deployment, path) = launched();
    let launches = format!("{TRIGGERS}/8/launches");
    for (path, debug) in [
        (format!("{TRIGGERS}/777/launches"), "no such trigger campaign"),
        (format!("{TRIGGERS}/777/launches/x"), "no such trigger campaign"),
        (format!("{launches}/x"), "no such launch"),
        (format!("{launches}/x/attachments/x"), "no such launch"),
        (format!("{launches}/{NO_LAUNCH}"), "no such launch"),
        (format!("{launches}/{NO_LAUNCH}/report"), "no such launch"),
        (format!("{path}/attachments/1"), "no such attachment"),
        (format!("{path}/attachments/x"), "no such attachment"),
    ] {
        assert_eq!(deployment.get("read", &path).refusal(), (404, debug.to_owned()), "{path}");
    }
}

#[test]
fn refuses_with_the_cause_if_the_object_cannot_be_reached() {
    let (deployment, path) = launched();
    deployment.world.faults.always("command", When::Before);
    for suffix in ["", "/recipients", "/report", "/attachments/0", "/attachments/x"] {
        let refused = deployment.get("read", &format!("{path}{suffix}")).refusal();
        assert_eq!(refused, (503, "the campaign cannot be reached now: retry later".to_owned()), "{suffix}");
        assert_eq!(deployment.cause(), "the connection is gone", "{suffix}");
    }
}

fn download(deployment: &Deployment, method: &str, path: &str, headers: &[(&str, &str)]) -> TestReply {
    let path = format!("{path}/attachments/0");
    deployment.send(TestRequest { method, path: &path, token: Some("read"), headers, ..TestRequest::default() })
}

#[test]
fn downloads_the_bytes_that_the_headers_select() {
    let (deployment, path) = launched();
    let whole = download(&deployment, "GET", &path, &[]);
    let tag = whole.header("ETag").unwrap().to_owned();
    for (method, headers, status, length, range, body) in [
        ("GET", &[][..], 200, Some("3"), None, "ABC"),
        ("GET", &[("Range", "bytes=1-1")], 206, Some("1"), Some("bytes 1-1/3"), "B"),
        ("GET", &[("Range", "bytes=-2")], 206, Some("2"), Some("bytes 1-2/3"), "BC"),
        ("GET", &[("Range", "bytes=0-0,2-2")], 200, Some("3"), None, "ABC"),
        ("GET", &[("Range", "bytes=1-"), ("If-Range", &tag)], 206, Some("2"), Some("bytes 1-2/3"), "BC"),
        ("GET", &[("Range", "bytes=1-"), ("If-Range", "\"x\"")], 200, Some("3"), None, "ABC"),
        ("GET", &[("If-None-Match", &tag)], 304, None, None, ""),
        ("GET", &[("If-None-Match", "\"x\"")], 200, Some("3"), None, "ABC"),
        ("HEAD", &[], 200, Some("3"), None, ""),
        ("HEAD", &[("Range", "bytes=1-1")], 200, Some("3"), None, ""),
        ("HEAD", &[("Range", "bytes=9-")], 200, Some("3"), None, ""),
        ("HEAD", &[("If-None-Match", "*")], 304, None, None, ""),
    ] {
        let reply = download(&deployment, method, &path, headers);
        assert_eq!((reply.status, reply.body.as_str()), (status, body), "{method} {headers:?}");
        assert_eq!(reply.header("Content-Length"), length, "{method} {headers:?}");
        assert_eq!(reply.header("Content-Range"), range, "{method} {headers:?}");
        assert_eq!(reply.kind, if body.is_empty() { "empty" } else { "stream" }, "{method} {headers:?}");
    }
    let beyond = download(&deployment, "GET", &path, &[("Range", "bytes=3-")]);
    assert_eq!(beyond.refusal(), (416, "Range: the file has 3 bytes".to_owned()));
    assert_eq!(beyond.header("Content-Range"), Some("bytes */3"));
}

#[test]
fn refuses_a_download_with_the_cause_if_the_bucket_fails_or_lacks_the_file() {
    let unavailable = (503, "attachments cannot be read now: retry later".to_owned());
    let (deployment, path) = launched();
    deployment.world.faults.plan("file", 1, When::Before);
    assert_eq!(download(&deployment, "GET", &path, &[]).refusal(), unavailable);
    let cause = deployment.cause();
    assert!(cause.starts_with("R2 key ") && cause.ends_with(": R2 is down"), "{cause}");
    let bucket = &deployment.world.bucket;
    run(bucket.delete(&bucket.keys())).unwrap();
    assert_eq!(download(&deployment, "GET", &path, &[]).refusal(), unavailable);
    assert!(deployment.cause().ends_with(": not in the bucket"), "{}", deployment.cause());
}

#[test]
fn a_launch_that_expires_during_a_download_is_reported_as_expired() {
    let (deployment, path) = launched();
    deployment.world.faults.plan("expire", 1, When::Before);
    let reply = download(&deployment, "GET", &path, &[]);
    assert_eq!((reply.status, &reply.json()["error_text"]), (410, &"Launches expired".into()), "{}", reply.body);
}
