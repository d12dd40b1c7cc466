//! Files of launches: completed after the commit, readable from then on, deleted before their launch.

use std::rc::Rc;

use futures_util::join;

use super::{
    NOON, Sample,
    bucket::MemoryBucket,
    database::{DAY, Database, committed, defined, read, unlimited},
    faults::{When, run},
    host::{FakeHost, NoDelivery},
};
use crate::{
    campaign::{
        log::{
            alarm::{self, AlarmStep},
            follower::LogFollower,
            state::{LaunchLog, LogError},
            uploads,
        },
        object::steps,
        ports::AttachmentStore as _,
        protocol::commands::{AttachmentFile, Command, Refusal, Resource},
    },
    limits::{
        ATTACHMENTS_LIMIT, R2_PAUSE_MS, RETENTION_PAUSE_MS, RETENTION_STEP_FILES, UPLOAD_BACKOFF_MAX_MS,
        UPLOAD_GRACE_MS, UPLOADS_STEP_LAUNCHES,
    },
};

/// The log of a defined campaign, with its alarm.
struct UploadFixture {
    log: Rc<LaunchLog<Database>>,
    host: Rc<FakeHost>,
    steps: Rc<[AlarmStep<Database>]>,
}

impl UploadFixture {
    fn new() -> Self {
        let host = FakeHost::new();
        let steps = steps(&host, &(Rc::new(NoDelivery) as Rc<dyn LogFollower<_>>)).into();
        Self { log: Rc::new(defined()), host, steps }
    }

    fn bucket(&self) -> &MemoryBucket {
        &self.host.bucket
    }

    /// A launch with this number of files. A file repeats its number five times.
    fn launch(&self, request_id: &str, files: usize) -> Sample {
        let mut sample = Sample::new(request_id);
        let id = sample.launch_id();
        let stage = |number: usize| {
            self.bucket().stage(&format!("{id}/{number}"), &format!("{number}.pdf"), &[number as u8; 5])
        };
        sample.attachments = (0..files).map(stage).collect();
        sample
    }

    fn commit(&self, sample: &Sample, now: u64) {
        committed(self.log.commit(&sample.message(), now));
    }

    /// The alarm comes. Returns the causes that were reported.
    fn ring(&self, now: u64) -> Vec<String> {
        self.host.ring(&self.log, &self.steps, now).unwrap();
        self.host.take_reported()
    }

    fn next_alarm(&self) -> Option<u64> {
        self.host.next_alarm(&self.log)
    }

    /// Requests a file as the object does, and reads it as the Worker does.
    fn fetch(&self, sample: &Sample, number: usize, now: u64) -> Result<Vec<u8>, LogError> {
        let command = Command::Attachment(sample.launch_id(), number);
        run(uploads::complete_requested(&self.log, self.bucket(), &unlimited(&command), now))?;
        let file: AttachmentFile = serde_json::from_str(&read(&self.log, &command, now)?).unwrap();
        let bytes = self.bucket().get(&file.key).expect("the object exists");
        assert_eq!(bytes.len() as u64, file.size);
        Ok(bytes)
    }

    fn count(&self, table: &str) -> u64 {
        self.log.sql.count(table)
    }
}

#[test]
fn a_commit_records_that_its_uploads_have_to_be_completed() {
    let fixture = UploadFixture::new();
    fixture.commit(&Sample::new("plain"), NOON);
    fixture.commit(&fixture.launch("a", 2), NOON + 5);
    let at = NOON + 5 + 60_000;
    let expected = [format!("due 'attachments' 2 {at}"), format!("due 'retention' 0 {}", NOON + 3 * DAY)];
    assert_eq!(fixture.log.sql.due(), expected);
    assert_eq!(fixture.next_alarm(), Some(at));
    assert!(fixture.bucket().keys().is_empty(), "the commit itself completes nothing");

    fixture.commit(&fixture.launch("b", 1), NOON + 10);
    assert_eq!(fixture.next_alarm(), Some(at));
    assert_eq!(*fixture.host.alarm_calls.borrow(), [Some(at)], "setting an alarm is billed");
}

