//! The memory that attachments occupy, and the limits that apply to their bytes.

use futures_util::join;

use super::{
    call::Call,
    staging::{REST, assert_nothing_is_reserved, attach, base64, bytes, launched, problem, world_of},
    world::{TOKEN, World},
};
use crate::{
    campaign::tests::faults::run,
    limits::{MIB, PART, READ_BUFFER},
};

/// Covers files of many sizes, in ascending, descending and mixed order.
#[test]
fn keeps_at_most_two_parts_in_memory() {
    let mib = MIB as usize;
    let mixed: [&[usize]; 6] = [
        &[PART, PART, PART],
        &[4 * mib, 2 * mib, mib, mib / 2, mib / 4, mib / 8, mib / 16, PART],
        &[2 * mib - 1, 2 * mib, 4 * mib, PART],
        &[PART + 1, PART - 1, 2 * PART, 3],
        &[4 * mib, 4 * mib, 4 * mib],
        &[100; 100],
    ];
    for lengths in mixed {
        let files: Vec<_> = (1..).zip(lengths).map(|(seed, length)| bytes(*length, seed)).collect();
        let body = format!("{{{},{REST}}}", attach(&files.iter().map(Vec::as_slice).collect::<Vec<_>>()));
        let world = World::new();
        let id = launched(world.send_and_complete(Call::new(body))).launch_id.unwrap();
        for (number, file) in files.iter().enumerate() {
            assert!(world.fetch(id, number) == *file);
        }
        let most = world.bucket.held.most.get();
        assert!(most <= 2 * PART, "{most} bytes of {lengths:?}");
        assert_nothing_is_reserved(&world, "mixed");
    }
}

/// The token is in the head, and the whole body arrives before KV answers.
#[test]
fn a_body_waits_while_its_token_is_looked_up() {
    let file = bytes(3 * MIB as usize, 13);
    let body = format!("{{{},{REST}}}", attach(&[&file]));
    let world = world_of(|limits| limits.body = MIB);
    world.slow.set(("token", 500));
    let id = launched(world.send_and_complete(Call::new(body.clone()))).launch_id.unwrap();
    assert!(world.fetch(id, 0) == file);

    let world = world_of(|limits| limits.unverified = 4 * MIB);
    world.slow.set(("token", 500));
    let three = run(async {
        let send = || world.launch(Call::new(body.clone()));
        join!(send(), send(), send())
    });
    for outcome in [three.0, three.1, three.2] {
        drop(launched(outcome));
    }
    assert_nothing_is_reserved(&world, "three at once");
}

/// Bytes after a syntax error inside a file count as data of the file, which `BODY_LIMIT` does not limit.
#[test]
fn a_body_that_is_malformed_inside_a_file_is_not_too_large() {
    let lines = base64(&bytes(300_000, 14)).as_bytes().chunks(76).map(<[u8]>::to_vec).collect::<Vec<_>>().join(&b'\n');
    let json =
        [b"{\"attach\":[{\"name\":\"a\",\"data\":\"", lines.as_slice(), b"\"}],", REST.as_bytes(), b"}"].concat();
    let xml = b"<xml><attach><name>a</name><data>AAAA&".to_vec();
    for (body, expected) in [(json, "byte "), (xml, "byte ")] {
        for length in [true, false] {
            let body = [body.clone(), b"A".repeat(11 * MIB as usize)].concat();
            let call = Call::new(body);
            let call = Call { length: call.length.filter(|_| length), ..call };
            let refused = problem(World::new().send(call));
            assert_eq!(refused.status(), 400, "{refused:?}");
            assert!(refused.debug("").starts_with(expected), "{refused:?}");
        }
    }
    // The answer is the same if one chunk contains both the error and the bytes over the limit.
    for (begin, end) in [("{\"x\":\"", "\",\"attach\":[{\"data\":\"AAAA\n"), ("<xml><x>", "</x><attach><data>AAAA&")] {
        let limit = 20_000;
        let pad = "x".repeat(limit - begin.len() - end.len() - 10);
        let body = format!("{begin}{pad}{end}{}", "A".repeat(40_000));
        let world = world_of(|limits| limits.body = limit as u64);
        let refused = problem(world.send(Call { length: None, ..Call::new(body) }));
        assert_eq!(refused.status(), 400, "{refused:?}");
    }
    // After an error outside of a file the bytes count as usual. `FILES_LIMIT` applies in every case.
    let body = [b"{?".to_vec(), b" ".repeat(11 * MIB as usize)].concat();
    assert_eq!(problem(World::new().send(Call::new(body))).status(), 413);
    let world = world_of(|limits| limits.files = 12 * MIB);
    let body = [b"<xml><attach><data>AAAA&".to_vec(), b"A".repeat(13 * MIB as usize)].concat();
    assert_eq!(problem(world.send(Call { length: None, ..Call::new(body) })).status(), 413);
}

