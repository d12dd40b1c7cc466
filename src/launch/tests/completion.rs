//! Attachments behind the commit: whoever completes them, and whatever fails.

use futures_util::join;

use super::{
    call::Call,
    reading::launch_id,
    staging::{REST, attach, bytes, launched, nothing_is_held, problem},
    world::{CAMPAIGN, World},
};
use crate::{
    campaign::tests::faults::{When, run},
    limits::UPLOAD_GRACE_MS,
    problem::Problem,
};

#[test]
fn a_commit_whose_answer_is_lost_keeps_its_files_and_one_that_was_not_made_does_not() {
    let body = format!("{{{},{REST}}}", attach(&[b"policy"]));
    for when in [When::Before, When::After] {
        let world = World::new();
        world.faults.plan("commit", 1, when);
        let id = launched(world.send_and_complete(Call::new(body.clone()))).launch_id.unwrap();
        assert_eq!(world.fetch(id, 0), b"policy");

        let world = World::new();
        world.faults.always("commit", when);
        let settled = world.send(Call::new(body.clone()));
        assert_eq!(problem(settled), Problem::OutcomeUnknown);
        assert!(world.bucket.keys().is_empty());
        assert_eq!(world.bucket.incomplete(), 1, "it is not aborted: it may be in the log");
        world.advance(UPLOAD_GRACE_MS);
        let made = when == When::After;
        assert_eq!(world.bucket.keys().len(), usize::from(made), "the alarm completes what is in the log");
        assert_eq!(world.object(CAMPAIGN).read().unwrap().launches, u64::from(made));
    }
}

/// An object that has no room to look says nothing of the attempt before.
#[test]
fn a_commit_that_is_refused_behind_one_whose_answer_is_lost_keeps_its_files() {
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
    assert_eq!(world.bucket.incomplete(), 1, "it is not aborted: it is in the log");

    // Where nothing was lost, nothing was done.
    let world = World::new();
    world.faults.plan("busy", 1, When::Before);
    assert_eq!(problem(world.send(Call::new(body))), Problem::no_memory());
    assert_eq!(world.bucket.incomplete(), 0);
}

#[test]
fn what_the_worker_does_not_complete_the_objects_alarm_does() {
    for operation in ["complete", "completed", "killed"] {
        for when in [When::Before, When::After] {
            let world = World::new();
            let body = format!("{{{},{REST}}}", attach(&[b"policy", b"prices"]));
            let call = Call::new(body);
            let settled = match operation {
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
            let id = launched(settled).launch_id.unwrap();
            world.restart(CAMPAIGN);
            world.advance(UPLOAD_GRACE_MS);
            assert_eq!((world.bucket.keys().len(), world.bucket.incomplete()), (2, 0), "{operation} {when:?}");
            assert_eq!(world.fetch(id, 1), b"prices");
            let left = world.object(CAMPAIGN).due_rows();
            assert!(!left.iter().any(|row| row.contains("attachments")), "{operation} {when:?}");
        }
    }
}

/// Whatever fails, before or after its effect: the log never names a file that cannot be read, and nothing can be read
/// that the log does not name.
#[test]
fn at_all_times_the_log_and_the_bucket_agree() {
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
            for mut settled in [one, two] {
                if let Some(pending) = settled.uploads.take().filter(|_| (seed + round) % 3 > 0) {
                    run(crate::launch::complete_uploads(&world, &pending));
                }
                acknowledged.extend(settled.result.ok().and_then(|launched| launched.launch_id));
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
        let mut known = Vec::new();
        for id in &logged {
            for number in 0..3 {
                world.fetch(*id, number);
                known.push(format!("{id}/{number}"));
            }
        }
        world.advance(4_000_000);
        known.sort();
        assert_eq!(world.bucket.keys(), known, "seed {seed}");
        nothing_is_held(&world, "the end");
        launches += logged.len();
    }
    assert!(launches > 70, "{launches}: faults are not all that happens");
}
