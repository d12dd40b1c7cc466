//! Random histories of imports, changes, deletions, compactions, rotations of the index key and crashes, compared with a plain
//! map. Launches at two locations search in between, with manifests that are out of date, with buckets that have not arrived,
//! and with cached misses. Compactions fold their changes into the buckets as the command does.

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
    rc::Rc,
};

use super::{NOON, TestKey, changes, generation, hash, manifest, memory, profile};
use crate::{
    campaign::tests::{
        database::Database,
        faults::{Dice, run},
    },
    limits::{GENERATION_KEPT_MS, LIVE_DELAY_MS, RETIRED_GENERATION_MS},
    problem::Cause,
    profiles::{
        bucket::{self, BucketEntry, BucketSection, KeyMatch},
        key::{BucketPlace, Class, KeyHash, ProfileId},
        live::{
            command::{Contents, PendingPurpose, Publication},
            database::{DatabaseError, LiveDatabase},
            fold::Folding,
            message::{Answer, PendingList, Question, Subject},
            pending::{FoundHolders, PendingChanges},
        },
        lookup::{self, BucketStore, IndexSearch, LookupError},
        manifest::{ClassIndex, Generation, Manifest, generation_prefix},
    },
};

const PROFILES: u64 = 5;
const KEYS: u64 = 4;
const SECTIONS: [BucketSection; 2] = [BucketSection::Profiles, BucketSection::Subscriptions];
/// `PROPERTY_HISTORIES` sets another number of histories: `npm run soak` runs 10,000.
const HISTORIES: u64 = 500;

const DATABASE: u64 = 1;

/// The keys of each profile.
type Contacts = BTreeMap<u8, Vec<TestKey>>;
/// Buckets by their keys in KV.
type Buckets = BTreeMap<String, String>;

/// What launches at one place read from KV.
struct Location {
    manifest: Manifest,
    /// Keys of buckets that have not arrived.
    absent: BTreeSet<String>,
    /// Keys of buckets that a launch has not found. KV caches the misses.
    misses: RefCell<BTreeSet<String>>,
    /// The changes of generations that large launches have kept.
    changes: BTreeMap<String, PendingChanges>,
}

/// KV at a location.
struct LocalBuckets<'a> {
    kv: &'a Buckets,
    location: &'a Location,
}

impl BucketStore for LocalBuckets<'_> {
    async fn read(&self, keys: &[String]) -> Result<Vec<Option<String>>, Cause> {
        let Location { absent, misses, .. } = self.location;
        let read = |key: &String| {
            let value = if absent.contains(key) { None } else { self.kv.get(key).cloned() };
            if value.is_none() {
                misses.borrow_mut().insert(key.clone());
            }
            value.filter(|_| !misses.borrow().contains(key))
        };
        Ok(keys.iter().map(read).collect())
    }
}

/// A compaction between its beginning and its publication.
struct Compaction {
    old: Generation,
    new: Generation,
    through: u64,
    folding: Folding,
    /// The buckets that are not written yet: the position of the class, and the number.
    rest: Vec<(usize, u32)>,
}

/// An import between the export and its publication.
struct Import {
    export_at: u64,
    replaces: String,
    contacts: Contacts,
    generation: Generation,
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
    buckets: Buckets,
    /// KV's copy of the manifest.
    kv: Manifest,
    locations: [Location; 2],
    compaction: Option<Compaction>,
    import: Option<Import>,
    /// The configured index keys.
    index_keys: Vec<&'static str>,
    next_name: u64,
    /// How often each kind of event has happened.
    events: BTreeMap<&'static str, u64>,
}

/// The class of a key. The key 0 of a profile is its ID.
fn class_of(key: u8) -> Class {
    if key == 0 { Class::ProfileId } else { Class::Email }
}

impl History {
    fn new(seed: u64) -> Self {
        let sql = Rc::new(Database::new());
        let mut live = LiveDatabase::new(Rc::clone(&sql), memory());
        let kv = manifest("g0", "k1");
        live.start(kv.clone(), NOON).unwrap();
        let location = || Location {
            manifest: kv.clone(),
            absent: BTreeSet::new(),
            misses: RefCell::default(),
            changes: BTreeMap::new(),
        };
        Self {
            dice: Dice::new(seed),
            seed,
            now: NOON + LIVE_DELAY_MS,
            sql,
            live,
            contacts: Contacts::new(),
            log: Vec::new(),
            buckets: Buckets::new(),
            locations: [location(), location()],
            kv,
            compaction: None,
            import: None,
            index_keys: vec!["k1"],
            next_name: 1,
            events: BTreeMap::new(),
        }
    }