#[test]
fn the_reply_for_a_file_has_its_json() {
    let fixture = UploadFixture::new();
    let sample = fixture.launch("a", 2);
    fixture.commit(&sample, NOON);
    let id = sample.launch_id();
    let reply = read(&fixture.log, &Command::Attachment(id, 1), NOON).unwrap();
    let sha256 = "ab".repeat(32);
    let expected =
        format!(r#"{{"name":"1.pdf","content_type":"application/pdf","size":5,"sha256":"{sha256}","key":"{id}/1"}}"#);
    assert_eq!(reply, expected);
}

#[test]
fn a_commit_that_fails_at_any_statement_leaves_no_upload_to_complete() {
    for statement in 0.. {
        let fixture = UploadFixture::new();
        let sample = fixture.launch("a", 1);
        let before = fixture.log.sql.dump();
        fixture.log.sql.statements.set(statement);
        let outcome = fixture.log.commit(&sample.message(), NOON);
        fixture.log.sql.statements.set(u64::MAX);
        if outcome.is_ok() {
            assert!(statement >= 5, "no statement failed");
            break;
        }
        assert_eq!(fixture.log.sql.dump(), before, "statement {statement} failed");
        fixture.ring(NOON + DAY);
        assert!(fixture.bucket().keys().is_empty(), "files of a launch that is not in the log cannot be read");
    }
}

#[test]
fn the_alarm_does_not_complete_uploads_that_the_worker_has_completed() {
    let fixture = UploadFixture::new();
    let sample = fixture.launch("a", 2);
    fixture.commit(&sample, NOON);
    assert_eq!(read(&fixture.log, &Command::Completed(sample.launch_id()), NOON).unwrap(), "{}");
    assert_eq!(fixture.count("due"), 1, "retention only");
    assert_eq!(fixture.ring(NOON + UPLOAD_GRACE_MS), Vec::<String>::new());
    assert_eq!(fixture.bucket().faults.calls("complete"), 0);
    assert_eq!(fixture.next_alarm(), Some(NOON + 3 * DAY));
    let other = Sample::new("never").launch_id();
    assert_eq!(read(&fixture.log, &Command::Completed(other), NOON).unwrap(), "{}", "a missing launch is no error");
}

#[test]
fn the_alarm_completes_uploads_that_the_worker_did_not_complete() {
    let fixture = UploadFixture::new();
    let launch = |number: u64| fixture.launch(&format!("request-{number}"), 6);
    let samples: Vec<_> = (0..UPLOADS_STEP_LAUNCHES + 3).map(launch).collect();
    samples.iter().for_each(|sample| fixture.commit(sample, NOON));
    fixture.ring(NOON + UPLOAD_GRACE_MS - 1);
    assert!(fixture.bucket().keys().is_empty(), "before its time");
    let due = NOON + UPLOAD_GRACE_MS;
    fixture.ring(due);
    assert_eq!(fixture.bucket().keys().len() as u64, UPLOADS_STEP_LAUNCHES * 6, "one slice");
    assert_eq!(fixture.next_alarm(), Some(due), "the next slice follows at once");
    fixture.ring(due);
    let bucket = fixture.bucket();
    assert_eq!((bucket.keys().len() as u64, bucket.incomplete()), ((UPLOADS_STEP_LAUNCHES + 3) * 6, 0));
    assert_eq!(fixture.next_alarm(), Some(NOON + 3 * DAY));
    for sample in &samples {
        assert_eq!(fixture.fetch(sample, 5, due), Ok(vec![5; 5]));
    }
}

#[test]
fn a_failed_completion_is_repeated_at_growing_intervals_and_does_not_delay_others() {
    let fixture = UploadFixture::new();
    fixture.commit(&fixture.launch("a", 3), NOON);
    fixture.commit(&fixture.launch("b", 1), NOON);
    fixture.bucket().faults.plan("complete", 2, When::Before);
    let failures = fixture.ring(NOON + UPLOAD_GRACE_MS);
    assert_eq!(failures, ["launch 1: 1 uploads are not complete: the bucket is down"]);
    assert_eq!(fixture.bucket().keys().len(), 3, "all others are complete");
    assert_eq!(fixture.next_alarm(), Some(NOON + 2 * UPLOAD_GRACE_MS));

    fixture.bucket().faults.always("complete", When::Before);
    let mut now = NOON + 2 * UPLOAD_GRACE_MS;
    let mut pauses = Vec::new();
    for _ in 0..9 {
        assert_eq!(fixture.ring(now).len(), 1);
        let next = fixture.next_alarm().unwrap();
        pauses.push((next - now) / UPLOAD_GRACE_MS);
        now = next;
    }
    assert_eq!(pauses, [2, 4, 8, 16, 32, 60, 60, 60, 60]);
    assert_eq!(UPLOAD_BACKOFF_MAX_MS / UPLOAD_GRACE_MS, 60);
    fixture.bucket().faults.heal();
    assert_eq!(fixture.ring(now), Vec::<String>::new());
    assert_eq!((fixture.bucket().keys().len(), fixture.count("due")), (4, 1));
}

#[test]
fn the_object_pauses_after_a_failure_of_the_bucket() {
    let fixture = UploadFixture::new();
    for number in 0..2 * UPLOADS_STEP_LAUNCHES {
        fixture.commit(&fixture.launch(&format!("request-{number}"), 1), NOON);
    }
    fixture.bucket().faults.always("complete", When::Before);
    assert_eq!(fixture.ring(NOON + UPLOAD_GRACE_MS).len() as u64, UPLOADS_STEP_LAUNCHES);
    assert_eq!(fixture.next_alarm(), Some(NOON + UPLOAD_GRACE_MS + R2_PAUSE_MS), "although more launches are due");
}

#[test]
fn a_completion_that_succeeded_and_reported_an_error_succeeds_when_it_is_repeated() {
    let fixture = UploadFixture::new();
    let sample = fixture.launch("a", 2);
    fixture.commit(&sample, NOON);
    fixture.bucket().faults.always("complete", When::After);
    assert_eq!(fixture.ring(NOON + UPLOAD_GRACE_MS).len(), 1);
    assert_eq!(fixture.count("due"), 2, "the uploads are not known to be complete");
    fixture.bucket().faults.heal();
    assert_eq!(fixture.ring(NOON + 2 * UPLOAD_GRACE_MS), Vec::<String>::new());
    assert_eq!(fixture.count("due"), 1);
    assert_eq!(fixture.fetch(&sample, 1, NOON), Ok(vec![1; 5]));
}

#[test]
fn a_completion_that_fails_at_any_statement_is_repeated() {
    for statement in 0.. {
        let fixture = UploadFixture::new();
        let samples = [fixture.launch("a", 2), fixture.launch("b", 1)];
        samples.iter().for_each(|sample| fixture.commit(sample, NOON));
        fixture.log.sql.statements.set(statement);
        let rung = fixture.host.ring(&fixture.log, &fixture.steps, NOON + UPLOAD_GRACE_MS);
        let has_failed = rung.is_err() || !fixture.host.take_reported().is_empty();
        fixture.log.sql.statements.set(u64::MAX);
        fixture.ring(NOON + UPLOAD_GRACE_MS + R2_PAUSE_MS);
        let bucket = fixture.bucket();
        assert_eq!((bucket.keys().len(), bucket.incomplete(), fixture.count("due")), (3, 0, 1), "{statement}");
        if !has_failed {
            assert!(statement >= 6, "no statement failed");
            break;
        }
    }
}

#[test]
fn a_file_that_is_requested_before_its_completion_is_completed() {
    let fixture = UploadFixture::new();
    let sample = fixture.launch("a", 3);
    fixture.commit(&sample, NOON);
    assert_eq!(fixture.fetch(&sample, 1, NOON), Ok(vec![1; 5]));
    assert_eq!(fixture.bucket().keys(), [format!("{}/1", sample.launch_id())]);
    assert_eq!(fixture.fetch(&sample, 1, NOON), Ok(vec![1; 5]), "again");
    fixture.ring(NOON + UPLOAD_GRACE_MS);
    assert_eq!((fixture.bucket().keys().len(), fixture.count("due")), (3, 1));
    let calls = fixture.bucket().faults.calls("complete");
    assert_eq!(fixture.fetch(&sample, 2, NOON), Ok(vec![2; 5]));
    assert_eq!(fixture.bucket().faults.calls("complete"), calls, "the upload is known to be complete");

    let missing = LogError::Refused(Refusal::NotFound(Resource::Attachment));
    assert_eq!(fixture.fetch(&sample, 3, NOON), Err(missing));
    let missing = LogError::Refused(Refusal::NotFound(Resource::Launch));
    assert_eq!(fixture.fetch(&Sample::new("never"), 0, NOON), Err(missing));
}

#[test]
fn a_request_for_a_file_is_refused_while_the_bucket_is_down() {
    for when in [When::Before, When::After] {
        let fixture = UploadFixture::new();
        let sample = fixture.launch("a", 1);
        fixture.commit(&sample, NOON);
        fixture.bucket().faults.plan("complete", 1, when);
        let cause = format!("attachment 0 of {} was not completed: the bucket is down", sample.launch_id());
        assert_eq!(fixture.fetch(&sample, 0, NOON), Err(LogError::Refused(Refusal::BucketDown(cause))));
        assert_eq!(fixture.fetch(&sample, 0, NOON), Ok(vec![0; 5]));
    }
}

#[test]
fn worker_reader_and_alarm_can_complete_an_upload_at_the_same_time() {
    let fixture = UploadFixture::new();
    let sample = fixture.launch("a", 2);
    fixture.commit(&sample, NOON);
    let command = unlimited(&Command::Attachment(sample.launch_id(), 0));
    let worker = async {
        for attachment in &sample.attachments {
            fixture.bucket().complete(&attachment.upload).await.unwrap();
        }
        fixture.log.uploads_completed(sample.launch_id()).unwrap();
    };
    fixture.host.set_now(NOON + UPLOAD_GRACE_MS);
    let alarm = alarm::ring(&fixture.log, &fixture.host, &fixture.steps);
    let reader = uploads::complete_requested(&fixture.log, fixture.bucket(), &command, NOON);
    let ((), alarm, reader) = fixture.host.run(async { join!(worker, alarm, reader) });
    fixture.host.run_spawned();
    assert_eq!((alarm, reader), (Ok(()), Ok(())));
    assert_eq!(fixture.host.take_reported(), Vec::<String>::new());
    assert_eq!((fixture.bucket().keys().len(), fixture.count("due")), (2, 1));
}

#[test]
fn files_are_deleted_before_the_rows_of_their_launch() {
    for when in [When::Before, When::After] {
        let fixture = UploadFixture::new();
        let old = fixture.launch("a", 2);
        fixture.commit(&old, NOON);
        let young = fixture.launch("b", 1);
        fixture.commit(&young, NOON + DAY);
        fixture.ring(NOON + DAY + UPLOAD_GRACE_MS);
        let end = NOON + 3 * DAY;
        fixture.bucket().faults.plan("delete", 1, when);
        assert_eq!(fixture.ring(end), ["files of expired launches were not removed: the bucket is down"]);
        assert_eq!(fixture.count("launches"), 2, "a launch that may have files stays");
        assert_eq!(fixture.next_alarm(), Some(end + RETENTION_PAUSE_MS));
        let expired = LogError::Refused(Refusal::Expired { first: Some(1) });
        assert_eq!(fixture.fetch(&old, 0, end), Err(expired), "its files cannot be read");
        fixture.ring(end + RETENTION_PAUSE_MS);
        assert_eq!(fixture.bucket().keys(), [format!("{}/0", young.launch_id())]);
        assert_eq!(fixture.count("launches"), 1);
        assert_eq!(fixture.fetch(&young, 0, end), Ok(vec![0; 5]));
    }
}

#[test]
fn a_removal_that_fails_at_any_statement_is_repeated() {
    for statement in 0.. {
        let fixture = UploadFixture::new();
        fixture.commit(&fixture.launch("a", 2), NOON);
        let end = NOON + 3 * DAY;
        fixture.ring(NOON + UPLOAD_GRACE_MS);
        fixture.log.sql.statements.set(statement);
        let rung = fixture.host.ring(&fixture.log, &fixture.steps, end);
        let has_failed = rung.is_err() || !fixture.host.take_reported().is_empty();
        fixture.log.sql.statements.set(u64::MAX);
        if fixture.count("launches") == 0 {
            assert!(fixture.bucket().keys().is_empty(), "files are deleted first");
        }
        fixture.ring(end + R2_PAUSE_MS);
        let rows = (fixture.count("launches"), fixture.count("due"));
        assert_eq!((fixture.bucket().keys().len(), rows), (0, (0, 0)));
        if !has_failed {
            assert!(statement >= 8, "no statement failed");
            break;
        }
    }
}

#[test]
fn uploads_that_were_never_completed_are_aborted_when_their_launch_expires() {
    let fixture = UploadFixture::new();
    fixture.commit(&fixture.launch("a", 2), NOON);
    fixture.bucket().faults.always("complete", When::Before);
    let end = NOON + 3 * DAY;
    fixture.ring(end);
    assert_eq!((fixture.bucket().incomplete(), fixture.count("launches"), fixture.count("due")), (0, 0, 0));

    // If the bucket's rule has removed them, the launch is removed all the same.
    fixture.commit(&fixture.launch("b", 2), end);
    fixture.bucket().expire_incomplete();
    assert_eq!(fixture.ring(end + 3 * DAY).len(), 3);
    assert_eq!((fixture.count("launches"), fixture.count("due")), (0, 0));
}

#[test]
fn a_step_deletes_no_more_files_than_the_bucket_accepts_in_one_call() {
    let fixture = UploadFixture::new();
    let count = RETENTION_STEP_FILES / ATTACHMENTS_LIMIT + 2;
    for number in 0..count {
        let sample = fixture.launch(&format!("request-{number}"), ATTACHMENTS_LIMIT);
        fixture.commit(&sample, NOON);
        fixture.log.uploads_completed(sample.launch_id()).unwrap();
    }
    let end = NOON + 3 * DAY;
    fixture.ring(end);
    assert_eq!(fixture.count("launches"), 2);
    assert_eq!(fixture.next_alarm(), Some(end), "the next slice follows at once");
    fixture.ring(end);
    assert_eq!((fixture.count("launches"), fixture.bucket().faults.calls("delete")), (0, 2));
}

#[test]
fn a_launch_that_is_committed_while_all_others_are_removed_is_removed_in_its_time() {
    let fixture = UploadFixture::new();
    fixture.commit(&fixture.launch("a", 1), NOON);
    fixture.ring(NOON + UPLOAD_GRACE_MS);
    let end = NOON + 3 * DAY;
    fixture.host.set_now(end);
    run(alarm::ring(&fixture.log, &fixture.host, &fixture.steps)).unwrap();
    assert!(fixture.host.poll_spawned(), "the step waits for the bucket");
    fixture.commit(&fixture.launch("b", 1), end);
    fixture.host.run_spawned();
    assert_eq!(fixture.count("launches"), 1);
    assert_eq!(fixture.next_alarm(), Some(end + UPLOAD_GRACE_MS));
    fixture.ring(end + UPLOAD_GRACE_MS);
    assert_eq!(fixture.next_alarm(), Some(end + 3 * DAY));
}

#[test]
fn an_object_finds_uploads_to_complete_when_it_starts() {
    let fixture = UploadFixture::new();
    fixture.commit(&fixture.launch("a", 1), NOON);
    assert_eq!(fixture.next_alarm(), Some(NOON + UPLOAD_GRACE_MS));
    fixture.host.alarm.set(None);
    assert_eq!(fixture.next_alarm(), None);
    fixture.log.start(NOON + 1).unwrap();
    assert_eq!(fixture.next_alarm(), Some(NOON + UPLOAD_GRACE_MS));
}
