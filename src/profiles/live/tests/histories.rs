//! Random histories of imports, changes, deletions, compactions, rotations of the index key and crashes, compared with a plain
//! map. Launches at two locations search in between, with manifests that are out of date and with buckets that have not arrived.

use std::{
    collections::{BTreeMap, BTreeSet},
    rc::Rc,
};

use super::{NOON, TestKey, changes, generation, hash, manifest, memory, profile};
use crate::{
    campaign::tests::{database::Database, faults::Dice},
    limits::{GENERATION_KEPT_MS, LIVE_DELAY_MS},
    profiles::{
        bucket::{BucketSection, KeyMatch},
        key::{KeyHash, ProfileId},
        live::{
            command::{Contents, PendingPurpose, Publication},
            database::{DatabaseError, LiveDatabase},
            message::{Answer, PendingList, Question},
            pending::{FoundHolders, PendingChanges},
        },
        manifest::{Generation, Manifest},
    },
};

const PROFILES: u64 = 5;
const KEYS: u64 = 4;
const SECTIONS: [BucketSection; 2] = [BucketSection::Profiles, BucketSection::Subscriptions];
/// `PROPERTY_HISTORIES` sets another number of histories: `npm run soak` runs 10,000.
const HISTORIES: u64 = 1000;

/// The keys of each profile.
type Contacts = BTreeMap<u8, Vec<TestKey>>;
/// The entries of a generation: the profiles with each hash in each section.
type Entries = BTreeMap<([u8; 16], bool), BTreeSet<ProfileId>>;

struct Location {
    manifest: Manifest,
    /// Generations whose buckets have not arrived.
    missing: BTreeSet<String>,
}

/// A compaction between its beginning and its publication.
struct Compaction {
    replaces: String,
    through: u64,
    key: String,
    entries: Entries,
}

struct History {
    dice: Dice,
    seed: u64,
    now: u64,
    sql: Rc<Database>,
    live: LiveDatabase<Rc<Database>>,
    /// What the CRM would say: the plain map.
    contacts: Contacts,
    /// The changes with their times.
    log: Vec<(u64, u8, Option<Vec<TestKey>>)>,
    generations: BTreeMap<String, Entries>,
    /// KV's copy of the manifest.
    kv: Manifest,
    locations: [Location; 2],
    compaction: Option<Compaction>,
    /// The configured index keys.
    index_keys: Vec<&'static str>,
    next_name: u64,
    launches: u64,
}

fn entries_of(contacts: &Contacts, index_key: &str) -> Entries {
    let mut entries = Entries::new();
    for (number, keys) in contacts {
        for (key, section) in keys.iter().chain([&(0, BucketSection::Profiles)]) {
            let at = (hash(index_key, *key), *section == BucketSection::Profiles);
            entries.entry(at).or_default().insert(profile(*number));
        }
    }
    entries
}

impl History {
    fn new(seed: u64) -> Self {
        let sql = Rc::new(Database::new());
        let mut live = LiveDatabase::new(Rc::clone(&sql));
        let kv = manifest("g0", "k1");
        live.start(kv.clone(), NOON).unwrap();
        let location = || Location { manifest: kv.clone(), missing: BTreeSet::new() };
        Self {
            dice: Dice::new(seed),
            seed,
            now: NOON + LIVE_DELAY_MS,
            sql,
            live,
            contacts: Contacts::new(),
            log: Vec::new(),
            generations: BTreeMap::from([("g0".to_owned(), Entries::new())]),
            locations: [location(), location()],
            kv,
            compaction: None,
            index_keys: vec!["k1"],
            next_name: 1,
            launches: 0,
        }
    }

    fn chance(&self, percent: u64) -> bool {
        self.dice.below(100) < percent
    }

    /// The object ends: its memory is lost.
    fn crash(&mut self) {
        self.live = LiveDatabase::new(Rc::clone(&self.sql));
    }

    /// Runs an operation of the object, which may crash at any statement, or after it and before its answer; then it is repeated.
    fn run<T>(
        &mut self,
        operate: impl Fn(&mut LiveDatabase<Rc<Database>>, u64) -> Result<T, DatabaseError>,
    ) -> Result<T, DatabaseError> {
        if self.chance(30) {
            self.sql.statements.set(self.dice.below(12));
            let result = operate(&mut self.live, self.now);
            self.sql.statements.set(u64::MAX);
            if self.chance(50) || !matches!(result, Ok(_) | Err(DatabaseError::Refused(_))) {
                self.crash();
            }
        }
        operate(&mut self.live, self.now)
    }

