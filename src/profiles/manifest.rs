//! Which generations a database's index has, and the keys of everything in KV that belongs to it.
//!
//! An import writes its buckets under a generation's name of its own and then the manifest, in which the former
//! current generation becomes the previous one. So readers see the old import or the new one.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{
    BINDING,
    key::{Class, IndexKey, NORMALISATION},
};
use crate::problem::Cause;

/// The version of the manifest and of the buckets that it names.
pub const FORMAT: u32 = 1;
/// A generation is removed when it is two behind and has been for this long, in milliseconds.
pub const RETIRED_MS: u64 = 24 * 60 * 60 * 1000;

/// A database's manifest: the value under [`manifest_key`], as JSON. Pinned: a change of it is a migration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// [`FORMAT`].
    pub format: u32,
    /// What launches use.
    pub current: Generation,
    /// What launches use where a bucket of the current one has not arrived at their place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous: Option<Generation>,
    /// What no launch uses any more and an import removes in time.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub retired: Vec<Retired>,
}

/// One import.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Generation {
    /// Its random name, part of the keys of its buckets.
    pub name: String,
    /// When it was made, in milliseconds since 1970.
    pub created: u64,
    /// The version of the normalisation of its keys.
    pub normalisation: u32,
    /// [`IndexKey::check`] of the key that it was made with.
    pub key: String,
    /// The indexes that it consists of.
    pub classes: Vec<ClassIndex>,
}

/// The buckets of one class of keys.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClassIndex {
    /// The class.
    pub class: Class,
    /// The field, for the classes that have one.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub field: String,
    /// How many buckets it has, numbered from 0; at least one.
    pub buckets: u32,
    /// Bytes of the largest bucket.
    pub largest: u32,
}

/// A generation that is two behind: no more than its name, since launches read this and do not need it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Retired {
    /// The generation's name.
    pub name: String,
    /// Since when it is two behind, in milliseconds since 1970.
    pub since: u64,
}

/// A generation that can be searched, and which of the configured keys hashes its keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Usable<'a> {
    /// The generation.
    pub generation: &'a Generation,
    /// The position of its key among those configured.
    pub key: usize,
}

/// Why a database's index cannot be searched: a 503, with [`Unusable::message`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unusable {
    /// There is no manifest.
    NoImport,
    /// The current generation was made with a key that is not configured.
    OtherKey,
    /// It was made by another version of this software.
    OtherVersion,
    /// The manifest cannot be read: what is wrong with it.
    Damaged(String),
}

impl Unusable {
    /// What callers and operators are told.
    pub fn message(&self, database: u64) -> String {
        match self {
            Self::NoImport => format!("database {database} has no profile index: import profiles first"),
            Self::OtherKey => format!("profile index of database {database} was built with another key"),
            Self::OtherVersion => {
                format!("profile index of database {database} was built by another version: import profiles again")
            }
            Self::Damaged(_) => format!("profile index of database {database} is damaged: import profiles again"),
        }
    }

    /// The same for the operator's log: the record's key, and what is wrong with it.
    pub fn cause(&self, database: u64) -> Cause {
        Cause(format!("KV {BINDING} {}: {self}", manifest_key(database)))
    }
}

impl fmt::Display for Unusable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoImport => f.write_str("not found"),
            Self::OtherKey => f.write_str("the current generation was built with a key that is not configured"),
            Self::OtherVersion => f.write_str("built by another version"),
            Self::Damaged(what) => write!(f, "damaged: {what}"),
        }
    }
}

impl Manifest {
    /// Reads the value in KV; `None`: there is none.
    pub fn parse(text: Option<&str>) -> Result<Self, Unusable> {
        /// The version is read by itself: what else stands there is the version's affair.
        #[derive(Deserialize)]
        struct Version {
            format: u32,
        }
        let text = text.ok_or(Unusable::NoImport)?;
        let damaged = |error: serde_json::Error| Unusable::Damaged(error.to_string());
        let version: Version = serde_json::from_str(text).map_err(damaged)?;
        if version.format != FORMAT {
            return Err(Unusable::OtherVersion);
        }
        let manifest: Self = serde_json::from_str(text).map_err(damaged)?;
        let sound = |generation: &Generation| generation.classes.iter().all(|class| class.buckets > 0);
        let all_sound = sound(&manifest.current) && manifest.previous.as_ref().is_none_or(sound);
        if all_sound { Ok(manifest) } else { Err(Unusable::Damaged("a class has no buckets".to_owned())) }
    }

