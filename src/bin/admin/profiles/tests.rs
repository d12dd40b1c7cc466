//! Imports into a KV in memory: the order of writes, simultaneous imports, and what interrupted imports leave.

use indicatif::ProgressBar;
use std::collections::BTreeMap;

use trigger_launch::{
    limits::{KEY_PROFILES_LIMIT, RETIRED_GENERATION_MS},
    profiles::{
        bucket::BucketSection,
        import::{BuiltIndex, ReadOptions},
        key::{Class, ProfileId},
        live::{
            command::DatabaseStatus,
            message::PendingList,
            row::{PackedKey, PackedKeys},
        },
        manifest::{Generation, Manifest},
    },
};

use super::*;
use crate::{
    arguments::FindKey,
    kv::fake::{FakeKv, OnWrite},
    lock::LockFile,
};

/// Profiles of a file.
const PROFILES: u64 = 5_600;
const DAY: u64 = RETIRED_GENERATION_MS;

fn key() -> IndexKey {
    IndexKey::new(&"k".repeat(32)).unwrap()
}

/// Imports a file into database 1. Panics if there is a warning.
fn import(kv: &mut FakeKv, name: &str, now: u64) -> Result<BuiltIndex, GenerationError> {
    let (built, warnings) = import_with_warnings(kv, name, now);
    assert_eq!(warnings, [""; 0]);
    built
}

fn import_with_warnings(kv: &mut FakeKv, name: &str, now: u64) -> (Result<BuiltIndex, GenerationError>, Vec<String>) {
    let checks = WriteChecks { rows: PROFILES, allow_shrink: false, dry_run: false };
    import_profiles(kv, name, now, PROFILES, checks)
}

/// Imports this number of profiles.
fn import_profiles(
    kv: &mut FakeKv,
    name: &str,
    now: u64,
    profiles: u64,
    checks: WriteChecks,
) -> (Result<BuiltIndex, GenerationError>, Vec<String>) {
    let rows: String = (0..profiles).map(|i| format!("{i:024x},user{i}@example.com\n")).collect();
    import_rows(kv, name, now, &rows, checks)
}

/// Imports rows of a profile ID and an e-mail address.
fn import_rows(
    kv: &mut FakeKv,
    name: &str,
    now: u64,
    rows: &str,
    checks: WriteChecks,
) -> (Result<BuiltIndex, GenerationError>, Vec<String>) {
    let state = tempfile::tempdir().unwrap();
    let lock = LockFile::silent(state.path());
    let mut warnings = Vec::new();
    let mut importer = Importer::new(key(), 100);
    let file = format!("profile_id,email\n{rows}");
    let report = importer.read(file.as_bytes(), &ReadOptions::default()).unwrap();
    assert_eq!(report.reasons, []);
    let generation =
        NewGeneration { database: 1, key_check: key().check().into(), name: name.into(), now, lock: &lock, live: None };
    let warn = &mut |warning: &str| warnings.push(warning.to_owned());
    let built = generation.write(kv, importer, checks, &ProgressBar::hidden(), warn);
    (built, warnings)
}

fn manifest(kv: &FakeKv) -> Manifest {
    Manifest::parse(kv.profiles.get("manifest:1").map(String::as_str)).unwrap()
}

/// Returns the names of generations with buckets, and of those with markers.
fn stored_generations(kv: &FakeKv) -> (Vec<String>, Vec<String>) {
    let part = |prefix: &str, number| {
        let mut names: Vec<String> = kv
            .profiles
            .keys()
            .filter(|key| key.starts_with(prefix))
            .map(|key| key.split(':').nth(number).unwrap().to_owned())
            .collect();
        names.dedup();
        names
    };
    (part("bucket:", 2), part("pending:", 2))
}

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

#[test]
fn writes_the_marker_first_and_the_manifest_last() {
    let on_write: OnWrite = Box::new(|profiles: &mut BTreeMap<String, String>, keys: &[String]| {
        let buckets = profiles.keys().filter(|key| key.starts_with("bucket:")).count();
        let marked = profiles.contains_key("pending:1:a");
        match keys[0].split(':').next().unwrap() {
            "pending" => assert!(profiles.is_empty()),
            "bucket" => assert!(marked && !profiles.contains_key("manifest:1")),
            "manifest" => assert_eq!((buckets, marked, keys.len()), (12, true, 1)),
            other => panic!("{other}"),
        }
        Ok(())
    });
    let mut kv = FakeKv { on_write: Some(on_write), ..FakeKv::default() };
    let built = import(&mut kv, "a", 5).unwrap();
    assert_eq!((built.profiles, built.keys, built.ambiguous), (5_600, 5_600, 0));
    let manifest = manifest(&kv);
    assert_eq!(manifest.current.bucket_keys(1).filter(|key| kv.profiles.contains_key(key)).count(), 12);
    assert_eq!(manifest.generations(&[key()]).unwrap().len(), 1);
    assert_eq!(stored_generations(&kv), (names(&["a"]), vec![]), "the marker is deleted");
}

