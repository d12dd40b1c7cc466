//! The format of a manifest, and the names of all keys in KV that belong to an index.
//!
//! An import writes the buckets of a new generation, and then the manifest, in which the current generation becomes the previous
//! one. A launch therefore searches either the old import or the new one, never a mixture.

use hashbrown::HashSet;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::{
    BINDING,
    key::{Class, IndexKey, NORMALISATION_VERSION, first_half},
};
use crate::{
    json,
    limits::{
        BUCKET_LIMIT, BULK_KEYS, BULK_READS_LIMIT, FIELD_NAMES_LIMIT, FIELDS_LIMIT, GENERATION_NAME_LIMIT, KEY_LIMIT,
        RETIRED_LIMIT,
    },
    problem::Cause,
    text::{error_chain, hex},
};

/// The version of the manifest and the buckets.
pub const FORMAT_VERSION: u32 = 2;

/// The manifest of a database: the value of [`manifest_key`], as JSON. Pinned: a change is a migration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// [`FORMAT_VERSION`].
    pub format: u32,
    /// The generation that launches search.
    pub current: Generation,
    /// The generation that a launch searches instead if a bucket of the current one has not reached its location yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous: Option<Generation>,
    /// Generations that no launch searches any more. An import deletes their buckets later.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub retired: Vec<RetiredGeneration>,
    /// Whether profiles change between imports. A launch then asks the object of the database ([`super::live`]), which names the
    /// current generation: the one in this manifest may be out of date.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub live: bool,
}

/// The result of one import.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Generation {
    /// A random name, which is part of the keys of its buckets.
    pub name: String,
    /// When the import began, in milliseconds since 1970.
    pub created: u64,
    /// [`NORMALISATION_VERSION`].
    pub normalisation: u32,
    /// [`IndexKey::check`] of the key that hashed its keys.
    pub key: String,
    /// The number of profiles; 0 if the import did not record it.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub profiles: u64,
    /// The indexes of all classes that have keys.
    pub classes: Vec<ClassIndex>,
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// The buckets of one class of keys.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClassIndex {
    /// The class of keys.
    pub class: Class,
    /// The name of the custom field or channel, or empty for other classes.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub field: String,
    /// The number of buckets, at least one. Buckets are numbered from 0.
    pub buckets: u32,
    /// The size of the largest bucket in bytes.
    pub largest: u32,
}

/// A generation that no launch searches any more. Every launch reads the manifest, so only the name is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RetiredGeneration {
    /// The name of the generation.
    pub name: String,
    /// When the generation was retired, in milliseconds since 1970.
    pub since: u64,
}

/// A generation that can be searched, and the key that hashed its keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UsableGeneration<'a> {
    /// The generation.
    pub generation: &'a Generation,
    /// The position of the key among the configured keys.
    pub key_position: usize,
}

/// Why the index of a database cannot be searched. Launches get 503.
#[derive(Debug, thiserror::Error)]
pub enum IndexError {
    /// There is no manifest: no profiles have been imported.
    #[error("not found")]
    NotImported,
    /// The current generation was built with a key that is not configured.
    #[error("the current generation was built with a key that is not configured")]
    UnknownKey,
    /// The manifest or the current generation was written by another version of this software.
    #[error("built by another version")]
    OtherVersion,
    /// The manifest is not valid JSON of the expected form.
    #[error("damaged")]
    Damaged(#[from] serde_json::Error),
    /// A class in the manifest has no buckets.
    #[error("damaged: a class has no buckets")]
    NoBuckets,
}

impl IndexError {
    /// Returns the message for the caller.
    pub fn message(&self, database: u64) -> String {
        match self {
            Self::NotImported => format!("database {database} has no profile index: import profiles first"),
            Self::UnknownKey => {
                format!("profile index of database {database} was built with another key: import profiles again")
            }
            Self::OtherVersion => {
                format!("profile index of database {database} was built by another version: import profiles again")
            }
            Self::Damaged(_) | Self::NoBuckets => {
                format!("profile index of database {database} is damaged: import profiles again")
            }
        }
    }

