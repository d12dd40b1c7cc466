use super::{Sample, hex};
use crate::{
    campaign::{
        layout::Layout,
        message::{Commit, Repeated},
        packed,
    },
    outcome::Outcome,
};

fn full() -> Sample {
    let mut sample = Sample::of("req-1", 3);
    sample.outcomes = vec![
        Outcome::Matched,
        Outcome::NotFound,
        Outcome::Matched,
        Outcome::Duplicate,
        Outcome::WrongType,
        Outcome::Matched,
    ];
    sample.content = Some(r#"{"b": 1.0, "a": "é"}"#.to_owned());
    sample.custom_data = Some("{}".to_owned());
    sample.items = vec![(1, r#"{"x":1}"#.to_owned()), (2, "{}".to_owned())];
    sample
}

/// The same text on every machine: what the object has stored must stay readable.
#[test]
fn the_bytes_of_a_message_are_pinned() {
    let message = full().message();
    let (prefix, rest) = message.split_at(32);
    let (body, digest) = rest.split_at(rest.len() - 16);
    let head_length = Layout::read(&message).unwrap().head() as usize;
    let (head, sections) = body.split_at(head_length);
    assert_eq!(hex(prefix), "544c43313f010000150000000200000024000000060000001000000009000000");
    assert_eq!(
        std::str::from_utf8(head).unwrap(),
        concat!(
            r#"{"launch_id":"01a20990-9500-7000-8000-01dd9d0d1fc9","trigger_id":85"#,
            r#","request_id":"req-1","token_name":"crm","endpoint":"start_batch","body_digest":""#,
            "0101010101010101010101010101010101010101010101010101010101010101",
            r#"","matching":"email","skip_triggers":false,"counts":{"matched":3,"unmatched":1,"invalid":1,"duplicates":1}}"#
        )
    );
    let sections = hex(sections);
    let expected = concat!(
        "7b2262223a20312e302c202261223a2022c3a9227d", // content
        "7b7d",                                       // custom_data
        "000000000000000000000000",                   // recipients
        "9e3779b10000000000000001",
        "3c6ef3620000000000000002",
        "080a08090d08",     // outcomes
        "0100000007000000", // index of items' data
        "0200000009000000",
        "7b2278223a317d7b7d", // items' data
    );
    assert_eq!(sections, expected);
    assert_eq!(hex(digest), "6606b77626fbeb86dc284e771094df24");
}

#[test]
fn what_is_sent_is_what_arrives() {
    let sample = full();
    let message = sample.message();
    sample.with_commit(|commit| assert_eq!(Commit::decode(&message).as_ref(), Ok(commit)));
    assert_eq!(message.len() as u64, Layout::read(&message).unwrap().message());
    let repeated = Repeated::decode(message).unwrap();
    assert_eq!(repeated.recipients(), sample.recipients);
    assert_eq!(packed::outcomes(repeated.outcomes()).collect::<Vec<_>>(), sample.outcomes);
    assert_eq!(repeated.head().launch_id, sample.launch_id());
}
