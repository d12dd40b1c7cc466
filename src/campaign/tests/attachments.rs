//! Files of launches: completed after the commit, readable from then on, removed before their launch.

use futures_util::join;

use super::{
    NOON, Sample,
    bucket::Bucket,
    database::{DAY, Database, committed, defined, read, unlimited},
    faults::{When, run},
};
use crate::campaign::{
    attachments::{BACKOFF_LIMIT, File, GRACE, STEP},
    commands::{Command, Refusal, Thing},
    log::{Fault, Log},
    retention::{PAUSE, STEP_FILES},
    sql::Sql,
    upkeep::{self, REST},
};

/// A launch with that many files of a few bytes each.
fn launch(bucket: &Bucket, request_id: &str, files: usize) -> Sample {
    let mut sample = Sample::new(request_id);
    let id = sample.launch_id();
    let stage = |number| bucket.stage(&format!("{id}/{number}"), &format!("{number}.pdf"), &[number as u8; 5]);
    sample.attachments = (0..files).map(stage).collect();
    sample
}

fn commit(log: &Log<Database>, sample: &Sample, now: u64) {
    committed(log.commit(&sample.message(), now));
}

fn alarm(log: &Log<Database>, bucket: &Bucket, now: u64) -> Vec<String> {
    run(upkeep::alarm(log, bucket, now)).unwrap()
}

/// Asks for a file as the object does, and reads it as the Worker does.
fn fetch(log: &Log<Database>, bucket: &Bucket, of: &Sample, number: usize, now: u64) -> Result<Vec<u8>, Fault> {
    let command = Command::Attachment(of.launch_id(), number);
    run(upkeep::prepare(log, bucket, &unlimited(&command), now))?;
    let file: File = serde_json::from_str(&read(log, &command, now)?).unwrap();
    let bytes = bucket.get(&file.key).expect("what the log names can be read");
    assert_eq!(bytes.len() as u64, file.size);
    Ok(bytes)
}

fn rows(log: &Log<Database>, table: &str) -> u64 {
    log.sql.exec(&format!("SELECT count(*) FROM {table}"), &[]).unwrap().pop().unwrap().number().unwrap()
}

#[test]
fn a_commit_records_that_its_uploads_are_to_be_completed() {
    let (log, bucket) = (defined(), Bucket::default());
    commit(&log, &Sample::new("plain"), NOON);
    let sample = launch(&bucket, "a", 2);
    commit(&log, &sample, NOON + 5);
    let due: Vec<String> = log.sql.dump().lines().filter(|line| line.starts_with("due")).map(str::to_owned).collect();
    let at = NOON + 5 + 60_000;
    assert_eq!(due, [format!("due 'attachments' 2 {at}"), format!("due 'retention' 0 {}", NOON + 3 * DAY)]);
    assert_eq!(log.take_alarm(), Ok(Some(at)));
    assert!(bucket.keys().is_empty(), "a commit completes nothing");

    // Setting the alarm is billed: the one that is set does.
    commit(&log, &launch(&bucket, "b", 1), NOON + 10);
    assert_eq!(log.take_alarm(), Ok(None));
}