    /// Returns the cause for the operator's log: the key in KV, and why its value cannot be used.
    pub fn cause(&self, database: u64) -> Cause {
        Cause(format!("KV {BINDING} {}: {}", manifest_key(database), error_chain(self)))
    }
}

/// More custom fields and channels than a database can have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "{count} custom fields and channels with {bytes} bytes of names; the limits are {FIELDS_LIMIT} and {FIELD_NAMES_LIMIT}"
)]
pub struct TooManyFields {
    count: usize,
    bytes: usize,
}

/// The number of custom fields and channels, and the bytes of their names in JSON.
#[derive(Debug, Clone, Copy, Default)]
pub struct FieldTotals {
    count: usize,
    bytes: usize,
}

impl FieldTotals {
    /// Counts a field. An index without a field does not count.
    pub fn add(&mut self, field: &str) {
        let escaped = |byte: u8| match byte {
            b'"' | b'\\' => 2,
            0..b' ' => 6,
            _ => 1,
        };
        self.count += usize::from(!field.is_empty());
        self.bytes += field.bytes().map(escaped).sum::<usize>();
    }

    pub fn check(self) -> Result<(), TooManyFields> {
        let Self { count, bytes } = self;
        let is_allowed = count <= FIELDS_LIMIT && bytes <= FIELD_NAMES_LIMIT;
        if is_allowed { Ok(()) } else { Err(TooManyFields { count, bytes }) }
    }
}

/// Checks the name of a generation, which a client has sent.
pub fn check_name(what: &str, name: &str) -> Result<(), String> {
    let is_valid = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    if (1..=GENERATION_NAME_LIMIT).contains(&name.len()) && name.bytes().all(is_valid) {
        return Ok(());
    }
    Err(format!("{what}: must be 1 to {GENERATION_NAME_LIMIT} letters, digits, - and _"))
}

/// Checks the names of retired generations, which a client has sent.
pub fn check_retired<'a>(what: &str, names: impl ExactSizeIterator<Item = &'a String>) -> Result<(), String> {
    if names.len() > RETIRED_LIMIT {
        return Err(format!("{what}: {} entries; the limit is {RETIRED_LIMIT}", names.len()));
    }
    names.enumerate().try_for_each(|(number, name)| check_name(&format!("{what}[{number}]"), name))
}

impl Manifest {
    /// Checks a manifest that a client has sent. The error names the field.
    pub fn check(&self) -> Result<(), String> {
        if self.format != FORMAT_VERSION {
            return Err(format!("manifest.format: must be {FORMAT_VERSION}"));
        }
        self.current.check("manifest.current")?;
        self.previous.iter().try_for_each(|generation| generation.check("manifest.previous"))?;
        check_retired("manifest.retired", self.retired.iter().map(|retired| &retired.name))
    }

    /// Reads the value of [`manifest_key`], or `None` if KV does not have the key.
    pub fn parse(text: Option<&str>) -> Result<Self, IndexError> {
        /// Read before the rest, whose form depends on the version.
        #[derive(Deserialize)]
        struct Version {
            format: u32,
        }
        let text = text.ok_or(IndexError::NotImported)?;
        let Version { format } = json::from_str(text)?;
        if format != FORMAT_VERSION {
            return Err(IndexError::OtherVersion);
        }
        let manifest: Self = json::from_str(text)?;
        let mut generations = std::iter::once(&manifest.current).chain(&manifest.previous);
        let has_buckets = generations.all(|generation| generation.classes.iter().all(|class| class.buckets > 0));
        if has_buckets { Ok(manifest) } else { Err(IndexError::NoBuckets) }
    }

    /// Returns the name of the current generation in a value of [`manifest_key`], which any version may have written.
    pub fn current_name(text: &str) -> Option<String> {
        #[derive(Deserialize)]
        struct AnyManifest {
            current: NamedGeneration,
        }
        #[derive(Deserialize)]
        struct NamedGeneration {
            name: String,
        }
        json::from_str::<AnyManifest>(text).ok().map(|manifest| manifest.current.name)
    }

