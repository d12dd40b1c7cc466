//! The command `profiles find`: prints the profiles that have a key.

use trigger_launch::profiles::{
    bucket::{Bucket, BucketSection, CorruptBucket, KeyMatch},
    column::{InvalidKey, KeyColumn},
    key::{Class, IndexKey},
    manifest::{IndexError, Manifest, manifest_key},
    normal::Normaliser,
};

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
    #[error("{key} is missing; import profiles again")]
    MissingBucket { key: String },
    #[error("{key}")]
    DamagedBucket { key: String, source: CorruptBucket },
    #[error(transparent)]
    Kv(#[from] KvError),
}

/// Returns a line for each profile that has the key, and for a key that several profiles have.
pub fn find_profiles(
    kv: &mut dyn KvStore,
    key: &IndexKey,
    database: u64,
    wanted: &FindKey,
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
    let text = kv.get_one(KvBinding::Profiles, manifest_key(database))?;
    let index_error = |source: IndexError| FindError::Index { message: source.message(database), source };
    let manifest = Manifest::parse(text.as_deref()).map_err(index_error)?;
    let usable = manifest.generations(std::slice::from_ref(key)).map_err(index_error)?;
    let generation = usable.first().map(|usable| usable.generation).ok_or(FindError::NotFound)?;
    let index = generation.class(class, field).ok_or(FindError::NotFound)?;
    let hash = normal.hash(key);
    let bucket_key = generation.bucket_key(database, index, hash.bucket_number(index.buckets));
    let text = kv.get_one(KvBinding::Profiles, bucket_key.clone())?;
    let text = text.ok_or_else(|| FindError::MissingBucket { key: bucket_key.clone() })?;
    let damaged = |source| FindError::DamagedBucket { key: bucket_key.clone(), source };
    let bucket = Bucket::parse(&text).map_err(damaged)?;
    let mut lines = Vec::new();
    for (section, of) in [(BucketSection::Profiles, "profile"), (BucketSection::Subscriptions, "subscription")] {
        match bucket.find(section, &hash).map_err(damaged)? {
            KeyMatch::None => {}
            KeyMatch::Profile(id) => lines.push(format!("{id} ({of})")),
            KeyMatch::Ambiguous => lines.push(format!("ambiguous: several profiles have this key ({of})")),
        }
    }
    if lines.is_empty() { Err(FindError::NotFound) } else { Ok(lines) }
}
