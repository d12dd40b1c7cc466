use super::*;

fn unverified(budget: &Rc<Budget>, bytes: u64, now: u64) -> Reservation {
    let mut reservation = Reservation::new(budget, now);
    reservation.grow(bytes).unwrap();
    reservation
}

fn is_out_of(result: Result<(), OutOfMemory>, expected: &str) {
    match result {
        Err(OutOfMemory::Limit { name, .. }) => assert_eq!(name, expected),
        other => panic!("{other:?}"),
    }
}

#[test]
fn returns_bytes_on_every_path() {
    let budget = Budget::new(100, 60);
    let mut a = Reservation::new(&budget, 0);
    let mut b = Reservation::new(&budget, 0);
    assert_eq!(a.grow(50), Ok(()));
    is_out_of(b.grow(11), UNVERIFIED_LIMIT);
    a.verify();
    assert_eq!(b.grow(50), Ok(()));
    is_out_of(a.grow(1), MEMORY_LIMIT);
    a.shrink(20);
    assert_eq!(a.grow(20), Ok(()));
    is_out_of(a.resize(51), MEMORY_LIMIT);
    assert_eq!(a.bytes(), 50);
    assert_eq!((a.resize(30), a.resize(50), a.bytes()), (Ok(()), Ok(()), 50));
    drop(a);
    drop(b);
    assert_eq!(budget.reserved(), 0);
    let mut c = Reservation::new(&budget, 0);
    assert_eq!(c.grow(60), Ok(()), "the unverified share is returned too");
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
    let mut a = Reservation::new(&budget, 0);
    let mut b = Reservation::new(&budget, 0);
    assert_eq!(a.grow_attachments(70, 0), Ok(()));
    is_out_of(b.grow_attachments(6, 0), ATTACHMENTS_SHARE);
    assert_eq!(b.grow(30), Ok(()), "the rest is for everything else");
    a.shrink_attachments(10);
    b.shrink(30);
    assert_eq!(b.grow_attachments(15, 0), Ok(()));
    a.verify();
    assert_eq!(a.grow_attachments(500, 0), Ok(()), "no share once the token is verified");
    assert_eq!(b.grow_attachments(60, 0), Ok(()));
    drop(b);
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
    assert!(!small.watch().is_evicted(), "it holds less than the newcomer wants");
    larger.enqueue(40, 400);
    assert!(!small.watch().is_evicted(), "there is a larger one");
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
fn a_large_request_for_room_does_not_block_small_ones() {
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
fn evicts_no_more_than_is_missing() {
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
    assert!(!latecomer.has_room(1), "the room is granted to those who queue");
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
    assert!(budget.holders.borrow().is_empty() && budget.queue.borrow().is_empty());
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
fn a_request_verified_after_its_eviction_stays() {
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
