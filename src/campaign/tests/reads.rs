//! Reading launches, recipients and reports.

use super::{
    NOON, Sample,
    database::{DAY, Database, bytes, committed, defined, empty, json, read, unlimited},
};
use crate::{
    campaign::{
        log::state::{LaunchLog, LogError},
        object::answer,
        protocol::{
            commands::{Command, NewestRequest, PageRequest, Refusal, Resource},
            head::{Attachment, Upload, UploadPart},
            id::LaunchId,
        },
        read::{repeat::RepeatReply, reply::ObjectReply},
    },
    limits::LAUNCHES_PAGE_BYTES,
    outcome::Outcome,
    storage::sql::StorageError,
};

fn launches(after: Option<u64>, limit: u64) -> Command {
    Command::Launches(PageRequest { after, limit })
}

fn commit(log: &LaunchLog<Database>, sample: &Sample) {
    committed(log.commit(&sample.message(), NOON));
}

#[test]
fn a_launch_is_returned_with_all_fields_in_order() {
    let log = defined();
    let mut sample = Sample::with_recipients("re\"q", 2);
    sample.outcomes = vec![Outcome::Matched, Outcome::Ambiguous, Outcome::Matched, Outcome::Duplicate];
    sample.outcomes.extend([Outcome::TooLong; 2]);
    sample.content = Some(r#"{"b": 1.0, "a": 1e400, "b": "é"}"#.to_owned());
    let message = sample.changed_message(|commit| {
        commit.head.skip_triggers = true;
        commit.head.attachments.push(Attachment {
            name: "policy.pdf".to_owned(),
            content_type: "application/pdf".to_owned(),
            size: 5,
            sha256: [0xAB; 32],
            upload: Upload {
                key: "k/0".to_owned(),
                upload_id: "u".to_owned(),
                parts: vec![UploadPart { number: 1, etag: "e".to_owned() }],
            },
        });
    });
    committed(log.commit(&message, NOON + 7));
    let expected = format!(
        concat!(
            r#"{{"launch_id":"{}","sequence":1,"trigger_id":85,"accepted_at":"2026-11-23T18:00:00.007Z","#,
            r#""request_id":"re\"q","token_name":"crm","matching":"email","recipients":2,"unmatched":1,"invalid":2,"#,
            r#""duplicates":1,"skip_triggers":true,"content":{{"b": 1.0, "a": 1e400, "b": "é"}},"custom_data":null,"#,
            r#""attachments":[{{"name":"policy.pdf","content_type":"application/pdf","size":5,"sha256":"{}"}}]}}"#,
        ),
        sample.launch_id(),
        "ab".repeat(32)
    );
    assert_eq!(read(&log, &Command::Launch(sample.launch_id()), NOON).unwrap(), expected);
    let page = read(&log, &launches(None, 100), NOON).unwrap();
    assert_eq!(page, format!(r#"{{"launches":[{expected}],"first":1,"next":null}}"#));
}

#[test]
fn pages_of_launches_have_no_gap_at_any_limit() {
    let log = defined();
    for number in 0..40 {
        commit(&log, &Sample::new(&format!("request-{number}")));
    }
    for limit in [1, 15, 16, 17, 39, 40, 41, 1000] {
        let mut after = None;
        let mut seen = Vec::new();
        loop {
            let page = json(&log, &launches(after, limit));
            let sequences =
                page["launches"].as_array().unwrap().iter().map(|launch| launch["sequence"].as_u64().unwrap());
            seen.extend(sequences);
            assert_eq!(page["first"], 1);
            let next = page["next"].as_u64();
            assert!(next.is_none() || next == seen.last().copied());
            if next.is_none() {
                break;
            }
            after = next;
        }
        assert_eq!(seen, (1..=40).collect::<Vec<_>>(), "limit {limit}");
    }
    let empty = r#"{"launches":[],"first":1,"next":null}"#;
    for after in [40, 41, (1 << 53) - 1] {
        assert_eq!(read(&log, &launches(Some(after), 10), NOON).unwrap(), empty);
    }
}

#[test]
fn pages_of_launches_newest_first_have_no_gap_and_end_at_the_oldest() {
    let log = defined();
    for number in 0..40 {
        let at = if number < 5 { NOON } else { NOON + 10 };
        committed(log.commit(&Sample::new(&format!("request-{number}")).message(), at));
    }
    let newest = |before, limit| Command::NewestLaunches(NewestRequest { before, limit });
    let pages = |oldest: u64| {
        for limit in [1, 15, 16, 17, 34, 35, 40, 41, 1000] {
            let (mut before, mut seen) = (None, Vec::new());
            loop {
                let page = json(&log, &newest(before, limit));
                seen.extend(
                    page["launches"].as_array().unwrap().iter().map(|launch| launch["sequence"].as_u64().unwrap()),
                );
                assert_eq!(page["first"], oldest);
                before = page["next"].as_u64();
                assert!(before.is_none() || before == seen.last().copied());
                if before.is_none() {
                    break;
                }
            }
            assert_eq!(seen, (oldest..=40).rev().collect::<Vec<_>>(), "limit {limit}");
        }
        let empty = format!(r#"{{"launches":[],"first":{oldest},"next":null}}"#);
        for before in [0, 1, oldest] {
            assert_eq!(read(&log, &newest(Some(before), 10), NOON).unwrap(), empty, "before {before}");
        }
        let all = json(&log, &newest(Some((1 << 53) - 1), 1000));
        assert_eq!(all, json(&log, &newest(None, 1000)));
    };
    pages(1);
    log.run_retention(NOON + 3 * DAY).unwrap();
    pages(6);
    let one = json(&log, &Command::Launches(PageRequest { after: Some(39), limit: 1 }));
    assert_eq!(json(&log, &newest(None, 1))["launches"], one["launches"]);
    assert_eq!(read(&empty(), &newest(None, 1), NOON), Err(LogError::Refused(Refusal::NotFound(Resource::Campaign))));
    assert_eq!(read(&defined(), &newest(None, 1), NOON).unwrap(), r#"{"launches":[],"first":null,"next":null}"#);
}

#[test]
fn a_page_of_launches_ends_at_its_size_limit_but_has_at_least_one_launch() {
    let log = defined();
    for (number, length) in [5 << 20, 2 << 20, 2 << 20, 9 << 20, 10].into_iter().enumerate() {
        let content = Some("1".repeat(length));
        commit(&log, &Sample { content, ..Sample::new(&format!("request-{number}")) });
    }
    let mut after = None;
    for (count, next) in [(2, Some(2)), (1, Some(3)), (1, Some(4)), (1, None)] {
        let text = read(&log, &launches(after, 1000), NOON).unwrap();
        let found = text.matches("\"sequence\":").count();
        assert_eq!(found, count, "after {after:?}");
        assert!(text.len() as u64 <= LAUNCHES_PAGE_BYTES || count == 1);
        let end = format!("\"next\":{}}}", next.map_or("null".to_owned(), |next: u64| next.to_string()));
        assert!(text.ends_with(&end));
        after = next;
    }
}

#[test]
fn a_page_does_not_contain_launches_committed_while_it_is_read() {
    let log = defined();
    for number in 0..20 {
        commit(&log, &Sample { content: Some("1".repeat(60_000)), ..Sample::new(&format!("request-{number}")) });
    }
    let mut reply = answer(&log, &unlimited(&launches(None, 1000)), NOON).unwrap();
    let first = reply.next_piece(&log).unwrap().unwrap();
    commit(&log, &Sample::new("late"));
    let text = String::from_utf8([first, bytes(&log, reply).unwrap()].concat()).unwrap();
    assert_eq!(text.matches("\"sequence\":").count(), 20);
    assert!(text.ends_with(r#""first":1,"next":null}"#));
}

#[test]
fn a_reply_ends_with_an_error_if_its_launch_is_removed_meanwhile() {
    let log = defined();
    let large = Sample::with_recipients("large", 100_000);
    commit(&log, &large);
    commit(&log, &Sample { content: Some("1".repeat(100_000)), ..Sample::new("b") });
    let commands = [
        Command::RecipientsStream(large.launch_id()),
        Command::Recipients(large.launch_id(), PageRequest { after: None, limit: 50_000 }),
        launches(None, 100),
    ];
    let mut replies: Vec<ObjectReply> =
        commands.iter().map(|command| answer(&log, &unlimited(command), NOON).unwrap()).collect();
    let stored = log.find(large.launch_id()).unwrap();
    replies.push(ObjectReply::Repeat(Box::new(RepeatReply::new(stored))));
    for reply in replies.iter_mut().take(2) {
        assert!(reply.next_piece(&log).unwrap().is_some());
    }
    log.run_retention(NOON * 2).unwrap();
    for mut reply in replies {
        let error = loop {
            match reply.next_piece(&log) {
                Ok(Some(_)) => {}
                Ok(None) => panic!("ended without an error"),
                Err(error) => break error,
            }
        };
        assert!(matches!(error, StorageError::Removed(_)), "{error}");
    }
}

#[test]
fn recipients_are_returned_in_pages_with_their_own_data() {
    let log = defined();
    let mut sample = Sample::with_recipients("a", 5000);
    sample.items =
        (0..5000).filter(|index| index % 7 == 3).map(|index| (index, format!("{{\"n\": {index}}}"))).collect();
    commit(&log, &sample);
    let expected: Vec<String> = sample
        .recipients
        .chunks(12)
        .enumerate()
        .map(|(index, id)| {
            let data = if index % 7 == 3 { format!(r#","custom_data":{{"n": {index}}}"#) } else { String::new() };
            format!(r#"{{"index":{index},"profile_id":"{}"{data}}}"#, crate::text::hex(id))
        })
        .collect();
    let id = sample.launch_id();
    let lines = read(&log, &Command::RecipientsStream(id), NOON).unwrap();
    assert!(lines == expected.join("\n") + "\n");
    for (after, limit) in [(None, 1), (None, 4999), (None, 5000), (Some(3), 1), (Some(2), 50_000), (Some(4998), 1)] {
        let page = read(&log, &Command::Recipients(id, PageRequest { after, limit }), NOON).unwrap();
        let start = after.map_or(0, |after| after as usize + 1);
        let end = (start + limit as usize).min(5000);
        let next = if end == 5000 { "null".to_owned() } else { (end - 1).to_string() };
        let entries = expected[start..end].join(",");
        assert!(page == format!("{{\"recipients\":[{entries}],\"next\":{next}}}"), "{after:?} {limit}");
    }
    for after in [4999, 5000, (1 << 53) - 1] {
        let page = read(&log, &Command::Recipients(id, PageRequest { after: Some(after), limit: 5 }), NOON).unwrap();
        assert_eq!(page, r#"{"recipients":[],"next":null}"#);
    }
}

#[test]
fn a_recipient_is_one_line_of_ndjson_even_if_its_data_has_line_breaks() {
    let log = defined();
    let sample = Sample { items: vec![(0, "{\r\n  \"a\\n\": 1.0\n}".to_owned())], ..Sample::new("a") };
    commit(&log, &sample);
    let id = sample.launch_id();
    let line = "{\"index\":0,\"profile_id\":\"0102030405060708090a0b0c\",\"custom_data\":{    \"a\\n\": 1.0 }}\n";
    assert_eq!(read(&log, &Command::RecipientsStream(id), NOON).unwrap(), line);
    let page = read(&log, &Command::Recipients(id, PageRequest { after: None, limit: 1 }), NOON).unwrap();
    assert!(page.contains("{\r\n  \"a\\n\": 1.0\n}"), "a page contains the text as it was sent");
}

#[test]
fn large_data_of_items_is_returned_in_small_pieces() {
    let log = defined();
    let mut sample = Sample::with_recipients("a", 300);
    let text = |index: u32| format!("\"{}\"", char::from(b'a' + (index % 26) as u8).to_string().repeat(60_000));
    sample.items = (0..300).map(|index| (index, text(index))).collect();
    commit(&log, &sample);
    let mut reply = answer(&log, &unlimited(&Command::RecipientsStream(sample.launch_id())), NOON).unwrap();
    let mut lines = String::new();
    while let Some(piece) = reply.next_piece(&log).unwrap() {
        assert!(piece.len() < 512 * 1024, "{} bytes at once", piece.len());
        lines.push_str(std::str::from_utf8(&piece).unwrap());
    }
    assert_eq!(lines.lines().count(), 300);
    for (index, line) in lines.lines().enumerate() {
        assert!(line.ends_with(&format!("\"custom_data\":{}}}", text(index as u32))));
    }
}

#[test]
fn a_launch_without_recipients_has_empty_lists() {
    let log = defined();
    let sample = Sample { recipients: Vec::new(), outcomes: vec![Outcome::NotFound], ..Sample::new("a") };
    commit(&log, &sample);
    let id = sample.launch_id();
    assert_eq!(read(&log, &Command::RecipientsStream(id), NOON).unwrap(), "");
    let page = Command::Recipients(id, PageRequest { after: None, limit: 10 });
    assert_eq!(read(&log, &page, NOON).unwrap(), r#"{"recipients":[],"next":null}"#);
    let report = format!(
        r#"{{"launch_id":"{id}","matched":0,"unmatched":[{{"index":0,"reason":"not_found"}}],"invalid":[],"duplicates":[]}}"#
    );
    assert_eq!(read(&log, &Command::Report(id), NOON).unwrap(), report);
}

#[test]
fn a_report_lists_every_item_that_is_not_a_recipient() {
    let log = defined();
    let mut sample = Sample::new("a");
    sample.outcomes = (0..60_000_u32).map(|index| Outcome::ALL[(index * index % 31 % 8) as usize]).collect();
    // A piece ends in the middle of a long run.
    sample.outcomes.extend([Outcome::WrongType; 30_000]);
    let matched = sample.outcomes.iter().filter(|outcome| **outcome == Outcome::Matched).count();
    sample.recipients = vec![7; matched * 12];
    commit(&log, &sample);
    let report = json(&log, &Command::Report(sample.launch_id()));
    assert_eq!(report["matched"], matched);
    let list = |wanted: fn(Outcome) -> bool| -> serde_json::Value {
        let items = sample.outcomes.iter().enumerate().filter(|(_, outcome)| wanted(**outcome));
        items
            .map(|(index, outcome)| match outcome.reason() {
                Some(reason) => serde_json::json!({"index": index, "reason": reason}),
                None => index.into(),
            })
            .collect()
    };
    assert!(report["unmatched"] == list(Outcome::is_unmatched));
    assert!(report["invalid"] == list(Outcome::is_invalid));
    assert!(report["duplicates"] == list(|outcome| outcome == Outcome::Duplicate));
}

#[test]
fn an_unknown_launch_is_not_found() {
    let log = defined();
    commit(&log, &Sample::new("a"));
    let other = Sample { random: 2, ..Sample::new("a") }.launch_id();
    // Retention has removed nothing, so no ID has expired, however old.
    let oldest = LaunchId::parse("00000000-0000-7000-8000-000000000000").unwrap();
    for other in [other, oldest] {
        for command in [Command::Launch(other), Command::RecipientsStream(other), Command::Report(other)] {
            assert_eq!(read(&log, &command, NOON), Err(LogError::Refused(Refusal::NotFound(Resource::Launch))));
        }
    }
}
