//! Completing attachments after the commit, by the Worker and by the object's alarm.

use futures_util::join;

use super::{
    call::Call,
    reading::launch_id,
    staging::{REST, assert_nothing_is_reserved, attach, bytes, launched, problem},
    world::{CAMPAIGN, World},
};
use crate::{
    campaign::tests::faults::{When, run},
    limits::UPLOAD_GRACE_MS,
    problem::Problem,
};

#[test]
fn completes_files_after_a_lost_answer_only_if_the_launch_was_committed() {
    let body = format!("{{{},{REST}}}", attach(&[b"policy"]));
    for when in [When::Before, When::After] {
        let world = World::new();
        world.faults.plan("commit", 1, when);
        let id = launched(world.send_and_complete(Call::new(body.clone()))).launch_id.unwrap();
        assert_eq!(world.fetch(id, 0), b"policy");

        let world = World::new();
        world.faults.always("commit", when);
        let outcome = world.send(Call::new(body.clone()));
        assert_eq!(problem(outcome), Problem::OutcomeUnknown);
        assert!(world.bucket.keys().is_empty());
        assert_eq!(world.bucket.incomplete(), 1, "the upload is kept: the launch may be in the log");
        world.advance(UPLOAD_GRACE_MS);
        let made = when == When::After;
        assert_eq!(
            world.bucket.keys().len(),
            usize::from(made),
            "the alarm completes the uploads of launches in the log"
        );
        assert_eq!(world.object(CAMPAIGN).read().unwrap().launches, u64::from(made));
    }
}

/// A busy object cannot know whether the previous attempt was committed.
#[test]
fn keeps_the_files_if_a_busy_object_answers_after_a_lost_answer() {
    let body = format!("{{{},{REST}}}", attach(&[b"policy"]));
    let world = World::new();
    world.faults.plan("commit", 1, When::After);
    world.faults.plan("busy", 2, When::Before);
    let id = launched(world.send_and_complete(Call::new(body.clone()))).launch_id.unwrap();
    assert_eq!(world.fetch(id, 0), b"policy");

    let world = World::new();
    world.faults.plan("commit", 1, When::After);
    for attempt in 2..100 {
        world.faults.plan("busy", attempt, When::Before);
    }
    assert_eq!(problem(world.send(Call::new(body.clone()))), Problem::OutcomeUnknown);
    assert_eq!(world.bucket.incomplete(), 1, "the upload is kept: the launch is in the log");

    // Without a lost answer, nothing was committed.
    let world = World::new();
    world.faults.always("busy", When::Before);
    assert_eq!(problem(world.send(Call::new(body))), Problem::no_memory());
    assert_eq!(world.bucket.incomplete(), 0);
}

/// If both waited, each would keep the memory that the other needs.
#[test]
fn one_of_two_commits_waits_for_memory() {
    let world = World::new();
    world.faults.plan("busy", 1, When::Before);
    world.faults.plan("busy", 2, When::Before);
    let call = || Call::new(format!("{{{REST}}}"));
    let (one, two) = run(async { join!(world.launch(call()), world.launch(call())) });
    let (launched, refused): (Vec<_>, Vec<_>) = [one, two].into_iter().partition(|outcome| outcome.result.is_ok());
    assert_eq!((launched.len(), refused.len()), (1, 1));
    refused.into_iter().for_each(|outcome| assert_eq!(problem(outcome), Problem::no_memory()));
    assert_eq!(world.object(CAMPAIGN).read().unwrap().launches, 1);
    drop(launched);
    // Nobody waits any more.
    world.faults.plan("busy", 4, When::Before);
    drop(run(world.launch(call())).result.unwrap());
    assert_nothing_is_reserved(&world, "two commits");
}

#[test]
fn the_alarm_completes_the_uploads_that_the_worker_did_not() {
    for operation in ["complete", "completed", "killed"] {
        for when in [When::Before, When::After] {
            let world = World::new();
            let body = format!("{{{},{REST}}}", attach(&[b"policy", b"prices"]));
            let call = Call::new(body);
            let outcome = match operation {
                "killed" => world.send(call),
                "complete" => {
                    world.bucket.faults.plan("complete", 1, when);
                    world.send_and_complete(call)
                }
                _ => {
                    world.faults.plan("completed", 1, when);
                    world.send_and_complete(call)
                }
            };
            let id = launched(outcome).launch_id.unwrap();
            world.restart(CAMPAIGN);
            world.advance(UPLOAD_GRACE_MS);
            assert_eq!((world.bucket.keys().len(), world.bucket.incomplete()), (2, 0), "{operation} {when:?}");
            assert_eq!(world.fetch(id, 1), b"prices");
            let left = world.object(CAMPAIGN).due_rows();
            assert!(!left.iter().any(|row| row.contains("attachments")), "{operation} {when:?}");
        }
    }
}

/// Operations fail before or after their effect. Every file in the log stays readable, and no other file is.
#[test]
fn the_bucket_has_exactly_the_files_of_the_log_after_random_failures() {
    let body = format!("{{{},{REST}}}", attach(&[&bytes(70_003, 11), b"small", b""]));
    let mut launches = 0;
    for seed in 0..100 {
        let world = World::new();
        world.faults.random(seed, 12);
        world.bucket.faults.random(seed + 1000, 15);
        let mut acknowledged = Vec::new();
        for round in 0..3_u64 {
            let calls = || Call { request_id: Some(["a", "b"][round as usize % 2].into()), ..Call::new(body.clone()) };
            let (one, two) = run(async { join!(world.launch(calls()), world.launch(calls())) });
            for mut outcome in [one, two] {
                if let Some(pending) = outcome.uploads.take().filter(|_| (seed + round) % 3 > 0) {
                    run(crate::launch::complete_uploads(&world, &pending));
                }
                acknowledged.extend(outcome.result.ok().and_then(|launched| launched.launch_id));
            }
            if seed % 2 == 0 {
                world.restart(CAMPAIGN);
            }
            world.advance(UPLOAD_GRACE_MS / 2);
        }
        world.faults.heal();
        world.bucket.faults.heal();
        acknowledged.sort();
        acknowledged.dedup();
        let logged: Vec<_> = world.launches().iter().map(launch_id).collect();
        assert!(acknowledged.iter().all(|id| logged.contains(id)), "seed {seed}");
        let mut expected = Vec::new();
        for id in &logged {
            for number in 0..3 {
                world.fetch(*id, number);
                expected.push(format!("{id}/{number}"));
            }
        }
        world.advance(4_000_000);
        expected.sort();
        assert_eq!(world.bucket.keys(), expected, "seed {seed}");
        assert_nothing_is_reserved(&world, "after the last round");
        launches += logged.len();
    }
    assert!(launches > 70, "only {launches} launches succeeded");
}
