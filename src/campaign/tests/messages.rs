//! The formats that the Worker and the object exchange.

use proptest::prelude::*;

use super::{NOON, Sample, hex};
use crate::{
    campaign::protocol::{
        commands::{
            Command, Definition, Envelope, PageRequest, Refusal, RequestIdentity, Resource, check_same_request,
        },
        head::{Attachment, LaunchHead, Upload, UploadPart},
        id::{LaunchId, RequestKey},
        items::{ItemData, ItemDataBuilder, ItemDataError},
        layout::MessageLayout,
        message::{Commit, MessageError, RepeatedLaunch},
        packed::{self, InvalidOutcomes, OutcomePacker, OutcomeRuns},
    },
    fields::Endpoint,
    limits::LAUNCH_TOKEN_NAME_LIMIT,
    outcome::{Counts, Outcome},
    problem::{Problem, Refused},
};

/// A launch that has every section.
fn full() -> Sample {
    let mut sample = Sample::with_recipients("req-1", 3);
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

#[test]
fn a_message_has_its_stored_bytes() {
    let message = full().message();
    let (prefix, rest) = message.split_at(32);
    let (body, digest) = rest.split_at(rest.len() - 16);
    let head_length = MessageLayout::read(&message).unwrap().head() as usize;
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
fn a_message_decodes_to_what_was_encoded() {
    let sample = full();
    let message = sample.message();
    sample.with_commit(|commit| assert_eq!(Commit::decode(&message).as_ref(), Ok(commit)));
    assert_eq!(message.len() as u64, MessageLayout::read(&message).unwrap().message());
    let repeated = RepeatedLaunch::decode(message).unwrap();
    assert_eq!(repeated.recipients(), sample.recipients);
    assert_eq!(packed::outcomes(repeated.outcomes()).collect::<Vec<_>>(), sample.outcomes);
    assert_eq!(repeated.head().launch_id, sample.launch_id());
}

#[test]
fn rejects_a_message_of_another_length() {
    let message = full().message();
    for end in 0..message.len() {
        assert!(Commit::decode(&message[..end]).is_err(), "cut off at {end}");
    }
    let longer = [message.as_slice(), &[0]].concat();
    assert_eq!(Commit::decode(&longer), Err(MessageError::Length));
}

#[test]
fn rejects_a_message_with_any_flipped_bit() {
    let message = full().message();
    for position in 0..message.len() {
        for bit in 0..8 {
            let mut flipped = message.clone();
            flipped[position] ^= 1 << bit;
            assert!(Commit::decode(&flipped).is_err(), "bit {bit} of byte {position}");
        }
    }
}

#[test]
fn rejects_parts_that_contradict_each_other() {
    let refused = |change: fn(&mut Commit<'_>)| {
        full().with_commit(|commit| {
            let mut commit = commit.clone();
            change(&mut commit);
            commit.encode().unwrap_err()
        })
    };
    assert_eq!(refused(|commit| commit.head.counts.matched = 2), MessageError::Recipients);
    assert_eq!(refused(|commit| commit.recipients = &commit.recipients[1..]), MessageError::Recipients);
    assert_eq!(refused(|commit| commit.outcomes = &commit.outcomes[1..]), MessageError::Outcomes);
    assert_eq!(refused(|commit| commit.outcomes = &[0x80]), MessageError::Outcomes);
    assert_eq!(refused(|commit| commit.item_data.texts = "{}"), MessageError::ItemData);
    assert_eq!(refused(|commit| commit.item_data.index = &[3, 0, 0, 0, 9, 0, 0, 0]), MessageError::ItemData);
    assert_eq!(refused(|commit| commit.head.request_id = "another".to_owned()), MessageError::Head);
    let long_name = full().with_commit(|commit| {
        let mut commit = commit.clone();
        commit.head.token_name = "x".repeat(LAUNCH_TOKEN_NAME_LIMIT + 1);
        let key = RequestKey::new(&commit.head.token_name, &commit.head.request_id);
        commit.head.launch_id = LaunchId::new(NOON, key, 1);
        commit.encode()
    });
    assert_eq!(long_name, Err(MessageError::Head));
}

#[test]
fn a_head_with_files_has_its_stored_json() {
    let attachment = Attachment {
        name: "a\"é".to_owned(),
        content_type: "text/plain".to_owned(),
        size: 7,
        sha256: [0x0F; 32],
        upload: Upload {
            key: "k/0".to_owned(),
            upload_id: "up".to_owned(),
            parts: vec![UploadPart { number: 1, etag: "tag".to_owned() }],
        },
    };
    let json = serde_json::to_string(&attachment).unwrap();
    let expected = format!(
        r#"{{"name":"a\"é","content_type":"text/plain","size":7,"sha256":"{}","upload":{{"key":"k/0","upload_id":"up","parts":[{{"number":1,"etag":"tag"}}]}}}}"#,
        "0f".repeat(32)
    );
    assert_eq!(json, expected);
    assert_eq!(serde_json::from_str::<Attachment>(&json).unwrap(), attachment);
    for bad in ["0f", &"0g".repeat(32), &"0F".repeat(32), &"00".repeat(33)] {
        assert!(serde_json::from_str::<Attachment>(&json.replace(&"0f".repeat(32), bad)).is_err(), "{bad}");
    }
    // Unknown fields are ignored, so that an earlier release reads what a later one wrote.
    let head = full().with_commit(|commit| commit.head.clone());
    let json = serde_json::to_string(&LaunchHead { endpoint: Endpoint::Start, ..head }).unwrap();
    assert!(json.contains(r#""endpoint":"start","#));
    assert!(serde_json::from_str::<LaunchHead>(&json.replacen('{', r#"{"later":1,"#, 1)).is_ok());
}

#[test]
fn a_launch_id_is_a_uuid_of_version_7_with_its_time_and_its_request_key() {
    let key = RequestKey::new("crm", "req-1");
    let id = LaunchId::new(NOON, key, u64::MAX);
    assert_eq!(id.to_string(), "01a20990-9500-7fff-bfff-ffdd9d0d1fc9");
    assert_eq!((id.time(), id.key()), (NOON, key));
    assert_eq!(LaunchId::parse(&id.to_string()), Some(id));
    assert_ne!(LaunchId::new(NOON, key, 0), LaunchId::new(NOON, key, 1));
    assert_ne!(RequestKey::new("crmr", "eq-1"), key);
    assert_eq!(LaunchId::new(u64::MAX, key, 0).time(), (1 << 48) - 1);
    for bad in [
        "",
        "01a20990-9500-7fff-bfff-ffdd9d0d1fc",
        "01a20990-9500-7fff-bfff-ffdd9d0d1fc9a",
        "01A20990-9500-7fff-bfff-ffdd9d0d1fc9",
        "01a20990-9500-4fff-bfff-ffdd9d0d1fc9",
        "01a20990-9500-7fff-ffff-ffdd9d0d1fc9",
        "01a20990095007fff0bfff0ffdd9d0d1fc9a",
        "01a20990-9500-7fff-bfff-ffdd9d0d1f-9",
        "é1a20990-9500-7fff-bfff-ffdd9d0d1fc",
    ] {
        assert_eq!(LaunchId::parse(bad), None, "{bad}");
    }
}

#[test]
fn packed_outcomes_have_their_stored_bytes() {
    let pack = |runs: &[(Outcome, u32)]| {
        let mut packer = OutcomePacker::default();
        for (outcome, length) in runs {
            (0..*length).for_each(|_| packer.push(*outcome));
        }
        hex(&packer.finish())
    };
    assert_eq!(pack(&[]), "");
    assert_eq!(pack(&[(Outcome::Matched, 300_000)]), "80be9201");
    assert_eq!(pack(&[(Outcome::Malformed, 15), (Outcome::Duplicate, 16)]), "7f8101");
    for bad in [&[0x00][..], &[0x07], &[0x80], &[0x88, 0x00], &[0xFF, 0xFF, 0xFF, 0xFF, 0x1F], &[0x88; 6]] {
        assert_eq!(packed::counts(bad), Err(InvalidOutcomes), "{bad:?}");
        assert_eq!(OutcomeRuns::new(bad).count(), 1);
    }
}

#[test]
fn items_data_is_collected_in_the_order_of_recipients() {
    let mut items = ItemDataBuilder::default();
    assert_eq!(items.push(4, "{}"), Ok(()));
    assert_eq!(items.push(4, "{}"), Err(ItemDataError));
    assert_eq!(items.push(5, ""), Err(ItemDataError));
    assert_eq!(items.push(9, "[]"), Ok(()));
    assert_eq!(items.bytes(), 20);
    assert_eq!(hex(items.view().index), "04000000020000000900000004000000");
    assert_eq!(items.view().iter().collect::<Vec<_>>(), [(4, "{}"), (9, "[]")]);
    assert!(items.view().is_valid(10));
    assert!(!items.view().is_valid(9));
    let index = items.view().index;
    for bad in [
        ItemData { index, texts: "{}[" },
        ItemData { index, texts: "{}[]x" },
        ItemData { index: &index[1..], texts: "{}[]" },
        ItemData { index: &[0, 0, 0, 0, 1, 0, 0, 0], texts: "é" },
    ] {
        assert!(!bad.is_valid(10), "{bad:?}");
    }
}

#[test]
fn commands_and_refusals_have_their_json_and_decode_to_what_was_encoded() {
    let id = LaunchId::new(NOON, RequestKey::new("crm", "a"), 0);
    let page = PageRequest { after: None, limit: 100 };
    let request = RequestIdentity { token_name: "crm".to_owned(), request_id: "a".to_owned() };
    let definition = Definition { id: 85, active: Some(false), ..Definition::default() };
    let commands = [
        (Command::Define(definition), r#"{"define":{"id":85,"name":null,"database":null,"active":false}}"#.to_owned()),
        (Command::Read, r#""read""#.to_owned()),
        (Command::Preflight(request), r#"{"preflight":{"token_name":"crm","request_id":"a"}}"#.to_owned()),
        (Command::Launches(page), r#"{"launches":{"after":null,"limit":100}}"#.to_owned()),
        (Command::Launch(id), format!(r#"{{"launch":"{id}"}}"#)),
        (Command::Recipients(id, page), format!(r#"{{"recipients":["{id}",{{"after":null,"limit":100}}]}}"#)),
        (Command::RecipientsStream(id), format!(r#"{{"recipients_stream":"{id}"}}"#)),
        (Command::Report(id), format!(r#"{{"report":"{id}"}}"#)),
        (Command::Attachment(id, 3), format!(r#"{{"attachment":["{id}",3]}}"#)),
        (Command::Completed(id), format!(r#"{{"completed":"{id}"}}"#)),
    ];
    for (command, json) in commands {
        assert_eq!(serde_json::to_string(&command).unwrap(), json);
        assert_eq!(serde_json::from_str::<Command>(&json).unwrap(), command);
        let envelope = Envelope { databases: vec![1, 2], command };
        let json = format!(r#"{{"databases":[1,2],"command":{json}}}"#);
        assert_eq!(serde_json::to_string(&envelope).unwrap(), json);
        assert_eq!(serde_json::from_str::<Envelope>(&json).unwrap(), envelope);
        let without = json.replace(r#""databases":[1,2],"#, "");
        assert!(serde_json::from_str::<Envelope>(&without).is_err(), "a missing list must not mean all databases");
    }
    let refusals = [
        (Refusal::NotFound(Resource::Campaign), r#"{"not_found":"campaign"}"#, Problem::NotFound("trigger campaign")),
        (Refusal::NotFound(Resource::Launch), r#"{"not_found":"launch"}"#, Problem::NotFound("launch")),
        (Refusal::NotFound(Resource::Attachment), r#"{"not_found":"attachment"}"#, Problem::NotFound("attachment")),
        (
            Refusal::BadField("name: …".to_owned()),
            r#"{"bad_field":"name: …"}"#,
            Problem::BadField("name: …".to_owned()),
        ),
        (Refusal::RequestIdReused, r#""request_id_reused""#, Problem::RequestIdReused),
        (Refusal::Expired { first: Some(7) }, r#"{"expired":{"first":7}}"#, Problem::Expired { first: Some(7) }),
        (Refusal::Expired { first: None }, r#"{"expired":{"first":null}}"#, Problem::Expired { first: None }),
        (Refusal::DatabaseFixed, r#""database_fixed""#, Problem::DatabaseFixed),
        (Refusal::NotActive, r#""not_active""#, Problem::NotActive),
        (Refusal::LogFull { size: 7, limit: 5 }, r#"{"log_full":{"size":7,"limit":5}}"#, Problem::LogFull),
        (Refusal::Busy("full".to_owned()), r#"{"busy":"full"}"#, Problem::no_memory()),
        (
            Refusal::BucketDown("R2 is down".to_owned()),
            r#"{"bucket_down":"R2 is down"}"#,
            Problem::Unavailable("attachments cannot be read now: retry later".into()),
        ),
    ];
    for (refusal, json, problem) in refusals {
        assert_eq!(serde_json::to_string(&refusal).unwrap(), json);
        assert_eq!(serde_json::from_str::<Refusal>(json).unwrap(), refusal);
        let has_cause = matches!(refusal, Refusal::BucketDown(_) | Refusal::Busy(_) | Refusal::LogFull { .. });
        assert_eq!(Refused::from(refusal.clone()).cause.is_some(), has_cause);
        assert_eq!(Problem::from(refusal), problem);
    }
}

#[test]
fn rejects_another_body_or_endpoint_with_a_request_id_that_was_used() {
    let digest = [1; 32];
    let same = check_same_request((Endpoint::Start, &digest), (Endpoint::Start, &digest));
    assert_eq!(same, Ok(()));
    let other = check_same_request((Endpoint::Start, &digest), (Endpoint::StartBatch, &digest));
    assert_eq!(other, Err(Problem::RequestIdReused));
}

fn outcomes() -> impl Strategy<Value = Vec<Outcome>> {
    let run = (0_u8..8, 1_usize..200).prop_map(|(number, length)| vec![Outcome::from_number(number).unwrap(); length]);
    prop::collection::vec(run, 0..20).prop_map(|runs| runs.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_message_decodes_to_what_was_encoded(
        outcomes in outcomes(),
        content in prop::option::of("[a-zé\\PC]{1,40}"),
        custom_data in prop::option::of("\\PC{1,40}"),
        items in prop::collection::vec(prop::option::of("\\PC{1,20}"), 0..50),
        request_id in "[!-~]{1,255}",
    ) {
        let matched = outcomes.iter().filter(|outcome| **outcome == Outcome::Matched).count();
        let mut sample = Sample::with_recipients(&request_id, matched as u32);
        sample.outcomes = outcomes;
        sample.content = content;
        sample.custom_data = custom_data;
        sample.items = (0..matched as u32).zip(items).filter_map(|(index, text)| Some((index, text?))).collect();
        let message = sample.message();
        sample.with_commit(|commit| assert_eq!(Commit::decode(&message).as_ref(), Ok(commit)));
    }

    #[test]
    fn any_outcomes_unpack_to_what_was_packed(outcomes in outcomes()) {
        let mut packer = OutcomePacker::default();
        let mut counts = Counts::default();
        for outcome in &outcomes {
            packer.push(*outcome);
            counts.add(*outcome);
        }
        prop_assert_eq!(packer.counts(), counts);
        let packed = packer.finish();
        prop_assert!(packed.len() <= outcomes.len());
        prop_assert_eq!(packed::counts(&packed), Ok(counts));
        prop_assert_eq!(packed::outcomes(&packed).collect::<Vec<_>>(), outcomes);
    }

    #[test]
    fn decoders_return_for_any_bytes(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        prop_assert!(Commit::decode(&bytes).is_err());
        let _ = RepeatedLaunch::decode(bytes.clone());
        let _ = packed::counts(&bytes);
        let data = ItemData { index: &bytes, texts: "{}{}{}" };
        let _ = (data.is_valid(5), data.iter().count());
        let _ = LaunchId::parse(&String::from_utf8_lossy(&bytes));
    }
}
