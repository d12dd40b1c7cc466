//! Any sequence of operations on a log, compared with a list in memory.

use proptest::prelude::*;

use super::{
    NOON, Sample,
    bucket::MemoryBucket,
    database::{DAY, activate, committed, defined, unlimited},
    faults::{When, run},
    host::run_bucket_steps,
};
use crate::{
    campaign::{
        log::{commit::CommitOutcome, state::LogError, stored::LaunchOrder, uploads},
        protocol::commands::{Command, NewestRequest, PageRequest, Refusal, StatsRequest},
    },
    limits::UPLOAD_GRACE_MS,
};

#[derive(Debug, Clone)]
enum LogAction {
    /// The values are chosen from few, so that many requests repeat an earlier one.
    Commit {
        request: u8,
        body: u8,
        attempt: u64,
        recipients: u32,
    },
    Pause,
    Resume,
    Wait(u64),
    /// Turns the clock back.
    Back(u64),
    RunRetention,
    Restart,
}

fn action() -> impl Strategy<Value = LogAction> {
    let commit = (0_u8..4, 0_u8..2, 0_u64..3, 0_u32..4);
    prop_oneof![
        8 => commit.prop_map(|(request, body, attempt, recipients)| LogAction::Commit { request, body, attempt, recipients }),
        1 => Just(LogAction::Pause),
        2 => Just(LogAction::Resume),
        3 => (1..DAY).prop_map(LogAction::Wait),
        1 => (1..DAY / 4).prop_map(LogAction::Back),
        2 => Just(LogAction::RunRetention),
        1 => Just(LogAction::Restart),
    ]
}

struct ModelLaunch {
    sequence: u64,
    accepted_at: u64,
    sample: Sample,
}

#[derive(Default)]
struct LogModel {
    launches: Vec<ModelLaunch>,
    paused: bool,
    last: u64,
    last_at: u64,
    recipients: u64,
}

#[derive(Debug, PartialEq)]
enum ModelReply {
    Committed(u64),
    Repeated(u64),
    Refused(Refusal),
}

