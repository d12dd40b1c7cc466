//! Imports against a KV in memory: the order of writing, two at once, what the dead leave behind.

use std::collections::BTreeMap;

use super::*;
use crate::store::fake::{Fake, OnWrite};

const DAY: u64 = RETIRED_MS;

fn key() -> IndexKey {
    IndexKey::new(&"k".repeat(32)).unwrap()
}

/// Imports without any warning.
fn import(kv: &mut Fake, name: &str, now: u64) -> Outcome<Built> {
    let (built, warnings) = import_warned(kv, name, now);
    assert_eq!(warnings, [""; 0]);
    built
}

fn import_warned(kv: &mut Fake, name: &str, now: u64) -> (Outcome<Built>, Vec<String>) {
    let state = tempfile::tempdir().unwrap();
    let lock = LockFile::in_folder(state.path());
    let mut warnings = Vec::new();
    let mut importer = Importer::new(key(), 100);
    let file: String = (0..5_600).map(|i| format!("{i:024x},user{i}@example.com\n")).collect();
    importer.read(format!("profile_id,email\n{file}").as_bytes(), |_| panic!("refused")).unwrap();
    let target = Target { database: 1, check: key().check().into(), name: name.into(), now, lock: &lock };
    let warn = &mut |warning: &str| warnings.push(warning.to_owned());
    let built = write(kv, &target, importer, &ProgressBar::hidden(), warn);
    (built, warnings)
}

fn manifest(kv: &Fake) -> Manifest {
    Manifest::parse(kv.profiles.get("manifest:1").map(String::as_str)).unwrap()
}