    /// Returns the value of [`manifest_key`].
    pub fn to_json(&self) -> String {
        // Serialisation cannot fail: the manifest contains no maps.
        serde_json::to_string(self).unwrap_or_default()
    }

    /// Makes a new generation the current one. The current generation of `before` becomes the previous one, and the previous
    /// one is retired. `deleted` contains the names of retired generations whose buckets have been deleted.
    pub fn publish(before: Option<Self>, generation: Generation, deleted: &[String], now: u64) -> Self {
        let (previous, mut retired, replaced, live) = match before {
            Some(Self { current, previous, retired, live, .. }) => (Some(current), retired, previous, live),
            None => (None, Vec::new(), None, false),
        };
        let deleted: HashSet<&str> = deleted.iter().map(String::as_str).collect();
        retired.retain(|retired| !deleted.contains(&*retired.name));
        retired.extend(replaced.map(|generation| RetiredGeneration { name: generation.name, since: now }));
        Self { format: FORMAT_VERSION, current: generation, previous, retired, live }
    }

    /// Returns the generations to search, the current one first. The current generation must be usable; the previous one is
    /// left out if it is not.
    pub fn generations(&self, keys: &[IndexKey]) -> Result<Vec<UsableGeneration<'_>>, IndexError> {
        let mut usable = vec![self.current.usable(keys)?];
        usable.extend(self.previous.as_ref().and_then(|previous| previous.usable(keys).ok()));
        Ok(usable)
    }

    /// Whether the manifest names this generation, retired or not.
    pub fn has_generation(&self, name: &str) -> bool {
        let usable = std::iter::once(&self.current).chain(&self.previous).map(|generation| &generation.name);
        usable.chain(self.retired.iter().map(|retired| &retired.name)).any(|known| known == name)
    }
}

impl Generation {
    /// A generation without buckets. `check` is [`IndexKey::check`] of the key that hashes its keys.
    pub fn new(name: &str, check: &str, created: u64) -> Self {
        let (name, key) = (name.to_owned(), check.to_owned());
        Self { name, created, normalisation: NORMALISATION_VERSION, key, profiles: 0, classes: Vec::new() }
    }

    /// Checks a generation that a client has sent. The error names the field.
    pub fn check(&self, what: &str) -> Result<(), String> {
        check_name(&format!("{what}.name"), &self.name)?;
        check_name(&format!("{what}.key"), &self.key)?;
        const BUCKETS: usize = BULK_READS_LIMIT * BULK_KEYS;
        let mut totals = FieldTotals::default();
        let mut seen: HashSet<(Class, &str)> = HashSet::new();
        for (number, index) in self.classes.iter().enumerate() {
            let refuse = |field: &str, must: String| Err(format!("{what}.classes[{number}].{field}: {must}"));
            let ClassIndex { class, field, buckets, largest } = index;
            let is_custom = matches!(class, Class::Custom | Class::CustomSub);
            if is_custom && !(1..=KEY_LIMIT).contains(&field.len()) {
                return refuse("field", format!("must have 1 to {KEY_LIMIT} bytes"));
            }
            if !is_custom && !field.is_empty() {
                return refuse("field", format!("must be empty for the class {}", class.as_str()));
            }
            if !seen.insert((*class, field)) {
                return refuse("class", "a second index of the same class and field".to_owned());
            }
            if !(1..=BUCKETS).contains(&(*buckets as usize)) {
                return refuse("buckets", format!("must be 1 to {BUCKETS}"));
            }
            if !(1..=BUCKET_LIMIT).contains(&(*largest as usize)) {
                return refuse("largest", format!("must be 1 to {BUCKET_LIMIT}"));
            }
            totals.add(field);
            totals.check().map_err(|error| format!("{what}.classes: {error}"))?;
        }
        Ok(())
    }

