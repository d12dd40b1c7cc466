//! The real launch code against ports that fail before, fail after having persisted, and delay; callers that go away in
//! the middle, and retry. Every schedule comes from a seed; a seed that fails prints itself and replays:
//! `SIMULATION_SEED=… cargo test --lib simulation`. `SIMULATION_SEEDS=…` sets how many are tried.

use super::seeded::{Call, TOKEN, World, run};
use crate::{campaign::upkeep, launch::Settled, problem::Problem, wire::Format};
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
    body: String,
    expected: Vec<String>,
    attempts: u32,
    acknowledged: Option<String>,
}

fn caller(world: &World, number: u64) -> Caller {
    // Two callers often share an id, and so a request.
    let number = number / (1 + world.rng.below(2));
    let length = 1 + number % 3;
    let items: Vec<_> = (0..length).map(|at| KEYS[((number + at) % 3) as usize]).collect();
    let data: Vec<_> = items.iter().map(|(email, _)| format!(r#"{{"email":"{email}"}}"#)).collect();
    let attach = match number % 2 {
        0 => String::new(),
        _ => format!(r#""attach":[{{"name":"a{number}.txt","data":"QUJD{}"}}],"#, "QUJD".repeat(number as usize)),
    };
    let expected = items.iter().filter(|(_, id)| !id.is_empty()).map(|(_, id)| (*id).to_owned()).collect();
    Caller {
        call: Call { id: Some(format!("request-{number}")), body: Some(Format::Json), ..Call::default() },
        body: format!(r#"{{"token":"{TOKEN}","trigger_id":8,{attach}"matching":"email","data":[{}]}}"#, data.join(",")),
        expected,
        attempts: 0,
        acknowledged: None,
    }
}

type Attempt<'a> = Pin<Box<dyn Future<Output = Settled> + 'a>>;

/// Lets all callers try until each has its answer or has given up.
fn schedule(world: &World, callers: &mut [Caller]) {
    let inputs: Vec<(Call, String)> = callers.iter().map(|one| (one.call.clone(), one.body.clone())).collect();
    let mut running: BTreeMap<usize, Attempt<'_>> = BTreeMap::new();
    loop {
        for (number, one) in callers.iter_mut().enumerate() {
            if one.acknowledged.is_none() && one.attempts < 6 && !running.contains_key(&number) {
                one.attempts += 1;
                let (call, body) = &inputs[number];
                let chunk = 1 + world.rng.below(90) as usize;
                running.insert(number, Box::pin(world.launch(call, body.as_bytes(), chunk)));
            }
        }
        let waiting: Vec<_> = running.keys().copied().collect();
        let Some(number) = waiting.get(world.rng.below(waiting.len().max(1) as u64) as usize).copied() else { break };
        if world.rng.below(400) == 0 {
            // The isolate is gone, or the caller: whatever was under way ends here.
            running.remove(&number);
            continue;
        }
        let attempt = running.get_mut(&number).unwrap();
        let Poll::Ready(settled) = attempt.as_mut().poll(&mut Context::from_waker(Waker::noop())) else { continue };
        running.remove(&number);
        match settled.result {
            Ok(launched) => callers[number].acknowledged = Some(launched.launch_id.unwrap().to_string()),
            Err(Problem::Unavailable(_) | Problem::OutcomeUnknown | Problem::Malformed(_)) => {}
            Err(other) => panic!("an answer that nothing calls for: {other:?}"),
        }
    }
}

fn check(world: &World, callers: &[Caller]) {
    let launches = world.launches(8);
    for (at, launch) in launches.iter().enumerate() {
        assert_eq!(launch["sequence"], at as u64 + 1, "no gaps");
    }
    let mut ids = BTreeSet::new();
    for launch in &launches {
        assert!(ids.insert(launch["request_id"].as_str().unwrap().to_owned()), "a request is launched once");
    }
    for one in callers {
        let id = one.call.id.as_deref().unwrap();
        let launch = launches.iter().find(|launch| launch["request_id"] == id);
        if let Some(launch_id) = &one.acknowledged {
            let launch = launch.expect("what was acknowledged is in the log");
            assert_eq!(launch["launch_id"], launch_id.as_str());
        }
        if let Some(launch) = launch {
            let mut expected = Vec::new();
            for id in &one.expected {
                if !expected.contains(id) {
                    expected.push(id.clone());
                }
            }
            assert_eq!(world.recipients(8, launch["launch_id"].as_str().unwrap()), expected, "with all its recipients");
        }
    }
    assert_eq!(world.budget.held(), 0, "memory is given back");
    // What can be read belongs to a launch that is in the log.
    let files: usize = launches.iter().map(|launch| launch["attachments"].as_array().unwrap().len()).sum();
    let known: BTreeSet<_> = launches.iter().map(|launch| launch["launch_id"].as_str().unwrap().to_owned()).collect();
    for key in world.bucket.keys() {
        assert!(known.contains(key.split('/').next().unwrap()), "an attachment can be read without its launch");
    }
    assert!(world.bucket.keys().len() <= files);
    // And what belongs to one can be read, as soon as the bucket works again: the alarm sees to it.
    world.bucket.faults.heal();
    for minutes in 1..=30 {
        run(upkeep::alarm(&world.log(8), &world.bucket, world.now.get() + minutes * 60_000)).unwrap();
    }
    assert_eq!(world.bucket.keys().len(), files, "every attachment of the log");
}

fn simulate(seed: u64) {
    let world = World::new(seed);
    world.faults.set(world.rng.below(120));
    world.delays.set(world.rng.below(700));
    world.bucket.faults.random(seed, 5 + world.rng.below(40));
    let many = 1 + world.rng.below(5);
    let mut callers: Vec<_> = (0..many).map(|number| caller(&world, number)).collect();
    schedule(&world, &mut callers);
    check(&world, &callers);
}

#[test]
fn nothing_is_lost_and_nothing_launched_twice() {
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
