//! The demo data: the profiles and the token of the examples in the specification, and more profiles.

use std::fmt::Write as _;

use indicatif::ProgressBar;
use trigger_launch::{
    access::{DEMO_TOKEN, Scope, TOKEN_PREFIX, TokenRecord, token_key},
    limits::SORT_KEYS,
    profiles::{
        import::{ImportError, Importer, ReadOptions, Reason},
        key::IndexKey,
        manifest::{IndexError, Manifest, manifest_key},
    },
};

use crate::{
    kv::{KvBinding, KvError, KvStore},
    lock::LockFile,
    profiles::{GenerationError, NewGeneration, WriteChecks},
    system::SystemError,
    terminal::Warn,
};

const DATABASE: u64 = 1;
/// The number of profiles in addition to those of the specification.
const PROFILES: u64 = 10_000;
/// The prefix of the names of demo generations. It distinguishes an interrupted load from an operator's import.
const GENERATION_PREFIX: &str = "demo";
/// The profiles of the examples in the specification.
const EXAMPLES: &str = r#"{"profile_id":"6606e08f10bcdd88297057a7","email":"example1@example.com","custom:Custom_ID":["003","AA"]}
{"profile_id":"66101437dc4594c2934da6da","email":"example2@example.com","custom:Custom_ID":["002","YY"]}
"#;

