//! Which token may define, change and read a campaign.

use super::{
    NOON, Sample,
    bucket::MemoryBucket,
    database::{bytes, committed, defined, empty},
    faults::run,
};
use crate::{
    campaign::{
        log::{state::LogError, uploads},
        object::answer,
        protocol::commands::{
            Campaign, Command, Definition, Envelope, NewestRequest, PageRequest, Refusal, RequestIdentity, Resource,
            StatsRequest,
        },
    },
    limits::UPLOAD_GRACE_MS,
};

const UNKNOWN: Result<(), LogError> = Err(LogError::Refused(Refusal::NotFound(Resource::Campaign)));

/// Every command except `Define`, for a launch with one file.
fn commands(sample: &Sample) -> Vec<Command> {
    let id = sample.launch_id();
    let page = PageRequest { after: None, limit: 10 };
    let request = RequestIdentity { token_name: "crm".to_owned(), request_id: "a".to_owned() };
    let commands = vec![
        Command::Read,
        Command::Preflight(request),
        Command::Launches(page),
        Command::NewestLaunches(NewestRequest { before: None, limit: 10 }),
        Command::Stats(StatsRequest { width: 1, first: 0, buckets: 1, from: 0, to: 1, offset: 0 }),
        Command::Launch(id),
        Command::Recipients(id, page),
        Command::RecipientsStream(id),
        Command::Report(id),
        Command::Attachment(id, 0),
        Command::Completed(id),
    ];
    // A new command does not compile until it is added here, and to the list or to the exceptions.
    for command in &commands {
        match command {
            Command::Define(_) | Command::Webhook(_) => panic!("these have tests of their own"),
            Command::Read
            | Command::Preflight(_)
            | Command::Launches(_)
            | Command::NewestLaunches(_)
            | Command::Stats(_)
            | Command::Launch(_)
            | Command::Recipients(..)
            | Command::RecipientsStream(_)
            | Command::Report(_)
            | Command::Attachment(..)
            | Command::Completed(_) => {}
        }
    }
    commands
}

#[test]
fn commands_of_a_token_for_other_databases_find_no_campaign_and_change_nothing() {
    let bucket = MemoryBucket::default();
    let sample = Sample { attachments: vec![bucket.stage("k/0", "policy.pdf", b"bytes")], ..Sample::new("a") };
    for (databases, is_allowed) in
        [(vec![], true), (vec![1], true), (vec![2, 1], true), (vec![2], false), (vec![2, 3, 85, 0], false)]
    {
        for command in commands(&sample) {
            let (foreign, unknown) = (defined(), empty());
            committed(foreign.commit(&sample.message(), NOON));
            let before = foreign.sql.dump();
            let envelope = Envelope { databases: databases.clone(), command };
            for (log, is_found) in [(&foreign, is_allowed), (&unknown, false)] {
                let calls = bucket.faults.calls("complete");
                let answer = run(uploads::complete_requested(log, &bucket, &envelope, NOON))
                    .and_then(|()| answer(log, &envelope, NOON))
                    .and_then(|reading| bytes(log, reading));
                if is_found {
                    assert!(answer.is_ok(), "{envelope:?}: {answer:?}");
                    continue;
                }
                assert_eq!(answer.map(drop), UNKNOWN, "{envelope:?}");
                assert_eq!(bucket.faults.calls("complete"), calls, "an upload was completed for {envelope:?}");
            }
            if !is_allowed {
                assert_eq!(foreign.sql.dump(), before, "{envelope:?}");
            }
            assert!(unknown.sql.schema().is_empty());
        }
    }
}

#[test]
fn a_token_for_other_databases_does_not_learn_which_launches_exist() {
    let log = defined();
    let sample = Sample::new("a");
    committed(log.commit(&sample.message(), NOON));
    let never = Sample::new("never").launch_id();
    for command in [Command::Launch(never), Command::Report(never), Command::Attachment(never, 7)] {
        let envelope = Envelope { databases: vec![2], command };
        let prepared =
            run(uploads::complete_requested(&log, &MemoryBucket::default(), &envelope, NOON + UPLOAD_GRACE_MS));
        assert_eq!(prepared.and_then(|()| answer(&log, &envelope, NOON).map(drop)), UNKNOWN);
    }
}

fn fields(name: Option<&str>, database: Option<u64>, active: Option<bool>) -> Definition {
    Definition { id: 85, name: name.map(str::to_owned), database, active }
}

#[test]
fn a_definition_by_a_limited_token_gets_the_same_answer_for_a_foreign_and_an_unknown_campaign() {
    let definitions = [
        fields(None, None, None),
        fields(None, None, Some(false)),
        fields(Some("x"), None, None),
        fields(None, Some(1), None),
        fields(None, Some(2), None),
        fields(Some("x"), Some(1), None),
        fields(Some("x"), Some(2), None),
        fields(Some("x"), None, Some(true)),
        fields(None, Some(2), Some(true)),
        // A complete definition in a database that the token may not use.
        fields(Some("x"), Some(1), Some(true)),
        fields(Some("x"), Some(3), Some(true)),
    ];
    for definition in definitions {
        let (foreign, unknown) = (defined(), empty());
        let before = foreign.sql.dump();
        for log in [&foreign, &unknown] {
            assert_eq!(log.define(&definition, &[2], NOON).map(drop), UNKNOWN, "{definition:?}");
        }
        assert_eq!(foreign.sql.dump(), before);
        assert!(unknown.sql.schema().is_empty());
    }
}

#[test]
fn a_complete_definition_by_a_limited_token_defines_an_unknown_campaign_but_not_a_foreign_one() {
    let complete = fields(Some("x"), Some(2), Some(true));
    let campaign = Campaign { id: 85, name: "x".to_owned(), database: 2, active: true, launches: 0, recipients: 0 };
    for databases in [&[2][..], &[1, 2]] {
        assert_eq!(empty().define(&complete, databases, NOON), Ok(campaign.clone()));
    }
    assert_eq!(defined().define(&complete, &[2], NOON).map(drop), UNKNOWN);
}

#[test]
fn a_limited_token_can_change_a_campaign_of_its_database() {
    let fixed = LogError::Refused(Refusal::DatabaseFixed);
    for databases in [&[][..], &[1], &[1, 2]] {
        let log = defined();
        let active = |definition: &Definition| log.define(definition, databases, NOON).map(|campaign| campaign.active);
        assert_eq!(active(&fields(None, None, None)), Ok(true));
        assert_eq!(active(&fields(None, None, Some(false))), Ok(false));
        assert_eq!(active(&fields(Some("x"), Some(1), Some(true))), Ok(true));
        assert_eq!(active(&fields(None, Some(2), Some(false))), Err(fixed.clone()));
        assert_eq!(active(&fields(None, Some(3), Some(false))), Err(fixed.clone()));
        assert_eq!(active(&fields(None, None, None)), Ok(true));
    }
}

#[test]
fn an_unlimited_token_learns_which_field_a_first_definition_lacks() {
    for (definition, field) in [
        (fields(None, None, None), "name"),
        (fields(Some("x"), None, Some(true)), "database"),
        (fields(Some("x"), Some(1), None), "active"),
    ] {
        let missing = Refusal::BadField(format!("{field}: required to define a campaign"));
        assert_eq!(empty().define(&definition, &[], NOON), Err(LogError::Refused(missing)));
    }
}