    /// Returns the generation with the position of its key, if it can be searched.
    pub fn usable(&self, keys: &[IndexKey]) -> Result<UsableGeneration<'_>, IndexError> {
        if self.normalisation != NORMALISATION_VERSION {
            return Err(IndexError::OtherVersion);
        }
        let key_position = keys.iter().position(|key| key.check() == self.key).ok_or(IndexError::UnknownKey)?;
        Ok(UsableGeneration { generation: self, key_position })
    }

    /// Returns the index of a class and field, or `None` if the import had no such keys.
    pub fn class(&self, class: Class, field: &str) -> Option<&ClassIndex> {
        self.classes.iter().find(|index| index.class == class && index.field == field)
    }

    /// Returns the key in KV of one bucket.
    pub fn bucket_key(&self, database: u64, index: &ClassIndex, number: u32) -> String {
        format!("{}{number}", bucket_prefix(database, &self.name, index.class, &index.field))
    }

    /// Returns the keys in KV of all buckets.
    pub fn bucket_keys(&self, database: u64) -> impl Iterator<Item = String> {
        self.classes
            .iter()
            .flat_map(move |index| (0..index.buckets).map(move |number| self.bucket_key(database, index, number)))
    }
}

/// Returns the key in KV of a database's manifest.
pub fn manifest_key(database: u64) -> String {
    format!("manifest:{database}")
}

/// Returns the key in KV of the marker of a generation that an import is writing. The value is the [`Generation`] as JSON.
///
/// The import deletes the marker at its end. A marker older than [`crate::limits::RETIRED_GENERATION_MS`] belongs to an import
/// that was interrupted.
pub fn pending_key(database: u64, generation: &str) -> String {
    format!("{}{generation}", pending_prefix(database))
}

/// Returns the prefix of the keys of all markers of a database. The name of the generation follows.
pub fn pending_prefix(database: u64) -> String {
    format!("pending:{database}:")
}

/// Returns the prefix of the keys of all buckets of a database. The name of the generation follows.
pub fn database_prefix(database: u64) -> String {
    format!("bucket:{database}:")
}

/// Returns the prefix of the keys of all buckets of a generation. The class follows.
pub fn generation_prefix(database: u64, generation: &str) -> String {
    format!("{}{generation}:", database_prefix(database))
}