#[test]
fn retires_a_generation_at_the_second_import_and_deletes_it_a_day_later() {
    let mut kv = FakeKv::default();
    import(&mut kv, "a", 1).unwrap();
    import(&mut kv, "b", 2).unwrap();
    assert_eq!(manifest(&kv).previous.unwrap().name, "a");
    import(&mut kv, "c", DAY).unwrap();
    let retired = |kv: &FakeKv| manifest(kv).retired.iter().map(|r| (r.name.clone(), r.since)).collect::<Vec<_>>();
    assert_eq!(retired(&kv), [("a".to_owned(), DAY)]);
    import(&mut kv, "d", 2 * DAY - 1).unwrap();
    assert_eq!(stored_generations(&kv).0, names(&["a", "b", "c", "d"]), "a was retired less than a day ago");
    import(&mut kv, "e", 2 * DAY).unwrap();
    assert_eq!(stored_generations(&kv).0, names(&["b", "c", "d", "e"]));
    assert_eq!(retired(&kv), [("b".to_owned(), 2 * DAY - 1), ("c".to_owned(), 2 * DAY)]);
    let manifest = manifest(&kv);
    assert_eq!((manifest.current.name.as_str(), manifest.previous.unwrap().name.as_str()), ("e", "d"));
}

#[test]
fn discards_the_import_that_finishes_second() {
    let mut kv = FakeKv::default();
    import(&mut kv, "a", 1).unwrap();
    let mut other = FakeKv { profiles: kv.profiles.clone(), ..FakeKv::default() };
    import(&mut other, "b", 2).unwrap();
    let other = other.profiles;
    // b finishes while c writes its buckets.
    kv.on_write = Some(Box::new(move |profiles: &mut BTreeMap<String, String>, keys: &[String]| {
        if keys[0].starts_with("bucket:1:c:") {
            profiles.extend(other.clone());
        }
        Ok(())
    }));
    assert_eq!(
        import(&mut kv, "c", 3).unwrap_err().to_string(),
        "another import into database 1 has finished in the meantime, so this import was discarded; run it again if \
         its file is newer"
    );
    assert_eq!(manifest(&kv).current.name, "b");
    assert_eq!(stored_generations(&kv), (names(&["a", "b"]), vec![]));
}

#[test]
fn deletes_the_buckets_of_an_interrupted_import_after_a_day() {
    let mut kv = FakeKv::default();
    import(&mut kv, "a", 1).unwrap();
    kv.on_write = Some(Box::new(|profiles: &mut BTreeMap<String, String>, _: &[String]| {
        let written = profiles.keys().filter(|key| key.starts_with("bucket:1:dead:")).count();
        if written < 6 { Ok(()) } else { Err(KvError::Wrangler("disconnected".into())) }
    }));
    assert_eq!(import(&mut kv, "dead", 2).unwrap_err().to_string(), "wrangler kv: disconnected");
    assert_eq!(manifest(&kv).current.name, "a");
    kv.on_write = None;
    import(&mut kv, "b", DAY + 1).unwrap();
    assert_eq!(
        stored_generations(&kv),
        (names(&["a", "b", "dead"]), names(&["dead"])),
        "the import may still be in progress"
    );
    import(&mut kv, "c", DAY + 2).unwrap();
    assert_eq!(stored_generations(&kv), (names(&["a", "b", "c"]), vec![]));
}

#[test]
fn deletes_the_marker_of_a_generation_in_use_but_not_its_buckets() {
    let mut kv = FakeKv::default();
    import(&mut kv, "a", 1).unwrap();
    let marker = serde_json::to_string(&manifest(&kv).current).unwrap();
    kv.profiles.insert("pending:1:a".into(), marker);
    import(&mut kv, "b", 2 * DAY).unwrap();
    assert_eq!(stored_generations(&kv), (names(&["a", "b"]), vec![]));
}

