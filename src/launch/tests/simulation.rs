//! The real launch code against ports that fail before, fail after having persisted, and delay; objects that restart;
//! callers that disconnect in the middle, and retry. Every schedule follows from a seed. A failing seed is printed and can be
//! replayed: `SIMULATION_SEED=… cargo test --lib simulation`. `SIMULATION_SEEDS=…` sets the number of seeds.

use super::{
    call::Call,
    reading::launch_id,
    world::{CAMPAIGN, TOKEN, World},
};
use crate::{
    campaign::{
        protocol::id::LaunchId,
        tests::faults::{Dice, When, fire_timer},
    },
    launch::LaunchOutcome,
    limits::UPLOAD_GRACE_MS,
    problem::Problem,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    future::Future,
    pin::Pin,
    task::{Context, Poll, Waker},
};

const KEYS: [(&str, &str); 3] = [
    ("example1@example.com", "6606e08f10bcdd88297057a7"),
    ("example2@example.com", "66101437dc4594c2934da6da"),
    ("both@example.com", ""),
];

/// One request, as its caller sees it.
struct Caller {
    call: Call,
    request_id: String,
    expected: Vec<String>,
    attempts: u32,
    acknowledged: Option<LaunchId>,
}

fn caller(world: &World, number: u64) -> Caller {
    // Two callers often share a request ID, and so send the same request.
    let number = number / (1 + world.dice.below(2));
    let length = 1 + number % 3;
    let items: Vec<_> = (0..length).map(|at| KEYS[((number + at) % 3) as usize]).collect();
    let data: Vec<_> = items.iter().map(|(email, _)| format!(r#"{{"email":"{email}"}}"#)).collect();
    let attach = match number % 2 {
        0 => String::new(),
        _ => format!(r#""attach":[{{"name":"a{number}.txt","data":"QUJD{}"}}],"#, "QUJD".repeat(number as usize)),
    };
    let body =
        format!(r#"{{"token":"{TOKEN}","trigger_id":8,{attach}"matching":"email","data":[{}]}}"#, data.join(","));
    let request_id = format!("request-{number}");
    Caller {
        call: Call { request_id: Some(request_id.clone()), ..Call::bare(body) },
        request_id,
        expected: items.iter().filter(|(_, id)| !id.is_empty()).map(|(_, id)| (*id).to_owned()).collect(),
        attempts: 0,
        acknowledged: None,
    }
}

type Attempt<'a> = Pin<Box<dyn Future<Output = LaunchOutcome> + 'a>>;

/// Runs all callers until each has its answer or has given up.
fn schedule(world: &World, callers: &mut [Caller]) {
    let mut running: BTreeMap<usize, Attempt<'_>> = BTreeMap::new();
    loop {
        for (number, one) in callers.iter_mut().enumerate() {
            if one.acknowledged.is_none() && one.attempts < 6 && !running.contains_key(&number) {
                one.attempts += 1;
                let call = Call { chunk: 1 + world.dice.below(90) as usize, ..one.call.clone() };
                running.insert(number, Box::pin(world.launch_and_complete(call)));
            }
        }
        let waiting: Vec<_> = running.keys().copied().collect();
        let Some(number) = waiting.get(world.dice.below(waiting.len().max(1) as u64) as usize).copied() else { break };
        if world.dice.below(400) == 0 {
            // The isolate or the caller is gone: the request ends here.
            running.remove(&number);
            continue;
        }
        if world.dice.below(400) == 0 {
            world.restart(CAMPAIGN);
        }
        if world.dice.below(400) == 0 {
            world.advance(world.dice.below(2 * UPLOAD_GRACE_MS));
        }
        if world.dice.below(400) == 0 {
            fire_timer();
        }
        let attempt = running.get_mut(&number).unwrap();
        let Poll::Ready(outcome) = attempt.as_mut().poll(&mut Context::from_waker(Waker::noop())) else { continue };
        running.remove(&number);
        match outcome.result.map_err(|refused| refused.problem) {
            Ok(launched) => callers[number].acknowledged = launched.launch_id,
            Err(Problem::Unavailable(_) | Problem::OutcomeUnknown | Problem::Malformed(_) | Problem::Timeout(_)) => {}
            Err(other) => panic!("an answer that nothing calls for: {other:?}"),
        }
    }
}

fn check(world: &World, callers: &[Caller]) {
    let launches = world.launches();
    for (at, launch) in launches.iter().enumerate() {
        assert_eq!(launch["sequence"], at as u64 + 1, "the sequence has no gaps");
    }
    let mut ids = BTreeSet::new();
    for launch in &launches {
        assert!(ids.insert(launch["request_id"].as_str().unwrap()), "a request was launched twice");
    }
    for one in callers {
        let launch = launches.iter().find(|launch| launch["request_id"] == *one.request_id);
        let launch = launch.map(launch_id);
        if let Some(acknowledged) = one.acknowledged {
            assert_eq!(launch, Some(acknowledged), "an acknowledged launch is not in the log");
        }
        if let Some(launch) = launch {
            assert_eq!(world.recipients(launch), one.expected, "recipients of {launch}");
        }
    }
    assert_eq!(world.budget.reserved(), 0, "memory was not returned");
    // Every readable file belongs to a launch in the log.
    let files = |launch: &serde_json::Value| launch["attachments"].as_array().unwrap().len();
    let files: BTreeSet<_> = launches
        .iter()
        .flat_map(|launch| (0..files(launch)).map(|number| format!("{}/{number}", launch_id(launch))))
        .collect();
    let readable = || world.bucket.keys().into_iter().collect::<BTreeSet<_>>();
    assert!(readable().is_subset(&files), "an attachment is readable without its launch");
    // Every file of the log is readable once the bucket works again, because the alarm completes it.
    world.advance(2 * UPLOAD_GRACE_MS);
    world.bucket.faults.heal();
    world.advance(30 * UPLOAD_GRACE_MS);
    assert_eq!(readable(), files, "an attachment in the log is not readable");
}

fn simulate(seed: u64) {
    let mut world = World::new();
    world.dice = Dice::new(seed);
    // On average up to an eighth of the calls fail, and up to a fifth of those to the bucket.
    world.faults.random(world.dice.number(), 1000 / (1 + world.dice.below(120)));
    world.bucket.faults.random(world.dice.number(), 5 + world.dice.below(40));
    world.delays.set(world.dice.below(700));
    if world.dice.below(10) == 0 {
        // All answers to commits are lost, before or after the commit: callers get "outcome unknown".
        world.faults.always("commit", if world.dice.below(2) == 0 { When::Before } else { When::After });
    }
    let many = 1 + world.dice.below(5);
    let mut callers: Vec<_> = (0..many).map(|number| caller(&world, number)).collect();
    schedule(&world, &mut callers);
    world.faults.heal();
    check(&world, &callers);
}

#[test]
fn loses_no_launch_and_launches_nothing_twice() {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let seeds = match number("SIMULATION_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("SIMULATION_SEEDS").unwrap_or(400),
    };
    for seed in seeds {
        if let Err(panic) = std::panic::catch_unwind(|| simulate(seed)) {
            eprintln!("SIMULATION_SEED={seed}");
            std::panic::resume_unwind(panic);
        }
    }
}