    /// The value in KV.
    pub fn to_json(&self) -> String {
        // Plain data without maps: it always has a JSON form.
        serde_json::to_string(self).unwrap_or_default()
    }

    /// The generations to search, the current one first, each with the position of its key among `keys`. The
    /// current one has to be usable; the previous one is left out where it is not.
    pub fn generations(&self, keys: &[IndexKey]) -> Result<Vec<Usable<'_>>, Unusable> {
        let mut usable = vec![self.current.usable(keys)?];
        usable.extend(self.previous.as_ref().and_then(|previous| previous.usable(keys).ok()));
        Ok(usable)
    }
}

impl Generation {
    /// Which of `keys` it was made with.
    fn usable(&self, keys: &[IndexKey]) -> Result<Usable<'_>, Unusable> {
        if self.normalisation != NORMALISATION {
            return Err(Unusable::OtherVersion);
        }
        let key = keys.iter().position(|key| key.check() == self.key).ok_or(Unusable::OtherKey)?;
        Ok(Usable { generation: self, key })
    }

    /// The index of a class (and field), if the import held such keys.
    pub fn class(&self, class: Class, field: &str) -> Option<&ClassIndex> {
        self.classes.iter().find(|index| index.class == class && index.field == field)
    }

    /// The key of one bucket of one of its classes.
    pub fn bucket_key(&self, database: u64, index: &ClassIndex, number: u32) -> String {
        format!("{}{number}", bucket_prefix(database, &self.name, index.class, &index.field))
    }

    /// The keys of all its buckets.
    pub fn bucket_keys(&self, database: u64) -> impl Iterator<Item = String> {
        self.classes
            .iter()
            .flat_map(move |index| (0..index.buckets).map(move |number| self.bucket_key(database, index, number)))
    }
}

/// The key of a database's manifest.
pub fn manifest_key(database: u64) -> String {
    format!("manifest:{database}")
}

/// The key of the marker of an import that has begun to write: it is deleted when the import ends, and what is
/// older than [`RETIRED_MS`] is of one that died. The value is the [`Generation`] as JSON.
pub fn pending_key(database: u64, generation: &str) -> String {
    format!("{}{generation}", pending_prefix(database))
}

/// What all keys of a database's markers begin with.
pub fn pending_prefix(database: u64) -> String {
    format!("pending:{database}:")
}

/// The prefix of the keys of all buckets of a database; the generation's name follows.
pub fn database_prefix(database: u64) -> String {
    format!("bucket:{database}:")
}

/// The prefix of the keys of all buckets of a generation.
pub fn generation_prefix(database: u64, generation: &str) -> String {
    format!("{}{generation}:", database_prefix(database))
}

