//! The operations of a database, one by one.

use std::rc::Rc;

use super::{NOON, TestKey, changes, generation, hash, manifest, memory, profile};
use crate::{
    campaign::tests::database::Database,
    limits::{
        CHANGES_LIMIT, CHANGES_REQUEST_MS, FIELD_NAMES_LIMIT, FIELDS_LIMIT, GENERATION_KEPT_MS, KEY_LIMIT, KIB,
        LIVE_DELAY_MS, MIB, PENDING_READ_BYTES,
    },
    memory::{Budget, Reservation},
    profiles::{
        bucket::{
            BucketSection::{self, Profiles, Subscriptions},
            KeyMatch,
        },
        key::KeyHash,
        key::{BucketPlace, Class, ProfileId},
        live::{
            command::{ChangeReply, Contents, DatabaseRefusal, PendingPurpose, Publication},
            database::{DatabaseError, LiveDatabase, encode_changes},
            fold::{FoldError, Folding},
            message::{Answer, ChangeListWriter, ChangeSetHead, PendingList, Question, Subject},
            pending::{FoundHolders, PendingChanges},
            row::PackedKey,
        },
        manifest::{ClassIndex, Generation},
    },
    text::error_chain,
};

type Live = LiveDatabase<Rc<Database>>;

const EMAIL_1: TestKey = (1, Profiles);
const EMAIL_2: TestKey = (2, Profiles);
/// When changes are accepted.
const OPEN: u64 = NOON + LIVE_DELAY_MS;

/// A database whose changes are live, with generation `g1`.
fn live() -> (Rc<Database>, Live) {
    let sql = Rc::new(Database::new());
    let mut live = LiveDatabase::new(Rc::clone(&sql), memory());
    live.start(manifest("g1", "k1"), NOON).unwrap();
    (sql, live)
}

fn change(live: &mut Live, rows: &[(u8, Option<&[TestKey]>)], now: u64) -> ChangeReply {
    live.change(&changes(rows, &["k1"], None), now).unwrap()
}

fn refusal<T: std::fmt::Debug>(result: Result<T, DatabaseError>) -> DatabaseRefusal {
    match result.unwrap_err() {
        DatabaseError::Refused(refusal) => refusal,
        error => panic!("{error}"),
    }
}

fn conflict<T: std::fmt::Debug>(result: Result<T, DatabaseError>) -> String {
    match refusal(result) {
        DatabaseRefusal::Conflict(what) => what,
        other => panic!("{other:?}"),
    }
}

/// The profile with a key according to the pending changes that a generation lacks, and whether profile 1 has changed. `about`:
/// ask about the key and profile 1 only.
fn find(live: &mut Live, generation: &str, key: u8, section: BucketSection, about: bool) -> Option<(KeyMatch, bool)> {
    let (hashes, profiles) = ([hash("k1", key)], [profile(1).0]);
    let subject = if about { Subject::Keys { hashes: &hashes, profiles: &profiles } } else { Subject::After(0) };
    let answer = live.answer(Question { generation, subject }, &mut memory()).unwrap();
    let Ok(Answer::Changes(list)) = Answer::read(answer) else { return None };
    let changes = PendingChanges::new(list, &mut memory()).unwrap();
    let mut found = FoundHolders::default();
    changes.keys_in(BucketPlace::WHOLE).add_holders(section, KeyHash(hashes[0]).prefix(), &mut found);
    Some((found.result(), changes.is_changed(profile(1))))
}

fn publication(replaces: &str, name: &str, contents: Contents) -> Publication {
    Publication { replaces: replaces.into(), generation: generation(name, "k1"), deleted: vec![], contents }
}

#[test]
fn a_database_without_live_changes_stores_nothing() {
    let sql = Rc::new(Database::new());
    let mut live = LiveDatabase::new(Rc::clone(&sql), memory());
    let question = Question { generation: "g1", subject: Subject::After(0) };
    assert_eq!(Answer::read(live.answer(question, &mut memory()).unwrap()), Ok(Answer::NotLive));
    assert_eq!(refusal(live.status()), DatabaseRefusal::NotLive);
    assert_eq!(refusal(live.change(&changes(&[], &["k1"], None), NOON)), DatabaseRefusal::NotLive);
    assert_eq!(sql.count("sqlite_master"), 0);
}

