use super::*;

fn unverified(budget: &Rc<Budget>, bytes: u64, now: u64) -> Reservation {
    let mut reservation = Reservation::new(budget, now);
    reservation.grow(bytes).unwrap();
    reservation
}

fn assert_out_of(result: Result<(), OutOfMemory>, expected: &str) {
    match result {
        Err(OutOfMemory::Limit { name, .. }) => assert_eq!(name, expected),
        other => panic!("{other:?}"),
    }
}

#[test]
fn returns_bytes_on_every_path() {
    let budget = Budget::new(100, 60);
    let mut first = Reservation::new(&budget, 0);
    let mut second = Reservation::new(&budget, 0);
    assert_eq!(first.grow(50), Ok(()));
    assert_out_of(second.grow(11), UNVERIFIED_LIMIT);
    first.verify();
    assert_eq!(second.grow(49), Ok(()));
    assert_out_of(first.grow(1), MEMORY_LIMIT);
    first.shrink(20);
    assert_eq!(first.grow(20), Ok(()));
    assert_out_of(first.resize(51), MEMORY_LIMIT);
    assert_eq!(first.bytes(), 50);
    assert_eq!((first.resize(30), first.resize(50), first.bytes()), (Ok(()), Ok(()), 50));
    drop(first);
    drop(second);
    assert_eq!(budget.reserved(), 0);
    let mut third = Reservation::new(&budget, 0);
    assert_eq!(third.grow(60), Ok(()), "the unverified share was returned too");
}

#[test]
fn one_request_has_the_turn() {
    let budget = Budget::new(100, 60);
    let [first, second] = [0, 0].map(|now| Reservation::new(&budget, now));
    let turn = first.take_turn().unwrap();
    assert!(first.take_turn().is_none() && second.take_turn().is_none());
    drop(turn);
    assert!(second.take_turn().is_some());
}

#[test]
fn verifies_all_reservations_of_a_request_at_once() {
    let budget = Budget::new(100, 60);
    let mut base = unverified(&budget, 8, 0);
    let mut other = base.sibling();
    other.grow(20).unwrap();
    assert_eq!(budget.unverified.get(), 28);
    other.verify();
    assert_eq!((budget.unverified.get(), budget.reserved()), (0, 28));
    base.grow(70).unwrap();
    drop(other);
    drop(base);
    assert_eq!((budget.unverified.get(), budget.reserved()), (0, 0));
}

#[test]
fn limits_attachments_of_unverified_callers_to_three_quarters() {
    let budget = Budget::new(1000, 100);
    let mut first = Reservation::new(&budget, 0);
    let mut second = Reservation::new(&budget, 0);
    assert_eq!(first.grow_attachments(70, 0), Ok(()));
    assert_out_of(second.grow_attachments(6, 0), ATTACHMENTS_SHARE);
    assert_eq!(second.grow(30), Ok(()), "the limit applies to attachments only");
    first.shrink_attachments(10);
    second.shrink(30);
    assert_eq!(second.grow_attachments(15, 0), Ok(()));
    first.verify();
    assert_eq!(first.grow_attachments(500, 0), Ok(()), "the limit does not apply to verified callers");
    assert_eq!(second.grow_attachments(60, 0), Ok(()));
    drop(second);
    assert_eq!(budget.attachments.get(), 0);
}

#[test]
fn evicts_the_slowest_old_request_first() {
    let budget = Budget::new(1000, 100);
    let slow = unverified(&budget, 30, 0);
    let slower = unverified(&budget, 30, 0);
    let young = unverified(&budget, 40, 9_000);
    slow.watch().count_received(500);
    slower.watch().count_received(400);
    let now = 10_000;
    let mut newcomer = Reservation::new(&budget, now);
    assert!(!newcomer.has_room(8));
    newcomer.enqueue(8, now);
    let evicted = |all: [&Reservation; 3]| all.map(|one| one.watch().is_evicted());
    assert_eq!(evicted([&slow, &slower, &young]), [false, true, false]);
    assert_eq!(newcomer.queued(now), Queued::Waiting);
    drop(slower);
    assert_eq!(newcomer.queued(now), Queued::Granted);
    assert_eq!((newcomer.bytes(), newcomer.grow(8), newcomer.bytes()), (8, Ok(()), 8));
    assert_eq!(budget.evicted.get(), 0);
}

#[test]
fn evicts_the_largest_young_request_that_makes_enough_room() {
    let budget = Budget::new(1000, 100);
    let large = unverified(&budget, 60, 0);
    let small = unverified(&budget, 40, 0);
    let mut newcomer = Reservation::new(&budget, 100);
    newcomer.enqueue(8, 100);
    assert!(large.watch().is_evicted() && !small.watch().is_evicted());
    drop((large, newcomer));
    let _same = unverified(&budget, 60, 200);
    let mut larger = Reservation::new(&budget, 300);
    larger.enqueue(70, 300);
    assert!(!small.watch().is_evicted(), "its memory is less than the newcomer needs");
    larger.enqueue(40, 400);
    assert!(!small.watch().is_evicted(), "the larger request is evicted first");
}

