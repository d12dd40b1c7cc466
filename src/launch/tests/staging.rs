//! Attachments on their way from the body to the bucket: when they are stored, and that a refused launch leaves none.

use futures_util::join;

use super::{
    call::{Call, End},
    world::{CAMPAIGN, TOKEN, World},
};
use crate::{
    access::Scope,
    campaign::tests::faults::{Dice, When, run},
    launch::{LaunchOutcome, reply::LaunchResult},
    limits::{Limits, MIB, PART, READ_BUFFER, UPLOAD_GRACE_MS},
    problem::Problem,
};

/// The rest of a valid body.
pub(super) const REST: &str = r#""trigger_id":8,"matching":"email","data":[{"email":"example1@example.com"}]"#;

pub(super) fn base64(bytes: &[u8]) -> String {
    base64_simd::STANDARD.encode_to_string(bytes)
}

/// Pseudo-random bytes.
pub(super) fn bytes(length: usize, seed: u64) -> Vec<u8> {
    let dice = Dice::new(seed);
    let mut bytes: Vec<u8> = (0..length.div_ceil(8)).flat_map(|_| dice.number().to_le_bytes()).collect();
    bytes.truncate(length);
    bytes
}

/// The member `attach` of a body.
pub(super) fn attach(files: &[&[u8]]) -> String {
    let entry = |(number, file): (usize, &&[u8])| format!(r#"{{"name":"{number}.bin","data":"{}"}}"#, base64(file));
    format!(r#""attach":[{}]"#, files.iter().enumerate().map(entry).collect::<Vec<_>>().join(","))
}

pub(super) fn launched(outcome: LaunchOutcome) -> LaunchResult {
    outcome.result.expect("it is launched")
}

pub(super) fn problem(outcome: LaunchOutcome) -> Problem {
    assert!(outcome.uploads.is_none(), "a refused launch has uploads to complete");
    outcome.result.expect_err("it is refused").problem
}

/// Checks that no file is readable, no upload is incomplete, and no memory is reserved.
fn assert_nothing_is_left(world: &World, what: &str) {
    assert_eq!(world.bucket.keys(), Vec::<String>::new(), "{what}");
    assert_eq!(world.bucket.incomplete(), 0, "{what}");
    assert_nothing_is_reserved(world, what);
}

pub(super) fn assert_nothing_is_reserved(world: &World, what: &str) {
    assert_eq!((world.budget.reserved(), world.bucket.held.now.get()), (0, 0), "{what}");
}

/// A world with other limits.
pub(super) fn world_of(change: impl FnOnce(&mut Limits)) -> World {
    let mut limits = Limits::default();
    change(&mut limits);
    World::with_limits(limits)
}

#[test]
fn stores_files_of_every_length_unchanged() {
    for lengths in [&[0][..], &[1, 0, 2], &[PART, PART + 1], &[2 * PART, 1]] {
        let world = World::new();
        let files: Vec<_> = (1..).zip(lengths).map(|(seed, length)| bytes(*length, seed)).collect();
        let body = format!("{{{},{REST}}}", attach(&files.iter().map(Vec::as_slice).collect::<Vec<_>>()));
        let outcome = world.send_and_complete(Call::new(body));
        let id = launched(outcome).launch_id.unwrap();
        assert_eq!(world.bucket.keys().len(), files.len());
        for (number, file) in files.iter().enumerate() {
            assert!(world.fetch(id, number) == *file, "{lengths:?}: file {number}");
        }
        assert_eq!(world.bucket.incomplete(), 0);
        assert_nothing_is_reserved(&world, "lengths");
        assert_eq!(*world.reported.borrow(), []);
    }
}

#[test]
fn the_memory_of_a_launch_does_not_grow_with_its_files() {
    let large = bytes(3 * PART + 9, 1);
    let small = bytes(MIB as usize, 2);
    for files in [vec![large.as_slice()], vec![small.as_slice(); 14]] {
        let world = world_of(|limits| limits.memory = 2 * PART as u64 + MIB);
        let body = format!("{{{},{REST}}}", attach(&files));
        launched(world.send(Call::new(body)));
        let most = world.bucket.held.most.get();
        assert!(most <= 2 * PART, "{most}");
        assert!(world.bucket.most_at_once.get() <= 4);
        assert_nothing_is_reserved(&world, "files");
    }
}

#[test]
fn stores_files_for_every_order_of_the_fields() {
    let file = bytes(100_000, 3);
    let fields =
        [attach(&[&file]), format!(r#""token":"{TOKEN}""#), r#""trigger_id":8"#.into(), r#""matching":"email""#.into()];
    let items = r#""data":[{"email":"example1@example.com"}]"#.to_owned();
    for first in 0..fields.len() {
        for backwards in [false, true] {
            let mut order: Vec<_> = fields.to_vec();
            order.rotate_left(first);
            order.insert(2, items.clone());
            if backwards {
                order.reverse();
            }
            let world = World::new();
            let call = Call { tokens: Vec::new(), chunk: 1000, ..Call::new(format!("{{{}}}", order.join(","))) };
            let id = launched(world.send(call)).launch_id.unwrap();
            assert!(world.fetch(id, 0) == file);
            assert_nothing_is_reserved(&world, "order");
        }
    }
}

#[test]
fn stores_nothing_for_a_caller_who_is_not_verified() {
    let file = bytes(3 * MIB as usize, 4);
    let body = format!("{{{},\"token\":\"TOKEN\",{REST}}}", attach(&[&file]));
    let expected = "send the token in the Authorization header, or before \"attach\"";

    let world = world_of(|limits| limits.body = 2 * MIB);
    let call = Call { tokens: Vec::new(), ..Call::new(body.replace("TOKEN", TOKEN)) };
    let refused = problem(world.send(call));
    assert_eq!(refused.status(), 401);
    assert!(refused.debug("").ends_with(expected), "{refused:?}");
    assert_eq!(world.bucket.begun(), 0);
    assert_nothing_is_left(&world, "more than BODY_LIMIT ahead of the token");

    // Data up to the limit waits in memory, and is stored after the token was verified.
    for (token, status) in [(TOKEN, 200), ("no-such-token", 401)] {
        let world = world_of(|limits| limits.body = 4 * MIB);
        let call = Call { tokens: Vec::new(), ..Call::new(body.replace("TOKEN", token)) };
        let result = world.send(call).result;
        assert_eq!(result.map_or_else(|problem| problem.status(), |_| 200), status);
        assert_eq!(world.bucket.begun(), u64::from(status == 200));
        assert_nothing_is_reserved(&world, token);
    }

    // A token without the scope and two tokens that differ store nothing either.
    let world = World::new();
    world.grant("reads", "reads", &[Scope::Read], &[]);
    for (header, status) in [(vec!["reads".into()], 403), (vec!["no-such-token".into()], 401), (Vec::new(), 401)] {
        let call = Call { tokens: header, ..Call::new(format!("{{{},{REST}}}", attach(&[&file]))) };
        assert_eq!(problem(world.send(call)).status(), status);
        assert_eq!(world.bucket.begun(), 0);
        assert_nothing_is_left(&world, "not verified");
    }
}

#[test]
fn rejects_an_invalid_attachment_by_its_field_and_leaves_nothing() {
    let good = base64(&bytes(300_000, 5));
    let entry = |name: &str, data: &str| format!(r#"{{"name":{name},"data":{data}}}"#);
    let data = |data: &str| entry("\"a.txt\"", &format!("\"{data}\""));
    let many = vec![data("AAAA"); 101].join(",");
    for (entries, expected) in [
        (data(&format!("{good}*AAA")), "attach[0].data: "),
        (format!("{},{}", data("AAAA"), data(&format!("{good}AA=A"))), "attach[1].data: "),
        (data("QUJD="), "attach[0].data: "),
        (data("QUJDR"), "attach[0].data: "),
        (data("QQ==QQ=="), "attach[0].data: "),
        (data("data:text/plain,hello"), "attach[0].data: "),
        (entry("\"a\"", "7"), "attach[0].data: must be a string"),
        (entry("\"a\"", "{\"a\":\"QUJD\"}"), "attach[0].data: must be a string"),
        (entry("\"a\"", "null"), "attach[0].data: is required"),
        (entry("\"\"", "\"AAAA\""), "attach[0].name: must not be empty"),
        (entry("7", "\"AAAA\""), "attach[0].name: must be a string"),
        (entry("\"a\\nb\"", "\"AAAA\""), "attach[0].name: must not contain control characters"),
        (format!(r#"{},{{"data":"AAAA"}}"#, data(&good)), "attach[1].name: is required"),
        (r#"{"name":"a"}"#.to_owned(), "attach[0].data: is required"),
        ("\"AAAA\"".to_owned(), "attach[0]: must be an object"),
        (many, "attach: has more than 100 entries"),
    ] {
        let what: String = entries.chars().rev().take(60).collect();
        let world = World::new();
        // With a token in the head, uploads begin before the fault is found.
        let refused = problem(world.send(Call::new(format!("{{\"attach\":[{entries}],{REST}}}"))));
        assert_eq!(refused.status(), 400, "{what}");
        assert!(refused.debug("").starts_with(expected), "{what}: {refused:?}");
        assert_nothing_is_left(&world, &what);
    }
}

#[test]
fn a_refused_launch_leaves_nothing() {
    // The first upload begins while the second file arrives.
    let files = attach(&[b"small", &bytes(2 * READ_BUFFER, 6), b""]);
    let good = format!("{{{files},{REST}}}");
    let send = |what: &str, status: u16, body: String, prepare: &dyn Fn(&World)| {
        let world = world_of(|limits| limits.files = 32 * MIB);
        prepare(&world);
        assert_eq!(problem(world.send(Call::new(body))).status(), status, "{what}");
        assert!(world.bucket.begun() > 0, "{what}: uploads had begun");
        assert_nothing_is_left(&world, what);
    };
    let nothing: &dyn Fn(&World) = &|_| {};
    send("a bad field behind the files", 400, format!("{{{files},\"skip_triggers\":\"maybe\",{REST}}}"), nothing);
    send("no JSON behind the files", 400, format!("{{{files},}}"), nothing);
    send("cut off", 400, good[..good.len() - 1].to_owned(), nothing);
    send("no items", 400, format!("{{{files},\"trigger_id\":8,\"matching\":\"email\",\"data\":[]}}"), nothing);
    send("another token in the body", 401, format!("{{{files},\"token\":\"another\",{REST}}}"), nothing);
    send("unknown campaign", 404, good.replace(":8,", ":9,"), nothing);
    send("paused", 409, good.clone(), &|world| world.pause_campaign(CAMPAIGN));
    let missing = r#","strict":true,"data":[{"email":"nobody@example.com"}]"#;
    send("strict", 400, format!("{{{files},\"trigger_id\":8,\"matching\":\"email\"{missing}}}"), nothing);
    send("too large", 413, format!("{{{files},\"x\":\"{}\",{REST}}}", "y".repeat(11 << 20)), nothing);
    for operation in ["campaign", "manifest", "buckets", "preflight"] {
        send(operation, 503, good.clone(), &|world| world.faults.always(operation, When::Before));
    }
}

#[test]
fn a_body_that_ends_inside_a_file_leaves_nothing() {
    let body = format!("{{{},{REST}}}", attach(&[&bytes(PART + PART / 2, 7)]));
    for (error, status) in [(End::Disconnects, 400), (End::Stalls, 408)] {
        for at in [20, PART, 2 * PART] {
            let world = World::new();
            let call = Call { ends: Some((at, error)), ..Call::new(body.clone()) };
            assert_eq!(problem(world.send(call)).status(), status);
            assert_nothing_is_left(&world, &format!("{error:?} at {at}"));
        }
    }
    let world = world_of(|limits| limits.files = 6 * MIB);
    assert_eq!(problem(world.send(Call::new(body))).status(), 413);
    assert_nothing_is_left(&world, "FILES_LIMIT");
}

#[test]
fn answers_503_and_aborts_the_uploads_if_the_bucket_fails() {
    let body = format!("{{{},{REST}}}", attach(&[&bytes(PART + 1, 8), b"small"]));
    for (operation, nth) in [("begin", 1), ("begin", 2), ("upload", 2), ("upload", 3), ("update", 1)] {
        for when in [When::Before, When::After] {
            let world = World::new();
            world.bucket.faults.plan(operation, nth, when);
            let what = format!("{operation} {nth} {when:?}");
            assert_eq!(problem(world.send(Call::new(body.clone()))).status(), 503, "{what}");
            if operation == "begin" && when == When::After {
                // Its upload ID is lost: the bucket's lifecycle rule removes it.
                assert_eq!(world.bucket.incomplete(), 1);
                world.bucket.expire_incomplete();
            }
            assert_nothing_is_left(&world, &what);
        }
    }
    let world = World::new();
    world.bucket.faults.always("upload", When::Before);
    world.bucket.faults.always("abort", When::Before);
    assert_eq!(problem(world.send(Call::new(body))).status(), 503);
    assert!(world.bucket.keys().is_empty() && world.bucket.incomplete() > 0, "left to the lifecycle rule");
    assert!(world.reported.borrow().iter().any(|(failure, _)| failure.starts_with("an upload was not aborted")));
    assert_nothing_is_reserved(&world, "abort failed");
}

#[test]
fn a_repeat_and_a_dry_run_keep_no_files_of_their_own() {
    let world = World::new();
    let file = bytes(PART + 5, 9);
    let body = format!("{{{},{REST}}}", attach(&[&file, b"x"]));
    let dry = Call::new(format!("{{\"dry_run\":true,{}", &body[1..]));
    assert_eq!(launched(world.send_and_complete(dry)).launch_id, None);
    assert_nothing_is_left(&world, "dry run");

    let call = || Call { request_id: Some("again".into()), ..Call::new(body.clone()) };
    let first = launched(world.send_and_complete(call()));
    let keys = world.bucket.keys();
    for _ in 0..2 {
        let again = launched(world.send_and_complete(call()));
        assert!(again.repeated && again.launch_id == first.launch_id);
        assert_eq!((world.bucket.keys(), world.bucket.incomplete()), (keys.clone(), 0));
    }
    let other = Call { request_id: Some("again".into()), ..Call::new(body.replace("example1@", "example2@")) };
    assert_eq!(problem(world.send(other)).status(), 422);
    assert_eq!((world.bucket.keys(), world.bucket.incomplete()), (keys, 0));
    assert!(world.fetch(first.launch_id.unwrap(), 0) == file);
}

#[test]
fn launches_one_of_two_equal_requests_at_once_with_its_own_files() {
    for checksum in [false, true] {
        let world = World::new();
        let body = format!("{{{},{REST}}}", attach(&[&bytes(70_005, 10)]));
        let call = || Call { request_id: (!checksum).then(|| "both".into()), checksum, ..Call::new(body.clone()) };
        let (a, b) = run(async { join!(world.launch(call()), world.launch(call())) });
        let pending: Vec<_> = [&a, &b].into_iter().filter(|outcome| outcome.uploads.is_some()).collect();
        assert_eq!(pending.len(), 1, "one of the requests has uploads to complete");
        let ids = [launched(a), launched(b)].map(|launched| launched.launch_id.unwrap());
        assert_eq!(ids[0], ids[1]);
        assert_eq!(world.bucket.incomplete(), 1, "the uploads of the other request are aborted");
        world.advance(UPLOAD_GRACE_MS);
        assert_eq!((world.bucket.keys().len(), world.bucket.incomplete()), (1, 0));
        assert_eq!(world.fetch(ids[0], 0), bytes(70_005, 10));
    }
}

/// These outcomes do not depend on the bucket.
#[test]
fn a_failing_bucket_hides_no_answer_that_ranks_before_it() {
    let file = bytes(PART + 5, 12);
    let body = format!("{{{},{REST}}}", attach(&[&file, b"x"]));
    for operation in ["begin", "upload", "update", "digest"] {
        let world = World::new();
        let call = |body: &str| Call { request_id: Some("again".into()), ..Call::new(body) };
        let first = launched(world.send_and_complete(call(&body))).launch_id;
        world.bucket.faults.always(operation, When::Before);
        let again = launched(world.send_and_complete(call(&body)));
        assert!(again.repeated && again.launch_id == first, "{operation}");
        drop(again);
        for (status, body) in [
            (422, body.replace("example1@", "example2@")),
            (400, body.replace("\"matching\":\"email\"", "\"matching\":\"none\"")),
            (400, body.replace("]}", "]}]")),
            (401, body.replace("{", "{\"token\":\"another\",")),
        ] {
            assert_eq!(problem(world.send(call(&body))).status(), status, "{operation}: {body:.0}");
        }
        let other = |body: String| problem(world.send(Call::new(body))).status();
        assert_eq!(other(body.clone()), 503, "{operation}");
        assert_eq!(other(body.replace(":8,", ":9,")), 404, "{operation}");
        let strict = r#""strict":true,"matching":"email","data":[{"email":"nobody@example.com"}]}"#;
        assert_eq!(other(format!("{{{},\"trigger_id\":8,{strict}", attach(&[&file]))), 400, "{operation}");
        world.pause_campaign(CAMPAIGN);
        assert_eq!(other(body.clone()), 409, "{operation}");
        assert_eq!(world.bucket.keys().len(), 2, "{operation}: only the files of the first request");
        assert_nothing_is_reserved(&world, operation);
    }
}
