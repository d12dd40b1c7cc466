//! Many callers at once, most of whom only occupy memory.

use futures_util::{future::join_all, join};

use super::{
    call::{Call, End},
    staging::{assert_nothing_is_reserved, attach, bytes, world_of},
    world::{TOKEN, World},
};
use crate::{
    campaign::tests::faults::run,
    launch::{LaunchOutcome, receive::room},
    limits::{BASE_COST, KIB, MIB},
    memory::Reservation,
};

fn status(outcome: &LaunchOutcome) -> u16 {
    outcome.result.as_ref().map_or_else(|refused| refused.status(), |_| 200)
}

/// A request as the Worker runs it: its base cost is reserved first.
async fn request(world: &World, call: Call) -> u16 {
    let mut base = Reservation::new(&world.budget, world.now());
    match room::reserve(&mut base, BASE_COST, world).await {
        Ok(()) => status(&world.launch_with(call, base.sibling()).await),
        Err(refused) => refused.status(),
    }
}

/// Sends the beginning of a body, and nothing more.
fn stalled() -> Call {
    Call { tokens: Vec::new(), length: Some(1000), ends: Some((1, End::Stalls)), ..Call::bare("{".repeat(1000)) }
}

fn good(token_first: bool) -> Call {
    let (rest, token) =
        (r#""trigger_id":8,"data":[{"email":"example1@example.com"}]"#, format!(r#""token":"{TOKEN}""#));
    Call::bare(if token_first { format!("{{{token},{rest}}}") } else { format!("{{{rest},{token}}}") })
}

#[test]
fn serves_callers_with_a_valid_token_while_many_slow_callers_occupy_memory() {
    let world = world_of(|limits| limits.unverified = 512 * KIB);
    let (slow, good) = run(async {
        let slow = join_all((0..200).map(|_| request(&world, stalled())));
        let good = async {
            let mut statuses = Vec::new();
            for round in 0..12 {
                // By this time the slow callers have used up the share of unverified callers.
                crate::launch::ports::Clock::sleep(&world, 900).await;
                let head = Call::new(r#"{"trigger_id":8,"data":[{"email":"example1@example.com"}]}"#);
                let call = [head, good(true), good(false)][round % 3].clone();
                statuses.push(request(&world, call).await);
            }
            statuses
        };
        join!(slow, good)
    });
    assert_eq!(good, [200; 12]);
    assert!(slow.iter().all(|status| [408, 503].contains(status)), "{slow:?}");
    assert!(slow.contains(&408) && slow.contains(&503), "{slow:?}");
    assert_nothing_is_reserved(&world, "slow callers");
}

#[test]
fn a_newcomer_waits_for_room_and_then_gets_503() {
    let world = world_of(|limits| limits.unverified = 2 * BASE_COST);
    let start = world.now();
    // None of these can be evicted: each is smaller than the room that the newcomer needs, and less than two seconds old when
    // the newcomer gives up.
    let mut others: Vec<Reservation> = (0..4).map(|_| Reservation::new(&world.budget, start + 500)).collect();
    others.iter_mut().for_each(|other| other.grow(BASE_COST / 2).unwrap());
    assert_eq!(run(request(&world, good(true))), 503);
    assert!((2000..2600).contains(&(world.now() - start)), "{} ms", world.now() - start);
    drop(others);
    assert_eq!(run(request(&world, good(true))), 200);
    assert_nothing_is_reserved(&world, "a newcomer");
}

#[test]
fn a_growing_request_evicts_slow_requests() {
    let world = world_of(|limits| limits.unverified = MIB);
    let items: Vec<String> = (0..4000).map(|n| format!(r#"{{"email":"nobody{n}@example.com"}}"#)).collect();
    let body = format!(r#"{{"trigger_id":8,"data":[{}],"token":"{TOKEN}"}}"#, items.join(","));
    let file = bytes(300_000, 5);
    let files = format!(r#"{{{},"trigger_id":8,"data":[{{"email":"a@b.c"}}],"token":"{TOKEN}"}}"#, attach(&[&file]));
    for body in [body, files] {
        let (slow, good) = run(async {
            let slow = join_all((0..128).map(|_| request(&world, stalled())));
            let good = async {
                crate::launch::ports::Clock::sleep(&world, 3000).await;
                request(&world, Call::bare(body)).await
            };
            join!(slow, good)
        });
        assert_eq!(good, 200);
        assert!(slow.contains(&503), "{slow:?}");
        assert_nothing_is_reserved(&world, "a request that grows");
    }
}

#[test]
fn attachments_before_the_token_leave_room_for_others() {
    let world = world_of(|limits| (limits.unverified, limits.body) = (4 * MIB, 2 * MIB));
    let file = bytes(MIB as usize + 500_000, 6);
    let body = format!("{{{},\"z\":1", attach(&[&file]));
    let ends = Some((body.len(), End::Stalls));
    let (waiting, small) = run(async {
        let waiting = join_all((0..3).map(|_| request(&world, Call { ends, ..Call::bare(body.as_str()) })));
        let small = async {
            crate::launch::ports::Clock::sleep(&world, 500).await;
            request(&world, good(false)).await
        };
        join!(waiting, small)
    });
    assert_eq!(small, 200);
    assert!(waiting.iter().all(|status| *status != 200), "{waiting:?}");
    assert_nothing_is_reserved(&world, "attachments");
}

/// Each request fits into the share of unverified callers, but not all of them at the same time.
#[test]
fn completes_at_least_one_of_many_large_requests_at_once() {
    let world = world_of(|limits| limits.unverified = 2 * MIB);
    let custom_data = format!(r#"{{"pad":"{}"}}"#, "x".repeat(60_000));
    let items = vec![format!(r#"{{"email":"example1@example.com","custom_data":{custom_data}}}"#); 12].join(",");
    // `matching` comes last, so all items stay in memory until the end.
    let body = format!(r#"{{"data":[{items}],"matching":"email_profile","trigger_id":8,"token":"{TOKEN}"}}"#);
    for _ in 0..3 {
        let start = world.now();
        let statuses =
            run(join_all((0..13).map(|_| request(&world, Call { chunk: 20_000, ..Call::bare(body.as_str()) }))));
        assert!(statuses.contains(&200) && statuses.iter().all(|status| [200, 503].contains(status)), "{statuses:?}");
        assert!(world.now() - start < 30_000, "{} ms", world.now() - start);
        assert_eq!(run(request(&world, Call::bare(body.as_str()))), 200, "a single request fits");
        assert_nothing_is_reserved(&world, "large requests");
    }
}