#[test]
fn reports_a_manifest_that_cannot_be_read_and_replaces_it() {
    for (value, reason) in
        [("{", "damaged"), ("", "damaged"), ("\u{1b}[2J", "damaged"), ("{\"format\":9}", "built by another version")]
    {
        let mut kv = FakeKv::default();
        kv.profiles.insert("manifest:1".into(), value.into());
        let (built, warnings) = import_with_warnings(&mut kv, "a", 1);
        built.unwrap();
        let [warning] = warnings.as_slice() else { panic!("{warnings:?}") };
        assert!(warning.starts_with(&format!("manifest:1 is {reason}")), "{warning}");
        assert!(warning.ends_with("; this import replaces it"), "{warning}");
        assert_eq!((manifest(&kv).current.name.as_str(), manifest(&kv).previous), ("a", None));
        import(&mut kv, "b", 2).unwrap();
    }
}

#[test]
fn deletes_the_generations_of_a_damaged_manifest_after_a_day() {
    let mut kv = FakeKv::default();
    import(&mut kv, "a", 1).unwrap();
    import(&mut kv, "b", 2).unwrap();
    kv.profiles.insert("bucket:10:a:email:0".into(), "of another database".into());
    kv.profiles.insert("manifest:1".into(), "{".into());
    import_with_warnings(&mut kv, "c", 3).0.unwrap();
    assert_eq!(manifest(&kv).previous, None);
    import(&mut kv, "d", DAY + 2).unwrap();
    assert_eq!(
        stored_generations(&kv),
        (names(&["a", "b", "c", "d"]), names(&["a", "b"])),
        "launches may still use a and b"
    );
    import(&mut kv, "e", DAY + 3).unwrap();
    assert_eq!(
        stored_generations(&kv),
        (names(&["a", "c", "d", "e"]), vec![]),
        "the remaining a belongs to database 10"
    );
    assert!(kv.profiles.contains_key("bucket:10:a:email:0"));
}

#[test]
fn reports_a_damaged_marker_and_deletes_its_generation_after_a_day() {
    for value in ["{\"name\":\"dead\"}", "\u{1b}[2J"] {
        let mut kv = FakeKv::default();
        import(&mut kv, "a", 1).unwrap();
        // A valid marker, but of another generation.
        let other = serde_json::to_string(&manifest(&kv).current).unwrap();
        for (name, value) in [("dead", value), ("other", &other)] {
            kv.profiles.insert(format!("pending:1:{name}"), value.into());
            kv.profiles.insert(format!("bucket:1:{name}:email:0"), String::new());
            kv.profiles.insert(format!("pending:2:{name}"), "{".into());
        }
        let (built, warnings) = import_with_warnings(&mut kv, "b", DAY);
        built.unwrap();
        assert_eq!(warnings.len(), 2, "{warnings:?}");
        assert!(warnings[0].starts_with("pending:1:dead is damaged"), "{warnings:?}");
        assert!(warnings[1].starts_with("pending:1:other is damaged"), "{warnings:?}");
        import(&mut kv, "c", 2 * DAY - 1).unwrap();
        assert_eq!(stored_generations(&kv).0, names(&["a", "b", "c", "dead", "other"]));
        import(&mut kv, "d", 2 * DAY).unwrap();
        assert_eq!(stored_generations(&kv).0, names(&["a", "b", "c", "d"]));
        assert_eq!(kv.profiles["pending:2:dead"], "{", "another database");
    }
}

#[test]
fn a_marker_without_the_name_of_a_generation_deletes_no_buckets() {
    let mut kv = FakeKv::default();
    import(&mut kv, "a", 1).unwrap();
    let buckets = stored_generations(&kv).0;
    for name in ["a:email", ""] {
        let marker = Generation { name: name.into(), ..manifest(&kv).current };
        kv.profiles.insert(format!("pending:1:{name}"), serde_json::to_string(&marker).unwrap());
    }
    let before = kv.profiles.keys().filter(|key| key.starts_with("bucket:1:a:")).count();
    let (built, warnings) = import_with_warnings(&mut kv, "b", 2 * DAY);
    built.unwrap();
    assert_eq!(warnings.len(), 2, "{warnings:?}");
    assert!(
        warnings
            .iter()
            .all(|warning| warning.ends_with("does not contain the name of a generation; the key was deleted"))
    );
    assert_eq!((buckets, stored_generations(&kv)), (names(&["a"]), (names(&["a", "b"]), vec![])));
    assert_eq!(kv.profiles.keys().filter(|key| key.starts_with("bucket:1:a:")).count(), before);
}

