//! Deliveries of an object over its database, with a receiver that answers as a test says.

mod schedules;

use std::{mem, rc::Rc};

use futures_util::future::LocalBoxFuture;
use serde_json::{Value, json};

use super::{
    address::{AllowedHosts, UrlParts},
    ports::{DeliveryHost, Message, ReceiverAnswer},
    sender::{self, Delivery},
    signature::{Secret, signature_header},
};
use crate::{
    campaign::{
        ports::Host as _,
        protocol::{
            commands::{Command, Envelope, Refusal, Resource},
            transport::STATUS_REFUSED,
            webhook::{Ordering, RecipientsMode, WebhookCommand, WebhookDefinition},
        },
        tests::{
            NOON, Sample,
            database::{DAY, definition, unlimited},
            faults::pause,
            host::{Behavior, FakeHost, Received, TestObject},
        },
    },
    limits::{DELIVERY_REQUESTS_AT_ONCE, DELIVERY_RETRY_MS, DELIVERY_TIMEOUT_MS, SECRET_OVERLAP_MS},
    storage::sql::Sql as _,
    telemetry::DataPoint,
};

impl DeliveryHost for FakeHost {
    /// The middle of the range, so that retries are not varied, unless a test changes it.
    fn random(&self, bytes: &mut [u8]) {
        bytes.fill(0x7F ^ self.random.get());
    }

    fn url_parts(&self, url: &str) -> Option<UrlParts> {
        let (protocol, rest) = url.split_once("//")?;
        let hostname = rest.split('/').next()?.to_owned();
        Some(UrlParts { protocol: protocol.to_owned(), hostname, ..UrlParts::default() })
    }

    fn allowed_hosts(&self) -> AllowedHosts {
        AllowedHosts::Public
    }

    fn post(&self, message: Message) -> LocalBoxFuture<'static, Result<ReceiverAnswer, String>> {
        let Message { url, headers, body } = message;
        let behavior = self.receiver.plan.borrow_mut().pop_front().unwrap_or(Behavior::Status(204, None, 0));
        let received = Received { at: self.now(), url, headers, body, behavior: behavior.clone() };
        self.receiver.received.borrow_mut().push(received);
        let (clock, began) = (self.clock(), self.now());
        let (turn, sent_in) = (Rc::clone(&self.turn), self.turn.get());
        Box::pin(async move {
            // An answer never arrives in the turn of its request.
            while turn.get() == sent_in {
                pause().await;
            }
            match behavior {
                Behavior::Fail | Behavior::LoseAnswer => Err("the connection failed".to_owned()),
                Behavior::Hang => loop {
                    pause().await;
                },
                Behavior::Status(status, retry_after, after) => {
                    while clock.get() < began + after {
                        pause().await;
                    }
                    Ok(ReceiverAnswer { status, retry_after: retry_after.map(str::to_owned) })
                }
            }
        })
    }

    fn measure(&self, point: &DataPoint) {
        self.points.borrow_mut().push(point.clone());
    }
}

const URL: &str = "https://receiver.example/hook";

/// A defined campaign, whose object delivers.
fn campaign() -> TestObject {
    let object = TestObject::with_follower(|host, budget| Rc::new(Delivery::new(Rc::clone(host), Rc::clone(budget))));
    assert_eq!(object.send(&unlimited(&Command::Define(definition()))).status, 200);
    object
}

/// An object whose campaign is not defined.
fn undefined_campaign() -> TestObject {
    TestObject::with_follower(|host, budget| Rc::new(Delivery::new(Rc::clone(host), Rc::clone(budget))))
}

/// A campaign with a webhook.
fn with_webhook() -> TestObject {
    let object = campaign();
    define(&object, WebhookDefinition { url: Some(URL.to_owned()), ..WebhookDefinition::default() });
    object
}

fn send(object: &TestObject, command: WebhookCommand) -> Value {
    let response = object.send(&unlimited(&Command::Webhook(command)));
    assert_eq!(response.status, 200, "{}", response.text());
    object.host.run_spawned();
    serde_json::from_str(response.text()).unwrap()
}