/// A body of exactly `BODY_LIMIT` bytes is accepted; the data of its files does not count.
#[test]
fn body_limit_is_exact_and_does_not_count_files() {
    let limit = 20_000;
    for length in [limit, limit + 1] {
        let body = |pad: usize| {
            let files = format!(r#"{{"name":"a","data":"{}"}}"#, base64(&bytes(300_000, 15)));
            format!(r#"{{"x":"{}","attach":[{files}],{REST}}}"#, "x".repeat(pad))
        };
        let counted = body(0).len() - 400_000;
        let world = world_of(|limits| limits.body = limit as u64);
        let outcome = world.send(Call { length: None, ..Call::new(body(length - counted)) });
        assert_eq!(
            outcome.result.map_or_else(|problem| problem.status(), |_| 200),
            if length > limit { 413 } else { 200 }
        );
    }
}

/// Covers several numbers and orders of files.
#[test]
fn keeps_files_before_the_token_up_to_body_limit() {
    let kib = 1024;
    for lengths in [
        &[5171 * kib, 2560 * kib][..],
        &[4198 * kib, 2150 * kib, 2150 * kib, 1126 * kib],
        &[2150 * kib; 4],
        &[1126 * kib; 8],
    ] {
        let files: Vec<_> = (1..).zip(lengths).map(|(seed, length)| bytes(*length, seed)).collect();
        let attach = attach(&files.iter().map(Vec::as_slice).collect::<Vec<_>>());
        let world = World::new();
        let call = Call { tokens: Vec::new(), ..Call::new(format!("{{{attach},\"token\":\"{TOKEN}\",{REST}}}")) };
        let id = launched(world.send(call)).launch_id.unwrap();
        for (number, file) in files.iter().enumerate() {
            assert!(world.fetch(id, number) == *file, "{lengths:?}");
        }
        assert_nothing_is_reserved(&world, "late token");
    }
}

/// The result does not depend on where chunks end.
#[test]
fn file_bytes_count_towards_the_body_limit_only_before_the_token() {
    let limit = 100_000;
    for (length, status) in [(limit, 200), (limit + 1, 401), (limit + 20_000, 401)] {
        for chunk in [1000, READ_BUFFER] {
            let world = world_of(|limits| limits.body = limit as u64);
            let file = attach(&[&bytes(length, 16)]);
            let body = format!("{{{file},{REST},\"token\":\"{TOKEN}\"}}");
            let outcome = world.send(Call { tokens: Vec::new(), chunk, ..Call::new(body) });
            let actual = outcome.result.map_or_else(|problem| problem.status(), |_| 200);
            assert_eq!(actual, status, "{length} in chunks of {chunk}");
            // The same file after the token does not count.
            let world = world_of(|limits| limits.body = limit as u64);
            let body = format!("{{\"token\":\"{TOKEN}\",{file},{REST}}}");
            launched(world.send(Call { tokens: Vec::new(), chunk, ..Call::new(body) }));
        }
    }
}