#[test]
fn changes_are_accepted_after_the_delay() {
    let (_, mut live) = live();
    let early = live.change(&changes(&[(1, None)], &["k1"], None), OPEN - 1);
    assert_eq!(refusal(early), DatabaseRefusal::NotYet { live_since: OPEN, now: OPEN - 1 });
    assert_eq!(live.start(manifest("g1", "k1"), OPEN).unwrap().live_since, Some(OPEN), "a repeat changes nothing");
    assert_eq!(change(&mut live, &[(1, None)], OPEN).version, 1);
}

#[test]
fn a_key_counts_only_in_the_latest_change_of_its_profile() {
    for about in [false, true] {
        let (sql, mut live) = live();
        assert_eq!(find(&mut live, "g1", 1, Profiles, about), Some((KeyMatch::None, false)));
        change(&mut live, &[(1, Some(&[EMAIL_1])), (2, Some(&[(1, Subscriptions)]))], OPEN);
        assert_eq!(find(&mut live, "g1", 1, Profiles, about), Some((KeyMatch::Profile(profile(1)), true)));
        assert_eq!(find(&mut live, "g1", 1, Subscriptions, about), Some((KeyMatch::Profile(profile(2)), true)));
        change(&mut live, &[(2, Some(&[EMAIL_1]))], OPEN);
        assert_eq!(find(&mut live, "g1", 1, Profiles, about), Some((KeyMatch::Ambiguous, true)));
        change(&mut live, &[(1, Some(&[EMAIL_2]))], OPEN);
        live = LiveDatabase::new(sql, memory());
        assert_eq!(find(&mut live, "g1", 1, Profiles, about), Some((KeyMatch::Profile(profile(2)), true)));
        change(&mut live, &[(2, None)], OPEN);
        assert_eq!(find(&mut live, "g1", 1, Profiles, about), Some((KeyMatch::None, true)));
        assert_eq!(find(&mut live, "other", 1, Profiles, about), None);
    }
}

#[test]
fn the_version_rises_only_if_something_changes() {
    let (_, mut live) = live();
    assert_eq!(change(&mut live, &[], OPEN).version, 0);
    let reply = change(&mut live, &[(1, Some(&[EMAIL_1])), (2, None)], OPEN);
    assert_eq!(reply, ChangeReply { version: 1, applied: 2, repeated: false, pending: [0, 3] });
    let again = change(&mut live, &[(1, Some(&[EMAIL_1])), (2, None)], OPEN);
    assert_eq!(again, ChangeReply { version: 1, applied: 2, repeated: false, pending: [3, 3] });
    assert_eq!(change(&mut live, &[(1, None)], OPEN).pending, [3, 2]);
}

#[test]
fn a_request_id_is_applied_once_for_a_day_and_for_one_body() {
    let (sql, mut live) = live();
    let send = |live: &mut Live, digest, now| {
        live.change(&changes(&[(1, Some(&[EMAIL_1]))], &["k1"], Some(("r", digest))), now)
    };
    assert_eq!(send(&mut live, "d1", OPEN).unwrap().version, 1);
    assert_eq!(live.next_alarm(), Some(OPEN + CHANGES_REQUEST_MS));
    change(&mut live, &[(1, None)], OPEN);
    live = LiveDatabase::new(Rc::clone(&sql), memory());
    let repeat = send(&mut live, "d1", OPEN + CHANGES_REQUEST_MS - 1).unwrap();
    assert_eq!((repeat.version, repeat.applied, repeat.repeated), (1, 1, true));
    assert_eq!(refusal(send(&mut live, "d2", OPEN)), DatabaseRefusal::RequestIdReused);
    assert_eq!(send(&mut live, "d2", OPEN + CHANGES_REQUEST_MS).unwrap().version, 3);
    live.clean_up(OPEN + CHANGES_REQUEST_MS).unwrap();
    assert_eq!(sql.count("requests"), 1);
    assert_eq!(live.next_alarm(), Some(OPEN + 2 * CHANGES_REQUEST_MS));
}