impl LogModel {
    fn commit(&mut self, sample: &Sample, now: u64) -> ModelReply {
        let now = now.max(self.last_at);
        let own = self.launches.iter().find(|launch| {
            launch.sample.launch_id() == sample.launch_id() && launch.accepted_at + DAY.max(3_600_000) > now
        });
        if let Some(own) = own {
            return ModelReply::Committed(own.sequence);
        }
        let request = &sample.request_id;
        let known =
            self.launches.iter().find(|launch| launch.sample.request_id == *request && launch.accepted_at + DAY > now);
        match known {
            Some(known) if known.sample.digest == sample.digest => return ModelReply::Repeated(known.sequence),
            Some(_) => return ModelReply::Refused(Refusal::RequestIdReused),
            None if self.paused => return ModelReply::Refused(Refusal::NotActive),
            None => {}
        }
        self.last += 1;
        self.last_at = now;
        self.recipients += sample.recipients.len() as u64 / 12;
        self.launches.push(ModelLaunch { sequence: self.last, accepted_at: now, sample: sample.clone() });
        ModelReply::Committed(self.last)
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_log_behaves_like_a_list_in_memory(actions in prop::collection::vec(action(), 1..60)) {
        let log = defined();
        let mut model = LogModel::default();
        let mut now = NOON;
        let mut time = 0;
        for action in actions {
            match action {
                LogAction::Commit { request, body, attempt, recipients } => {
                    let mut sample = Sample::with_recipients(&format!("request-{request}"), recipients);
                    // Launch IDs contain the day, so that an attempt is not repeated after days.
                    (sample.digest, sample.random, sample.now) = (body, attempt * 2 + u64::from(body), now / DAY * DAY);
                    let reply = match log.commit(&sample.message(), now) {
                        Ok(CommitOutcome::Committed(committed)) => ModelReply::Committed(committed.sequence),
                        Ok(CommitOutcome::Repeated(stored)) => ModelReply::Repeated(stored.sequence),
                        Err(LogError::Refused(refusal)) => ModelReply::Refused(refusal),
                        Err(error) => panic!("{error}"),
                    };
                    prop_assert_eq!(reply, model.commit(&sample, now));
                }
                LogAction::Pause | LogAction::Resume => {
                    model.paused = matches!(action, LogAction::Pause);
                    activate(&log, !model.paused);
                }
                LogAction::Wait(length) => now += length,
                LogAction::Back(length) => now -= length,
                LogAction::RunRetention => {
                    log.run_retention(now).unwrap();
                    model.launches.retain(|launch| launch.accepted_at + 3 * DAY > now);
                }
                LogAction::Restart => log.start(now).unwrap(),
            }
            let campaign = log.read().unwrap();
            prop_assert_eq!((campaign.launches, campaign.recipients), (model.last, model.recipients));
            let page = log.launches_from(model.launches.first().map_or(1, |launch| launch.sequence), LaunchOrder::OldestFirst, 1000).unwrap();
            let stored: Vec<_> = page.iter().map(|launch| (launch.sequence, launch.accepted_at)).collect();
            let expected: Vec<_> = model.launches.iter().map(|launch| (launch.sequence, launch.accepted_at)).collect();
            prop_assert_eq!(stored, expected);
            prop_assert!(model.last_at >= time);
            time = model.last_at;
            // While the log contains a launch, its removal is due.
            let due = log.sql.dump().contains("due 'retention'");
            prop_assert_eq!(due, !model.launches.is_empty());
        }
    }
}

#[test]
fn no_statement_scans_the_log() {
    let log = defined();
    let sample = Sample { content: Some("1".repeat(100_000)), items: vec![(0, "{}".to_owned())], ..Sample::new("a") };
    committed(log.commit(&sample.message(), NOON));
    committed(log.commit(&Sample::new("b").message(), NOON));
    let id = sample.launch_id();
    let page = PageRequest { after: Some(0), limit: 10 };
    let newest = NewestRequest { before: Some(2), limit: 10 };
    let stats = StatsRequest { width: DAY, first: 0, buckets: 3, from: 0, to: 3 * DAY, offset: 0 };
    let pages = [
        Command::Launches(page),
        Command::NewestLaunches(newest),
        Command::Stats(stats),
        Command::Recipients(id, page),
    ];
    for command in pages.into_iter().chain([Command::RecipientsStream(id), Command::Report(id), Command::Launch(id)]) {
        super::database::read(&log, &command, NOON).unwrap();
    }
    let (bucket, mut files) = (MemoryBucket::default(), Sample::new("c"));
    files.attachments = vec![bucket.stage("k/0", "policy.pdf", b"bytes")];
    committed(log.commit(&files.message(), NOON));
    let command = Command::Attachment(files.launch_id(), 0);
    run(uploads::complete_requested(&log, &bucket, &unlimited(&command), NOON)).unwrap();
    bucket.faults.plan("complete", 1, When::Before);
    for later in [UPLOAD_GRACE_MS, 2 * UPLOAD_GRACE_MS] {
        run(run_bucket_steps(&log, &bucket, NOON + later));
    }
    log.uploads_completed(files.launch_id()).unwrap();
    log.start(NOON).unwrap();
    log.sql.import("UPDATE launches SET unmatched = NULL, invalid = NULL WHERE sequence = 1");
    log.count_slice().unwrap();
    run(run_bucket_steps(&log, &bucket, NOON + 3 * DAY));
    log.due().take_change().unwrap();
    log.run_retention(NOON + 3 * DAY).unwrap();
    let seen = log.sql.seen.borrow();
    assert!(seen.len() > 15, "{seen:#?}");
    for statement in seen.iter().filter(|statement| !statement.starts_with("CREATE")) {
        for step in log.sql.plan(statement) {
            let is_scan = ["SCAN launches", "SCAN chunks", "TEMP B-TREE"].iter().any(|scan| step.starts_with(scan));
            assert!(!is_scan || (statement.contains("LIMIT") && !step.contains("TEMP")), "{statement}: {step}");
        }
    }
}
