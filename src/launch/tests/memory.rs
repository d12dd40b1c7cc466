//! What is answered where there is no memory.

use super::{
    call::Call,
    world::{TOKEN, World},
};
use crate::limits::Limits;

fn status(body: &str, memory: u64) -> u16 {
    let world = World::with_limits(Limits { memory, unverified: memory, ..Limits::default() });
    world.send(Call { chunk: 5, ..Call::bare(body) }).result.unwrap_err().status()
}

/// Where a token found no room, nothing tells whether it was good: only what comes before a bad one in the order of
/// faults may be answered, and a bad field does not.
#[test]
fn a_bad_field_is_told_to_a_caller_with_a_good_token_alone() {
    for token in [TOKEN, "unknown-unknown-unknown"] {
        let json = format!(r#"{{"trigger_id":"x","data":[{{"email":"a"}}],"token":"{token}"}}"#);
        let xml = format!("<xml><trigger_id>x</trigger_id><data><email>a</email></data><token>{token}</token></xml>");
        for body in [json, xml] {
            let told: Vec<u16> = (0..300).map(|memory| status(&body, memory)).collect();
            let known = if token == TOKEN { 400 } else { 401 };
            assert!(told.contains(&503) && told.contains(&known), "{body}: {told:?}");
            assert!(told.iter().all(|status| [503, known].contains(status)), "{body}: {told:?}");
        }
    }
}
