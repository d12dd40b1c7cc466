//! Importing files of profiles, CSV and NDJSON: read in pieces and spilled often, or at once; against a reading row by row of
//! the whole file, whose keys then have to be found.

use super::{
    chunks::Dice,
    import_model::{self, Key, Model},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    io::{BufRead, BufReader},
};
use trigger_launch::{
    limits::KEY_PROFILES_LIMIT,
    profiles::{
        bucket::{Bucket, BucketSection, ENTRY_BYTES, KeyMatch, length},
        import::{BuiltIndex, ImportError, Importer, RefusedRow, RowCounts},
        key::{Class, IndexKey},
    },
};

type Buckets = BTreeMap<(Class, String, u32), String>;

/// More keys than a file here has.
const AT_ONCE: usize = 1 << 16;

/// What an import makes.
#[derive(Debug, PartialEq)]
struct Imported {
    rows: RowCounts,
    refused: Vec<RefusedRow>,
    built: BuiltIndex,
    buckets: Buckets,
}

/// The target.
pub fn run(data: &[u8]) {
    let mut dice = Dice::of(data);
    let whole = import(data, AT_ONCE);
    // A byte order mark has to come at once.
    let reader = BufReader::with_capacity(3 + dice.below(64), data);
    // Sorted runs are files: not for every input.
    let run = if dice.below(8) == 0 { 1 + dice.below(20) } else { AT_ONCE };
    assert_eq!(import(reader, run), whole, "in pieces");

    let model = import_model::read(data);
    match (whole, model) {
        (Ok(imported), Some(model)) => compare(&imported, &model),
        (Err(_), None) => {}
        (Err(error), Some(_)) => panic!("refused: {error}"),
        (Ok(imported), None) => panic!("{:?} of what is to be refused", imported.rows),
    }
}

pub fn key() -> IndexKey {
    IndexKey::new("a key of the index, which is long enough").expect("it is")
}

fn import(input: impl BufRead, run: usize) -> Result<Imported, String> {
    let mut importer = Importer::new(key(), run);
    let mut refused = Vec::new();
    let rows = importer.read(input, |row| refused.push(row)).map_err(|error| error.to_string())?;
    let mut buckets = Buckets::new();
    let plan = importer.plan().map_err(|error| error.to_string())?;
    let planned = plan.classes().to_vec();
    let built = plan.build(|index, number, text| {
        assert!(number < index.buckets);
        assert!(buckets.insert((index.class, index.field.clone(), number), text).is_none(), "a bucket comes once");
        Ok(())
    });
    let built = built.map_err(|error: ImportError| error.to_string())?;
    assert_eq!(planned.len(), built.classes.len());
    Ok(Imported { rows, refused, built, buckets })
}

fn compare(imported: &Imported, model: &Model) {
    let Imported { rows, refused, built, buckets } = imported;
    assert_eq!(rows.refused, refused.len() as u64, "every refused row is reported");
    assert_eq!((rows.accepted, rows.refused), (model.taken, model.refused));
    assert!(refused.is_sorted_by(|one, other| one.line < other.line));
    let lines = model.lines;
    assert!(refused.iter().all(|row| (1..=lines).contains(&row.line) && !row.reason.is_empty()));

    let ids = model.keys.iter().filter(|(key, _)| key.class == Class::ProfileId).count() as u64;
    let ambiguous = model.keys.values().filter(|profiles| profiles.len() > 1).count() as u64;
    assert_eq!((built.profiles, built.keys, built.ambiguous), (ids, model.keys.len() as u64 - ids, ambiguous));
    let entries: usize = buckets.values().map(|text| (text.len() - length(0)) / ENTRY_BYTES).sum();
    // A key with more profiles than the limit has one entry.
    let of_key = |profiles: &BTreeSet<_>| if profiles.len() > KEY_PROFILES_LIMIT { 1 } else { profiles.len() };
    assert_eq!(entries, model.keys.values().map(of_key).sum::<usize>(), "nothing else is there");
    let numbers: u32 = built.classes.iter().map(|index| index.buckets).sum();
    assert_eq!(numbers as usize, buckets.len());
    for (key, profiles) in &model.keys {
        assert_eq!(look_up(imported, key), expected(profiles), "{key:?}");
        let other = Key { subscription: !key.subscription, ..key.clone() };
        let profiles = model.keys.get(&other);
        assert_eq!(look_up(imported, &other), profiles.map_or(KeyMatch::None, expected), "{other:?}");
    }
}

fn expected(profiles: &BTreeSet<trigger_launch::profiles::key::ProfileId>) -> KeyMatch {
    match profiles.iter().collect::<Vec<_>>()[..] {
        [one] => KeyMatch::Profile(*one),
        _ => KeyMatch::Ambiguous,
    }
}

fn look_up(Imported { built, buckets, .. }: &Imported, key: &Key) -> KeyMatch {
    // Push keys of all providers are one class.
    let field = if key.class == Class::Push { "" } else { key.field.as_str() };
    let index = built.classes.iter().find(|index| index.class == key.class && index.field == field);
    let Some(index) = index else { return KeyMatch::None };
    let hash = self::key().hash(key.class, &key.field, &key.value);
    let text = &buckets[&(key.class, field.to_owned(), hash.bucket_number(index.buckets))];
    let section = if key.subscription { BucketSection::Subscriptions } else { BucketSection::Profiles };
    Bucket::parse(text).and_then(|bucket| bucket.find(section, hash.prefix())).expect("sound")
}
