//! The demo data: the specification's own examples run as they are printed, on a database of some size.

use std::fmt::Write as _;

use indicatif::ProgressBar;
use trigger_launch::{
    access::{DEMO_TOKEN, Scope, TOKEN_PREFIX, TokenRecord, token_key},
    profiles::{
        import::Importer,
        key::IndexKey,
        manifest::{Manifest, manifest_key},
    },
};

use crate::{
    Failure, Outcome,
    output::Warn,
    place::LockFile,
    profiles::{RUN, Target, write},
    store::{Kv, Namespace},
    tokens::json,
};

/// The database of the demo data.
const DATABASE: u64 = 1;
/// Profiles beside the two of the specification.
const PROFILES: u64 = 10_000;
/// What a generation of demo data is called like: by it a load that died half-way is told from an operator's import.
const GENERATION: &str = "demo";
/// The profiles of the specification's examples.
const EXAMPLES: &str = r#"{"profile_id":"6606e08f10bcdd88297057a7","email":"example1@example.com","custom:Custom_ID":["003","AA"]}
{"profile_id":"66101437dc4594c2934da6da","email":"example2@example.com","custom:Custom_ID":["002","YY"]}
"#;

/// Loads the data if the state is empty, and returns a line that says what was done. The token is written last: without
/// it, the data is incomplete.
pub fn load(kv: &mut dyn Kv, key: IndexKey, lock: &LockFile, now: u64, warn: Warn<'_>) -> Outcome<&'static str> {
    let manifest = kv.get_one(Namespace::Profiles, manifest_key(DATABASE))?;
    let ours = match Manifest::parse(manifest.as_deref()) {
        Ok(manifest) => manifest.current.name.starts_with(GENERATION),
        Err(_) => false,
    };
    if !kv.list(Namespace::Access, TOKEN_PREFIX)?.is_empty() || (manifest.is_some() && !ours) {
        return Ok("the state is not empty: no demo data loaded");
    }
    if !ours {
        let target = Target::new(DATABASE, &key, GENERATION, lock, now)?;
        let mut importer = Importer::new(key, RUN);
        let mut refused = None;
        importer.read(data().as_bytes(), |row| refused = Some(row))?;
        if let Some(row) = refused {
            return Err(Failure(format!("demo data, line {}: {}", row.line, row.reason)));
        }
        write(kv, &target, importer, &ProgressBar::hidden(), warn)?;
    }
    let scopes = vec![Scope::Launch, Scope::Read, Scope::Admin];
    let record = TokenRecord { name: "demo".into(), scopes, databases: Vec::new(), created: now, revoked: None };
    kv.put(Namespace::Access, &[(token_key(DEMO_TOKEN), json(&record)?)])?;
    Ok("demo data loaded")
}

/// The demo profiles as NDJSON: the same at every time and place.
fn data() -> String {
    const NAMES: [&str; 16] = [
        "anna", "boris", "chen", "dmitri", "elena", "farid", "grace", "hugo", "irina", "jonas", "kenji", "lucia",
        "maria", "nadia", "oleg", "priya",
    ];
    let mut text = EXAMPLES.to_owned();
    let mut random = Random(0x7472_6967_6765_7221);
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

/// SplitMix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

#[cfg(test)]
mod tests {
    use trigger_launch::profiles::{
        bucket::{Found, Section, find},
        key::{Class, ProfileId},
    };

    use super::*;
    use crate::store::fake::Fake;

    fn key() -> IndexKey {
        IndexKey::new(&"k".repeat(32)).unwrap()
    }

    fn load(kv: &mut Fake, now: u64) -> Outcome<&'static str> {
        let state = tempfile::tempdir().unwrap();
        super::load(kv, key(), &LockFile::in_folder(state.path()), now, &mut |warning| panic!("{warning}"))
    }

    fn look_up(kv: &Fake, class: Class, field: &str, value: &str) -> Found {
        let manifest = Manifest::parse(kv.profiles.get("manifest:1").map(String::as_str)).unwrap();
        let hash = key().hash(class, field, value);
        let index = manifest.current.class(class, field).unwrap();
        let text = &kv.profiles[&manifest.current.bucket_key(1, index, hash.bucket(index.buckets))];
        find(text, Section::Profiles, &hash).unwrap()
    }

    #[test]
    fn the_specifications_examples_find_their_profiles() {
        let mut kv = Fake::default();
        assert_eq!(load(&mut kv, 5).unwrap(), "demo data loaded");
        for (id, email, values) in [
            ("6606e08f10bcdd88297057a7", "example1@example.com", ["003", "AA"]),
            ("66101437dc4594c2934da6da", "example2@example.com", ["002", "YY"]),
        ] {
            let id = Found::Profile(ProfileId::parse(id).unwrap());
            assert_eq!(look_up(&kv, Class::Email, "", email), id);
            assert_eq!(values.map(|value| look_up(&kv, Class::Custom, "Custom_ID", value)), [id, id]);
        }
        let token: TokenRecord = serde_json::from_str(&kv.access[&token_key(DEMO_TOKEN)]).unwrap();
        assert_eq!(token.scopes, [Scope::Launch, Scope::Read, Scope::Admin]);
        assert_eq!(load(&mut kv, 6).unwrap(), "the state is not empty: no demo data loaded");
    }

    #[test]
    fn a_load_that_died_is_completed_and_an_operators_import_left_alone() {
        let mut kv = Fake::default();
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
    fn the_data_is_the_same_at_every_time() {
        assert_eq!(
            blake3::hash(data().as_bytes()).to_hex().as_str(),
            "8c998e4b0d01a7f6878e6989e1d8c499f8aaa7107256bcaf6125f5a8646aaa5c"
        );
    }
}
