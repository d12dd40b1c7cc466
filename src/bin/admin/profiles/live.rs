//! The command `profiles live`: turns live changes of a database on and off.
//!
//! KV's manifest says that changes are live before the database's object accepts the first one, and until the object accepts
//! none any more. In between, launches ask the object.

use trigger_launch::{
    profiles::manifest::{IndexError, Manifest, manifest_key},
    text::{error_chain, rfc3339},
};

use super::api::{ApiError, DatabaseApi};
use crate::{
    kv::{KvBinding, KvError, KvStore},
    location::Location,
    lock::LockError,
};

/// Why live changes were not turned on or off.
#[derive(Debug, thiserror::Error)]
pub enum LiveError {
    #[error("database {0} has no profile index: import profiles first")]
    NotImported(u64),
    /// A key of KV, and why its value cannot be used.
    #[error("{0} is {1}")]
    Manifest(String, String),
    #[error(transparent)]
    Api(#[from] ApiError),
    #[error(transparent)]
    Kv(#[from] KvError),
    #[error(transparent)]
    Lock(#[from] LockError),
}

/// Turns live changes on or off, and returns the result as a line.
pub fn set_live(location: &Location, database: u64, live: bool, url: &str) -> Result<String, LiveError> {
    let api = DatabaseApi::new(url, database)?;
    let _lock = location.lock_file().acquire()?;
    let mut kv = location.open_kv()?;
    let mut manifest = read_manifest(kv.as_mut(), database)?;
    if !live {
        let status = api.stop()?;
        write_manifest(kv.as_mut(), database, &Manifest { live: false, ..status.manifest })?;
        return Ok(format!("database {database}: live changes are off"));
    }
    if !manifest.live {
        manifest.live = true;
        write_manifest(kv.as_mut(), database, &manifest)?;
    }
    let status = api.start(&manifest)?;
    let since = status.live_since.map(rfc3339).unwrap_or_default();
    Ok(format!("database {database}: live changes are on; the first one is accepted at {since}"))
}

/// Reads the manifest in KV. Live changes need one.
pub fn read_manifest(kv: &mut dyn KvStore, database: u64) -> Result<Manifest, LiveError> {
    let text = kv.get_one(KvBinding::Profiles, manifest_key(database))?;
    Manifest::parse(text.as_deref()).map_err(|error| match error {
        IndexError::NotImported => LiveError::NotImported(database),
        error => LiveError::Manifest(manifest_key(database), error_chain(&error)),
    })
}

/// Writes KV's copy of a manifest.
pub fn write_manifest(kv: &mut dyn KvStore, database: u64, manifest: &Manifest) -> Result<(), KvError> {
    kv.put(KvBinding::Profiles, &[(manifest_key(database), manifest.to_json())])
}