#[test]
fn spares_young_requests_that_keep_the_minimum_rate() {
    let budget = Budget::new(1_000_000, 100);
    let fast = unverified(&budget, 60, 0);
    let slow = unverified(&budget, 40, 0);
    fast.watch().count_received(100_000);
    let mut newcomer = Reservation::new(&budget, 1000);
    newcomer.enqueue(8, 1000);
    assert!(slow.watch().is_evicted() && !fast.watch().is_evicted());
}

#[test]
fn grants_small_requests_for_room_while_a_large_one_waits() {
    let budget = Budget::new(1000, 100);
    let one = unverified(&budget, 90, 0);
    let mut large = Reservation::new(&budget, 100);
    large.enqueue(95, 100);
    let mut small = Reservation::new(&budget, 100);
    small.enqueue(8, 100);
    assert_eq!((large.queued(150), small.queued(150)), (Queued::Waiting, Queued::Granted));
    assert!(!one.watch().is_evicted());
}

#[test]
fn evicts_no_more_requests_than_necessary() {
    let budget = Budget::new(1000, 100);
    let all: Vec<_> = (0..10).map(|_| unverified(&budget, 10, 0)).collect();
    let now = 5_000;
    let mut newcomers: Vec<_> = (0..3).map(|_| Reservation::new(&budget, now)).collect();
    for (newcomer, now) in newcomers.iter_mut().zip((now..).step_by(50)) {
        newcomer.enqueue(10, now);
        newcomer.queued(now + 25);
    }
    assert_eq!(all.iter().filter(|one| one.watch().is_evicted()).count(), 3);
}

#[test]
fn grants_room_in_the_order_of_the_queue() {
    let budget = Budget::new(1000, 100);
    let old = unverified(&budget, 100, 0);
    let mut first = Reservation::new(&budget, 1);
    let mut second = Reservation::new(&budget, 1);
    first.enqueue(80, 1);
    second.enqueue(20, 1);
    let latecomer = Reservation::new(&budget, 2);
    drop(old);
    assert!(!latecomer.has_room(1), "the room is granted to queued requests");
    assert_eq!((first.queued(2), second.queued(2)), (Queued::Granted, Queued::Granted));
    drop(first);
    assert!(latecomer.has_room(80));
    assert_eq!(budget.reserved(), 20);
}

#[test]
fn returns_room_that_was_granted_to_a_request_that_ended() {
    let budget = Budget::new(1000, 100);
    let old = unverified(&budget, 100, 0);
    let mut first = Reservation::new(&budget, 1);
    let mut second = Reservation::new(&budget, 1);
    first.enqueue(80, 1);
    second.enqueue(80, 1);
    drop(old);
    drop(first);
    assert_eq!(second.queued(1), Queued::Granted);
    second.release_credit();
    assert_eq!((second.bytes(), budget.reserved()), (0, 0));
    drop(second);
    assert!(budget.requests.borrow().iter().next().is_none() && budget.queue.borrow().is_empty());
}

#[test]
fn does_not_evict_verified_requests() {
    let budget = Budget::new(100, 100);
    let mut verified = unverified(&budget, 100, 0);
    verified.verify();
    let mut newcomer = Reservation::new(&budget, 10_000);
    newcomer.enqueue(8, 10_000);
    assert!(!verified.watch().is_evicted());
    assert_eq!(newcomer.queued(10_000), Queued::Waiting);
}

#[test]
fn verification_ends_an_eviction() {
    let budget = Budget::new(1000, 100);
    let mut old = unverified(&budget, 100, 0);
    let mut newcomer = Reservation::new(&budget, 10_000);
    newcomer.enqueue(8, 10_000);
    assert!(old.watch().is_evicted());
    old.verify();
    assert!(!old.watch().is_evicted());
    assert_eq!(newcomer.queued(10_000), Queued::Granted);
    assert_eq!(budget.evicted.get(), 0);
}

#[test]
fn an_evicted_request_that_has_returned_memory_keeps_its_base_cost() {
    let budget = Budget::new(1 << 30, 4 * BASE_COST);
    let mut base = unverified(&budget, BASE_COST, 0);
    let mut more = base.sibling();
    more.grow(3 * BASE_COST).unwrap();
    let mut newcomer = Reservation::new(&budget, 10_000);
    newcomer.enqueue(BASE_COST, 10_000);
    assert!(base.watch().is_evicted());
    drop(more);
    base.keep_base();
    assert_eq!((base.watch().is_evicted(), budget.evicted.get()), (false, 0));
    assert_eq!(newcomer.queued(10_000), Queued::Granted);
    // At the second eviction the request has only its base cost to return, and must end.
    let mut other = Reservation::new(&budget, 11_000);
    other.enqueue(3 * BASE_COST, 11_000);
    assert!(base.watch().is_evicted());
    base.keep_base();
    assert!(base.watch().is_evicted());
}

#[test]
fn verified_callers_leave_room_for_base_costs() {
    let budget = Budget::new(64 * BASE_ROOM, 16 * BASE_ROOM);
    let mut verified = Reservation::verified(&budget);
    assert_out_of(verified.grow(64 * BASE_ROOM), MEMORY_LIMIT);
    verified.grow(63 * BASE_ROOM).unwrap();
    assert_out_of(verified.grow(1), MEMORY_LIMIT);
    let _newcomers: Vec<_> = (0..BASE_ROOM / BASE_COST).map(|_| unverified(&budget, BASE_COST, 0)).collect();
}
