use super::{
    NOON, Sample,
    database::{Database, bytes, committed, defined, json, read, unlimited},
};
use crate::{
    campaign::{
        commands::{Command, Page, Refusal, Thing},
        head::{Attachment, Part, Upload},
        id::LaunchId,
        log::{Fault, Log},
        reading::{PAGE_BYTES, Reading},
    },
    outcome::Outcome,
};

fn launches(after: Option<u64>, limit: u64) -> Command {
    Command::Launches(Page { after, limit })
}

fn commit(log: &Log<Database>, sample: &Sample) {
    committed(log.commit(&sample.message(), NOON));
}

#[test]
fn a_launch_reads_field_by_field_in_order() {
    let log = defined();
    let mut sample = Sample::of("re\"q", 2);
    sample.outcomes = vec![Outcome::Matched, Outcome::Ambiguous, Outcome::Matched, Outcome::Duplicate];
    sample.outcomes.extend([Outcome::TooLong; 2]);
    sample.content = Some(r#"{"b": 1.0, "a": 1e400, "b": "é"}"#.to_owned());
    let message = sample.with_commit(|commit| {
        let mut commit = commit.clone();
        commit.head.skip_triggers = true;
        commit.head.attachments.push(Attachment {
            name: "policy.pdf".to_owned(),
            content_type: "application/pdf".to_owned(),
            size: 5,
            sha256: [0xAB; 32],
            upload: Upload {
                key: "k/0".to_owned(),
                upload_id: "u".to_owned(),
                parts: vec![Part { number: 1, etag: "e".to_owned() }],
            },
        });
        commit.encode().unwrap()
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
fn pages_of_launches_join_without_a_gap_at_every_limit() {
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
fn a_page_of_launches_ends_at_its_bytes_but_has_one_launch() {
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
        assert!(text.len() as u64 <= PAGE_BYTES || count == 1);
        let end = format!("\"next\":{}}}", next.map_or("null".to_owned(), |next: u64| next.to_string()));
        assert!(text.ends_with(&end));
        after = next;
    }
}

#[test]
fn a_page_does_not_show_what_is_committed_while_it_is_read() {
    let log = defined();
    for number in 0..20 {
        commit(&log, &Sample { content: Some("1".repeat(60_000)), ..Sample::new(&format!("request-{number}")) });
    }
    let mut reading = log.answer(&unlimited(&launches(None, 1000)), NOON).unwrap();
    let first = reading.step(&log).unwrap().unwrap();
    commit(&log, &Sample::new("late"));
    let text = String::from_utf8([first, bytes(&log, reading).unwrap()].concat()).unwrap();
    assert_eq!(text.matches("\"sequence\":").count(), 20);
    assert!(text.ends_with(r#""first":1,"next":null}"#));
}

/// What has been removed in the middle of an answer ends it with an error, never cleanly.
#[test]
fn an_answer_that_cannot_be_completed_is_an_error() {
    let log = defined();
    let large = Sample::of("large", 100_000);
    commit(&log, &large);
    commit(&log, &Sample { content: Some("1".repeat(100_000)), ..Sample::new("b") });
    let commands = [
        Command::RecipientsStream(large.launch_id()),
        Command::Recipients(large.launch_id(), Page { after: None, limit: 50_000 }),
        launches(None, 100),
    ];
    let mut readings: Vec<Reading> =
        commands.iter().map(|command| log.answer(&unlimited(command), NOON).unwrap()).collect();
    let stored = log.find(large.launch_id()).unwrap();
    readings.push(Reading::Repeated(Box::new(crate::campaign::reading::Repeating::new(stored))));
    for reading in readings.iter_mut().take(2) {
        assert!(reading.step(&log).unwrap().is_some());
    }
    log.sweep(NOON * 2).unwrap();
    for mut reading in readings {
        let error = loop {
            match reading.step(&log) {
                Ok(Some(_)) => {}
                Ok(None) => panic!("ended cleanly"),
                Err(error) => break error,
            }
        };
        assert!(!error.0.is_empty());
    }
}

#[test]
fn recipients_come_in_pages_with_their_own_data() {
    let log = defined();
    let mut sample = Sample::of("a", 5000);
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
        let page = read(&log, &Command::Recipients(id, Page { after, limit }), NOON).unwrap();
        let start = after.map_or(0, |after| after as usize + 1);
        let end = (start + limit as usize).min(5000);
        let next = if end == 5000 { "null".to_owned() } else { (end - 1).to_string() };
        let entries = expected[start..end].join(",");
        assert!(page == format!("{{\"recipients\":[{entries}],\"next\":{next}}}"), "{after:?} {limit}");
    }
    for after in [4999, 5000, (1 << 53) - 1] {
        let page = read(&log, &Command::Recipients(id, Page { after: Some(after), limit: 5 }), NOON).unwrap();
        assert_eq!(page, r#"{"recipients":[],"next":null}"#);
    }
}

#[test]
fn a_recipient_is_one_line_also_where_its_data_came_in_several() {
    let log = defined();
    let sample = Sample { items: vec![(0, "{\r\n  \"a\\n\": 1.0\n}".to_owned())], ..Sample::new("a") };
    commit(&log, &sample);
    let id = sample.launch_id();
    let line = "{\"index\":0,\"profile_id\":\"0102030405060708090a0b0c\",\"custom_data\":{    \"a\\n\": 1.0 }}\n";
    assert_eq!(read(&log, &Command::RecipientsStream(id), NOON).unwrap(), line);
    let page = read(&log, &Command::Recipients(id, Page { after: None, limit: 1 }), NOON).unwrap();
    assert!(page.contains("{\r\n  \"a\\n\": 1.0\n}"), "a page has it as it came");
}

#[test]
fn large_data_of_items_is_read_a_little_at_a_time() {
    let log = defined();
    let mut sample = Sample::of("a", 300);
    let text = |index: u32| format!("\"{}\"", char::from(b'a' + (index % 26) as u8).to_string().repeat(60_000));
    sample.items = (0..300).map(|index| (index, text(index))).collect();
    commit(&log, &sample);
    let mut reading = log.answer(&unlimited(&Command::RecipientsStream(sample.launch_id())), NOON).unwrap();
    let mut lines = String::new();
    while let Some(piece) = reading.step(&log).unwrap() {
        assert!(piece.len() < 512 * 1024, "{} bytes at once", piece.len());
        lines.push_str(std::str::from_utf8(&piece).unwrap());
    }
    assert_eq!(lines.lines().count(), 300);
    for (index, line) in lines.lines().enumerate() {
        assert!(line.ends_with(&format!("\"custom_data\":{}}}", text(index as u32))));
    }
}

#[test]
fn a_launch_that_reached_nobody_reads_as_such() {
    let log = defined();
    let sample = Sample { recipients: Vec::new(), outcomes: vec![Outcome::NotFound], ..Sample::new("a") };
    commit(&log, &sample);
    let id = sample.launch_id();
    assert_eq!(read(&log, &Command::RecipientsStream(id), NOON).unwrap(), "");
    let page = Command::Recipients(id, Page { after: None, limit: 10 });
    assert_eq!(read(&log, &page, NOON).unwrap(), r#"{"recipients":[],"next":null}"#);
    let report = format!(
        r#"{{"launch_id":"{id}","matched":0,"unmatched":[{{"index":0,"reason":"not_found"}}],"invalid":[],"duplicates":[]}}"#
    );
    assert_eq!(read(&log, &Command::Report(id), NOON).unwrap(), report);
}

#[test]
fn a_report_lists_every_item_that_did_not_become_a_recipient() {
    let log = defined();
    let mut sample = Sample::new("a");
    sample.outcomes = (0..60_000_u32).map(|index| Outcome::ALL[(index * index % 31 % 8) as usize]).collect();
    // Long runs end a piece in their middle.
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
fn a_launch_that_never_was_is_not_found() {
    let log = defined();
    commit(&log, &Sample::new("a"));
    let other = Sample { random: 2, ..Sample::new("a") }.launch_id();
    // Nothing has been removed here, so not even an id of the oldest time can be expired.
    let oldest = LaunchId::parse("00000000-0000-7000-8000-000000000000").unwrap();
    for other in [other, oldest] {
        for command in [Command::Launch(other), Command::RecipientsStream(other), Command::Report(other)] {
            assert_eq!(read(&log, &command, NOON), Err(Fault::Refused(Refusal::NotFound(Thing::Launch))));
        }
    }
}
