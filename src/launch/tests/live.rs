//! Launches in a database whose profiles change between imports.

use std::{cell::RefCell, ops::Range};

use super::{
    call::{Call, reply},
    world::{CAMPAIGN, World},
};
use crate::{
    access::Scope,
    campaign::tests::faults::{When, run},
    launch::ports::Ports as _,
    limits::{KEY_PROFILES_LIMIT, KV_CACHE_SECONDS, LIVE_DELAY_MS, MIB, QUESTION_ITEMS},
    memory::Reservation,
    profiles::{
        cache::{IndexCache, changes_key},
        live::{
            command::{ChangeReply, Contents, DatabaseCommand, Publication},
            message::{ChangeSetHead, RequestKind},
            rows::{RowFormat, parse_changes},
        },
        manifest::{Generation, Manifest, manifest_key},
        normal::Normaliser,
    },
    wire::Format,
};

const A: &str = "6606e08f10bcdd88297057a7";
const B: &str = "66101437dc4594c2934da6da";

impl World {
    /// Turns live changes of database 1 on, and waits until they are accepted.
    fn go_live(&self) {
        let manifest = self.live_manifest();
        self.command(&DatabaseCommand::Start(Box::new(manifest)));
        self.advance(LIVE_DELAY_MS);
    }

    /// KV's manifest, which says from now on that changes are live.
    fn live_manifest(&self) -> Manifest {
        let mut manifest = Manifest::parse(self.kv.borrow().get(&manifest_key(1)).map(String::as_str)).unwrap();
        manifest.live = true;
        self.kv.borrow_mut().insert(manifest_key(1), manifest.to_json());
        manifest
    }

    fn message(&self, message: &[u8]) -> Vec<u8> {
        run(self.ask_database(1, message, &mut Reservation::verified(&self.budget))).unwrap()
    }

    fn command(&self, command: &DatabaseCommand) -> Vec<u8> {
        self.message(&RequestKind::Command.with(&serde_json::to_vec(command).unwrap()))
    }

    fn change(&self, rows: &str) -> ChangeReply {
        let key_checks = self.secrets.iter().map(|key| key.check().to_owned()).collect();
        let head = ChangeSetHead { key_checks, request: None };
        let mut memory = Reservation::verified(&self.budget);
        let parsed = parse_changes(
            rows.as_bytes(),
            RowFormat::Array,
            &head,
            (&self.secrets, &Normaliser::native()),
            &mut memory,
        )
        .unwrap();
        assert_eq!(parsed.refused, []);
        serde_json::from_slice(&self.message(&parsed.message)).unwrap()
    }

    /// Imports a file and publishes its generation in the object. KV keeps the manifest before.
    fn publish_import(&self, csv: &str) -> Generation {
        let before = self.kv.borrow()[&manifest_key(1)].clone();
        self.import(1, csv);
        let manifest = Manifest::parse(Some(&self.kv.borrow()[&manifest_key(1)])).unwrap();
        self.kv.borrow_mut().insert(manifest_key(1), before.clone());
        let replaces = Manifest::parse(Some(&before)).unwrap().current.name;
        let contents = Contents::ExportAt(self.now());
        let publication = Publication { replaces, generation: manifest.current.clone(), deleted: vec![], contents };
        self.command(&DatabaseCommand::Publish(Box::new(publication)));
        manifest.current
    }