fn refusal(object: &TestObject, command: WebhookCommand) -> Refusal {
    let response = object.send(&unlimited(&Command::Webhook(command)));
    assert_eq!(response.status, STATUS_REFUSED, "{}", response.text());
    serde_json::from_str(response.text()).unwrap()
}

fn define(object: &TestObject, definition: WebhookDefinition) -> Value {
    send(object, WebhookCommand::Define(definition))
}

fn state(object: &TestObject) -> Value {
    send(object, WebhookCommand::Read)["state"].clone()
}

/// Commits a launch and lets the object work until it waits.
fn launch(object: &TestObject, sample: &Sample) {
    assert_eq!(object.commit(&sample.message()).status, 200);
    object.host.run_spawned();
}

fn launches(object: &TestObject, range: std::ops::Range<u64>) {
    for number in range {
        launch(object, &Sample { random: number, ..Sample::new(&format!("request {number}")) });
    }
}

fn received(object: &TestObject) -> Vec<Received> {
    mem::take(&mut *object.host.receiver.received.borrow_mut())
}

fn ids(received: &[Received]) -> Vec<&str> {
    received.iter().map(|message| message.header("webhook-id")).collect()
}

fn plan(object: &TestObject, behaviors: impl IntoIterator<Item = Behavior>) {
    object.host.receiver.plan.borrow_mut().extend(behaviors);
}

/// Lets time pass, and lets the object work in the meantime.
fn advance(object: &TestObject, milliseconds: u64) -> Vec<String> {
    let reported = object.advance(milliseconds);
    object.host.run_spawned();
    reported
}

const FAILS: Behavior = Behavior::Status(500, None, 0);

