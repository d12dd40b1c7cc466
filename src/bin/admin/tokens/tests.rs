//! Tokens in a KV in memory.

use std::{
    sync::{
        Barrier, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use super::*;
use crate::{
    kv::{BatchLimits, KvPair, fake::FakeKv},
    lock::LockFile,
};

fn named(name: &str) -> CreateToken {
    CreateToken { name: name.into(), ..CreateToken::default() }
}

/// Creates a token. Panics if there is a warning.
fn create(kv: &mut FakeKv, arguments: &CreateToken, is_remote: bool, now: u64) -> Result<String, TokenError> {
    create_token(kv, arguments, is_remote, now, &mut |warning| panic!("{warning}"))
}

/// Revokes a token. Panics if there is a warning.
fn revoke(kv: &mut FakeKv, name: &str, digest: Option<&str>, now: u64) -> Result<usize, TokenError> {
    revoke_token(kv, name, digest, now, &mut |warning| panic!("{warning}"))
}

/// Runs a command. Returns the result and the warnings.
fn warned<T>(command: impl FnOnce(Warn<'_>) -> Result<T, TokenError>) -> (Result<T, String>, Vec<String>) {
    let mut warnings = Vec::new();
    let result = command(&mut |warning| warnings.push(warning.to_owned()));
    (result.map_err(|error| error.to_string()), warnings)
}

/// A KV with the token `shop` and a damaged record, and the key of the damaged record.
fn with_damaged_record(value: &str) -> (FakeKv, String) {
    let mut kv = FakeKv::default();
    let scopes = vec![Scope::Launch];
    let record = TokenRecord { name: "shop".into(), scopes, databases: vec![], created: 5, revoked: None };
    let [valid, damaged] = ["a", "d"].map(|digit| format!("{TOKEN_PREFIX}{}", digit.repeat(64)));
    kv.access.insert(valid, serde_json::to_string(&record).unwrap());
    kv.access.insert(damaged.clone(), value.into());
    (kv, damaged)
}

fn record(kv: &FakeKv, token: &str) -> TokenRecord {
    serde_json::from_str(&kv.access[&token_key(token)]).unwrap()
}

#[test]
fn creates_a_token_and_stores_only_its_digest() {
    let mut kv = FakeKv::default();
    let token = create(&mut kv, &named("shop"), true, 5).unwrap();
    assert_eq!(token.len(), 43);
    let expected =
        TokenRecord { name: "shop".into(), scopes: vec![Scope::Launch], databases: vec![], created: 5, revoked: None };
    assert_eq!(record(&kv, &token), expected);
    assert!(kv.access.iter().all(|(key, value)| !key.contains(&token) && !value.contains(&token)));
    assert!(create(&mut kv, &named("shop"), true, 6).is_err(), "the name exists");
    for name in ["", "a b", "é", &"a".repeat(65)] {
        assert!(create(&mut kv, &named(name), true, 6).is_err(), "{name}");
    }
}

#[test]
fn rotates_a_token_and_revokes_its_first_value_by_digest() {
    let mut kv = FakeKv::default();
    let scopes = vec![Scope::Read, Scope::Launch, Scope::Read];
    let first = create(&mut kv, &CreateToken { scopes, databases: vec![2, 1], ..named("shop") }, false, 5).unwrap();
    assert!(create(&mut kv, &CreateToken { rotate: true, ..named("other") }, false, 6).is_err());
    let second = create(&mut kv, &CreateToken { rotate: true, ..named("shop") }, false, 6).unwrap();
    assert_eq!(record(&kv, &second), TokenRecord { created: 6, ..record(&kv, &first) });
    assert_eq!(record(&kv, &second).databases, [1, 2]);
    let digest = token_key(&first)[TOKEN_PREFIX.len()..][..12].to_owned();
    assert_eq!(revoke(&mut kv, "shop", Some(&digest), 7).unwrap(), 1);
    assert_eq!((record(&kv, &first).revoked, record(&kv, &second).revoked), (Some(7), None));
    assert!(revoke(&mut kv, "shop", Some(&digest), 8).is_err(), "it is already revoked");
    let (listed, damaged) = list_tokens(&mut kv).unwrap();
    let row = format!("shop  {digest}  launch,read  1,2        1970-01-01  1970-01-01");
    assert!(listed.contains(&row) && damaged.is_empty(), "{listed:?}");
    assert_eq!(revoke(&mut kv, "shop", None, 9).unwrap(), 1);
    assert_eq!(record(&kv, &first).revoked, Some(7), "a tombstone does not change");
    assert!(create(&mut kv, &named("shop"), false, 10).is_ok(), "a name without active values can be used again");
}

#[test]
fn accepts_an_existing_value_that_is_valid_and_unused() {
    let mut kv = FakeKv::default();
    let with = |name: &str, value: &str| CreateToken { value: Some(value.into()), ..named(name) };
    let token = "an-existing-token-of-a-shop";
    assert_eq!(create(&mut kv, &with("shop", token), true, 5).unwrap(), token);
    assert!(create(&mut kv, &with("other", token), true, 5).is_err(), "another token has the value");
    assert!(
        create(&mut kv, &CreateToken { rotate: true, ..with("shop", token) }, true, 5).is_err(),
        "the token has the value"
    );
    revoke(&mut kv, "shop", None, 6).unwrap();
    assert!(create(&mut kv, &with("shop", token), true, 7).is_err(), "the value was revoked");
    for value in ["nineteen-characters", "with a space in between", &"a".repeat(1025)] {
        assert!(create(&mut kv, &with("new", value), true, 5).is_err(), "{value}");
    }
    assert!(create(&mut kv, &with("demo", DEMO_TOKEN), true, 5).is_err());
    assert!(create(&mut kv, &with("demo", DEMO_TOKEN), false, 5).is_ok());
}

#[test]
fn reports_a_damaged_record_by_its_key_and_works_on_the_other_records() {
    for value in ["", "{", "null", "[]", "{\"name\":\"shop\"}", "{\"name\":7}", "\u{1b}[2J", "\u{0}"] {
        let (mut kv, key) = with_damaged_record(value);
        let (rows, damaged) = list_tokens(&mut kv).unwrap();
        assert_eq!((rows.len(), damaged.len()), (2, 1), "{value:?}");
        assert!(damaged[0].to_string().starts_with(&format!("{key} is damaged (")), "{}", damaged[0]);
        let (created, warnings) = warned(|warn| create_token(&mut kv, &named("new"), false, 6, warn));
        assert!(created.is_ok() && warnings.len() == 1 && warnings[0].contains(&key), "{warnings:?}");
        let rotate = CreateToken { rotate: true, ..named("shop") };
        let (rotated, warnings) = warned(|warn| create_token(&mut kv, &rotate, false, 7, warn));
        assert!(rotated.is_ok() && warnings.len() == 1, "{warnings:?}");
        let (revoked, warnings) = warned(|warn| revoke_token(&mut kv, "new", None, 8, warn));
        assert_eq!((revoked, warnings.len()), (Ok(1), 1));
        assert_eq!(kv.access[&key], value, "the damaged record does not change");
    }
}

#[test]
fn warns_if_a_damaged_record_may_belong_to_the_new_token() {
    for (value, may_belong) in [("{", true), ("{\"name\":\"crm\"}", true), ("{\"name\":\"shop\"}", false)] {
        let (mut kv, _) = with_damaged_record(value);
        let (_, warnings) = warned(|warn| create_token(&mut kv, &named("crm"), false, 6, warn));
        assert_eq!(warnings[0].ends_with("; it may belong to the token crm"), may_belong, "{warnings:?}");
    }
}

#[test]
fn replaces_a_damaged_record_when_its_digest_is_revoked() {
    for (value, name) in [("{", "lost"), ("{\"name\":7}", "lost"), ("{\"name\":\"shop\"}", "shop")] {
        let (mut kv, key) = with_damaged_record(value);
        for (name, digest) in [(name, "e"), ("", "d"), ("a b", "d")] {
            let (revoked, warnings) = warned(|warn| revoke_token(&mut kv, name, Some(digest), 6, warn));
            assert!(revoked.is_err() && warnings.len() == 1, "{name} {digest} {warnings:?}");
        }
        assert_eq!(revoke(&mut kv, name, Some("dd"), 7).unwrap(), 1, "{value}");
        let tombstone: TokenRecord = serde_json::from_str(&kv.access[&key]).unwrap();
        assert_eq!((tombstone.name.as_str(), tombstone.scopes, tombstone.revoked), (name, vec![], Some(7)));
        assert!(list_tokens(&mut kv).unwrap().1.is_empty());
    }
}

#[test]
fn revokes_a_damaged_record_together_with_the_other_values_of_the_name() {
    let (mut kv, key) = with_damaged_record("{\"name\":\"shop\",\"scopes\":[\"of a later version\"],\"created\":1}");
    assert_eq!(revoke(&mut kv, "shop", None, 6).unwrap(), 2);
    assert!(serde_json::from_str::<TokenRecord>(&kv.access[&key]).unwrap().revoked.is_some());
}

#[test]
fn prefers_a_valid_record_to_a_damaged_one_with_the_same_digest_prefix() {
    let (mut kv, key) = with_damaged_record("{");
    let valid = kv.access.keys().find(|known| **known != key).unwrap().clone();
    let value = kv.access.remove(&valid).unwrap();
    kv.access.insert(format!("{TOKEN_PREFIX}{}", "da".repeat(32)), value);
    let (revoked, warnings) = warned(|warn| revoke_token(&mut kv, "shop", Some("d"), 6, warn));
    assert_eq!((revoked, warnings.len()), (Ok(1), 1));
    assert_eq!(kv.access[&key], "{");
    kv.access.insert(format!("{TOKEN_PREFIX}{}", "db".repeat(32)), "{".into());
    let (revoked, _) = warned(|warn| revoke_token(&mut kv, "lost", Some("d"), 7, warn));
    assert_eq!(revoked, Err("--digest: 2 digests begin with d; give more digits".into()));
}

#[test]
fn rejects_a_value_whose_record_is_damaged() {
    let mut kv = FakeKv::default();
    let value = "an-existing-token-of-a-shop";
    kv.access.insert(token_key(value), "{".into());
    let arguments = CreateToken { value: Some(value.into()), ..named("shop") };
    let (created, _) = warned(|warn| create_token(&mut kv, &arguments, false, 5, warn));
    assert!(created.unwrap_err().starts_with("--value: the record of this token is damaged"));
    assert_eq!(kv.access[&token_key(value)], "{");
}

#[test]
fn lists_escaped_names_in_aligned_columns() {
    let (mut kv, key) = with_damaged_record("");
    let name = format!("\u{1b}[2J\u{202e}größe{}", "x".repeat(2000));
    let record = TokenRecord { name, scopes: vec![Scope::Read], databases: vec![], created: 1, revoked: None };
    kv.access.insert(key, serde_json::to_string(&record).unwrap());
    kv.access.insert(format!("{TOKEN_PREFIX}\u{1b}[2J"), "\u{1b}".into());
    let (rows, damaged) = list_tokens(&mut kv).unwrap();
    let lines: Vec<String> = rows.iter().cloned().chain(damaged.iter().map(DamagedRecord::to_string)).collect();
    for line in &lines {
        assert_eq!(trigger_launch::escape::escape(line).to_string(), *line);
        assert!(line.len() < 400, "{line}");
    }
    let column = |row: &String| row.chars().position(|char| char == ' ');
    assert!(rows[1].starts_with("\\u{1b}[2J\\u{202e}größexx"), "{}", rows[1]);
    assert_eq!(rows[0].find("DIGEST"), column(&rows[1]).map(|at| at + 2));
}

#[test]
fn formats_a_time_as_a_date_in_utc() {
    assert_eq!(format_date(0), "1970-01-01");
    assert_eq!(format_date(951_782_399_999), "2000-02-28");
    assert_eq!(format_date(951_782_400_000), "2000-02-29");
    assert_eq!(format_date(1_798_675_200_000), "2026-12-31");
}

/// A KV that several commands use at the same time.
struct SharedKv<'a>(&'a Mutex<FakeKv>);

impl KvStore for SharedKv<'_> {
    fn get(&mut self, binding: KvBinding, keys: &[String]) -> Result<Vec<Option<String>>, KvError> {
        let values = self.0.lock().unwrap().get(binding, keys);
        thread::yield_now();
        values
    }

    fn put(&mut self, binding: KvBinding, pairs: &[KvPair]) -> Result<(), KvError> {
        self.0.lock().unwrap().put(binding, pairs)
    }

    fn delete(&mut self, binding: KvBinding, keys: &[String]) -> Result<(), KvError> {
        self.0.lock().unwrap().delete(binding, keys)
    }

    fn list(&mut self, binding: KvBinding, prefix: &str) -> Result<Vec<String>, KvError> {
        self.0.lock().unwrap().list(binding, prefix)
    }

    fn batch_limits(&self) -> BatchLimits {
        self.0.lock().unwrap().batch_limits()
    }
}

#[test]
fn one_of_several_simultaneous_creations_of_a_name_succeeds() {
    const COMMANDS: usize = 4;
    let state = tempfile::tempdir().unwrap();
    for round in 0..50 {
        let kv = Mutex::new(FakeKv::default());
        let (barrier, created) = (Barrier::new(COMMANDS), AtomicUsize::new(0));
        thread::scope(|scope| {
            for _ in 0..COMMANDS {
                scope.spawn(|| {
                    let lock = LockFile::silent(state.path());
                    let arguments = named("crm");
                    barrier.wait();
                    let _lock = lock.acquire().unwrap();
                    let result = create_token(&mut SharedKv(&kv), &arguments, false, round, &mut |_| {});
                    created.fetch_add(usize::from(result.is_ok()), Ordering::Relaxed);
                });
            }
        });
        assert_eq!((created.into_inner(), kv.into_inner().unwrap().access.len()), (1, 1));
    }
}