#[test]
fn refuses_an_import_with_far_fewer_profiles_and_leaves_the_index_as_it_was() {
    let mut kv = FakeKv::default();
    import(&mut kv, "a", 1).unwrap();
    assert_eq!(manifest(&kv).current.profiles, PROFILES);
    let before = kv.profiles.clone();
    // The number of rows is checked before anything is written, the number of profiles at the end.
    for (profiles, rows) in [(5_039, 5_039), (5_039, 9_000)] {
        let checks = WriteChecks { rows, allow_shrink: false, dry_run: false };
        let error = import_profiles(&mut kv, "b", 2, profiles, checks).0.unwrap_err().to_string();
        assert!(
            error.starts_with("the file has 5039 profiles, which is less than 90 % of the 5600 profiles"),
            "{error}"
        );
        assert_eq!(kv.profiles, before);
    }
    let checks = WriteChecks { rows: 5_040, allow_shrink: false, dry_run: false };
    import_profiles(&mut kv, "b", 2, 5_040, checks).0.unwrap();
    let checks = WriteChecks { rows: 1, allow_shrink: true, dry_run: false };
    import_profiles(&mut kv, "c", 2, 1, checks).0.unwrap();
    assert_eq!(manifest(&kv).current.name, "c");
}

#[test]
fn a_dry_run_checks_everything_and_writes_nothing() {
    let mut kv = FakeKv::default();
    import(&mut kv, "a", 1).unwrap();
    let before = kv.profiles.clone();
    kv.on_write = Some(Box::new(|_: &mut BTreeMap<String, String>, keys: &[String]| panic!("{keys:?}")));
    let checks = WriteChecks { rows: PROFILES, allow_shrink: false, dry_run: true };
    let (built, warnings) = import_profiles(&mut kv, "b", 2, PROFILES, checks);
    assert_eq!((built.unwrap().keys, warnings), (PROFILES, vec![]));
    let (built, _) = import_profiles(&mut kv, "b", 2, 5_000, checks);
    assert!(matches!(built, Err(GenerationError::Shrunk { now: 5_000, before: PROFILES })));
    assert_eq!(kv.profiles, before);
}

#[test]
fn finds_the_profiles_of_a_key_or_reports_why_there_are_none() {
    let mut kv = FakeKv::default();
    let find = |kv: &mut FakeKv, wanted: FindKey| {
        let found = find_profiles(kv, &key(), 1, &wanted, None);
        found.map_err(|error| trigger_launch::text::error_chain(&error))
    };
    let email = |address: &str| FindKey { email: Some(address.into()), ..FindKey::default() };
    let error = find(&mut kv, email("a@b")).unwrap_err();
    assert!(error.starts_with("database 1 has no profile index: import profiles first"), "{error}");
    import(&mut kv, "a", 1).unwrap();
    assert_eq!(find(&mut kv, email(" USER7@example.com")), Ok(vec!["000000000000000000000007 (profile)".to_owned()]));
    assert_eq!(find(&mut kv, email("nobody@example.com")), Err("no profile has this key".into()));
    assert_eq!(find(&mut kv, email("n/a")), Err("the e-mail address is not a key: not an e-mail address".into()));
    let phone = FindKey { phone: Some("7.9E+10".into()), ..FindKey::default() };
    assert_eq!(find(&mut kv, phone), Err("the phone number is not a key: not a phone number".into()));
    let custom = FindKey { custom: "Custom_ID=003".parse().ok(), ..FindKey::default() };
    assert_eq!(find(&mut kv, custom), Err("no profile has this key".into()));
    kv.profiles.retain(|key, _| !key.starts_with("bucket:1:a:email:"));
    let error = find(&mut kv, email("user7@example.com")).unwrap_err();
    assert!(error.starts_with("bucket:1:a:email:") && error.ends_with(" is missing; import profiles again"), "{error}");
}