#[test]
fn refuses_changes_above_the_limit_and_accepts_those_that_reduce_them() {
    let (_, mut live) = live();
    let many = |first: u32, count: u32, keys: u32| {
        let packed = |number: u32| {
            let mut packed = Vec::new();
            for key in 0..=keys {
                let hashes = [hash("k1", key as u8)];
                let class = if key == 0 { Class::ProfileId } else { Class::Email };
                PackedKey { class, field: "", section: Profiles, hashes: &hashes }.pack(&mut packed);
            }
            let mut id = [0; 12];
            id[..4].copy_from_slice(&number.to_be_bytes());
            (ProfileId(id), packed)
        };
        let rows: Vec<_> = (first..first + count).map(packed).collect();
        encode_changes(&ChangeSetHead { key_checks: vec!["k1".into()], request: None }, &rows)[1..].to_vec()
    };
    for part in 0..10 {
        live.change(&many(part * 2000, 2000, 4), OPEN).unwrap();
    }
    assert_eq!(live.status().unwrap().pending, CHANGES_LIMIT);
    assert_eq!(refusal(live.change(&many(90_000, 1, 0), OPEN)), DatabaseRefusal::TooManyChanges(CHANGES_LIMIT + 1));
    assert_eq!(live.change(&many(0, 1, 3), OPEN).unwrap().pending, [CHANGES_LIMIT, CHANGES_LIMIT - 1]);
    live.change(&many(90_000, 1, 0), OPEN).unwrap();
    // A first compaction is always possible. A second one would keep more than the limit.
    let version = live.status().unwrap().version;
    live.publish(publication("g1", "g2", Contents::ChangesThrough(version)), OPEN).unwrap();
    assert_eq!(live.status().unwrap().pending, 0);
    live.change(&many(91_000, 1, 0), OPEN + 1).unwrap();
    for purpose in [PendingPurpose::Compaction, PendingPurpose::Search] {
        let pending = live.pending(purpose, OPEN + 1000, &mut memory());
        match purpose {
            PendingPurpose::Search => assert!(pending.is_ok()),
            PendingPurpose::Compaction => assert!(matches!(
                refusal(pending),
                DatabaseRefusal::TooEarly { wait, .. } if wait == GENERATION_KEPT_MS - 1000
            )),
        }
    }
    live.clean_up(OPEN + GENERATION_KEPT_MS).unwrap();
    assert!(live.pending(PendingPurpose::Compaction, OPEN + GENERATION_KEPT_MS, &mut memory()).is_ok());
}

#[test]
fn a_compaction_keeps_the_generation_before_searchable_for_a_while() {
    let (sql, mut live) = live();
    change(&mut live, &[(1, Some(&[EMAIL_1]))], OPEN);
    let list = live.pending(PendingPurpose::Compaction, OPEN, &mut memory()).unwrap();
    let list = PendingList::read(&list).unwrap();
    assert_eq!((list.status.version, list.rows().count()), (1, 1));
    change(&mut live, &[(2, Some(&[EMAIL_2]))], OPEN);
    let reply = live.publish(publication("g1", "g2", Contents::ChangesThrough(1)), OPEN).unwrap();
    assert_eq!((reply.superseded, reply.later, reply.status.pending), (1, 1, 2));
    for generation in ["g1", "g2"] {
        assert_eq!(
            find(&mut live, generation, 2, Profiles, false).unwrap().0,
            KeyMatch::Profile(profile(2)),
            "{generation}"
        );
    }
    assert_eq!(find(&mut live, "g1", 1, Profiles, false), Some((KeyMatch::Profile(profile(1)), true)));
    assert_eq!(find(&mut live, "g2", 1, Profiles, false), Some((KeyMatch::None, false)), "g2 contains the change");
    let repeat = live.publish(publication("g1", "g2", Contents::ChangesThrough(1)), OPEN).unwrap();
    assert_eq!(repeat.status, reply.status, "a repeat changes nothing");
    let other = live.publish(publication("g1", "g3", Contents::ChangesThrough(1)), OPEN);
    assert_eq!(conflict(other), "generation g2 has become current in the meantime");
    live = LiveDatabase::new(Rc::clone(&sql), memory());
    live.clean_up(OPEN + GENERATION_KEPT_MS).unwrap();
    assert_eq!(find(&mut live, "g1", 1, Profiles, false), None);
    assert_eq!(sql.count("pending"), 1);
}