/// The generations of which buckets are there, and the markers.
fn held(kv: &Fake) -> (Vec<String>, Vec<String>) {
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
fn everything_is_written_and_the_manifest_last() {
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
    let mut kv = Fake { on_write: Some(on_write), ..Fake::default() };
    let built = import(&mut kv, "a", 5).unwrap();
    assert_eq!((built.profiles, built.keys, built.ambiguous), (5_600, 5_600, 0));
    let manifest = manifest(&kv);
    assert_eq!(manifest.current.bucket_keys(1).filter(|key| kv.profiles.contains_key(key)).count(), 12);
    assert_eq!(manifest.generations(&[key()]).unwrap().len(), 1);
    assert_eq!(held(&kv), (names(&["a"]), vec![]), "no marker is left");
}

#[test]
fn generations_move_back_and_are_removed_two_behind_and_a_day_old() {
    let mut kv = Fake::default();
    import(&mut kv, "a", 1).unwrap();
    import(&mut kv, "b", 2).unwrap();
    assert_eq!(manifest(&kv).previous.unwrap().name, "a");
    import(&mut kv, "c", DAY).unwrap();
    let retired = |kv: &Fake| manifest(kv).retired.iter().map(|r| (r.name.clone(), r.since)).collect::<Vec<_>>();
    assert_eq!(retired(&kv), [("a".to_owned(), DAY)]);
    import(&mut kv, "d", 2 * DAY - 1).unwrap();
    assert_eq!(held(&kv).0, names(&["a", "b", "c", "d"]), "a day from when it was two behind");
    import(&mut kv, "e", 2 * DAY).unwrap();
    assert_eq!(held(&kv).0, names(&["b", "c", "d", "e"]));
    assert_eq!(retired(&kv), [("b".to_owned(), 2 * DAY - 1), ("c".to_owned(), 2 * DAY)]);
    let manifest = manifest(&kv);
    assert_eq!((manifest.current.name.as_str(), manifest.previous.unwrap().name.as_str()), ("e", "d"));
}

#[test]
fn of_two_imports_at_once_the_second_to_finish_is_undone() {
    let mut kv = Fake::default();
    import(&mut kv, "a", 1).unwrap();
    let mut other = Fake { profiles: kv.profiles.clone(), ..Fake::default() };
    import(&mut other, "b", 2).unwrap();
    let other = other.profiles;
    // While c writes its buckets, b finishes.
    kv.on_write = Some(Box::new(move |profiles: &mut BTreeMap<String, String>, keys: &[String]| {
        if keys[0].starts_with("bucket:1:c:") {
            profiles.extend(other.clone());
        }
        Ok(())
    }));
    let Failure(text) = import(&mut kv, "c", 3).unwrap_err();
    assert_eq!(
        text,
        "another import of database 1 has finished meanwhile; this one is undone: run it again if its file is newer"
    );
    assert_eq!(manifest(&kv).current.name, "b");
    assert_eq!(held(&kv), (names(&["a", "b"]), vec![]));
}

#[test]
fn what_a_dead_import_left_is_removed_when_it_is_a_day_old() {
    let mut kv = Fake::default();
    import(&mut kv, "a", 1).unwrap();
    kv.on_write = Some(Box::new(|profiles: &mut BTreeMap<String, String>, _: &[String]| {
        let written = profiles.keys().filter(|key| key.starts_with("bucket:1:dead:")).count();
        if written < 6 { Ok(()) } else { Err(Failure::new("the connection broke")) }
    }));
    assert_eq!(import(&mut kv, "dead", 2).unwrap_err().0, "the connection broke");
    assert_eq!(manifest(&kv).current.name, "a");
    kv.on_write = None;
    import(&mut kv, "b", DAY + 1).unwrap();
    assert_eq!(held(&kv), (names(&["a", "b", "dead"]), names(&["dead"])), "it may be under way still");
    import(&mut kv, "c", DAY + 2).unwrap();
    assert_eq!(held(&kv), (names(&["a", "b", "c"]), vec![]));
}

#[test]
fn a_marker_of_what_is_in_use_is_removed_alone() {
    let mut kv = Fake::default();
    import(&mut kv, "a", 1).unwrap();
    let marker = serde_json::to_string(&manifest(&kv).current).unwrap();
    kv.profiles.insert("pending:1:a".into(), marker);
    import(&mut kv, "b", 2 * DAY).unwrap();
    assert_eq!(held(&kv), (names(&["a", "b"]), vec![]));
}

#[test]
fn reports_a_manifest_that_cannot_be_read_and_replaces_it() {
    for (value, reason) in
        [("{", "damaged"), ("", "damaged"), ("\u{1b}[2J", "damaged"), ("{\"format\":9}", "built by another version")]
    {
        let mut kv = Fake::default();
        kv.profiles.insert("manifest:1".into(), value.into());
        let (built, warnings) = import_warned(&mut kv, "a", 1);
        built.unwrap();
        assert_eq!(warnings, [format!("manifest:1 is {reason}; this import replaces it")]);
        assert_eq!((manifest(&kv).current.name.as_str(), manifest(&kv).previous), ("a", None));
        import(&mut kv, "b", 2).unwrap();
    }
}

#[test]
fn removes_the_generations_of_a_damaged_manifest_after_a_day() {
    let mut kv = Fake::default();
    import(&mut kv, "a", 1).unwrap();
    import(&mut kv, "b", 2).unwrap();
    kv.profiles.insert("bucket:10:a:email:0".into(), "of another database".into());
    kv.profiles.insert("manifest:1".into(), "{".into());
    import_warned(&mut kv, "c", 3).0.unwrap();
    assert_eq!(manifest(&kv).previous, None);
    import(&mut kv, "d", DAY + 2).unwrap();
    assert_eq!(held(&kv), (names(&["a", "b", "c", "d"]), names(&["a", "b"])), "launches may still use them");
    import(&mut kv, "e", DAY + 3).unwrap();
    assert_eq!(held(&kv), (names(&["a", "c", "d", "e"]), vec![]), "the remaining a is of database 10");
    assert!(kv.profiles.contains_key("bucket:10:a:email:0"));
}

#[test]
fn reports_a_damaged_marker_and_removes_its_generation_after_a_day() {
    for value in ["{\"name\":\"dead\"}", "\u{1b}[2J"] {
        let mut kv = Fake::default();
        import(&mut kv, "a", 1).unwrap();
        // A readable marker, but of another generation.
        let other = serde_json::to_string(&manifest(&kv).current).unwrap();
        for (name, value) in [("dead", value), ("other", &other)] {
            kv.profiles.insert(format!("pending:1:{name}"), value.into());
            kv.profiles.insert(format!("bucket:1:{name}:email:0"), String::new());
            kv.profiles.insert(format!("pending:2:{name}"), "{".into());
        }
        let (built, warnings) = import_warned(&mut kv, "b", DAY);
        built.unwrap();
        assert_eq!(warnings.len(), 2, "{warnings:?}");
        assert!(warnings[0].starts_with("pending:1:dead is damaged"), "{warnings:?}");
        assert!(warnings[1].starts_with("pending:1:other is damaged"), "{warnings:?}");
        import(&mut kv, "c", 2 * DAY - 1).unwrap();
        assert_eq!(held(&kv).0, names(&["a", "b", "c", "dead", "other"]));
        import(&mut kv, "d", 2 * DAY).unwrap();
        assert_eq!(held(&kv).0, names(&["a", "b", "c", "d"]));
        assert_eq!(kv.profiles["pending:2:dead"], "{", "another database");
    }
}
