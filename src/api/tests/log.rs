//! Reading the launch log and its attachments.

use super::{Deployment, NO_LAUNCH, TRIGGERS, TestReply, TestRequest};
use crate::campaign::{
    ports::AttachmentStore as _,
    tests::faults::{When, run},
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