    fn count(&mut self, event: &'static str) {
        *self.events.entry(event).or_default() += 1;
    }

    fn chance(&self, percent: u64) -> bool {
        self.dice.below(100) < percent
    }

    /// The object ends: its memory is lost.
    fn crash(&mut self) {
        self.live = LiveDatabase::new(Rc::clone(&self.sql), memory());
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
        let reply = self.run(|live, now| live.change(&message, now)).unwrap();
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

    /// Writes a bucket. It may arrive later at each location.
    fn store(&mut self, generation: &Generation, index: &ClassIndex, number: u32, text: String) {
        let key = generation.bucket_key(DATABASE, index, number);
        for at in 0..2 {
            if self.chance(10) {
                self.locations[at].absent.insert(key.clone());
            }
        }
        self.buckets.insert(key, text);
    }

    /// Writes the buckets of an export.
    fn store_export(&mut self, contacts: &Contacts, index_key: &str) -> Generation {
        let mut new = generation(&self.name(), index_key);
        for class in [Class::ProfileId, Class::Email] {
            let keys = contacts.iter().flat_map(|(number, keys)| {
                let all = keys.iter().chain([&(0, BucketSection::Profiles)]);
                all.filter(|(key, _)| class_of(*key) == class)
                    .map(|(key, section)| (*section, KeyHash(hash(index_key, *key)), profile(*number)))
            });
            let keys: Vec<_> = keys.collect();
            // As in an import, a class without keys has no index.
            if keys.is_empty() {
                continue;
            }
            let mut index =
                ClassIndex { class, field: String::new(), buckets: 1 + self.dice.below(3) as u32, largest: 0 };
            for number in 0..index.buckets {
                let sections = SECTIONS.map(|section| {
                    let here = keys
                        .iter()
                        .filter(|(of, hash, _)| *of == section && hash.bucket_number(index.buckets) == number);
                    let mut entries: Vec<_> =
                        here.map(|(_, hash, id)| BucketEntry { hash: hash.prefix(), profile: Some(*id) }).collect();
                    entries.sort_unstable();
                    entries
                });
                let text = bucket::write(sections).unwrap().text;
                index.largest = index.largest.max(text.len() as u32);
                self.store(&new, &index, number, text);
            }
            new.classes.push(index);
        }
        new
    }

    fn begin_compaction(&mut self) {
        let Ok(list) = self.run(|live, now| live.pending(PendingPurpose::Compaction, now, &mut memory())) else {
            return;
        };
        let list = PendingList::read(&list).unwrap();
        let old = list.status.manifest.current.clone();
        let folding = Folding::new(&old, &list).unwrap();
        let new = generation(&self.name(), &old.key);
        let positions = folding.classes().iter().enumerate();
        let rest = positions.flat_map(|(class, index)| (0..index.buckets).map(move |number| (class, number)));
        let rest = rest.collect();
        self.compaction = Some(Compaction { old, new, through: list.status.version, folding, rest });
    }

    /// Writes some of the buckets of a compaction, or all of them and publishes the generation.
    fn continue_compaction(&mut self) {
        let Some(mut compaction) = self.compaction.take() else { return };
        let Compaction { old, new, folding, rest, .. } = &mut compaction;
        let is_last = self.chance(60);
        let number = if is_last { rest.len() } else { self.dice.below(rest.len() as u64 + 1) as usize };
        for (class, number) in rest.drain(..number) {
            let index = folding.classes()[class].clone();
            let before = old.classes.get(class).map(|index| old.bucket_key(DATABASE, index, number));
            let before = before.map(|key| self.buckets.get(&key));
            // A later import has deleted the generation.
            if before == Some(None) {
                return;
            }
            let text = folding.fold(class, number, before.flatten().map(String::as_str)).unwrap();
            self.store(new, &index, number, text);
        }
        if self.chance(10) {
            // The command is killed. Its buckets stay.
            return self.count("killed compactions");
        }
        if !is_last {
            self.compaction = Some(compaction);
            return;
        }
        let Compaction { old, mut new, through, folding, .. } = compaction;
        new.classes = folding.classes().to_vec();
        // Refused if an import or another compaction came first.
        if self.publish(old.name, new, Contents::ChangesThrough(through)) {
            self.count("compactions");
        }
    }

    fn publish(&mut self, replaces: String, generation: Generation, contents: Contents) -> bool {
        let deleted = self.delete_retired_generations();
        let publication = Publication { replaces, generation, deleted, contents };
        let Ok(reply) = self.run(|live, now| live.publish(publication.clone(), now)) else {
            self.count("refused generations");
            return false;
        };
        // The command may be killed before it writes KV's copy.
        if self.chance(80) {
            self.kv = reply.status.manifest;
        }
        true
    }

    /// Deletes the buckets of generations that were retired a day ago.
    fn delete_retired_generations(&mut self) -> Vec<String> {
        let retired = self.live.status().unwrap().manifest.retired;
        let old = retired.into_iter().filter(|retired| self.now - retired.since >= RETIRED_GENERATION_MS);
        let names: Vec<String> = old.map(|retired| retired.name).collect();
        for name in &names {
            let prefix = generation_prefix(DATABASE, name);
            self.buckets.retain(|key, _| !key.starts_with(&prefix));
            self.count("deleted generations");
        }
        names
    }

    /// Exports a time in the past, in which the CRM has made changes of its own.
    fn begin_import(&mut self) {
        let export_at = self.now - self.dice.below(4) * 1000;
        let mut contacts = self.contacts.clone();
        for number in 0..PROFILES as u8 {
            if self.chance(40) {
                contacts.insert(number, self.random_keys());
            }
        }
        let replaces = self.live.status().unwrap().manifest.current.name;
        let generation = self.store_export(&contacts, self.index_keys[0]);
        self.import = Some(Import { export_at, replaces, contacts, generation });
    }

    fn end_import(&mut self) {
        let Some(Import { export_at, replaces, mut contacts, generation }) = self.import.take() else { return };
        if self.chance(10) {
            return self.count("killed imports");
        }
        if self.publish(replaces, generation, Contents::ExportAt(export_at)) {
            for (at, number, keys) in &self.log {
                if *at >= export_at {
                    match keys {
                        Some(keys) => contacts.insert(*number, keys.clone()),
                        None => contacts.remove(number),
                    };
                }
            }
            self.contacts = contacts;
            self.count("imports");
        }
    }

    /// The next step of a rotation: a second key, or the end of the first one.
    fn rotate(&mut self) {
        let current = self.live.status().unwrap().manifest.current.key;
        self.index_keys = match self.index_keys[..] {
            ["k1"] => vec!["k2", "k1"],
            ["k2"] => vec!["k1", "k2"],
            [first, ..] if current == first && self.compaction.is_none() && self.import.is_none() => vec![first],
            _ => return,
        };
        self.count("rotations");
    }

    /// A launch of all keys at a location, as `launch::live_search` does it.
    fn launch(&mut self) {
        let at = self.dice.below(2) as usize;
        let manifest = self.locations[at].manifest.clone();
        let mut generations: Vec<Generation> = std::iter::once(manifest.current).chain(manifest.previous).collect();
        let mut tried = BTreeSet::new();
        let mut has_asked = false;
        loop {
            let next = generations.iter().find(|generation| !tried.contains(&generation.name)).cloned();
            let Some(generation) = next else {
                if std::mem::replace(&mut has_asked, true) {
                    return self.count("launches without buckets");
                }
                let subject = Subject::Keys { hashes: &[], profiles: &[] };
                let answer = self.live.answer(Question { generation: "", subject }, &mut memory()).unwrap();
                let Answer::Other(others) = Answer::read(answer).unwrap() else {
                    panic!("no generation has this name")
                };
                generations = others;
                continue;
            };
            tried.insert(generation.name.clone());
            if !self.index_keys.contains(&generation.key.as_str()) {
                continue;
            }
            let is_small = self.chance(50);
            match self.search(at, &generation, is_small) {
                Ok(found) => return self.compare(&found, &generation.name),
                Err(SearchFailure::Buckets) => self.count("generations without all buckets"),
                Err(SearchFailure::Other(others)) => {
                    self.count("other generations");
                    (generations, has_asked) = (others, true);
                }
            }
        }
    }

    /// Returns the profile of each key in each section.
    fn search(
        &mut self,
        at: usize,
        generation: &Generation,
        is_small: bool,
    ) -> Result<Vec<(u8, BucketSection, KeyMatch)>, SearchFailure> {
        let store = LocalBuckets { kv: &self.buckets, location: &self.locations[at] };
        let hashes: Vec<[u8; 16]> = (0..=KEYS as u8).map(|key| hash(&generation.key, key)).collect();
        let mut known: BTreeMap<(u8, u8), Vec<ProfileId>> = BTreeMap::new();
        for class in [Class::ProfileId, Class::Email] {
            let items: Vec<u32> = (0..=KEYS as u32).filter(|key| class_of(*key as u8) == class).collect();
            let search = IndexSearch { database: DATABASE, generation, class, field: "", sections: &SECTIONS };
            let hash_of = |item: u32| KeyHash(hashes[item as usize]);
            let visited = run(lookup::visit(&store, search, &items, hash_of, |item, place, bucket| {
                let Some(bucket) = bucket else { return Ok(()) };
                SECTIONS.iter().try_for_each(|section| {
                    let holders = known.entry((item as u8, section.number())).or_default();
                    bucket.each_holder(*section, place.prefix, |profile| holders.push(profile.unwrap()))
                })
            }));
            match visited {
                Ok(_) => {}
                Err(LookupError::Missing(_)) => return Err(SearchFailure::Buckets),
                Err(error) => panic!("seed {}: {error}", self.seed),
            }
        }
        let found: BTreeSet<[u8; 12]> = known.values().flatten().map(|profile| profile.0).collect();
        let profiles: Vec<[u8; 12]> = found.into_iter().collect();
        let kept = self.locations[at].changes.get(&generation.name);
        let subject = match kept {
            _ if is_small => Subject::Keys { hashes: &hashes, profiles: &profiles },
            Some(changes) => Subject::After(changes.version()),
            None => Subject::After(0),
        };
        let question = Question { generation: &generation.name, subject };
        let list = match Answer::read(self.live.answer(question, &mut memory()).unwrap()).unwrap() {
            Answer::Changes(list) => list,
            Answer::Other(others) => return Err(SearchFailure::Other(others)),
            Answer::NotLive => panic!("the database is live"),
        };
        let changes = match kept {
            Some(kept) if !is_small => kept.updated(list, &mut memory()).unwrap(),
            _ => PendingChanges::new(list, &mut memory()).unwrap(),
        };
        let mut results = Vec::new();
        for (key, hash) in (0..).zip(hashes) {
            let hash = KeyHash(hash);
            let keys = changes.keys_in(BucketPlace { number: hash.bucket_number(3), buckets: 3 });
            for section in SECTIONS {
                let mut found = FoundHolders::default();
                let base = known.get(&(key, section.number())).into_iter().flatten();
                base.filter(|profile| !changes.is_changed(**profile)).for_each(|profile| found.add(*profile));
                keys.add_holders(section, hash.prefix(), &mut found);
                results.push((key, section, found.result()));
            }
        }
        if !is_small {
            self.locations[at].changes.insert(generation.name.clone(), changes);
        }
        Ok(results)
    }

    fn compare(&mut self, found: &[(u8, BucketSection, KeyMatch)], name: &str) {
        self.count("launches");
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
        let at = self.dice.below(2) as usize;
        match self.dice.below(100) {
            0..28 => self.change(),
            28..53 => self.launch(),
            53..60 if self.compaction.is_none() => self.begin_compaction(),
            53..70 => self.continue_compaction(),
            70..74 if self.import.is_none() => self.begin_import(),
            70..77 => self.end_import(),
            77..80 => self.rotate(),
            80..84 => self.crash(),
            84..89 => self.now += self.dice.below(3) * 1000,
            89..91 => self.now += GENERATION_KEPT_MS,
            91 => self.now += RETIRED_GENERATION_MS,
            92..94 => self.run(|live, now| live.clean_up(now)).unwrap(),
            94..96 => self.locations[at].manifest = self.kv.clone(),
            96..98 => self.locations[at].absent.clear(),
            98 => self.locations[at].changes.clear(),
            _ => self.locations[at].misses.borrow_mut().clear(),
        }
    }
}

/// Why a launch did not search a generation.
enum SearchFailure {
    /// A bucket is missing.
    Buckets,
    /// The object names others.
    Other(Vec<Generation>),
}

#[test]
fn launches_find_what_a_plain_map_contains() {
    let histories = std::env::var("PROPERTY_HISTORIES").map_or(HISTORIES, |number| number.parse().unwrap());
    let mut events: BTreeMap<&str, u64> = BTreeMap::new();
    for seed in 0..histories {
        let mut history = History::new(seed);
        for _ in 0..60 {
            history.step();
        }
        for (event, number) in history.events {
            *events.entry(event).or_default() += number;
        }
    }
    println!("{histories} histories: {events:?}");
    assert!(events["launches"] > histories * 5, "{events:?}");
    for event in [
        "compactions",
        "deleted generations",
        "generations without all buckets",
        "imports",
        "killed compactions",
        "killed imports",
        "launches without buckets",
        "other generations",
        "refused generations",
        "rotations",
    ] {
        assert!(events.get(event).is_some_and(|number| *number >= histories / 50), "{event}: {events:?}");
    }
}
