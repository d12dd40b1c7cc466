//! What an isolate remembers of KV, and for how long.

use super::{
    call::Call,
    world::{TOKEN, World},
};
use crate::{
    access::{Scope, TokenRecord, token_key},
    campaign::tests::faults::When,
    limits::Limits,
    profiles::{key::IndexKey, manifest::manifest_key},
};

/// How long a location serves a value from its cache, in milliseconds.
const CACHED: u64 = 60_000;
/// How long an isolate remembers a value by default, in milliseconds.
const REMEMBERED: u64 = 30_000;

/// Other profiles than those that the world begins with.
const IMPORT: &str = "profile_id,email\n6606e08f10bcdd88297057a7,new@example.com\n";

/// Launches to an address. Returns the number of matched items, or the status of the refusal.
fn launch(world: &World, token: &str, email: &str) -> Result<u64, u16> {
    let body = format!(r#"{{"token":"{token}","trigger_id":8,"data":[{{"email":"{email}"}}]}}"#);
    let result = world.send(Call::bare(body)).result;
    result.map(|launched| launched.counts.matched).map_err(|refused| refused.status())
}

fn launch_known(world: &World) -> Result<u64, u16> {
    launch(world, TOKEN, "example1@example.com")
}

/// The number of reads of tokens, campaigns and manifests so far.
fn reads(world: &World) -> [u32; 3] {
    ["token", "campaign", "manifest"].map(|operation| world.faults.calls(operation))
}

/// Launches, and again just before the location reads KV again: the isolate remembers the old values for as long as possible.
fn launch_before_cache_expires(world: &World) {
    assert_eq!(launch_known(world), Ok(1));
    world.advance(CACHED - 1);
    assert_eq!(launch_known(world), Ok(1));
}

fn revoke(world: &World, token: &str) {
    let key = token_key(token);
    let mut record: TokenRecord = serde_json::from_str(&world.kv.borrow()[&key]).unwrap();
    record.revoked = Some(world.now());
    world.kv.borrow_mut().insert(key, serde_json::to_string(&record).unwrap());
}

fn remove_buckets(world: &World, generation: &str) {
    let of_generation = format!(":{generation}:");
    world.kv.borrow_mut().retain(|key, _| !(key.starts_with("bucket:") && key.contains(&of_generation)));
}

#[test]
fn a_second_launch_reads_no_token_campaign_or_manifest_until_the_time_has_passed() {
    let world = World::new();
    assert_eq!(launch_known(&world), Ok(1));
    assert_eq!(reads(&world), [1, 1, 1]);
    world.advance(REMEMBERED - 1);
    assert_eq!(launch_known(&world), Ok(1));
    assert_eq!(reads(&world), [1, 1, 1]);
    world.advance(1);
    assert_eq!(launch_known(&world), Ok(1));
    assert_eq!(reads(&world), [2, 2, 2]);
}

#[test]
fn every_launch_reads_kv_if_remembering_is_off() {
    let world = World::with_limits(Limits { remember_seconds: 0, ..Limits::default() });
    for count in 1..4 {
        assert_eq!(launch_known(&world), Ok(1));
        assert_eq!(reads(&world), [count; 3]);
    }
}

#[test]
fn a_revoked_token_is_refused_after_the_time_has_passed() {
    let world = World::new();
    launch_before_cache_expires(&world);
    revoke(&world, TOKEN);
    world.advance(REMEMBERED - 1);
    assert_eq!(launch_known(&world), Ok(1));
    world.advance(1);
    assert_eq!(launch_known(&world), Err(401));
}

#[test]
fn a_token_that_is_unknown_or_revoked_is_not_remembered() {
    let world = World::new();
    let token = "new-token-0123456789";
    assert_eq!(launch(&world, token, "example1@example.com"), Err(401));
    revoke(&world, TOKEN);
    assert_eq!(launch_known(&world), Err(401));
    world.grant(token, "new", &[Scope::Launch], &[]);
    world.grant(TOKEN, "crm", &[Scope::Launch], &[]);
    world.advance(CACHED);
    assert_eq!(launch(&world, token, "example1@example.com"), Ok(1));
    assert_eq!(launch_known(&world), Ok(1));
}

#[test]
fn a_new_import_is_searched_after_the_time_has_passed() {
    let world = World::new();
    launch_before_cache_expires(&world);
    world.import(1, IMPORT);
    world.advance(REMEMBERED - 1);
    assert_eq!(launch(&world, TOKEN, "new@example.com"), Ok(0));
    world.advance(1);
    assert_eq!(launch(&world, TOKEN, "new@example.com"), Ok(1));
}

#[test]
fn a_remembered_manifest_whose_buckets_are_missing_is_read_again() {
    let world = World::new();
    launch_before_cache_expires(&world);
    world.import(1, IMPORT);
    remove_buckets(&world, "g1");
    world.advance(1);
    assert_eq!(launch(&world, TOKEN, "new@example.com"), Ok(1));
    assert_eq!(launch(&world, TOKEN, "new@example.com"), Ok(1), "the newer manifest is remembered");
    assert_eq!(world.faults.calls("manifest"), 3);
}

#[test]
fn a_launch_gets_503_if_the_buckets_are_still_missing() {
    let world = World::new();
    launch_before_cache_expires(&world);
    remove_buckets(&world, "g1");
    world.advance(1);
    assert_eq!(launch_known(&world), Err(503));
    assert_eq!(world.faults.calls("manifest"), 3, "read once more");
    world.kv.borrow_mut().remove(&manifest_key(1));
    world.advance(CACHED);
    assert_eq!(launch_known(&world), Err(503));
    assert_eq!(world.faults.calls("manifest"), 4, "a manifest that has just been read is not read again");
}

#[test]
fn a_remembered_manifest_whose_key_is_unknown_is_read_again() {
    let mut world = World::new();
    launch_before_cache_expires(&world);
    world.secrets = [IndexKey::new(&"x".repeat(32)).unwrap()].into();
    world.import(1, IMPORT);
    world.advance(1);
    assert_eq!(launch(&world, TOKEN, "new@example.com"), Ok(1));
}

#[test]
fn a_failure_of_kv_does_not_discard_the_manifest() {
    let world = World::new();
    launch_before_cache_expires(&world);
    let manifests = world.faults.calls("manifest");
    world.advance(1);
    world.faults.plan("buckets", 1, When::Before);
    assert_eq!(launch_known(&world), Err(503));
    assert_eq!(world.faults.calls("manifest"), manifests);
}
