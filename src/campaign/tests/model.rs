//! Any sequence of requests against a log that is a list in memory.

use proptest::prelude::*;

use super::{
    NOON, Sample,
    bucket::Bucket,
    database::{DAY, activate, committed, defined, unlimited},
    faults::{When, run},
};
use crate::campaign::{
    attachments::GRACE,
    commands::{Command, Page, Refusal},
    log::{Fault, Outcome},
    upkeep,
};

#[derive(Debug, Clone)]
enum Act {
    /// A request id of few, so that they come again; a body of two; an attempt of three.
    Commit {
        request: u8,
        body: u8,
        attempt: u64,
        recipients: u32,
    },
    Pause,
    Resume,
    Wait(u64),
    /// The clock goes back.
    Back(u64),
    Sweep,
    Restart,
}

fn act() -> impl Strategy<Value = Act> {
    let commit = (0_u8..4, 0_u8..2, 0_u64..3, 0_u32..4);
    prop_oneof![
        8 => commit.prop_map(|(request, body, attempt, recipients)| Act::Commit { request, body, attempt, recipients }),
        1 => Just(Act::Pause),
        2 => Just(Act::Resume),
        3 => (1..DAY).prop_map(Act::Wait),
        1 => (1..DAY / 4).prop_map(Act::Back),
        2 => Just(Act::Sweep),
        1 => Just(Act::Restart),
    ]
}

struct Held {
    sequence: u64,
    accepted_at: u64,
    sample: Sample,
}

#[derive(Default)]
struct Model {
    held: Vec<Held>,
    paused: bool,
    last: u64,
    last_at: u64,
    recipients: u64,
}

#[derive(Debug, PartialEq)]
enum Answer {
    New(u64),
    Same(u64),
    Refused(Refusal),
}

impl Model {
    fn commit(&mut self, sample: &Sample, now: u64) -> Answer {
        let now = now.max(self.last_at);
        let own = self
            .held
            .iter()
            .find(|held| held.sample.launch_id() == sample.launch_id() && held.accepted_at + DAY.max(3_600_000) > now);
        if let Some(own) = own {
            return Answer::New(own.sequence);
        }
        let request = &sample.request_id;
        let known = self.held.iter().find(|held| held.sample.request_id == *request && held.accepted_at + DAY > now);
        match known {
            Some(known) if known.sample.digest == sample.digest => return Answer::Same(known.sequence),
            Some(_) => return Answer::Refused(Refusal::RequestIdReused),
            None if self.paused => return Answer::Refused(Refusal::NotActive),
            None => {}
        }
        self.last += 1;
        self.last_at = now;
        self.recipients += sample.recipients.len() as u64 / 12;
        self.held.push(Held { sequence: self.last, accepted_at: now, sample: sample.clone() });
        Answer::New(self.last)
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn the_log_does_what_a_list_in_memory_does(acts in prop::collection::vec(act(), 1..60)) {
        let log = defined();
        let mut model = Model::default();
        let mut now = NOON;
        let mut time = 0;
        for act in acts {
            match act {
                Act::Commit { request, body, attempt, recipients } => {
                    let mut sample = Sample::of(&format!("request-{request}"), recipients);
                    // An attempt made days ago does not come again: ids are of their day.
                    (sample.digest, sample.random, sample.now) = (body, attempt * 2 + u64::from(body), now / DAY * DAY);
                    let answer = match log.commit(&sample.message(), now) {
                        Ok(Outcome::Committed(committed)) => Answer::New(committed.sequence),
                        Ok(Outcome::Repeated(stored)) => Answer::Same(stored.sequence),
                        Err(Fault::Refused(refusal)) => Answer::Refused(refusal),
                        Err(Fault::Broken(broken)) => panic!("{broken:?}"),
                    };
                    prop_assert_eq!(answer, model.commit(&sample, now));
                }
                Act::Pause | Act::Resume => {
                    model.paused = matches!(act, Act::Pause);
                    activate(&log, !model.paused);
                }
                Act::Wait(length) => now += length,
                Act::Back(length) => now -= length,
                Act::Sweep => {
                    log.sweep(now).unwrap();
                    model.held.retain(|held| held.accepted_at + 3 * DAY > now);
                }
                Act::Restart => log.start(now).unwrap(),
            }
            let campaign = log.read().unwrap();
            prop_assert_eq!((campaign.launches, campaign.recipients), (model.last, model.recipients));
            let page = log.launches_from(model.held.first().map_or(1, |held| held.sequence), 1000).unwrap();
            let stored: Vec<_> = page.iter().map(|launch| (launch.sequence, launch.accepted_at)).collect();
            let expected: Vec<_> = model.held.iter().map(|held| (held.sequence, held.accepted_at)).collect();
            prop_assert_eq!(stored, expected);
            prop_assert!(model.last_at >= time);
            time = model.last_at;
            // While anything is held, an alarm is due that will remove it.
            let due = log.sql.dump().contains("due 'retention'");
            prop_assert_eq!(due, !model.held.is_empty());
        }
    }
}

/// Nothing that is asked of a log makes SQLite go through all of it.
#[test]
fn no_statement_scans_the_log() {
    let log = defined();
    let sample = Sample { content: Some("1".repeat(100_000)), items: vec![(0, "{}".to_owned())], ..Sample::new("a") };
    committed(log.commit(&sample.message(), NOON));
    committed(log.commit(&Sample::new("b").message(), NOON));
    let id = sample.launch_id();
    let page = Page { after: Some(0), limit: 10 };
    let pages = [Command::Launches(page), Command::Recipients(id, page)];
    for command in pages.into_iter().chain([Command::RecipientsStream(id), Command::Report(id), Command::Launch(id)]) {
        super::database::read(&log, &command, NOON).unwrap();
    }
    let (bucket, mut files) = (Bucket::default(), Sample::new("c"));
    files.attachments = vec![bucket.stage("k/0", "policy.pdf", b"bytes")];
    committed(log.commit(&files.message(), NOON));
    let command = Command::Attachment(files.launch_id(), 0);
    run(upkeep::prepare(&log, &bucket, &unlimited(&command), NOON)).unwrap();
    bucket.faults.plan("complete", 1, When::Before);
    for later in [GRACE, 2 * GRACE] {
        run(upkeep::alarm(&log, &bucket, NOON + later)).unwrap();
    }
    log.completed(files.launch_id()).unwrap();
    log.start(NOON).unwrap();
    run(upkeep::alarm(&log, &bucket, NOON + 3 * DAY)).unwrap();
    log.sweep(NOON + 3 * DAY).unwrap();
    let seen = log.sql.seen.borrow();
    assert!(seen.len() > 15, "{seen:#?}");
    for statement in seen.iter().filter(|statement| !statement.starts_with("CREATE")) {
        for step in log.sql.plan(statement) {
            let whole = ["SCAN launches", "SCAN chunks", "TEMP B-TREE"].iter().any(|scan| step.starts_with(scan));
            assert!(!whole || (statement.contains("LIMIT") && !step.contains("TEMP")), "{statement}: {step}");
        }
    }
}