/// Why the demo data was not loaded.
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    #[error("demo data: {}", .0.reason)]
    Refused(Reason),
    #[error("demo data")]
    Import(#[from] ImportError),
    #[error(transparent)]
    Generation(#[from] GenerationError),
    #[error(transparent)]
    Kv(#[from] KvError),
    #[error(transparent)]
    System(#[from] SystemError),
    #[error("cannot encode a token record as JSON")]
    Encode(#[from] serde_json::Error),
}

/// Loads the demo data if the state is empty, or loads the profiles again if another version loaded them. Returns a message. The
/// token is written last: if it is missing, the data is incomplete and is loaded again.
pub fn load_demo(
    kv: &mut dyn KvStore,
    key: IndexKey,
    lock: &LockFile,
    now: u64,
    warn: Warn<'_>,
) -> Result<&'static str, DemoError> {
    let manifest = kv.get_one(KvBinding::Profiles, manifest_key(DATABASE))?;
    let current = manifest.as_deref().and_then(Manifest::current_name);
    let has_demo_profiles = current.is_some_and(|name| name.starts_with(GENERATION_PREFIX));
    let is_outdated = has_demo_profiles && is_of_other_version(manifest.as_deref(), &key);
    let has_tokens = !kv.list(KvBinding::Access, TOKEN_PREFIX)?.is_empty();
    if (has_tokens && !is_outdated) || (manifest.is_some() && !has_demo_profiles) {
        return Ok("the state is not empty: no demo data loaded");
    }
    if !has_demo_profiles || is_outdated {
        let generation = NewGeneration::new(DATABASE, &key, GENERATION_PREFIX, lock, now)?;
        let mut importer = Importer::new(key, SORT_KEYS);
        let report = importer.read(demo_profiles().as_bytes(), &ReadOptions::default())?;
        if let Some(reason) = report.reasons.into_iter().next() {
            return Err(DemoError::Refused(reason));
        }
        let checks = WriteChecks { rows: report.rows.accepted, allow_shrink: true, dry_run: false };
        generation.write(kv, importer, checks, &ProgressBar::hidden(), warn)?;
    }
    if has_tokens {
        return Ok("demo profiles loaded again: another version had loaded them");
    }
    let scopes = Scope::ALL.to_vec();
    let record = TokenRecord { name: "demo".into(), scopes, databases: Vec::new(), created: now, revoked: None };
    kv.put(KvBinding::Access, &[(token_key(DEMO_TOKEN), serde_json::to_string(&record)?)])?;
    Ok("demo data loaded")
}

/// Whether another version of this software wrote a manifest or its current generation.
fn is_of_other_version(manifest: Option<&str>, key: &IndexKey) -> bool {
    let usable = Manifest::parse(manifest)
        .and_then(|manifest| manifest.generations(std::slice::from_ref(key)).map(|usable| usable.len()));
    matches!(usable, Err(IndexError::OtherVersion))
}

/// Returns the demo profiles as NDJSON. They are always the same.
fn demo_profiles() -> String {
    const NAMES: [&str; 16] = [
        "anna", "boris", "chen", "dmitri", "elena", "farid", "grace", "hugo", "irina", "jonas", "kenji", "lucia",
        "maria", "nadia", "oleg", "priya",
    ];
    let mut text = EXAMPLES.to_owned();
    let mut random = SplitMix64(0x7472_6967_6765_7221);
    for number in 1..=PROFILES {
        let (high, low) = (random.next(), random.next());
        let name = NAMES[(high % 16) as usize];
        let phone = 79_000_000_000 + number * 9_973;
        let _ = write!(
            text,
            r#"{{"profile_id":"{:08x}{low:016x}","email":"{name}.{number}@example.com","phone":"+{phone}""#,
            high >> 32,
        );
        let _ = write!(text, r#","custom:Custom_ID":"{}","custom:customer_number":{}"#, 10_000 + number, number);
        if low % 4 == 0 {
            let _ = write!(text, r#","email_sub":"{name}.{number}@example.org""#);
        }
        if low % 5 == 0 {
            let _ = write!(text, r#","phone_sub":"+{}""#, phone + 1_000_000_000);
        }
        if low % 3 == 0 {
            let _ = write!(text, r#","push_sub":["android-firebase:{high:016x}","ios-firebase:{low:016x}"]"#);
        }
        if low % 7 == 0 {
            let _ = write!(text, r#","custom_sub:telegram":"{}""#, high % 10_000_000_000);
        }
        text.push_str("}\n");
    }
    text
}

/// A pseudo-random number generator.
struct SplitMix64(u64);

impl SplitMix64 {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

#[cfg(test)]
mod tests {
    use sha2::{Digest as _, Sha256};
    use trigger_launch::{
        profiles::{
            bucket::{Bucket, BucketSection, KeyMatch},
            key::{Class, ProfileId},
        },
        text::hex,
    };

    use super::*;
    use crate::kv::fake::FakeKv;

    fn key() -> IndexKey {
        IndexKey::new(&"k".repeat(32)).unwrap()
    }

    /// Loads the demo data. Panics if there is a warning.
    fn load(kv: &mut FakeKv, now: u64) -> Result<&'static str, DemoError> {
        let state = tempfile::tempdir().unwrap();
        load_demo(kv, key(), &LockFile::silent(state.path()), now, &mut |warning| panic!("{warning}"))
    }

    fn look_up(kv: &FakeKv, class: Class, field: &str, value: &str) -> KeyMatch {
        let manifest = Manifest::parse(kv.profiles.get("manifest:1").map(String::as_str)).unwrap();
        let hash = key().hash(class, field, value);
        let index = manifest.current.class(class, field).unwrap();
        let text = &kv.profiles[&manifest.current.bucket_key(1, index, hash.bucket_number(index.buckets))];
        Bucket::parse(text).unwrap().find(BucketSection::Profiles, hash.prefix()).unwrap()
    }

    #[test]
    fn the_examples_of_the_specification_find_their_profiles() {
        let mut kv = FakeKv::default();
        assert_eq!(load(&mut kv, 5).unwrap(), "demo data loaded");
        for (id, email, values) in [
            ("6606e08f10bcdd88297057a7", "example1@example.com", ["003", "AA"]),
            ("66101437dc4594c2934da6da", "example2@example.com", ["002", "YY"]),
        ] {
            let id = KeyMatch::Profile(ProfileId::parse(id).unwrap());
            assert_eq!(look_up(&kv, Class::Email, "", email), id);
            assert_eq!(values.map(|value| look_up(&kv, Class::Custom, "Custom_ID", value)), [id, id]);
        }
        let token: TokenRecord = serde_json::from_str(&kv.access[&token_key(DEMO_TOKEN)]).unwrap();
        assert_eq!(token.scopes, Scope::ALL);
        assert_eq!(load(&mut kv, 6).unwrap(), "the state is not empty: no demo data loaded");
    }

    #[test]
    fn completes_an_interrupted_load_and_does_not_replace_an_operators_import() {
        let mut kv = FakeKv::default();
        load(&mut kv, 5).unwrap();
        let manifest = kv.profiles["manifest:1"].clone();
        kv.access.clear();
        assert_eq!(load(&mut kv, 6).unwrap(), "demo data loaded");
        assert_eq!((kv.access.len(), &kv.profiles["manifest:1"]), (1, &manifest));
        kv.access.clear();
        kv.profiles.insert("manifest:1".into(), manifest.replace("\"name\":\"demo", "\"name\":\"abcd"));
        load(&mut kv, 7).unwrap();
        assert!(kv.access.is_empty());
    }

    #[test]
    fn replaces_demo_profiles_of_another_version_and_keeps_the_token() {
        let mut kv = FakeKv::default();
        load(&mut kv, 5).unwrap();
        let access = kv.access.clone();
        let manifest = kv.profiles["manifest:1"].clone();
        for earlier in [
            manifest.replace("\"format\":2", "\"format\":1"),
            manifest.replace("\"normalisation\":", "\"normalisation\":1"),
        ] {
            kv.profiles.insert("manifest:1".into(), earlier.clone());
            let state = tempfile::tempdir().unwrap();
            let loaded = load_demo(&mut kv, key(), &LockFile::silent(state.path()), 6, &mut |_| {}).unwrap();
            assert_eq!(loaded, "demo profiles loaded again: another version had loaded them");
            assert_eq!(kv.access, access);
            let found = look_up(&kv, Class::Email, "", "example1@example.com");
            assert_eq!(found, KeyMatch::Profile(ProfileId::parse("6606e08f10bcdd88297057a7").unwrap()));
            kv.profiles.insert("manifest:1".into(), earlier.replace("\"name\":\"demo", "\"name\":\"abcd"));
            assert_eq!(load(&mut kv, 7).unwrap(), "the state is not empty: no demo data loaded");
        }
    }

    #[test]
    fn the_demo_profiles_are_always_the_same() {
        assert_eq!(
            hex(&Sha256::digest(demo_profiles().as_bytes())),
            "d00bd337d06f3028d7b78a33b1df123ab55d6943fcf175184f275c11bf0e6d51"
        );
    }
}