#[test]
fn an_import_supersedes_earlier_changes_and_keeps_later_ones() {
    let (_, mut live) = live();
    change(&mut live, &[(1, Some(&[EMAIL_1]))], OPEN);
    change(&mut live, &[(2, Some(&[EMAIL_2]))], OPEN + 2000);
    let import = |name: &str, time| publication("g1", name, Contents::ExportAt(time));
    assert!(conflict(live.publish(import("g2", OPEN + 9000), OPEN + 5000)).contains("is in the future"));
    let reply = live.publish(import("g2", OPEN + 1000), OPEN + 5000).unwrap();
    assert_eq!((reply.superseded, reply.later), (1, 1));
    assert_eq!(find(&mut live, "g2", 2, Profiles, false).unwrap().0, KeyMatch::Profile(profile(2)));
    assert_eq!(find(&mut live, "g2", 1, Profiles, false), Some((KeyMatch::None, false)));
    assert_eq!(find(&mut live, "g1", 1, Profiles, false), None, "g1 does not lead to the contents of g2");
    live.publish(publication("g2", "g3", Contents::ChangesThrough(2)), OPEN + 5000).unwrap();
    let stale = live.publish(publication("g3", "g4", Contents::ExportAt(OPEN + 2000)), OPEN + 5000);
    assert!(conflict(stale).ends_with("export again"));
    assert!(live.publish(publication("g3", "g4", Contents::ExportAt(OPEN + 2001)), OPEN + 5000).is_ok());
}

/// The second change is stated again after the export, so it keeps its version and is later than the first one.
#[test]
fn an_export_that_is_older_than_a_superseded_change_is_refused() {
    let (_, mut live) = live();
    change(&mut live, &[(1, Some(&[EMAIL_1])), (2, Some(&[EMAIL_2]))], OPEN + 2000);
    change(&mut live, &[(2, Some(&[EMAIL_2]))], OPEN + 3000);
    let reply = live.publish(publication("g1", "g2", Contents::ExportAt(OPEN + 3000)), OPEN + 5000).unwrap();
    assert_eq!((reply.superseded, reply.later), (1, 1));
    let older = live.publish(publication("g2", "g3", Contents::ExportAt(OPEN + 1000)), OPEN + 5000);
    assert!(conflict(older).ends_with("export again"));
}

#[test]
fn a_new_key_needs_an_import_and_pending_changes_under_that_key() {
    let (_, mut live) = live();
    let with_key = |replaces: &str, key: &str, contents| Publication {
        generation: generation("g2", key),
        ..publication(replaces, "g2", contents)
    };
    let send =
        |live: &mut Live, index_keys: &[&str]| live.change(&changes(&[(1, Some(&[EMAIL_1]))], index_keys, None), OPEN);
    assert_eq!(refusal(send(&mut live, &["k2"])), DatabaseRefusal::OtherIndexKey);
    send(&mut live, &["k1"]).unwrap();
    let compaction = live.publish(with_key("g1", "k2", Contents::ChangesThrough(1)), OPEN);
    assert!(conflict(compaction).starts_with("a compaction keeps the key"));
    let import = live.publish(with_key("g1", "k2", Contents::ExportAt(OPEN)), OPEN);
    assert!(conflict(import).starts_with("pending changes were not hashed with the key"));
    send(&mut live, &["k2", "k1"]).unwrap();
    live.publish(with_key("g1", "k2", Contents::ExportAt(OPEN)), OPEN).unwrap();
    let question = Question { generation: "g2", subject: Subject::Keys { hashes: &[hash("k2", 1)], profiles: &[] } };
    let answer = live.answer(question, &mut memory()).unwrap();
    let Ok(Answer::Changes(list)) = Answer::read(answer) else { panic!() };
    assert_eq!(list.count()[0], 1);
}