    fn random_keys(&self) -> Vec<TestKey> {
        let keys =
            (0..self.dice.below(3)).map(|_| (1 + self.dice.below(KEYS) as u8, SECTIONS[self.dice.below(2) as usize]));
        keys.collect::<BTreeMap<_, _>>().into_iter().collect()
    }

    fn change(&mut self) {
        let mut rows: BTreeMap<u8, Option<Vec<TestKey>>> = BTreeMap::new();
        for _ in 0..=self.dice.below(3) {
            let keys = if self.chance(25) { None } else { Some(self.random_keys()) };
            rows.insert(self.dice.below(PROFILES) as u8, keys);
        }
        let list: Vec<_> = rows.iter().map(|(number, keys)| (*number, keys.as_deref())).collect();
        let request_id = self.dice.number().to_string();
        let message = changes(&list, &self.index_keys, Some((&request_id, "digest")));
        let reply = self.run(|live, now| live.change(&message, now, &mut memory())).unwrap();
        assert_eq!(reply.applied, rows.len() as u64);
        for (number, keys) in rows {
            self.log.push((self.now, number, keys.clone()));
            match keys {
                Some(keys) => self.contacts.insert(number, keys),
                None => self.contacts.remove(&number),
            };
        }
    }

    fn name(&mut self) -> String {
        self.next_name += 1;
        format!("g{}", self.next_name)
    }

    /// Writes the buckets of a generation. Each location may receive them later.
    fn store(&mut self, name: &str, entries: Entries) {
        self.generations.insert(name.to_owned(), entries);
        for at in 0..2 {
            if self.chance(30) {
                self.locations[at].missing.insert(name.to_owned());
            }
        }
    }

    fn begin_compaction(&mut self) {
        let Ok(list) = self.run(|live, now| live.pending(PendingPurpose::Compaction, now, &mut memory())) else {
            return;
        };
        let list = PendingList::read(&list).unwrap();
        let current = &list.status.manifest.current;
        let mut entries = self.generations[&current.name].clone();
        for row in list.rows() {
            let (profile, keys) = row.unwrap();
            entries.values_mut().for_each(|profiles| {
                profiles.remove(&profile);
            });
            for key in keys.map(Result::unwrap) {
                let at = (key.hashes[0], key.section == BucketSection::Profiles);
                entries.entry(at).or_default().insert(profile);
            }
        }
        let (replaces, key) = (current.name.clone(), current.key.clone());
        self.compaction = Some(Compaction { replaces, through: list.status.version, key, entries });
    }

    fn end_compaction(&mut self) {
        let Some(Compaction { replaces, through, key, entries }) = self.compaction.take() else { return };
        let name = self.name();
        self.store(&name, entries);
        let contents = Contents::ChangesThrough(through);
        // Refused if an import or another compaction came first.
        self.publish(Publication { replaces, generation: generation(&name, &key), deleted: vec![], contents });
    }

    fn publish(&mut self, publication: Publication) -> bool {
        let Ok(reply) = self.run(|live, now| live.publish(publication.clone(), now)) else { return false };
        // The command may end before it writes KV's copy.
        if self.chance(80) {
            self.kv = reply.status.manifest;
        }
        true
    }

    /// Imports an export of a time in the past, in which the CRM has made changes of its own.
    fn import(&mut self) {
        let time = self.now - self.dice.below(4) * 1000;
        let mut contacts = self.contacts.clone();
        for number in 0..PROFILES as u8 {
            if self.chance(40) {
                contacts.insert(number, self.random_keys());
            }
        }
        let index_key = self.index_keys[0];
        let name = self.name();
        self.store(&name, entries_of(&contacts, index_key));
        let status = self.live.status().unwrap();
        let replaces = status.manifest.current.name;
        let contents = Contents::ExportAt(time);
        let generation = generation(&name, index_key);
        if self.publish(Publication { replaces, generation, deleted: vec![], contents }) {
            for (at, number, keys) in &self.log {
                if *at >= time {
                    match keys {
                        Some(keys) => contacts.insert(*number, keys.clone()),
                        None => contacts.remove(number),
                    };
                }
            }
            self.contacts = contacts;
        }
    }

    /// The next step of a rotation: a second key, or the end of the first one.
    fn rotate(&mut self) {
        let current = self.live.status().unwrap().manifest.current.key;
        self.index_keys = match self.index_keys[..] {
            ["k1"] => vec!["k2", "k1"],
            ["k2"] => vec!["k1", "k2"],
            [first, ..] if current == first && self.compaction.is_none() => vec![first],
            _ => return,
        };
    }