/// Returns the prefix of the keys of all buckets of a class and field. The number of the bucket follows. The field is
/// represented by a digest, because its name can be longer than a key of KV.
pub fn bucket_prefix(database: u64, generation: &str, class: Class, field: &str) -> String {
    let (generation, class) = (generation_prefix(database, generation), class.as_str());
    if field.is_empty() {
        return format!("{generation}{class}:");
    }
    let field = hex(&first_half(Sha256::digest(field.as_bytes()).into()));
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
            normalisation: NORMALISATION_VERSION,
            key: key.check().into(),
            profiles: 9,
            classes: vec![email, custom],
        }
    }

    fn manifest() -> Manifest {
        Manifest {
            format: FORMAT_VERSION,
            current: generation("bb", &key("b")),
            previous: Some(generation("aa", &key("a"))),
            retired: Vec::new(),
            live: false,
        }
    }

    /// Pinned: deployed Workers read this format.
    #[test]
    fn the_json_is_pinned() {
        let mut manifest = manifest();
        manifest.retired.push(RetiredGeneration { name: "zz".into(), since: 5 });
        let classes = r#"[{"class":"email","buckets":2,"largest":4112},{"class":"custom","field":"Custom_ID","buckets":1,"largest":80}]"#;
        let generation = |name: &str, check: &str| {
            format!(
                r#"{{"name":"{name}","created":1700000000000,"normalisation":3,"key":"{check}","profiles":9,"classes":{classes}}}"#
            )
        };
        let expected = format!(
            r#"{{"format":2,"current":{},"previous":{},"retired":[{{"name":"zz","since":5}}]}}"#,
            generation("bb", "ac8f6edec1a666cbfa343069895ad9fd"),
            generation("aa", "2493bea75c34bb1852fe6a450cfd08d4"),
        );
        assert_eq!(manifest.to_json(), expected);
        assert_eq!(Manifest::parse(Some(&expected)).unwrap(), manifest);
    }

    #[test]
    fn the_keys_in_kv_are_pinned() {
        assert_eq!(manifest_key(1), "manifest:1");
        assert_eq!(pending_key(1, "aa"), "pending:1:aa");
        let keys: Vec<String> = generation("aa", &key("a")).bucket_keys(7).collect();
        let custom = "bucket:7:aa:custom:87b7fa78b67efdec1b2bf787e87d7c42:0";
        assert_eq!(keys, ["bucket:7:aa:email:0", "bucket:7:aa:email:1", custom]);
        let longest = bucket_prefix(u64::MAX, &"f".repeat(32), Class::CustomSub, &"ü".repeat(600));
        assert!(longest.len() + 5 <= 512 && longest.is_ascii());
    }

    #[test]
    fn each_generation_is_searched_with_the_key_that_built_it() {
        let manifest = manifest();
        let usable = |keys: &[IndexKey]| {
            let usable = manifest.generations(keys)?;
            Ok(usable.iter().map(|usable| (usable.generation.name.clone(), usable.key_position)).collect::<Vec<_>>())
        };
        assert_eq!(usable(&[key("b"), key("a")]).unwrap(), [("bb".into(), 0), ("aa".into(), 1)]);
        assert_eq!(usable(&[key("a"), key("b")]).unwrap(), [("bb".into(), 1), ("aa".into(), 0)]);
        assert_eq!(usable(&[key("b")]).unwrap(), [("bb".into(), 0)], "the previous generation is left out");
        for keys in [&[key("a")][..], &[]] {
            assert!(matches!(usable(keys), Err(IndexError::UnknownKey)), "the current generation must be usable");
        }
        let mut older = manifest.clone();
        older.current.normalisation += 1;
        assert!(matches!(older.generations(&[key("b")]), Err(IndexError::OtherVersion)));
    }

    #[test]
    fn a_new_generation_replaces_the_current_one_and_retires_the_previous_one() {
        let first = Manifest::publish(None, generation("aa", &key("a")), &[], 1);
        assert_eq!((first.previous.clone(), first.retired.clone()), (None, vec![]));
        let second = Manifest::publish(Some(first), generation("bb", &key("b")), &[], 2);
        assert_eq!(second, manifest());
        let third = Manifest::publish(Some(second), generation("cc", &key("a")), &[], 3);
        assert_eq!(third.retired, [RetiredGeneration { name: "aa".into(), since: 3 }]);
        assert_eq!(["aa", "bb", "cc", "dd"].map(|name| third.has_generation(name)), [true, true, true, false]);
        let fourth = Manifest::publish(Some(third), generation("dd", &key("a")), &["aa".into()], 4);
        assert_eq!(fourth.retired, [RetiredGeneration { name: "bb".into(), since: 4 }]);
        assert!(!fourth.has_generation("aa"));
    }

    #[test]
    fn an_index_that_cannot_be_used_is_reported_with_the_remedy_and_the_cause() {
        let damaged = manifest().to_json().replace(r#""buckets":2"#, r#""buckets":0"#);
        for (text, message, cause) in [
            (None, "database 3 has no profile index: import profiles first", "not found"),
            (
                Some(r#"{"format":1,"x":1}"#),
                "profile index of database 3 was built by another version: import profiles again",
                "built by another version",
            ),
            (
                Some("{}"),
                "profile index of database 3 is damaged: import profiles again",
                "damaged: missing field `format` at line 1 column 2",
            ),
            (
                Some(r#"{"format":2}"#),
                "profile index of database 3 is damaged: import profiles again",
                "damaged: missing field `current` at line 1 column 12",
            ),
            (
                Some(damaged.as_str()),
                "profile index of database 3 is damaged: import profiles again",
                "damaged: a class has no buckets",
            ),
        ] {
            let error = Manifest::parse(text).unwrap_err();
            assert_eq!(error.message(3), message);
            assert_eq!(error.cause(3).0, format!("KV PROFILES manifest:3: {cause}"));
        }
        let other_key = "profile index of database 3 was built with another key: import profiles again";
        assert_eq!(IndexError::UnknownKey.message(3), other_key);
    }
}