#[test]
fn turns_off_without_pending_changes_and_on_again() {
    let (_, mut live) = live();
    change(&mut live, &[(1, None)], OPEN);
    assert_eq!(conflict(live.stop(OPEN)), "1 changes are pending: compact first");
    live.publish(publication("g1", "g2", Contents::ChangesThrough(1)), OPEN).unwrap();
    assert!(!live.stop(OPEN).unwrap().live);
    assert!(find(&mut live, "g1", 1, Profiles, false).is_some(), "launches with an old manifest still search g1");
    let off = live.change(&changes(&[(1, None)], &["k1"], None), OPEN);
    assert_eq!(refusal(off), DatabaseRefusal::NotLive);
    live.clean_up(OPEN + GENERATION_KEPT_MS).unwrap();
    let ask = |live: &mut Live, generation| {
        let answer = live.answer(Question { generation, subject: Subject::After(0) }, &mut memory()).unwrap();
        Answer::read(answer).map(|answer| matches!(answer, Answer::Other(_))).unwrap()
    };
    assert!(ask(&mut live, "g1"), "a known generation that is out of date");
    assert!(!ask(&mut live, "imported-while-off"));
    let status = live.start(manifest("imported-while-off", "k1"), OPEN).unwrap();
    assert_eq!((status.version, status.pending, status.live_since), (1, 0, Some(OPEN + LIVE_DELAY_MS)));
    assert!(conflict(live.start(manifest("g9", "k1"), OPEN)).starts_with("live changes are on"));
}

/// A set of changes: profiles with keys of custom fields, numbered from `first`.
fn custom_changes(first: u32, rows: &[Vec<&str>]) -> Vec<u8> {
    let packed = |(number, fields): (u32, &Vec<&str>)| {
        let mut packed = Vec::new();
        for (key, field) in fields.iter().enumerate() {
            let hashes = [hash(&format!("k1 {number} {key}"), 0)];
            PackedKey { class: Class::Custom, field, section: Profiles, hashes: &hashes }.pack(&mut packed);
        }
        let mut id = [0; 12];
        id[..4].copy_from_slice(&number.to_be_bytes());
        (ProfileId(id), packed)
    };
    let rows: Vec<_> = (first..).zip(rows).map(packed).collect();
    encode_changes(&ChangeSetHead { key_checks: vec!["k1".into()], request: None }, &rows)[1..].to_vec()
}

/// Names of custom fields, numbered from `first`.
fn names(first: usize, count: usize, length: usize) -> Vec<String> {
    (first..first + count).map(|number| format!("{number:0length$}")).collect()
}

/// Changes of one profile, with a key of each field.
fn with_fields(profile: u32, fields: &[String]) -> Vec<u8> {
    custom_changes(profile, &[fields.iter().map(String::as_str).collect()])
}

fn with_classes(name: &str, fields: &[String]) -> Generation {
    let index = |field: &String| ClassIndex { class: Class::Custom, field: field.clone(), buckets: 1, largest: 16 };
    Generation { classes: fields.iter().map(index).collect(), ..generation(name, "k1") }
}

#[test]
fn the_limit_of_pending_changes_limits_their_bytes() {
    for (length, most) in [(1, 50_000), (63, 50_000), (64, 33_333), (KEY_LIMIT, 5_555)] {
        let (_, mut live) = live();
        let name = "x".repeat(length);
        for first in (0..most).step_by(5000) {
            let count = 5000.min(most - first);
            live.change(&custom_changes(first, &vec![vec![&*name]; count as usize]), OPEN).unwrap();
        }
        let refused = live.change(&custom_changes(most, &vec![vec![&*name]; 2]), OPEN);
        assert!(matches!(refusal(refused), DatabaseRefusal::TooManyChanges(CHANGES_LIMIT..)), "{length}");
        let mut memory = memory();
        let list = live.pending(PendingPurpose::Compaction, OPEN, &mut memory).unwrap();
        assert!(list.len() as u64 <= 7 * MIB, "{length}: {} bytes", list.len());
        let answer = live.answer(Question { generation: "g1", subject: Subject::After(0) }, &mut memory).unwrap();
        assert!(answer.len() as u64 <= 3 * MIB, "{length}: {} bytes", answer.len());
    }
}

