//! Requests to the object and its responses.

use std::rc::Rc;

use super::{
    NOON, Sample,
    bucket::MemoryBucket,
    database::{DAY, Database, definition, limits, unlimited},
    faults::{When, run},
    host::{FakeHost, NoDelivery, Response, TestObject},
};
use crate::{
    campaign::{
        object::{Object, ObjectRequest, ResponseBody},
        ports::Host as _,
        protocol::{
            commands::{Command, Definition, PageRequest, Refusal, RequestIdentity, Resource},
            layout::MESSAGE_LIMIT,
            message::RepeatedLaunch,
            transport::{
                COMMAND_PATH, COMMIT_PATH, LENGTH_HEADER, NDJSON, STATUS_FAILED, STATUS_REFUSED, STATUS_REPEATED,
            },
        },
    },
    limits::{RETENTION_PAUSE_MS, UPLOAD_GRACE_MS},
    problem::Cause,
};

/// An object whose campaign is defined.
fn defined() -> TestObject {
    let object = TestObject::new();
    assert_eq!(object.send(&unlimited(&Command::Define(definition()))).status, 200);
    object
}

fn refusal(response: &Response) -> Refusal {
    assert_eq!(response.status, STATUS_REFUSED);
    assert_eq!(response.headers, [("content-type", "application/json".to_owned())]);
    serde_json::from_str(response.text()).unwrap()
}

#[test]
fn a_command_before_the_first_definition_is_refused() {
    let object = TestObject::new();
    let response = object.send(&unlimited(&Command::Read));
    assert_eq!(refusal(&response), Refusal::NotFound(Resource::Campaign));
    assert!(object.database.schema().is_empty());
    assert_eq!(object.host.alarm.get(), None);
}

#[test]
fn a_definition_is_answered_with_the_campaign() {
    let object = TestObject::new();
    let response = object.send(&unlimited(&Command::Define(definition())));
    let json = r#"{"id":85,"name":"Welcome","database":1,"active":true,"launches":0,"recipients":0}"#;
    assert_eq!((response.status, response.text()), (200, json));
    assert_eq!(object.send(&unlimited(&Command::Read)).text(), json);
}

