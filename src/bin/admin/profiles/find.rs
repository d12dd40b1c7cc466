//! The command `profiles find`: prints the profiles that have a key.

use std::collections::{BTreeMap, HashSet};

use trigger_launch::{
    limits::KEY_PROFILES_LIMIT,
    profiles::{
        bucket::{Bucket, BucketSection, CorruptBucket},
        column::{InvalidKey, KeyColumn},
        key::{Class, IndexKey, KeyHash, ProfileId},
        live::message::{DamagedMessage, PendingList},
        manifest::{Generation, IndexError, Manifest, manifest_key},
        normal::Normaliser,
    },
};

use super::api::{ApiError, DatabaseApi};
use crate::{
    arguments::FindKey,
    kv::{KvBinding, KvError, KvStore},
};

/// Why the profiles of a key cannot be found.
#[derive(Debug, thiserror::Error)]
pub enum FindError {
    #[error("the {name} is not a key")]
    InvalidKey { name: &'static str, source: InvalidKey },
    #[error("no profile has this key")]
    NotFound,
    #[error("{message}")]
    Index { message: String, source: IndexError },
    #[error("the changes of database {0} are live: add --url, with a token in TRIGGER_LAUNCH_TOKEN")]
    Live(u64),
    #[error("the pending changes cannot be read")]
    Changes(#[from] DamagedMessage),
    #[error("{key} is missing; import profiles again")]
    MissingBucket { key: String },
    #[error("{key}")]
    DamagedBucket { key: String, source: CorruptBucket },
    #[error(transparent)]
    Api(#[from] ApiError),
    #[error(transparent)]
    Kv(#[from] KvError),
}

/// The profiles of a key in a section. `None`: more than [`KEY_PROFILES_LIMIT`] profiles that the index does not name.
type SectionHolders = Vec<Option<ProfileId>>;

/// A key that is searched.
struct WantedKey<'a> {
    class: Class,
    /// The name of the custom field.
    field: &'a str,
    hash: KeyHash,
}

/// Returns a line for each profile that has the key, and for a key that several profiles have. `url` is the address of the
/// deployment, whose pending changes count. They are read as a whole: the deployment does not receive the key.
pub fn find_profiles(
    kv: &mut dyn KvStore,
    key: &IndexKey,
    database: u64,
    wanted: &FindKey,
    url: Option<&str>,
) -> Result<Vec<String>, FindError> {
    let pending = url.map(|url| DatabaseApi::new(url, database)?.pending("search")).transpose()?;
    find_with_changes(kv, key, database, wanted, pending.as_deref())
}

/// `pending` is a [`PendingList`].
pub(super) fn find_with_changes(
    kv: &mut dyn KvStore,
    key: &IndexKey,
    database: u64,
    wanted: &FindKey,
    pending: Option<&[u8]>,
) -> Result<Vec<String>, FindError> {
    let (name, class, field, value) = match wanted {
        FindKey { email: Some(address), .. } => ("e-mail address", Class::Email, "", address.as_str()),
        FindKey { phone: Some(number), .. } => ("phone number", Class::Phone, "", number.as_str()),
        FindKey { custom, .. } => {
            let (field, value) = custom.as_ref().map_or(("", ""), |custom| (&custom.field, &custom.value));
            ("value", Class::Custom, field, value)
        }
    };
    let column = KeyColumn { class, section: BucketSection::Profiles, field: field.to_owned() };
    let normal = column.key(value, &Normaliser::native()).map_err(|source| FindError::InvalidKey { name, source })?;
    let wanted = WantedKey { class, field, hash: normal.hash(key) };
    let pending = pending.map(PendingList::read).transpose()?;
    let index_error = |source: IndexError| FindError::Index { message: source.message(database), source };
    let manifest = match &pending {
        // KV's manifest may be out of date.
        Some(list) => list.status.manifest.clone(),
        None => {
            let text = kv.get_one(KvBinding::Profiles, manifest_key(database))?;
            Manifest::parse(text.as_deref()).map_err(index_error)?
        }
    };
    if manifest.live && pending.is_none() {
        return Err(FindError::Live(database));
    }
    let usable = manifest.generations(std::slice::from_ref(key)).map_err(index_error)?;
    let generation = usable.first().map(|usable| usable.generation).ok_or(FindError::NotFound)?;
    let mut holders = holders_in_index(kv, database, generation, &wanted)?;
    if let Some(list) = &pending {
        apply_changes(&mut holders, list, &wanted)?;
    }
    let mut lines = Vec::new();
    for (section, of) in [(BucketSection::Profiles, "profile"), (BucketSection::Subscriptions, "subscription")] {
        let holders = holders.get(&section.number()).map(Vec::as_slice).unwrap_or_default();
        lines.extend(holders.iter().flatten().map(|id| format!("{id} ({of})")));
        if holders.contains(&None) {
            lines.push(format!("ambiguous: more than {KEY_PROFILES_LIMIT} profiles have this key ({of})"));
        } else if holders.len() > 1 {
            lines.push(format!("ambiguous: several profiles have this key ({of})"));
        }
    }
    if lines.is_empty() { Err(FindError::NotFound) } else { Ok(lines) }
}

/// Returns the profiles that have the key in each section of its bucket, by the number of the section.
fn holders_in_index(
    kv: &mut dyn KvStore,
    database: u64,
    generation: &Generation,
    wanted: &WantedKey<'_>,
) -> Result<BTreeMap<u8, SectionHolders>, FindError> {
    let mut holders = BTreeMap::new();
    let Some(index) = generation.class(wanted.class, wanted.field) else { return Ok(holders) };
    let bucket_key = generation.bucket_key(database, index, wanted.hash.bucket_number(index.buckets));
    let text = kv.get_one(KvBinding::Profiles, bucket_key.clone())?;
    let text = text.ok_or_else(|| FindError::MissingBucket { key: bucket_key.clone() })?;
    let damaged = |source| FindError::DamagedBucket { key: bucket_key.clone(), source };
    let bucket = Bucket::parse(&text).map_err(damaged)?;
    for section in [BucketSection::Profiles, BucketSection::Subscriptions] {
        let known: &mut SectionHolders = holders.entry(section.number()).or_default();
        bucket.each_holder(section, wanted.hash.prefix(), |holder| known.push(holder)).map_err(damaged)?;
    }
    Ok(holders)
}

/// Removes the profiles that have changed, and adds those whose latest change contains the key.
fn apply_changes(
    holders: &mut BTreeMap<u8, SectionHolders>,
    list: &PendingList<'_>,
    wanted: &WantedKey<'_>,
) -> Result<(), FindError> {
    let mut changed = HashSet::new();
    let mut added: Vec<(u8, ProfileId)> = Vec::new();
    for row in list.rows() {
        let (profile, keys) = row?;
        changed.insert(profile);
        for key in keys {
            let key = key.map_err(|_| DamagedMessage)?;
            if (key.class, key.field, key.hash(0)) == (wanted.class, wanted.field, Some(wanted.hash)) {
                added.push((key.section.number(), profile));
            }
        }
    }
    for known in holders.values_mut() {
        known.retain(|holder| holder.is_none_or(|profile| !changed.contains(&profile)));
    }
    added.sort_unstable();
    added.dedup();
    for (section, profile) in added {
        holders.entry(section).or_default().push(Some(profile));
    }
    Ok(())
}