#[test]
fn the_memory_of_lists_is_reserved() {
    let (_, mut live) = live();
    change(&mut live, &[(1, Some(&[EMAIL_1, EMAIL_2])), (2, None)], OPEN);
    let (hashes, profiles) = ([hash("k1", 1)], [profile(2).0]);
    let subjects = [Subject::After(0), Subject::After(1), Subject::Keys { hashes: &hashes, profiles: &profiles }];
    for subject in subjects {
        let mut memory = memory();
        let answer = live.answer(Question { generation: "g1", subject }, &mut memory).unwrap();
        assert_eq!(answer.len(), answer.capacity());
        let Ok(Answer::Changes(list)) = Answer::read(answer) else { panic!() };
        assert_eq!(memory.bytes(), ChangeListWriter::bytes(list.count()));
    }
    let mut reserved = memory();
    let list = live.pending(PendingPurpose::Search, OPEN, &mut reserved).unwrap();
    assert!((list.len() as u64..=list.len() as u64 + KIB).contains(&reserved.bytes()), "{}", reserved.bytes());
    let budget = Budget::new(10, 10);
    let mut none = Reservation::verified(&budget);
    assert!(matches!(refusal(live.pending(PendingPurpose::Search, OPEN, &mut none)), DatabaseRefusal::Busy(_)));
    let question = Question { generation: "g1", subject: Subject::After(0) };
    assert!(matches!(refusal(live.answer(question, &mut none)), DatabaseRefusal::Busy(_)));
}

#[test]
fn a_start_reads_large_rows_and_reserves_their_memory() {
    let (sql, mut live) = live();
    let name = "x".repeat(KEY_LIMIT);
    let rows = 3;
    assert!(300 * KEY_LIMIT as u64 > PENDING_READ_BYTES);
    live.change(&custom_changes(0, &vec![vec![&*name; 300]; rows]), OPEN).unwrap();
    live.change(&custom_changes(9, &vec![vec!["short"]; 5]), OPEN).unwrap();
    let status = live.status().unwrap();
    drop(live);
    let budget = Budget::new(2 * MIB, MIB);
    let mut live = LiveDatabase::new(Rc::clone(&sql), Reservation::verified(&budget));
    let other = {
        let mut other = Reservation::verified(&budget);
        other.grow(MIB + MIB / 2).unwrap();
        other
    };
    assert!(matches!(refusal(live.status()), DatabaseRefusal::Busy(_)));
    assert_eq!(budget.reserved(), other.bytes(), "nothing was kept");
    drop(other);
    assert_eq!(live.status().unwrap(), status);
    assert!((rows as u64 * 300 * KEY_LIMIT as u64..2 * MIB).contains(&budget.reserved()));
    let mut memory = memory();
    let list = live.pending(PendingPurpose::Search, OPEN, &mut memory).unwrap();
    assert_eq!(PendingList::read(&list).unwrap().rows().count(), rows + 5);
}

#[test]
fn refuses_a_field_that_no_compaction_could_publish() {
    let (_, mut live) = live();
    live.change(&with_fields(1, &[]), OPEN).unwrap();
    let base = names(0, FIELDS_LIMIT - 10, 5);
    let first =
        Publication { generation: with_classes("g2", &base), ..publication("g1", "g2", Contents::ChangesThrough(1)) };
    live.publish(first, OPEN).unwrap();
    live.change(&with_fields(2, &names(FIELDS_LIMIT - 20, 20, 5)), OPEN).unwrap();
    let above = conflict(live.change(&with_fields(3, &names(FIELDS_LIMIT, 1, 5)), OPEN));
    let expected = "profile 000000030000000000000000: custom:01000: 1001 custom fields and channels with 5005 bytes of names; \
                    the limits are 1000 and 262144: import the whole file without fields that are not needed";
    assert_eq!(above, expected);
    live.change(&with_fields(3, &names(0, FIELDS_LIMIT, 5)), OPEN).unwrap();
    // Everything that was accepted can be compacted.
    let list = live.pending(PendingPurpose::Compaction, OPEN + GENERATION_KEPT_MS, &mut memory()).unwrap();
    let list = PendingList::read(&list).unwrap();
    let classes = Folding::new(&list.status.manifest.current, &list).unwrap().classes().to_vec();
    assert_eq!(classes.len(), FIELDS_LIMIT);
    let next = Publication {
        generation: Generation { classes, ..generation("g3", "k1") },
        ..publication("g2", "g3", Contents::ChangesThrough(list.status.version))
    };
    live.publish(next, OPEN).unwrap();
    assert!(conflict(live.change(&with_fields(3, &names(FIELDS_LIMIT, 1, 5)), OPEN)).contains("1001 custom fields"));
}

