//! The object of a database against a native SQLite.

mod database;
mod fold;
mod histories;

use super::{
    database::encode_changes,
    message::{ChangeRequest, ChangeSetHead},
    row::PackedKey,
};
use crate::{
    limits::MIB,
    memory::{Budget, Reservation},
    profiles::{
        bucket::BucketSection,
        key::{Class, ProfileId, first_half},
        manifest::{FORMAT_VERSION, Generation, Manifest},
    },
};
use sha2::{Digest as _, Sha256};

pub const NOON: u64 = 1_790_000_000_000;

/// A key of the tests: a number, and its section.
pub type TestKey = (u8, BucketSection);

pub fn profile(number: u8) -> ProfileId {
    ProfileId([number; 12])
}

/// The hash of a key under an index key.
pub fn hash(index_key: &str, key: u8) -> [u8; 16] {
    first_half(Sha256::digest(format!("{index_key} {key}").as_bytes()).into())
}

pub fn generation(name: &str, key: &str) -> Generation {
    Generation::new(name, key, NOON)
}

pub fn manifest(name: &str, key: &str) -> Manifest {
    let current = generation(name, key);
    Manifest { format: FORMAT_VERSION, current, previous: None, retired: Vec::new(), live: true }
}

/// The packed keys of a profile that exists.
pub fn pack(keys: &[TestKey], index_keys: &[&str]) -> Vec<u8> {
    let mut packed = Vec::new();
    let class = |number: u8| if number == 0 { Class::ProfileId } else { Class::Email };
    for (number, section) in std::iter::once(&(0, BucketSection::Profiles)).chain(keys) {
        let hashes: Vec<[u8; 16]> = index_keys.iter().map(|key| hash(key, *number)).collect();
        PackedKey { class: class(*number), field: "", section: *section, hashes: &hashes }.pack(&mut packed);
    }
    packed
}

/// A set of changes without its kind. `None` deletes the profile.
pub fn changes(rows: &[(u8, Option<&[TestKey]>)], index_keys: &[&str], request: Option<(&str, &str)>) -> Vec<u8> {
    let key_checks = index_keys.iter().map(|key| (*key).to_owned()).collect();
    let request = request.map(|(request_id, digest)| ChangeRequest {
        token_name: "crm".into(),
        request_id: request_id.into(),
        digest: digest.into(),
    });
    let pack = |keys: &Option<&[TestKey]>| keys.map(|keys| pack(keys, index_keys)).unwrap_or_default();
    let rows: Vec<_> = rows.iter().map(|(number, keys)| (profile(*number), pack(keys))).collect();
    encode_changes(&ChangeSetHead { key_checks, request }, &rows)[1..].to_vec()
}

pub fn memory() -> Reservation {
    Reservation::verified(&Budget::new(64 * MIB, MIB))
}