#[test]
fn a_commit_is_answered_with_its_sequence_and_sets_the_alarm() {
    let object = defined();
    object.host.alarm.set(None);
    let response = object.commit(&Sample::new("a").message());
    assert_eq!(response.status, 200);
    assert_eq!(response.headers, [("content-type", "application/json".to_owned())]);
    assert_eq!(response.text(), format!(r#"{{"sequence":1,"accepted_at":{NOON}}}"#));
    let again = object.commit(&Sample::new("a").message());
    assert_eq!(again, response, "the Worker may repeat a commit");
}

#[test]
fn a_repeated_request_is_answered_with_the_stored_launch_and_its_length() {
    for recipients in [3, 100_000] {
        let object = defined();
        let first = Sample::with_recipients("a", recipients);
        object.commit(&first.message());
        let request = RequestIdentity { token_name: "crm".to_owned(), request_id: "a".to_owned() };
        for response in [
            object.commit(&Sample { random: 2, ..first.clone() }.message()),
            object.send(&unlimited(&Command::Preflight(request))),
        ] {
            assert_eq!(response.status, STATUS_REPEATED);
            let message = response.body.unwrap();
            let expected =
                [("content-type", "application/octet-stream".to_owned()), (LENGTH_HEADER, message.len().to_string())];
            assert_eq!(response.headers, expected);
            assert_eq!(RepeatedLaunch::decode(message).unwrap().recipients(), first.recipients);
        }
    }
}

#[test]
fn recipients_are_streamed_as_ndjson() {
    let object = defined();
    let sample = Sample::with_recipients("a", 5000);
    object.commit(&sample.message());
    let response = object.send(&unlimited(&Command::RecipientsStream(sample.launch_id())));
    assert_eq!(response.headers, [("content-type", NDJSON.to_owned())]);
    assert_eq!(response.text().lines().count(), 5000);
}

#[test]
fn a_streamed_response_is_aborted_if_its_launch_is_removed_meanwhile() {
    let object = defined();
    let sample = Sample::with_recipients("a", 50_000);
    object.commit(&sample.message());
    let envelope = serde_json::to_vec(&unlimited(&Command::RecipientsStream(sample.launch_id()))).unwrap();
    let request = ObjectRequest { path: COMMAND_PATH, length: None, body: async { Ok(envelope) } };
    let response = object.host.run(object.object.fetch(request));
    let ResponseBody::Stream(mut reply) = response.body else { panic!("not streamed") };
    assert!(reply.next_piece().unwrap().is_ok());
    object.advance(3 * DAY + RETENTION_PAUSE_MS);
    assert_eq!(object.database.count("launches"), 0);
    let error = reply.next_piece().unwrap().unwrap_err();
    assert_eq!(error.to_string(), "launch 1 was removed while it was read");
    assert!(reply.next_piece().is_none(), "nothing follows an error");
}

#[test]
fn a_commit_without_a_valid_length_fails_before_its_body_is_read() {
    let object = defined();
    for length in [None, Some(""), Some("-1"), Some("x"), Some("99999999999999999999")] {
        let body = async { panic!("the body was read") };
        let request = ObjectRequest { path: COMMIT_PATH, length, body };
        let response = object.host.run(object.object.fetch(request));
        assert_eq!(response.status, STATUS_FAILED, "{length:?}");
    }
    let too_long = (MESSAGE_LIMIT + 1).to_string();
    let response = object.host.run(object.fetch(COMMIT_PATH, Some(too_long), Vec::new()));
    let text = format!("message-length: must be an integer of at most {MESSAGE_LIMIT}");
    assert_eq!((response.status, response.text()), (STATUS_FAILED, text.as_str()));
}

#[test]
fn a_commit_is_refused_if_its_memory_cannot_be_reserved() {
    let object = defined();
    let response = object.host.run(object.fetch(COMMIT_PATH, Some((64 << 20).to_string()), Vec::new()));
    let Refusal::Busy(cause) = refusal(&response) else { panic!("{response:?}") };
    assert!(cause.starts_with("MEMORY_LIMIT: "), "{cause}");
    assert_eq!(object.commit(&Sample::new("a").message()).status, 200, "the reservation was returned");
}

#[test]
fn an_invalid_request_fails_with_its_cause() {
    let object = defined();
    let message = Sample::new("a").message();
    let broken = message[..message.len() - 1].to_vec();
    let response = object.commit(&broken);
    let text = "invalid commit message: the number of bytes differs from the lengths";
    assert_eq!((response.status, response.text()), (STATUS_FAILED, text));
    let response = object.host.run(object.fetch(COMMAND_PATH, None, b"{}".to_vec()));
    assert_eq!((response.status, response.text()), (STATUS_FAILED, "missing field `databases` at line 1 column 2"));
    let request = ObjectRequest { path: COMMIT_PATH, length: Some("5"), body: async { Err(Cause::new("cut off")) } };
    assert_eq!(object.host.run(object.object.fetch(request)).status, STATUS_FAILED);
    let foreign = Definition { id: 86, ..definition() };
    let response = object.send(&unlimited(&Command::Define(foreign)));
    let text = "this is the object of campaign 85, but the command is for campaign 86";
    assert_eq!((response.status, response.text()), (STATUS_FAILED, text));
}

#[test]
fn an_invalid_configuration_fails_every_request_and_the_alarm() {
    let (host, database) = (FakeHost::new(), Database::new());
    let object: Object<_, FakeHost> =
        Object::new(database, host, Err(Cause::new("BODY_LIMIT is no number")), Rc::new(NoDelivery));
    for path in [COMMIT_PATH, COMMAND_PATH] {
        let request = ObjectRequest { path, length: Some("1"), body: async { Ok(Vec::new()) } };
        let response = run(object.fetch(request));
        assert_eq!(response.status, STATUS_FAILED);
    }
    assert_eq!(run(object.alarm()), Err(Cause::new("BODY_LIMIT is no number")));
}

#[test]
fn a_failure_of_the_storage_is_answered_with_its_cause() {
    let object = defined();
    object.database.statements.set(0);
    let response = object.send(&unlimited(&Command::Read));
    assert_eq!((response.status, response.text()), (STATUS_FAILED, "the database failed: the disk is gone"));
}

#[test]
fn a_commit_whose_alarm_cannot_be_set_fails_and_is_recognized_when_it_is_repeated() {
    let object = defined();
    object.advance(RETENTION_PAUSE_MS);
    assert_eq!(object.host.alarm.get(), None);
    object.host.faults.plan("alarm", 1, When::Before);
    let mut sample = Sample::new("a");
    sample.attachments = vec![object.host.bucket.stage("k/0", "policy.pdf", b"bytes")];
    let message = sample.message();
    let response = object.commit(&message);
    assert_eq!((response.status, response.text()), (STATUS_FAILED, "the storage is gone"));
    let response = object.commit(&message);
    assert_eq!(response.status, 200);
    assert_eq!(object.host.alarm.get(), Some(object.host.now() + UPLOAD_GRACE_MS));
}

#[test]
fn a_file_is_completed_before_its_command_is_answered() {
    let object = defined();
    let bucket: &MemoryBucket = &object.host.bucket;
    let mut sample = Sample::new("a");
    sample.attachments = vec![bucket.stage("k/0", "policy.pdf", b"bytes")];
    object.commit(&sample.message());
    let command = unlimited(&Command::Attachment(sample.launch_id(), 0));
    object.host.faults.plan("R2", 1, When::Before);
    let response = object.send(&command);
    assert_eq!((response.status, response.text()), (STATUS_FAILED, "no binding ATTACHMENTS"));
    assert_eq!(object.send(&command).status, 200);
    assert_eq!(bucket.get("k/0").unwrap(), b"bytes");
}

#[test]
fn a_missing_binding_is_reported_by_the_alarm_and_the_work_is_repeated() {
    let object = defined();
    let mut sample = Sample::new("a");
    sample.attachments = vec![object.host.bucket.stage("k/0", "policy.pdf", b"bytes")];
    object.commit(&sample.message());
    object.host.faults.always("R2", When::Before);
    let causes = object.advance(UPLOAD_GRACE_MS);
    assert_eq!(causes, ["no binding ATTACHMENTS"]);
    object.host.faults.heal();
    object.advance(UPLOAD_GRACE_MS);
    assert_eq!(object.host.bucket.keys(), ["k/0"]);
}

#[test]
fn a_restarted_object_continues_with_what_it_stored() {
    let mut object = defined();
    let sample = Sample::new("a");
    object.commit(&sample.message());
    object.restart();
    let page = PageRequest { after: None, limit: 10 };
    assert_eq!(object.send(&unlimited(&Command::Launches(page))).text().matches("launch_id").count(), 1);
    object.advance(3 * DAY);
    assert_eq!(object.database.count("launches"), 0);
    assert_eq!(limits().retention, 3 * DAY);
}