    /// The profiles that a launch finds, or its error. `many` adds items, so that the launch reads all pending changes.
    fn find_profiles(&self, matching: &str, items: &str, many: bool) -> String {
        let more = if many { r#",{"email":"nobody@example.com"}"#.repeat(QUESTION_ITEMS) } else { String::new() };
        let body = format!(
            r#"{{"trigger_id":{CAMPAIGN},"matching":"{matching}","dry_run":true,"report":true,"data":[{items}{more}]}}"#
        );
        let outcome = self.send(Call::new(body));
        match &outcome.result {
            Err(refused) => refused.problem.debug("").into_owned(),
            Ok(result) => format!("{} matched", result.counts.matched),
        }
    }
}

/// Sends one e-mail address as a small and as a large launch.
fn check(world: &World, matching: &str, email: &str, expected: u64) {
    for many in [false, true] {
        let found = world.find_profiles(matching, &format!(r#"{{"email":"{email}"}}"#), many);
        assert_eq!(found, format!("{expected} matched"), "{matching} {email}, many: {many}");
    }
}

#[test]
fn a_launch_sees_every_change_that_was_answered_before_it_began() {
    let world = World::new();
    world.go_live();
    check(&world, "email", "example1@example.com", 1);
    check(&world, "email", "new@example.com", 0);
    world.change(&format!(r#"[{{"profile_id":"{A}","email":"new@example.com"}}]"#));
    check(&world, "email", "new@example.com", 1);
    // The address is only an address of a subscription of another profile now.
    check(&world, "email", "example1@example.com", 1);
    check(&world, "email_profile", "example1@example.com", 0);
    check(&world, "email_sub", "example1@example.com", 1);
    world.change(&format!(r#"[{{"profile_id":"{B}","email":"new@example.com"}}]"#));
    check(&world, "email", "new@example.com", 0);
    world.change(&format!(r#"[{{"profile_id":"{A}","deleted":true}}]"#));
    check(&world, "email", "new@example.com", 1);
    let by_id = |id: &str| world.find_profiles("profile_id", &format!(r#"{{"profile_id":"{id}"}}"#), false);
    assert_eq!((by_id(A), by_id(B)), ("0 matched".to_owned(), "1 matched".to_owned()));
    world.change(r#"[{"profile_id":"0000000000000000000000aa","custom:New":"7"}]"#);
    assert_eq!(by_id("0000000000000000000000aa"), "1 matched");
}

#[test]
fn a_key_of_two_imported_profiles_is_found_once_one_of_them_is_deleted() {
    let world = World::new();
    world.import(1, &format!("profile_id,email\n{A},shared@example.com\n{B},shared@example.com\n"));
    world.go_live();
    check(&world, "email", "shared@example.com", 0);
    world.change(&format!(r#"[{{"profile_id":"{B}","deleted":true}}]"#));
    check(&world, "email", "shared@example.com", 1);
}

#[test]
fn a_key_of_two_imported_profiles_is_found_once_one_of_them_loses_it() {
    let world = World::new();
    world.import(1, &format!("profile_id,email\n{A},shared@example.com\n{B},shared@example.com\n"));
    world.go_live();
    world.change(&format!(r#"[{{"profile_id":"{A}","email":"moved@example.com"}}]"#));
    check(&world, "email", "shared@example.com", 1);
    check(&world, "email", "moved@example.com", 1);
    world.change(r#"[{"profile_id":"0000000000000000000000aa","email":"shared@example.com"}]"#);
    check(&world, "email", "shared@example.com", 0);
}

/// Imports a key of this number of profiles, and then deletes all of them but one.
fn delete_all_but_one(holders: usize) -> World {
    let world = World::new();
    let id = |number: usize| format!("{number:024x}");
    let rows: String = (0..holders).map(|number| format!("{},shared@example.com\n", id(number))).collect();
    world.import(1, &format!("profile_id,email\n{rows}"));
    world.go_live();
    check(&world, "email", "shared@example.com", 0);
    let deleted: Vec<_> = (1..holders).map(|at| format!(r#"{{"profile_id":"{}","deleted":true}}"#, id(at))).collect();
    world.change(&format!("[{}]", deleted.join(",")));
    world
}

#[test]
fn a_key_of_the_most_profiles_is_found_once_all_but_one_are_deleted() {
    check(&delete_all_but_one(KEY_PROFILES_LIMIT), "email", "shared@example.com", 1);
}

#[test]
fn a_key_of_more_profiles_is_ambiguous_until_the_next_import() {
    let world = delete_all_but_one(KEY_PROFILES_LIMIT + 1);
    check(&world, "email", "shared@example.com", 0);
    world.advance(1000);
    world.publish_import(&format!("profile_id,email\n{A},shared@example.com\n"));
    check(&world, "email", "shared@example.com", 1);
}

#[test]
fn a_second_search_sees_the_changes_too() {
    let world = World::new();
    world.go_live();
    world.change(&format!(r#"[{{"profile_id":"{A}","phone":"79000000099"}}]"#));
    let both = |email: &str, phone: &str| {
        world.find_profiles("email_phone", &format!(r#"{{"email":"{email}","phone":"{phone}"}}"#), false)
    };
    assert_eq!(both("example1@example.com", "79000000099"), "1 matched");
    assert_eq!(both("example1@example.com", "79000000001"), "0 matched");
    assert_eq!(both("example2@example.com", "79000000001"), "1 matched");
}

#[test]
fn a_launch_asks_the_object_once_and_only_in_a_live_database() {
    let world = World::new();
    check(&world, "email", "example1@example.com", 1);
    assert_eq!(world.faults.calls("database"), 0);
    world.go_live();
    for many in [false, true] {
        let before = world.faults.calls("database");
        world.find_profiles("email", r#"{"email":"example1@example.com"}"#, many);
        assert_eq!(world.faults.calls("database"), before + 1, "many: {many}");
    }
}

/// A world whose isolate keeps what it has read of the index.
fn world_with_cache(bytes: usize) -> World {
    let mut world = World::new();
    world.index = Some(RefCell::new(IndexCache::new(bytes)));
    world.go_live();
    world
}

/// Finds an address with a large launch. Returns whether it was found, and how often the object was asked.
fn find_and_count(world: &World, email: &str) -> (bool, u32) {
    let before = world.faults.calls("database");
    let found = world.find_profiles("email", &format!(r#"{{"email":"{email}"}}"#), true);
    (found == "1 matched", world.faults.calls("database") - before)
}

#[test]
fn a_large_launch_asks_for_the_changes_that_the_isolate_lacks() {
    let world = world_with_cache(MIB as usize);
    let change = |numbers: Range<u32>, suffix: &str| {
        let row = |number| format!(r#"{{"profile_id":"{number:024x}","email":"{number}{suffix}@example.com"}}"#);
        world.change(&format!("[{}]", numbers.map(row).collect::<Vec<_>>().join(",")));
    };
    let kept_version = || {
        let name = world.live_manifest().current.name;
        let changes = world.index.as_ref().unwrap().borrow_mut().changes(&changes_key(1, &name));
        changes.map(|changes| changes.version())
    };
    change(0..100, "a");
    assert_eq!(kept_version(), None);
    for _ in 0..2 {
        assert_eq!(find_and_count(&world, "5a@example.com"), (true, 1));
        assert_eq!(kept_version(), Some(1));
    }
    change(5..6, "b");
    assert_eq!(find_and_count(&world, "5a@example.com"), (false, 1));
    assert_eq!(kept_version(), Some(2));
    assert_eq!(find_and_count(&world, "5b@example.com"), (true, 1));
    world.change(r#"[{"profile_id":"000000000000000000000007","deleted":true}]"#);
    assert_eq!(find_and_count(&world, "7a@example.com"), (false, 1));
    assert_eq!(find_and_count(&world, "8a@example.com"), (true, 1));
    // More than a quarter of the list changes.
    change(0..50, "c");
    assert_eq!(find_and_count(&world, "5b@example.com"), (false, 2));
    assert_eq!(find_and_count(&world, "7c@example.com"), (true, 1));
    assert_eq!(find_and_count(&world, "60a@example.com"), (true, 1));
    assert_eq!(world.budget.reserved(), 0, "everything is released");
}

#[test]
fn a_list_that_is_larger_than_the_cache_is_read_by_each_launch() {
    let world = world_with_cache(10);
    world.change(&format!(r#"[{{"profile_id":"{A}","email":"new@example.com"}}]"#));
    assert_eq!(find_and_count(&world, "new@example.com"), (true, 1));
    world.change(&format!(r#"[{{"profile_id":"{A}","email":"newer@example.com"}}]"#));
    assert_eq!(find_and_count(&world, "new@example.com"), (false, 1));
    assert_eq!(find_and_count(&world, "newer@example.com"), (true, 1));
}

#[test]
fn a_launch_gets_503_if_the_object_cannot_be_reached_and_a_repeat_its_answer() {
    let world = World::new();
    world.go_live();
    let body = format!(r#"{{"trigger_id":{CAMPAIGN},"data":[{{"email":"example1@example.com"}}]}}"#);
    let call = Call { request_id: Some("r".into()), ..Call::new(body) };
    let first = world.send(call.clone()).result.unwrap().launch_id;
    world.faults.always("database", When::Before);
    let lost = "profile changes of database 1 cannot be read now: retry later";
    assert_eq!(world.find_profiles("email", r#"{"email":"example1@example.com"}"#, false), lost);
    assert_eq!(world.find_profiles("email", r#"{"email":"example1@example.com"}"#, true), lost);
    let refused = world.send(Call { request_id: Some("other".into()), ..call.clone() }).result.unwrap_err();
    assert_eq!((refused.status(), refused.problem.debug("").as_ref()), (503, lost));
    assert!(refused.cause.is_some());
    let repeat = world.send(call);
    assert_eq!(repeat.result.as_ref().unwrap().launch_id, first);
    assert!(reply(repeat, Format::Json).contains("\"error\":0"));
}

/// The manifest at this location is out of date, and later even the buckets of the new generation are missing.
#[test]
fn an_import_is_searched_at_once_whatever_the_manifest_says() {
    let world = World::new();
    world.go_live();
    check(&world, "email", "example1@example.com", 1);
    let generation = world.publish_import(&format!("profile_id,email\n{A},imported@example.com\n"));
    check(&world, "email", "imported@example.com", 1);
    check(&world, "email", "example1@example.com", 0);
    world.change(&format!(r#"[{{"profile_id":"{A}","email":"later@example.com"}}]"#));
    check(&world, "email", "later@example.com", 1);
    check(&world, "email", "imported@example.com", 0);
    world.kv.borrow_mut().retain(|key, _| !key.contains(&generation.name));
    world.advance(KV_CACHE_SECONDS * 1000);
    let missing = world.find_profiles("email", r#"{"email":"later@example.com"}"#, false);
    assert_eq!(missing, "profile index of database 1 cannot be read now: retry later");
}

#[test]
fn the_most_changes_are_within_the_memory_of_a_large_launch() {
    let world = World::new();
    world.grant("profiles", "profiles", &[Scope::Profiles], &[]);
    world.go_live();
    for part in 0..10 {
        let row = |number: u32| format!(r#"{{"profile_id":"{:024x}","custom:x":"{number}"}}"#, part * 5000 + number);
        let rows: Vec<String> = (0..5000).map(row).collect();
        world.change(&format!("[{}]", rows.join(",")));
    }
    check(&world, "email", "example1@example.com", 1);
    assert!(world.budget.reserved() < MIB, "everything is released");
}