#[test]
fn refuses_names_that_are_too_long_together() {
    let (_, mut live) = live();
    live.change(&with_fields(1, &names(0, FIELD_NAMES_LIMIT / KEY_LIMIT, KEY_LIMIT)), OPEN).unwrap();
    assert!(conflict(live.change(&with_fields(2, &names(900, 1, 5)), OPEN)).contains("with 262149 bytes of names"));
    // Quotes and control characters are longer in JSON.
    live.change(&with_fields(1, &[]), OPEN).unwrap();
    let escaped: Vec<String> = names(0, 50, 10).iter().map(|name| name.clone() + &"\u{1}".repeat(1000)).collect();
    assert!(
        conflict(live.change(&with_fields(2, &escaped), OPEN)).starts_with("profile 000000020000000000000000: custom:")
    );
}

#[test]
fn a_generation_is_refused_if_later_changes_could_not_be_compacted() {
    let (_, mut live) = live();
    live.change(&with_fields(1, &names(0, 900, 5)), OPEN).unwrap();
    live.change(&with_fields(1, &[]), OPEN).unwrap();
    live.change(&with_fields(1, &names(2000, 900, 5)), OPEN).unwrap();
    let generation = with_classes("g2", &names(0, 900, 5));
    let stale = Publication { generation, ..publication("g1", "g2", Contents::ChangesThrough(1)) };
    let refused = conflict(live.publish(stale, OPEN));
    assert!(refused.starts_with("the generation and the changes that it lacks: 1800 custom fields"), "{refused}");
    assert!(refused.contains("compact again"), "{refused}");
    let fresh = Publication {
        generation: with_classes("g2", &names(2000, 900, 5)),
        ..publication("g1", "g2", Contents::ChangesThrough(3))
    };
    live.publish(fresh, OPEN).unwrap();
}

#[test]
fn a_compaction_that_has_too_many_fields_says_so() {
    let (_, mut live) = live();
    live.change(&with_fields(1, &names(0, 20, 5)), OPEN).unwrap();
    let list = live.pending(PendingPurpose::Compaction, OPEN, &mut memory()).unwrap();
    let base = with_classes("g1", &names(100, FIELDS_LIMIT - 10, 5));
    let error = Folding::new(&base, &PendingList::read(&list).unwrap()).err().unwrap();
    assert!(matches!(error, FoldError::Fields(_)));
    assert!(error_chain(&error).contains("1010 custom fields and channels"), "{error}");
}

#[test]
fn a_compaction_waits_if_the_kept_generations_do_not_fit_into_a_row() {
    let (_, mut live) = live();
    let fields = names(0, FIELD_NAMES_LIMIT / 512, 512);
    let publish = |live: &mut Live, number: usize, now| {
        let version = change(live, &[(1, Some(&[(number as u8, Profiles)]))], now).version;
        let [replaces, name] = [number, number + 1].map(|number| format!("g{number}"));
        let generation = with_classes(&name, &fields);
        live.publish(
            Publication { generation, ..publication(&replaces, &name, Contents::ChangesThrough(version)) },
            now,
        )
    };
    let mut published = 0;
    let refused = loop {
        match publish(&mut live, published + 1, OPEN) {
            Ok(_) if published < 20 => published += 1,
            Ok(_) => panic!("every generation was accepted"),
            Err(error) => break refusal::<()>(Err(error)),
        }
    };
    assert!((3..20).contains(&published), "{published}");
    let DatabaseRefusal::TooEarly { what, wait } = refused else { panic!("{refused:?}") };
    assert!(what.contains("bytes of names; the limit is 1900000: compact after 20"), "{what}");
    assert_eq!(wait, GENERATION_KEPT_MS);
    live.clean_up(OPEN + GENERATION_KEPT_MS).unwrap();
    publish(&mut live, published + 1, OPEN + GENERATION_KEPT_MS).unwrap();
}