#[test]
fn a_launch_is_delivered_as_soon_as_it_is_committed() {
    let object = with_webhook();
    let sample = Sample { content: Some(r#"{"a":1}"#.to_owned()), ..Sample::with_recipients("first", 2) };
    launch(&object, &Sample { items: vec![(1, r#"{"b":2}"#.to_owned())], ..sample.clone() });
    let messages = received(&object);
    let [message] = messages.as_slice() else { panic!("{}", messages.len()) };
    assert_eq!((message.url.as_str(), message.header("content-type")), (URL, "application/json"));
    let launch_id = sample.launch_id().to_string();
    assert_eq!(message.header("webhook-id"), format!("{launch_id}_1"));
    let body: Value = serde_json::from_str(&message.body).unwrap();
    let stored = object.send(&unlimited(&Command::Launch(sample.launch_id())));
    let expected = json!({
        "type": "launch.created",
        "timestamp": "2026-11-23T18:00:00.000Z",
        "data": {
            "launch": serde_json::from_str::<Value>(stored.text()).unwrap(),
            "page": 1,
            "pages": 1,
            "recipients": [
                {"index": 0, "profile_id": "000000000000000000000000"},
                {"index": 1, "profile_id": body["data"]["recipients"][1]["profile_id"], "custom_data": {"b": 2}},
            ],
        },
    });
    assert_eq!(body, expected);
    let secret = Secret::new([0x7F; 32]);
    let signature = signature_header(&[secret], &format!("{launch_id}_1"), NOON / 1000, message.body.as_bytes());
    assert_eq!(message.header("webhook-signature"), signature);
    assert_eq!(message.header("webhook-timestamp"), (NOON / 1000).to_string());
    let expected = json!({
        "status": "idle", "delivered_through": 1, "expired": 0, "next_attempt_at": null, "failing_since": null,
        "last_status": 204, "last_error": null,
    });
    assert_eq!(state(&object), expected);
}

#[test]
fn a_large_launch_is_delivered_in_pages_of_a_thousand() {
    let object = with_webhook();
    let sample = Sample { custom_data: Some("[1]".to_owned()), ..Sample::with_recipients("large", 3_500) };
    let data = (0..3_500).step_by(7).map(|recipient| (recipient, format!("{{\"number\":{recipient}}}")));
    launch(&object, &Sample { items: data.collect(), ..sample });
    let mut expected = 0;
    let messages = received(&object);
    for (page, message) in (1..).zip(&messages) {
        let body: Value = serde_json::from_str(&message.body).unwrap();
        let data = &body["data"];
        assert_eq!((&data["page"], &data["pages"]), (&json!(page), &json!(4)));
        for name in ["content", "custom_data", "attachments"] {
            assert_eq!(data["launch"].get(name).is_some(), page == 1, "{name} of page {page}");
        }
        for recipient in data["recipients"].as_array().unwrap() {
            assert_eq!(recipient["index"], expected);
            let own = (expected % 7 == 0).then(|| json!({"number": expected}));
            assert_eq!(recipient.get("custom_data"), own.as_ref());
            expected += 1;
        }
    }
    assert_eq!((messages.len(), expected), (4, 3_500));
}

#[test]
fn without_recipients_a_launch_has_one_page() {
    let object = with_webhook();
    launch(&object, &Sample::with_recipients("a", 2_500));
    let none = WebhookDefinition { recipients: Some(RecipientsMode::None), ..WebhookDefinition::default() };
    define(&object, none);
    launch(&object, &Sample { random: 2, ..Sample::with_recipients("b", 2_500) });
    let messages = received(&object);
    assert_eq!(messages.len(), 4);
    assert!(messages[2].body.contains("\"pages\":3,\"recipients\""));
    assert!(messages[3].body.contains("\"page\":1,\"pages\":1}}"), "{}", messages[3].body);
    send(&object, WebhookCommand::Replay(0));
    let again = received(&object);
    let bodies = |messages: Vec<Received>| {
        let mut bodies: Vec<_> =
            messages.into_iter().map(|message| (message.header("webhook-id").to_owned(), message.body)).collect();
        bodies.sort();
        bodies
    };
    assert_eq!(bodies(again), bodies(messages), "a replay has the same messages");
}

#[test]
fn a_failed_page_is_sent_again_at_the_documented_times_until_the_delivery_stops() {
    let object = with_webhook();
    plan(&object, vec![FAILS; 12]);
    launches(&object, 0..2);
    let mut expected = NOON;
    for (attempt, delay) in (1..).zip(DELIVERY_RETRY_MS) {
        let messages = received(&object);
        assert_eq!(messages.len(), 1, "attempt {attempt}");
        assert!(messages[0].at.abs_diff(expected) <= delay / 100, "attempt {attempt}");
        let state = state(&object);
        assert_eq!((&state["status"], &state["last_status"]), (&json!("retrying"), &json!(500)));
        expected = messages[0].at + delay;
        advance(&object, delay + delay / 100);
    }
    assert_eq!(received(&object).len(), 1);
    let stopped = state(&object);
    assert_eq!((&stopped["status"], &stopped["next_attempt_at"]), (&json!("stopped"), &Value::Null));
    let outcomes: Vec<String> = object.host.points.borrow().iter().map(|point| point.blobs()[3].to_owned()).collect();
    assert_eq!(outcomes, ["failing", "stopped"]);
    advance(&object, DAY / 2);
    assert!(received(&object).is_empty(), "nothing is sent after the delivery has stopped");
    let attempts = send(&object, WebhookCommand::Attempts(100));
    assert_eq!(attempts["attempts"].as_array().unwrap().len(), 12);
    send(&object, WebhookCommand::Resume);
    assert_eq!(received(&object).len(), 2);
    assert_eq!(state(&object)["status"], "idle");
}

#[test]
fn a_receiver_that_hangs_delays_neither_commits_nor_the_next_attempt() {
    let object = with_webhook();
    plan(&object, [Behavior::Hang, Behavior::Status(302, Some("60"), 14_000)]);
    launches(&object, 0..3);
    assert_eq!(received(&object).len(), 1);
    advance(&object, DELIVERY_TIMEOUT_MS);
    let failed = state(&object);
    assert_eq!((&failed["last_status"], &failed["last_error"]), (&Value::Null, &json!("no status line within 15 s")));
    advance(&object, 6_000);
    assert_eq!(received(&object).len(), 1, "the second attempt");
    advance(&object, 20_000);
    assert_eq!((&state(&object)["last_status"], received(&object).len()), (&json!(302), 0), "Retry-After is later");
    advance(&object, 60_000);
    assert_eq!((received(&object).len(), &state(&object)["status"]), (3, &json!("idle")));
}

#[test]
fn every_message_arrives_although_the_object_ends_while_it_is_sent() {
    let mut object = with_webhook();
    plan(&object, [Behavior::Hang]);
    launches(&object, 0..3);
    let before = received(&object);
    object.restart();
    advance(&object, 60_000);
    let after = received(&object);
    assert_eq!(ids(&after)[..1], ids(&before)[..], "the page is sent again with the same ID");
    assert_eq!((&after[0].body, after.len()), (&before[0].body, 3));
    object.restart();
    advance(&object, DAY);
    assert!(received(&object).is_empty(), "what was delivered is not sent again");
}

#[test]
fn three_requests_at_once_at_most_and_in_the_order_of_the_webhook() {
    for (ordering, expected) in [(Ordering::Strict, 1), (Ordering::Relaxed, 3)] {
        let object = with_webhook();
        define(&object, WebhookDefinition { ordering: Some(ordering), ..WebhookDefinition::default() });
        plan(&object, vec![Behavior::Status(200, None, 1_000); 9]);
        launches(&object, 0..9);
        assert_eq!(received(&object).len(), expected, "{ordering:?}");
        for _ in 0..40 {
            advance(&object, 1_000);
        }
        assert_eq!((received(&object).len(), &state(&object)["delivered_through"]), (9 - expected, &json!(9)));
    }
}

#[test]
fn replays_do_not_add_requests_to_those_that_are_in_progress() {
    let object = with_webhook();
    plan(&object, vec![Behavior::Hang; DELIVERY_REQUESTS_AT_ONCE]);
    launches(&object, 0..3);
    for _ in 0..5 {
        send(&object, WebhookCommand::Replay(0));
    }
    assert_eq!(received(&object).len(), DELIVERY_REQUESTS_AT_ONCE);
    advance(&object, DAY);
    assert_eq!(state(&object)["delivered_through"], 3);
}

#[test]
fn a_paused_webhook_sends_nothing_and_delivers_later() {
    let object = with_webhook();
    let active = |active| WebhookDefinition { active: Some(active), ..WebhookDefinition::default() };
    assert_eq!(define(&object, active(false))["state"]["status"], "paused");
    launches(&object, 0..3);
    advance(&object, DAY);
    assert!(received(&object).is_empty());
    define(&object, active(true));
    assert_eq!(received(&object).len(), 3);
}

#[test]
fn only_the_reply_that_creates_a_webhook_or_rotates_its_secret_contains_the_secret() {
    let object = campaign();
    assert_eq!(refusal(&object, WebhookCommand::Read), Refusal::NotFound(Resource::Webhook));
    let headers = Some(vec![("Authorization".to_owned(), "Bearer secret".to_owned())]);
    let created =
        define(&object, WebhookDefinition { url: Some(URL.to_owned()), headers, ..WebhookDefinition::default() });
    let first = created["secret"].as_str().unwrap().to_owned();
    assert!(first.starts_with("whsec_"), "{first}");
    assert_eq!(created["headers"], json!(["Authorization"]));
    let read = send(&object, WebhookCommand::Read);
    assert!(read.get("secret").is_none() && !read.to_string().contains("Bearer secret"));
    assert!(define(&object, WebhookDefinition::default()).get("secret").is_none());
    assert!(send(&object, WebhookCommand::Rotate)["secret"].is_string());
    let Refusal::WebhookConflict(what) = refusal(&object, WebhookCommand::Rotate) else { panic!() };
    assert_eq!(what, "the secret was replaced less than a day ago: rotate again after 2026-11-24T18:00:00.000Z");
    launches(&object, 0..1);
    advance(&object, SECRET_OVERLAP_MS);
    launches(&object, 1..2);
    let messages = received(&object);
    let signatures = |message: &Received| message.header("webhook-signature").split(' ').count();
    assert_eq!((signatures(&messages[0]), signatures(&messages[1])), (2, 1));
    assert_eq!(messages[0].header("Authorization"), "Bearer secret");
}

#[test]
fn a_webhook_is_refused_without_an_address_or_with_a_private_one() {
    let object = campaign();
    let bad = |object: &TestObject, url: Option<&str>| {
        let definition = WebhookDefinition { url: url.map(str::to_owned), ..WebhookDefinition::default() };
        match refusal(object, WebhookCommand::Define(definition)) {
            Refusal::BadField(what) => what,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(bad(&object, None), "url: is missing, and the campaign has no webhook");
    assert_eq!(bad(&object, Some("http://receiver.example/")), "url: must begin with https://");
    assert_eq!(bad(&object, Some("https://127.0.0.1/")), "url: must contain a host name, not an IP address");
    assert_eq!(bad(&object, Some("nothing")), "url: must be an absolute URL");
    define(&object, WebhookDefinition { url: Some(URL.to_owned()), ..WebhookDefinition::default() });
    bad(&object, Some("https://localhost/"));
    assert_eq!(send(&object, WebhookCommand::Read)["url"], URL, "a refused change changes nothing");
}

#[test]
fn a_new_address_is_tried_at_once() {
    let object = with_webhook();
    plan(&object, vec![FAILS; 3]);
    launches(&object, 0..1);
    advance(&object, 40_000);
    assert_eq!(received(&object).len(), 3);
    define(&object, WebhookDefinition { url: Some("https://new.example/".to_owned()), ..WebhookDefinition::default() });
    let messages = received(&object);
    assert_eq!((messages.len(), messages[0].url.as_str()), (1, "https://new.example/"));
}

#[test]
fn a_skipped_page_is_not_sent_again() {
    let object = with_webhook();
    assert_eq!(
        refusal(&object, WebhookCommand::Skip),
        Refusal::WebhookConflict("nothing is blocked: no page has failed".into())
    );
    plan(&object, [Behavior::Fail]);
    launches(&object, 0..2);
    assert_eq!(state(&object)["last_error"], "the connection failed");
    received(&object);
    assert_eq!(send(&object, WebhookCommand::Skip)["state"]["status"], "delivering");
    let messages = received(&object);
    assert_eq!((messages.len(), &state(&object)["delivered_through"]), (1, &json!(2)));
}

#[test]
fn a_replay_sends_launches_again_before_new_ones() {
    let object = with_webhook();
    launches(&object, 0..3);
    let first = received(&object);
    send(&object, WebhookCommand::Replay(1));
    assert_eq!(ids(&received(&object)), ids(&first)[1..]);
    assert_eq!(
        refusal(&object, WebhookCommand::Replay(4)),
        Refusal::BadField("after: the last launch has the sequence 3".into())
    );
    object.host.set_now(NOON + 40 * DAY);
    advance(&object, DAY);
    assert_eq!(refusal(&object, WebhookCommand::Replay(0)), Refusal::Expired { first: None });
}

#[test]
fn a_test_message_is_sent_at_once_even_while_the_webhook_is_paused() {
    let object = with_webhook();
    define(&object, WebhookDefinition { active: Some(false), ..WebhookDefinition::default() });
    assert_eq!(send(&object, WebhookCommand::Test), json!({"status": 204, "duration_ms": 0, "error": null}));
    let messages = received(&object);
    let body: Value = serde_json::from_str(&messages[0].body).unwrap();
    assert_eq!(
        body,
        json!({"type": "webhook.test", "timestamp": "2026-11-23T18:00:00.000Z", "data": {"trigger_id": 85}})
    );
    plan(&object, [Behavior::Fail]);
    let failed = send(&object, WebhookCommand::Test);
    assert_eq!((&failed["status"], &failed["error"]), (&Value::Null, &json!("the connection failed")));
    assert_eq!(state(&object)["last_status"], Value::Null, "a test is not an attempt");
}

#[test]
fn a_removed_webhook_sends_nothing_more() {
    let object = with_webhook();
    plan(&object, [Behavior::Hang]);
    launches(&object, 0..2);
    assert_eq!(send(&object, WebhookCommand::Remove)["url"], URL);
    assert_eq!(refusal(&object, WebhookCommand::Read), Refusal::NotFound(Resource::Webhook));
    received(&object);
    define(&object, WebhookDefinition { url: Some(URL.to_owned()), ..WebhookDefinition::default() });
    advance(&object, DAY);
    assert!(received(&object).is_empty(), "delivery begins with the next launch");
    assert_eq!(send(&object, WebhookCommand::Attempts(100)), json!({"attempts": []}));
    launches(&object, 2..3);
    assert_eq!(received(&object).len(), 1);
}

#[test]
fn a_webhook_is_continued_by_an_alarm_although_a_message_of_the_one_before_was_being_sent() {
    let mut object = with_webhook();
    plan(&object, [Behavior::Hang, Behavior::Hang]);
    launches(&object, 0..1);
    send(&object, WebhookCommand::Remove);
    define(&object, WebhookDefinition { url: Some(URL.to_owned()), ..WebhookDefinition::default() });
    launches(&object, 1..2);
    // The alarm comes because the campaign is new, and is set again.
    advance(&object, 2_000);
    received(&object);
    object.replace();
    advance(&object, DAY);
    assert_eq!(received(&object).len(), 1, "the launch that was in progress when the object ended");
}

#[test]
fn launches_that_expire_before_they_are_delivered_are_counted_and_reported() {
    let object = with_webhook();
    plan(&object, [Behavior::Status(410, None, 0)]);
    launches(&object, 0..3);
    assert_eq!(state(&object)["status"], "stopped");
    received(&object);
    let reported = advance(&object, 40 * DAY);
    assert!(reported.contains(&"3 launches up to sequence 3".to_owned()), "{reported:?}");
    let expired =
        object.host.points.borrow().iter().any(|point| point.blobs()[3] == "expired" && point.doubles() == [3]);
    assert!(expired);
    assert_eq!(state(&object)["expired"], 3);
    send(&object, WebhookCommand::Resume);
    launches(&object, 3..4);
    assert_eq!((received(&object).len(), &state(&object)["delivered_through"]), (1, &json!(4)));
}

#[test]
fn a_launch_that_cannot_be_read_blocks_until_it_is_skipped() {
    let object = with_webhook();
    define(&object, WebhookDefinition { active: Some(false), ..WebhookDefinition::default() });
    launches(&object, 0..2);
    object.database.exec("UPDATE launches SET head = x'00' WHERE sequence = 1", &[]).unwrap();
    define(&object, WebhookDefinition { active: Some(true), ..WebhookDefinition::default() });
    assert_eq!(state(&object)["last_error"], "the launch cannot be read from the log");
    send(&object, WebhookCommand::Skip);
    assert_eq!((received(&object).len(), &state(&object)["status"]), (1, &json!("idle")));
}

#[test]
fn a_token_for_other_databases_finds_no_webhook() {
    let (object, unknown) = (with_webhook(), undefined_campaign());
    for command in [
        WebhookCommand::Define(WebhookDefinition { active: Some(false), ..WebhookDefinition::default() }),
        WebhookCommand::Read,
        WebhookCommand::Remove,
        WebhookCommand::Rotate,
        WebhookCommand::Test,
        WebhookCommand::Replay(0),
        WebhookCommand::Resume,
        WebhookCommand::Skip,
        WebhookCommand::Attempts(1),
    ] {
        let envelope = Envelope { databases: vec![2], command: Command::Webhook(command) };
        let [foreign, unknown] = [&object, &unknown].map(|object| object.send(&envelope));
        assert_eq!(foreign, unknown, "{envelope:?}");
        let refusal: Refusal = serde_json::from_str(foreign.text()).unwrap();
        assert_eq!(refusal, Refusal::NotFound(Resource::Campaign), "{envelope:?}");
    }
    assert_eq!((&send(&object, WebhookCommand::Read)["active"], received(&object).len()), (&json!(true), 0));
}

/// Rows that were written: those of tables, and changes of the alarm, which are billed as rows.
fn rows_written(object: &TestObject) -> u64 {
    let changes = object.database.exec("SELECT total_changes()", &[]).unwrap().pop().unwrap().number().unwrap();
    changes + object.host.alarm_calls.borrow().len() as u64
}

#[test]
fn a_delivery_writes_three_rows_and_in_a_backlog_less_than_one() {
    let object = with_webhook();
    launches(&object, 0..1);
    advance(&object, 300_000);
    let before = rows_written(&object);
    launches(&object, 1..2);
    advance(&object, 300_000);
    let commit = 1;
    assert_eq!(rows_written(&object) - before - commit, 3, "two alarms and the state");
    assert_eq!(received(&object).len(), 2);

    define(&object, WebhookDefinition { active: Some(false), ..WebhookDefinition::default() });
    launches(&object, 2..102);
    let before = rows_written(&object);
    plan(&object, vec![Behavior::Status(200, None, 50); 100]);
    define(&object, WebhookDefinition { active: Some(true), ..WebhookDefinition::default() });
    for _ in 0..150 {
        advance(&object, 50);
    }
    assert_eq!((received(&object).len(), &state(&object)["status"]), (100, &json!("idle")));
    let backlog = rows_written(&object) - before;
    assert!(backlog <= 20, "{backlog} rows for 100 launches");
}

#[test]
fn an_idle_webhook_runs_no_statement_and_sets_no_alarm() {
    let object = with_webhook();
    advance(&object, DAY);
    let statements = object.database.statements.get();
    assert_eq!(object.host.alarm.get(), None, "before the first launch");
    advance(&object, 30 * DAY);
    assert_eq!(object.database.statements.get(), statements);
    launches(&object, 0..3);
    advance(&object, 300_000);
    assert_eq!(received(&object).len(), 3);
    let after = (object.database.statements.get(), object.host.alarm.get(), object.host.alarm_calls.borrow().len());
    advance(&object, DAY);
    let later = (object.database.statements.get(), object.host.alarm.get(), object.host.alarm_calls.borrow().len());
    assert_eq!(later, after);
    let retention = object.host.alarm.get().is_some_and(|at| at > object.host.now() + DAY);
    assert!(retention, "the alarm is that of retention");
}

#[test]
fn a_receiver_that_returns_after_an_hour_gets_everything_in_order() {
    let object = with_webhook();
    plan(&object, vec![Behavior::Fail; 7]);
    launches(&object, 0..4);
    advance(&object, 3_600_000);
    let mut messages = received(&object);
    assert_eq!((messages.len(), &state(&object)["status"]), (7, &json!("retrying")));
    advance(&object, 3_600_000);
    messages.extend(received(&object));
    assert_eq!((messages.len(), &state(&object)["delivered_through"]), (11, &json!(4)));
    let blocked = &messages[0];
    let is_same = |message: &Received| {
        message.body == blocked.body && message.header("webhook-id") == blocked.header("webhook-id")
    };
    assert!(messages[..8].iter().all(is_same), "the blocked launch is repeated");
    let sequences = |message: &Received| {
        serde_json::from_str::<Value>(&message.body).unwrap()["data"]["launch"]["sequence"].as_u64().unwrap()
    };
    assert_eq!(messages[7..].iter().map(sequences).collect::<Vec<_>>(), [1, 2, 3, 4]);
}

#[test]
fn failures_of_the_storage_are_reported_and_delivery_continues() {
    let object = with_webhook();
    plan(&object, [FAILS]);
    launches(&object, 0..1);
    object.host.take_reported();
    object.database.statements.set(0);
    object.host.set_now(NOON + 10_000);
    object.host.alarm.set(None);
    let rung = object.host.run(object.object.alarm());
    assert!(rung.is_err(), "the platform repeats the alarm");
    object.database.statements.set(u64::MAX);
    object.host.alarm.set(Some(object.host.now()));
    advance(&object, 120_000);
    assert_eq!((received(&object).len(), &state(&object)["status"]), (2, &json!("idle")));
    let failures: Vec<String> = object.host.take_failures().into_iter().map(|(failure, _)| failure).collect();
    assert!(failures.iter().all(|failure| failure == sender::FAILURE), "{failures:?}");
}