#[test]
fn finds_every_profile_of_a_key_up_to_the_limit() {
    let mut kv = FakeKv::default();
    let id = |holders: usize, holder: usize| format!("{:024x}", 100 * holders + holder);
    let row = |holders: usize, holder: usize| format!("{},shared{holders}@example.com\n", id(holders, holder));
    let shared = |holders: usize| (0..holders).map(move |holder| row(holders, holder));
    let rows: String = [2, KEY_PROFILES_LIMIT, KEY_PROFILES_LIMIT + 1].into_iter().flat_map(shared).collect();
    let checks = WriteChecks { rows: 2 * KEY_PROFILES_LIMIT as u64 + 3, allow_shrink: false, dry_run: false };
    import_rows(&mut kv, "a", 1, &rows, checks).0.unwrap();
    let mut find = |holders: usize| {
        let email = Some(format!("shared{holders}@example.com"));
        find_profiles(&mut kv, &key(), 1, &FindKey { email, ..FindKey::default() }, None).unwrap()
    };
    for holders in [2, KEY_PROFILES_LIMIT] {
        let mut expected: Vec<String> =
            (0..holders).map(|holder| format!("{} (profile)", id(holders, holder))).collect();
        expected.push("ambiguous: several profiles have this key (profile)".to_owned());
        assert_eq!(find(holders), expected);
    }
    assert_eq!(find(KEY_PROFILES_LIMIT + 1), ["ambiguous: more than 8 profiles have this key (profile)"]);
}

/// The list of pending changes that the deployment sends: the e-mail addresses of each profile; none: the profile is deleted.
fn pending_list(kv: &FakeKv, rows: &[(u8, &[&str])]) -> Vec<u8> {
    let manifest = Manifest::parse(kv.profiles.get("manifest:1").map(String::as_str)).unwrap();
    let status = DatabaseStatus { manifest, live: true, live_since: Some(1), version: 1, pending: rows.len() as u64 };
    let mut list = PendingList::begin(&status);
    for (number, addresses) in rows {
        let mut packed = Vec::new();
        for address in *addresses {
            let hashes = [key().hash(Class::Email, "", address).0];
            let section = BucketSection::Profiles;
            PackedKey { class: Class::Email, field: "", section, hashes: &hashes }.pack(&mut packed);
        }
        let id = ProfileId([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, *number]);
        PendingList::push(&mut list, id, PackedKeys::new(&packed, 1), 0).unwrap();
    }
    list
}

#[test]
fn finds_the_profiles_of_a_key_with_pending_changes() {
    let mut kv = FakeKv::default();
    import(&mut kv, "a", 1).unwrap();
    let mut manifest = Manifest::parse(kv.profiles.get("manifest:1").map(String::as_str)).unwrap();
    manifest.live = true;
    kv.profiles.insert("manifest:1".into(), manifest.to_json());
    let find = |kv: &mut FakeKv, pending: Option<&[u8]>, address: &str| {
        let wanted = FindKey { email: Some(address.into()), ..FindKey::default() };
        let found = find::find_with_changes(kv, &key(), 1, &wanted, pending);
        found.map_err(|error| trigger_launch::text::error_chain(&error))
    };
    let without_url = find(&mut kv, None, "user7@example.com");
    assert_eq!(
        without_url,
        Err("the changes of database 1 are live: add --url, with a token in TRIGGER_LAUNCH_TOKEN".into())
    );
    let id = |number: u8| format!("{number:024x} (profile)");
    let none = pending_list(&kv, &[]);
    assert_eq!(find(&mut kv, Some(&none), "user7@example.com"), Ok(vec![id(7)]));

    let moved = pending_list(&kv, &[(7, &["new@example.com"]), (8, &[]), (9, &["user9@example.com"])]);
    let not_found = Err("no profile has this key".to_owned());
    assert_eq!(find(&mut kv, Some(&moved), "user7@example.com"), not_found);
    assert_eq!(find(&mut kv, Some(&moved), "new@example.com"), Ok(vec![id(7)]));
    assert_eq!(find(&mut kv, Some(&moved), "user8@example.com"), not_found);
    assert_eq!(find(&mut kv, Some(&moved), "user9@example.com"), Ok(vec![id(9)]));

    let shared = pending_list(&kv, &[(7, &["user9@example.com"])]);
    let ambiguous = "ambiguous: several profiles have this key (profile)".to_owned();
    assert_eq!(find(&mut kv, Some(&shared), "user9@example.com"), Ok(vec![id(9), id(7), ambiguous]));
    assert_eq!(
        find(&mut kv, Some(&shared[..9]), "user9@example.com").map(|_| ()).unwrap_err().split(':').next(),
        Some("the pending changes cannot be read")
    );
}