    /// A launch of all keys at a location, as `launch::live_search` does it.
    fn launch(&mut self) {
        let at = self.dice.below(2) as usize;
        let location = &self.locations[at];
        let hints = std::iter::once(&location.manifest.current).chain(&location.manifest.previous);
        let mut generations: Vec<Generation> = hints.cloned().collect();
        let mut tried = BTreeSet::new();
        while let Some(generation) = generations.iter().find(|generation| !tried.contains(&generation.name)).cloned() {
            tried.insert(generation.name.clone());
            let missing = self.locations[at].missing.contains(&generation.name);
            if missing || !self.index_keys.contains(&generation.key.as_str()) {
                continue;
            }
            let about = self.chance(50);
            match self.search(&generation, about) {
                Ok(found) => return self.compare(&found, &generation.name),
                Err(others) => generations = others,
            }
        }
    }

    /// Returns the profile of each key in each section, or the generations to search instead.
    fn search(
        &mut self,
        generation: &Generation,
        about: bool,
    ) -> Result<Vec<(u8, BucketSection, KeyMatch)>, Vec<Generation>> {
        let entries = &self.generations[&generation.name];
        let keys: Vec<(u8, [u8; 16])> = (0..=KEYS as u8).map(|key| (key, hash(&generation.key, key))).collect();
        let hashes: Vec<[u8; 16]> = keys.iter().map(|(_, hash)| *hash).collect();
        let holders = |hash: [u8; 16], section| entries.get(&(hash, section == BucketSection::Profiles));
        let mut found: BTreeSet<[u8; 12]> = BTreeSet::new();
        for hash in &hashes {
            for section in SECTIONS {
                found.extend(holders(*hash, section).into_iter().flatten().map(|profile| profile.0));
            }
        }
        let profiles: Vec<[u8; 12]> = found.into_iter().collect();
        let question = Question { generation: &generation.name, about: about.then_some((&hashes[..], &profiles[..])) };
        let answer = self.live.answer(question, &mut memory()).unwrap();
        let list = match Answer::read(&answer).unwrap() {
            Answer::Changes(list) => list,
            Answer::Other(others) => return Err(others),
            Answer::NotLive => panic!("the database is live"),
        };
        let changes = PendingChanges::new(list, &mut memory()).unwrap();
        let mut results = Vec::new();
        for (key, hash) in keys {
            for section in SECTIONS {
                let mut found = FoundHolders::default();
                let base = holders(hash, section).into_iter().flatten();
                base.filter(|profile| !changes.is_changed(profile)).for_each(|profile| found.add(*profile));
                changes.add_holders(section, &KeyHash(hash), &mut found);
                results.push((key, section, found.result()));
            }
        }
        Ok(results)
    }

    fn compare(&mut self, found: &[(u8, BucketSection, KeyMatch)], name: &str) {
        self.launches += 1;
        for (key, section, result) in found {
            let has_key = |keys: &[TestKey]| {
                (*key == 0 && *section == BucketSection::Profiles) || keys.contains(&(*key, *section))
            };
            let holders: Vec<u8> =
                self.contacts.iter().filter(|(_, keys)| has_key(keys)).map(|(number, _)| *number).collect();
            let expected = match holders[..] {
                [] => KeyMatch::None,
                [one] => KeyMatch::Profile(profile(one)),
                _ => KeyMatch::Ambiguous,
            };
            assert_eq!(*result, expected, "seed {}: key {key} in {section:?} of {name}", self.seed);
        }
    }

    fn step(&mut self) {
        match self.dice.below(100) {
            0..30 => self.change(),
            30..55 => self.launch(),
            55..63 if self.compaction.is_none() => self.begin_compaction(),
            55..71 => self.end_compaction(),
            71..77 => self.import(),
            77..80 => self.rotate(),
            80..84 => self.crash(),
            84..90 => self.now += self.dice.below(3) * 1000,
            90..92 => self.now += GENERATION_KEPT_MS,
            92..95 => self.run(|live, now| live.clean_up(now)).unwrap(),
            95..98 => self.locations[self.dice.below(2) as usize].manifest = self.kv.clone(),
            _ => self.locations[self.dice.below(2) as usize].missing.clear(),
        }
    }
}

#[test]
fn launches_find_what_a_plain_map_contains() {
    let histories = std::env::var("PROPERTY_HISTORIES").map_or(HISTORIES, |number| number.parse().unwrap());
    let mut launches = 0;
    for seed in 0..histories {
        let mut history = History::new(seed);
        for _ in 0..40 {
            history.step();
        }
        launches += history.launches;
    }
    assert!(launches > histories * 4, "{launches} launches found all their buckets");
}
