//! Requests for which memory runs out, and the memory that replies and conversions reserve.

use super::{
    call::Call,
    world::{TOKEN, World},
};
use crate::{launch::reply::ReplyWriter, limits::Limits, wire::Format};

/// The status of a refused request if both limits are `memory` bytes.
fn status(body: &str, memory: u64) -> u16 {
    let world = World::with_limits(Limits { memory, unverified: memory, ..Limits::default() });
    world.send(Call { chunk: 5, ..Call::bare(body) }).result.unwrap_err().status()
}

/// If memory runs out before the token arrives, the token may be invalid. A bad field ranks after an invalid token, so it must
/// not be reported.
#[test]
fn reports_a_bad_field_only_to_a_caller_with_a_valid_token() {
    for token in [TOKEN, "unknown-unknown-unknown"] {
        let json = format!(r#"{{"trigger_id":"x","data":[{{"email":"a"}}],"token":"{token}"}}"#);
        let xml = format!("<xml><trigger_id>x</trigger_id><data><email>a</email></data><token>{token}</token></xml>");
        for body in [json, xml] {
            let statuses: Vec<u16> = (0..300).map(|memory| status(&body, memory)).collect();
            let expected = if token == TOKEN { 400 } else { 401 };
            assert!(statuses.contains(&503) && statuses.contains(&expected), "{body}: {statuses:?}");
            assert!(statuses.iter().all(|status| [503, expected].contains(status)), "{body}: {statuses:?}");
        }
    }
}

/// A caller can read a reply slowly. The reply occupies memory until its last piece.
#[test]
fn keeps_the_memory_of_a_reply_reserved_until_it_is_written() {
    let world = World::new();
    let items = vec![r#"{"email":"nobody@example.com"},{"email":"example1@example.com"}"#; 3000].join(",");
    let body = format!(r#"{{"matching":"email","trigger_id":8,"report":true,"data":[{items}]}}"#);
    let call = || Call { request_id: Some("slow".into()), ..Call::new(body.as_str()) };
    for repeated in [false, true] {
        let launched = world.send(call()).result.unwrap();
        assert_eq!(launched.repeated, repeated);
        let reserved = world.budget.reserved();
        assert!((10_000..100_000).contains(&reserved), "{reserved} bytes of recipients and outcomes");
        let mut writer = ReplyWriter::new(launched, Format::Json);
        // The caller may disconnect before the first piece is read.
        writer.wait();
        assert_eq!(world.budget.reserved(), 0);
        while writer.piece().is_some() {
            assert!(world.budget.reserved() > reserved / 2, "{} of {reserved} bytes", world.budget.reserved());
        }
        drop(writer);
        assert_eq!(world.budget.reserved(), 0);
    }
}

/// The lost tag may have begun the data of a file, which does not count against `BODY_LIMIT`.
#[test]
fn a_body_with_a_tag_for_which_memory_ran_out_is_not_too_large() {
    let file = "QUJD".repeat(300_000);
    // The body has no `trigger_id`. That fault is found only if there is memory for all tags.
    let body = format!("<xml><token>{TOKEN}</token><attach><name>a</name><data>{file}</data></attach></xml>");
    let statuses: Vec<u16> = (0..40)
        .map(|memory| {
            let limits = Limits { body: 100_000, memory, unverified: memory, ..Limits::default() };
            World::with_limits(limits)
                .send(Call { chunk: 5000, ..Call::bare(body.as_str()) })
                .result
                .unwrap_err()
                .status()
        })
        .collect();
    assert!(statuses.contains(&503) && statuses.iter().all(|status| [503, 400].contains(status)), "{statuses:?}");
}

/// The conversion to JSON needs several times the length of the elements.
#[test]
fn reserves_and_returns_the_memory_of_a_conversion_from_xml() {
    const ELEMENTS: usize = 20_000;
    let elements = "<a/>".repeat(ELEMENTS);
    let body = |fields: &str, item: &str| {
        let head = format!("<token>{TOKEN}</token><matching>email</matching><trigger_id>8</trigger_id>");
        format!("<xml>{head}{fields}<data><email>example1@example.com</email>{item}</data></xml>")
    };
    let custom_data = format!("<custom_data>{elements}</custom_data>");
    for body in [body(&format!("<content>{elements}</content>"), ""), body(&custom_data, ""), body("", &custom_data)] {
        let statuses = [0, 100_000, 200_000, 600_000, 1_400_000, 2_400_000].map(|memory| {
            let world = World::with_limits(Limits { memory, unverified: memory, ..Limits::default() });
            let outcome = world.send(Call { chunk: 5000, ..Call::bare(body.as_str()) });
            let status = outcome.result.map_or_else(|problem| problem.status(), |_| 200);
            assert_eq!(world.budget.reserved(), 0, "{status} with {memory} bytes");
            status
        });
        // A conversion needs the elements and 28 bytes for each of them.
        assert_eq!(statuses, [503, 503, 503, 503, 200, 200], "{body:.200}");
    }
}

/// The length of the JSON is limited, so the conversion stops early.
#[test]
fn an_item_with_custom_data_that_is_too_long_needs_little_more_than_its_own_memory() {
    let elements = "<a/>".repeat(300_000);
    let data = format!("<data><email>example1@example.com</email><custom_data>{elements}</custom_data></data>");
    let body = format!("<xml><token>{TOKEN}</token><matching>email</matching><trigger_id>8</trigger_id>{data}</xml>");
    // The buffer of an incomplete item is up to half as large again.
    let memory = body.len() as u64 * 3 / 2 + 2_000_000;
    let world = World::with_limits(Limits { memory, unverified: memory, ..Limits::default() });
    let problem = world.send(Call::bare(body)).result.unwrap_err().problem;
    assert_eq!(problem.debug(""), "data[0].custom_data: longer than 65536 bytes");
    assert_eq!(world.budget.reserved(), 0);
}