/// What the keys of all buckets of one class begin with; the bucket's number follows. A field's name stands in
/// it as a digest: names may be longer than a key of KV.
pub fn bucket_prefix(database: u64, generation: &str, class: Class, field: &str) -> String {
    let (generation, class) = (generation_prefix(database, generation), class.as_str());
    if field.is_empty() {
        return format!("{generation}{class}:");
    }
    let digest = blake3::hash(field.as_bytes());
    let (halves, _) = digest.as_bytes().as_chunks::<16>();
    let field = halves.first().map(|half| crate::text::hex(half)).unwrap_or_default();
    format!("{generation}{class}:{field}:")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(letter: &str) -> IndexKey {
        IndexKey::new(&letter.repeat(32)).unwrap()
    }

    fn generation(name: &str, key: &IndexKey) -> Generation {
        let email = ClassIndex { class: Class::Email, field: String::new(), buckets: 2, largest: 4112 };
        let custom = ClassIndex { class: Class::Custom, field: "Custom_ID".into(), buckets: 1, largest: 80 };
        Generation {
            name: name.into(),
            created: 1_700_000_000_000,
            normalisation: NORMALISATION,
            key: key.check().into(),
            classes: vec![email, custom],
        }
    }

    fn manifest() -> Manifest {
        Manifest {
            format: FORMAT,
            current: generation("bb", &key("b")),
            previous: Some(generation("aa", &key("a"))),
            retired: Vec::new(),
        }
    }

    /// Pinned: what is stored is read by what is deployed.
    #[test]
    fn the_json_stays_what_it_is() {
        let mut manifest = manifest();
        manifest.retired.push(Retired { name: "zz".into(), since: 5 });
        let classes = r#"[{"class":"email","buckets":2,"largest":4112},{"class":"custom","field":"Custom_ID","buckets":1,"largest":80}]"#;
        let generation = |name: &str, check: &str| {
            format!(
                r#"{{"name":"{name}","created":1700000000000,"normalisation":2,"key":"{check}","classes":{classes}}}"#
            )
        };
        let expected = format!(
            r#"{{"format":1,"current":{},"previous":{},"retired":[{{"name":"zz","since":5}}]}}"#,
            generation("bb", "873b8da9ed8e89981561f3c1c0ba3796"),
            generation("aa", "778f7fdcc80d3dffda680e0d40fb67e9"),
        );
        assert_eq!(manifest.to_json(), expected);
        assert_eq!(Manifest::parse(Some(&expected)), Ok(manifest));
    }

    #[test]
    fn the_keys_stay_what_they_are() {
        assert_eq!(manifest_key(1), "manifest:1");
        assert_eq!(pending_key(1, "aa"), "pending:1:aa");
        let keys: Vec<String> = generation("aa", &key("a")).bucket_keys(7).collect();
        let custom = "bucket:7:aa:custom:35eb82af6de25fec84dc8b818587a416:0";
        assert_eq!(keys, ["bucket:7:aa:email:0", "bucket:7:aa:email:1", custom]);
        let longest = bucket_prefix(u64::MAX, &"f".repeat(32), Class::CustomSub, &"ü".repeat(600));
        assert!(longest.len() + 5 <= 512 && longest.is_ascii());
    }

    #[test]
    fn the_generation_chooses_its_key() {
        let manifest = manifest();
        let usable = |keys: &[IndexKey]| {
            let usable = manifest.generations(keys)?;
            Ok(usable.iter().map(|u| (u.generation.name.clone(), u.key)).collect::<Vec<_>>())
        };
        assert_eq!(usable(&[key("b"), key("a")]), Ok(vec![("bb".into(), 0), ("aa".into(), 1)]));
        assert_eq!(usable(&[key("a"), key("b")]), Ok(vec![("bb".into(), 1), ("aa".into(), 0)]));
        assert_eq!(usable(&[key("b")]), Ok(vec![("bb".into(), 0)]), "a previous one with a lost key is left out");
        assert_eq!(usable(&[key("a")]), Err(Unusable::OtherKey), "the current one has to fit");
        assert_eq!(usable(&[]), Err(Unusable::OtherKey));
        let mut older = manifest.clone();
        older.current.normalisation += 1;
        assert_eq!(older.generations(&[key("b")]), Err(Unusable::OtherVersion));
    }

    #[test]
    fn what_cannot_be_read_says_what_to_do() {
        assert_eq!(Manifest::parse(None), Err(Unusable::NoImport));
        let damaged = |text: &str| match Manifest::parse(Some(text)) {
            Err(Unusable::Damaged(what)) => what,
            other => panic!("{other:?}"),
        };
        assert_eq!(damaged("{}"), "missing field `format` at line 1 column 2");
        assert_eq!(damaged(r#"{"format":1}"#), "missing field `current` at line 1 column 12");
        assert_eq!(Manifest::parse(Some(r#"{"format":2,"x":1}"#)), Err(Unusable::OtherVersion));
        let no_buckets = manifest().to_json().replace(r#""buckets":2"#, r#""buckets":0"#);
        assert_eq!(damaged(&no_buckets), "a class has no buckets");
        let cause = Manifest::parse(Some(&no_buckets)).unwrap_err().cause(3);
        assert_eq!(cause.0, "KV PROFILES manifest:3: damaged: a class has no buckets");
        assert_eq!(Unusable::NoImport.message(3), "database 3 has no profile index: import profiles first");
        assert_eq!(Unusable::OtherKey.message(3), "profile index of database 3 was built with another key");
    }
}