#[test]
fn the_reply_is_pinned() {
    let (log, bucket) = (defined(), Bucket::default());
    let sample = launch(&bucket, "a", 2);
    commit(&log, &sample, NOON);
    let id = sample.launch_id();
    let reply = read(&log, &Command::Attachment(id, 1), NOON).unwrap();
    let sha256 = "ab".repeat(32);
    let expected =
        format!(r#"{{"name":"1.pdf","content_type":"application/pdf","size":5,"sha256":"{sha256}","key":"{id}/1"}}"#);
    assert_eq!(reply, expected);
}

#[test]
fn a_commit_that_fails_at_any_statement_leaves_nothing_to_complete() {
    let bucket = Bucket::default();
    for statement in 0.. {
        let log = defined();
        let sample = launch(&bucket, "a", 1);
        let before = log.sql.dump();
        log.sql.statements.set(statement);
        let outcome = log.commit(&sample.message(), NOON);
        log.sql.statements.set(u64::MAX);
        if outcome.is_ok() {
            assert!(statement >= 5, "there was something to fail");
            break;
        }
        assert_eq!(log.sql.dump(), before, "statement {statement} failed");
        alarm(&log, &bucket, NOON + DAY);
        assert!(bucket.keys().is_empty(), "what is not in the log cannot be read");
    }
}

#[test]
fn what_the_worker_has_completed_the_alarm_leaves_alone() {
    let (log, bucket) = (defined(), Bucket::default());
    let sample = launch(&bucket, "a", 2);
    commit(&log, &sample, NOON);
    assert_eq!(read(&log, &Command::Completed(sample.launch_id()), NOON).unwrap(), "{}");
    assert_eq!(rows(&log, "due"), 1, "retention alone");
    assert_eq!(alarm(&log, &bucket, NOON + GRACE), Vec::<String>::new());
    assert_eq!(bucket.faults.calls("complete"), 0);
    assert_eq!(log.take_alarm(), Ok(Some(NOON + 3 * DAY)));
    let other = Sample::new("never").launch_id();
    assert_eq!(read(&log, &Command::Completed(other), NOON).unwrap(), "{}", "a launch that is gone is no fault");
}

#[test]
fn what_the_worker_did_not_complete_the_alarm_does_after_a_while() {
    let (log, bucket) = (defined(), Bucket::default());
    let samples: Vec<_> = (0..STEP + 3).map(|number| launch(&bucket, &format!("request-{number}"), 6)).collect();
    samples.iter().for_each(|sample| commit(&log, sample, NOON));
    alarm(&log, &bucket, NOON + GRACE - 1);
    assert!(bucket.keys().is_empty(), "not before its time");
    alarm(&log, &bucket, NOON + GRACE);
    assert_eq!(bucket.keys().len() as u64, STEP * 6, "in steps");
    assert_eq!(log.take_alarm(), Ok(Some(NOON + GRACE)), "there is more to do at once");
    alarm(&log, &bucket, NOON + GRACE);
    assert_eq!((bucket.keys().len() as u64, bucket.incomplete()), ((STEP + 3) * 6, 0));
    assert_eq!(log.take_alarm(), Ok(Some(NOON + 3 * DAY)));
    for sample in &samples {
        assert_eq!(fetch(&log, &bucket, sample, 5, NOON + GRACE), Ok(vec![5; 5]));
    }
}

#[test]
fn a_failure_is_tried_again_ever_less_often_and_holds_up_nothing_else() {
    let (log, bucket) = (defined(), Bucket::default());
    commit(&log, &launch(&bucket, "a", 3), NOON);
    commit(&log, &launch(&bucket, "b", 1), NOON);
    bucket.faults.plan("complete", 2, When::Before);
    let faults = alarm(&log, &bucket, NOON + GRACE);
    assert_eq!(faults, ["launch 1: 1 uploads are not complete: the bucket is down"]);
    assert_eq!(bucket.keys().len(), 3, "all others are complete");
    assert_eq!(log.take_alarm(), Ok(Some(NOON + 2 * GRACE)));

    bucket.faults.always("complete", When::Before);
    let mut now = NOON + 2 * GRACE;
    let mut pauses = Vec::new();
    for _ in 0..9 {
        assert_eq!(alarm(&log, &bucket, now).len(), 1);
        let next = log.take_alarm().unwrap().unwrap();
        pauses.push((next - now) / GRACE);
        now = next;
    }
    assert_eq!(pauses, [2, 4, 8, 16, 32, 60, 60, 60, 60]);
    assert_eq!(BACKOFF_LIMIT / GRACE, 60);
    bucket.faults.heal();
    assert_eq!(alarm(&log, &bucket, now), Vec::<String>::new());
    assert_eq!((bucket.keys().len(), rows(&log, "due")), (4, 1));
}

#[test]
fn a_bucket_that_fails_is_given_a_rest() {
    let (log, bucket) = (defined(), Bucket::default());
    for number in 0..2 * STEP {
        commit(&log, &launch(&bucket, &format!("request-{number}"), 1), NOON);
    }
    bucket.faults.always("complete", When::Before);
    assert_eq!(alarm(&log, &bucket, NOON + GRACE).len() as u64, STEP);
    assert_eq!(log.take_alarm(), Ok(Some(NOON + GRACE + REST)), "though there is more to do");
}

#[test]
fn a_completion_that_succeeded_although_it_reported_an_error_is_found_done() {
    let (log, bucket) = (defined(), Bucket::default());
    let sample = launch(&bucket, "a", 2);
    commit(&log, &sample, NOON);
    bucket.faults.always("complete", When::After);
    assert_eq!(alarm(&log, &bucket, NOON + GRACE).len(), 1);
    assert_eq!(rows(&log, "due"), 2, "it is not known to be done");
    bucket.faults.heal();
    assert_eq!(alarm(&log, &bucket, NOON + 2 * GRACE), Vec::<String>::new());
    assert_eq!(rows(&log, "due"), 1);
    assert_eq!(fetch(&log, &bucket, &sample, 1, NOON), Ok(vec![1; 5]));
}

#[test]
fn an_alarm_that_fails_at_any_statement_is_run_again() {
    for statement in 0.. {
        let (log, bucket) = (defined(), Bucket::default());
        let samples = [launch(&bucket, "a", 2), launch(&bucket, "b", 1)];
        samples.iter().for_each(|sample| commit(&log, sample, NOON));
        log.sql.statements.set(statement);
        let outcome = run(upkeep::alarm(&log, &bucket, NOON + GRACE));
        log.sql.statements.set(u64::MAX);
        alarm(&log, &bucket, NOON + GRACE);
        assert_eq!((bucket.keys().len(), bucket.incomplete(), rows(&log, "due")), (3, 0, 1), "{statement}");
        if outcome.is_ok() {
            assert!(statement >= 6, "there was something to fail");
            break;
        }
    }
}

#[test]
fn a_reader_between_commit_and_completion_completes_what_it_reads() {
    let (log, bucket) = (defined(), Bucket::default());
    let sample = launch(&bucket, "a", 3);
    commit(&log, &sample, NOON);
    assert_eq!(fetch(&log, &bucket, &sample, 1, NOON), Ok(vec![1; 5]));
    assert_eq!(bucket.keys(), [format!("{}/1", sample.launch_id())]);
    assert_eq!(fetch(&log, &bucket, &sample, 1, NOON), Ok(vec![1; 5]), "once more");
    alarm(&log, &bucket, NOON + GRACE);
    assert_eq!((bucket.keys().len(), rows(&log, "due")), (3, 1));
    let calls = bucket.faults.calls("complete");
    assert_eq!(fetch(&log, &bucket, &sample, 2, NOON), Ok(vec![2; 5]));
    assert_eq!(bucket.faults.calls("complete"), calls, "what is known to be complete is not asked for");

    let missing = Fault::Refused(Refusal::NotFound(Thing::Attachment));
    assert_eq!(fetch(&log, &bucket, &sample, 3, NOON), Err(missing));
    let missing = Fault::Refused(Refusal::NotFound(Thing::Launch));
    assert_eq!(fetch(&log, &bucket, &Sample::new("never"), 0, NOON), Err(missing));
}

#[test]
fn a_reader_is_told_when_the_bucket_is_down_and_reads_when_it_is_not() {
    for when in [When::Before, When::After] {
        let (log, bucket) = (defined(), Bucket::default());
        let sample = launch(&bucket, "a", 1);
        commit(&log, &sample, NOON);
        bucket.faults.plan("complete", 1, when);
        let cause = format!("attachment 0 of {} was not completed: the bucket is down", sample.launch_id());
        assert_eq!(fetch(&log, &bucket, &sample, 0, NOON), Err(Fault::Refused(Refusal::BucketDown(cause))));
        assert_eq!(fetch(&log, &bucket, &sample, 0, NOON), Ok(vec![0; 5]));
    }
}

#[test]
fn worker_reader_and_alarm_may_complete_at_once() {
    let (log, bucket) = (defined(), Bucket::default());
    let sample = launch(&bucket, "a", 2);
    commit(&log, &sample, NOON);
    let command = unlimited(&Command::Attachment(sample.launch_id(), 0));
    let worker = async {
        for attachment in &sample.attachments {
            upkeep::Uploads::complete(&bucket, &attachment.upload).await.unwrap();
        }
        log.completed(sample.launch_id()).unwrap();
    };
    let all = async {
        join!(worker, upkeep::alarm(&log, &bucket, NOON + GRACE), upkeep::prepare(&log, &bucket, &command, NOON))
    };
    let ((), alarm, reader) = run(all);
    assert_eq!((alarm, reader), (Ok(Vec::new()), Ok(())));
    assert_eq!((bucket.keys().len(), rows(&log, "due")), (2, 1));
}

#[test]
fn files_go_before_the_rows_of_their_launch() {
    for when in [When::Before, When::After] {
        let (log, bucket) = (defined(), Bucket::default());
        let old = launch(&bucket, "a", 2);
        commit(&log, &old, NOON);
        let young = launch(&bucket, "b", 1);
        commit(&log, &young, NOON + DAY);
        alarm(&log, &bucket, NOON + DAY + GRACE);
        let end = NOON + 3 * DAY;
        bucket.faults.plan("delete", 1, when);
        assert_eq!(alarm(&log, &bucket, end), ["files of expired launches were not removed: the bucket is down"]);
        assert_eq!(rows(&log, "launches"), 2, "what may still have files stays");
        assert_eq!(log.take_alarm(), Ok(Some(end + PAUSE)));
        let expired = Fault::Refused(Refusal::Expired { first: Some(1) });
        assert_eq!(fetch(&log, &bucket, &old, 0, end), Err(expired), "the launch is seen, its files are not");
        alarm(&log, &bucket, end + PAUSE);
        assert_eq!(bucket.keys(), [format!("{}/0", young.launch_id())]);
        assert_eq!(rows(&log, "launches"), 1);
        assert_eq!(fetch(&log, &bucket, &young, 0, end), Ok(vec![0; 5]));
    }
}

#[test]
fn a_removal_that_fails_at_any_statement_is_run_again() {
    for statement in 0.. {
        let (log, bucket) = (defined(), Bucket::default());
        commit(&log, &launch(&bucket, "a", 2), NOON);
        let end = NOON + 3 * DAY;
        alarm(&log, &bucket, NOON + GRACE);
        log.sql.statements.set(statement);
        let outcome = run(upkeep::alarm(&log, &bucket, end));
        log.sql.statements.set(u64::MAX);
        if rows(&log, "launches") == 0 {
            assert!(bucket.keys().is_empty(), "files go first");
        }
        alarm(&log, &bucket, end);
        assert_eq!((bucket.keys().len(), rows(&log, "launches"), rows(&log, "due")), (0, 0, 0));
        if outcome.is_ok() {
            assert!(statement >= 8, "there was something to fail");
            break;
        }
    }
}

#[test]
fn uploads_that_never_completed_are_aborted_when_their_launch_expires() {
    let (log, bucket) = (defined(), Bucket::default());
    let sample = launch(&bucket, "a", 2);
    commit(&log, &sample, NOON);
    bucket.faults.always("complete", When::Before);
    let end = NOON + 3 * DAY;
    alarm(&log, &bucket, end);
    assert_eq!((bucket.incomplete(), rows(&log, "launches"), rows(&log, "due")), (0, 0, 0));

    // Or the bucket's own rule has removed them: that does not keep the launch.
    let sample = launch(&bucket, "b", 2);
    commit(&log, &sample, end);
    bucket.expire_incomplete();
    assert_eq!(alarm(&log, &bucket, end + 3 * DAY).len(), 3);
    assert_eq!((rows(&log, "launches"), rows(&log, "due")), (0, 0));
}

#[test]
fn a_step_removes_no_more_files_than_the_bucket_takes_at_once() {
    let (log, bucket) = (defined(), Bucket::default());
    let count = STEP_FILES / 100 + 2;
    for number in 0..count {
        let sample = launch(&bucket, &format!("request-{number}"), 100);
        commit(&log, &sample, NOON);
        log.completed(sample.launch_id()).unwrap();
    }
    let end = NOON + 3 * DAY;
    alarm(&log, &bucket, end);
    assert_eq!(rows(&log, "launches"), 2);
    assert_eq!(log.take_alarm(), Ok(Some(end)), "there is more to do at once");
    alarm(&log, &bucket, end);
    assert_eq!((rows(&log, "launches"), bucket.faults.calls("delete")), (0, 2));
}

#[test]
fn a_launch_that_comes_while_all_others_are_removed_is_removed_in_its_time() {
    let (log, bucket) = (defined(), Bucket::default());
    commit(&log, &launch(&bucket, "a", 1), NOON);
    let end = NOON + 3 * DAY;
    let late = async { commit(&log, &launch(&bucket, "b", 1), end) };
    run(async { join!(upkeep::alarm(&log, &bucket, end), late) }).0.unwrap();
    assert_eq!(rows(&log, "launches"), 1);
    assert_eq!(log.take_alarm(), Ok(Some(end + GRACE)));
    alarm(&log, &bucket, end + GRACE);
    assert_eq!(log.take_alarm(), Ok(Some(end + 3 * DAY)));
}

#[test]
fn an_object_that_starts_finds_what_is_to_be_completed() {
    let (log, bucket) = (defined(), Bucket::default());
    commit(&log, &launch(&bucket, "a", 1), NOON);
    log.take_alarm().unwrap();
    assert_eq!(log.take_alarm(), Ok(None));
    log.start(NOON + 1).unwrap();
    assert_eq!(log.take_alarm(), Ok(Some(NOON + GRACE)));
}
