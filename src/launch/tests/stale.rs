//! The Worker asks the campaign's object again before it refuses a request because of an answer that may be out of date.

use super::{
    call::Call,
    world::{CAMPAIGN, World},
};
use crate::{
    campaign::{
        protocol::commands::Definition,
        tests::faults::{When, pause, run},
    },
    launch::LaunchOutcome,
    problem::Problem,
};
use futures_util::join;

/// A body large enough that the object is asked while the body arrives.
fn large(fields: &str, email: &str) -> String {
    let pad = "y".repeat(150_000);
    format!(r#"{{"x":"{pad}","trigger_id":8,{fields}"z":"{pad}","data":[{{"email":"{email}"}}]}}"#)
}

fn resume(world: &World) {
    let definition = Definition { id: CAMPAIGN, active: Some(true), ..Definition::default() };
    world.object(CAMPAIGN).define(&definition, &[], world.now()).unwrap();
}

fn call(body: &str) -> Call {
    Call { request_id: Some("retried".into()), chunk: 1000, ..Call::new(body) }
}

/// Runs `then` after the object was asked `times` times.
async fn after_preflight(world: &World, times: u32, then: impl FnOnce()) {
    while world.faults.calls("preflight") < times {
        pause().await;
    }
    // Lets the answer of the object arrive before the end of the body.
    for _ in 0..10 {
        pause().await;
    }
    then();
}

fn assert_is_repeat(outcome: LaunchOutcome, world: &World) {
    let launched = outcome.result.unwrap();
    assert!(launched.repeated);
    drop(launched);
    assert_eq!(world.launches().len(), 1);
    assert_eq!(world.budget.reserved(), 0);
}

#[test]
fn returns_the_first_answer_to_a_retry_that_was_paused_meanwhile() {
    for fields in ["", r#""strict":true,"#] {
        let body = large(fields, "example1@example.com");
        let world = World::new();
        world.pause_campaign(CAMPAIGN);
        let (retry, ()) = run(async {
            join!(
                world.launch(call(&body)),
                after_preflight(&world, 1, || {
                    // The first attempt commits after the campaign was resumed.
                    resume(&world);
                    assert!(!run(world.launch(call(&body))).result.unwrap().repeated);
                })
            )
        });
        assert_is_repeat(retry, &world);
    }
}

#[test]
fn returns_the_first_answer_to_a_retry_that_strict_would_refuse() {
    let body = large(r#""strict":true,"#, "example1@example.com");
    let world = World::new();
    let (retry, ()) = run(async {
        join!(
            world.launch(call(&body)),
            after_preflight(&world, 1, || {
                assert!(!run(world.launch(call(&body))).result.unwrap().repeated);
                // An import without the profile: now strict refuses it.
                world.import(1, "profile_id,email\n6606e08f10bcdd88297057a7,other@example.com\n");
            })
        )
    });
    assert_is_repeat(retry, &world);
}

#[test]
fn launches_a_request_whose_campaign_was_resumed_meanwhile() {
    let body = large("", "example1@example.com");
    let world = World::new();
    world.pause_campaign(CAMPAIGN);
    let (outcome, ()) = run(async { join!(world.launch(call(&body)), after_preflight(&world, 1, || resume(&world))) });
    assert!(!outcome.result.unwrap().repeated);
    assert_eq!(world.launches().len(), 1);
}

#[test]
fn refuses_a_request_whose_campaign_is_still_paused() {
    let body = large("", "example1@example.com");
    let world = World::new();
    world.pause_campaign(CAMPAIGN);
    assert_eq!(world.send(call(&body)).result.unwrap_err().problem, Problem::NotActive);
    assert_eq!(world.faults.calls("preflight"), 2, "asked while the body arrives, and again before the refusal");
    // An object that does not answer changes nothing.
    let world = World::new();
    world.pause_campaign(CAMPAIGN);
    world.faults.plan("preflight", 2, When::Before);
    assert_eq!(world.send(call(&body)).result.unwrap_err().problem, Problem::NotActive);
    assert_eq!(world.reported.borrow().len(), 1);
}

#[test]
fn asks_again_after_an_answer_that_was_lost() {
    let body = large("", "example1@example.com");
    let world = World::new();
    world.faults.plan("preflight", 1, When::Before);
    assert!(!world.send(call(&body)).result.unwrap().repeated);
}
