//! Lookups of values that the isolate may remember.
//!
//! Only values that were found are remembered. A new token, campaign or index is found as soon as KV shows it.

use super::{ports::Ports, remembered::KvValue};
use crate::{
    access::{TokenRecord, campaign_key},
    problem::Cause,
    profiles::manifest::manifest_key,
};

/// Returns the record under a token's key, if the token is known and not revoked.
pub async fn valid_token<P: Ports>(ports: &P, key: String) -> Result<Option<TokenRecord>, Cause> {
    if let Some(KvValue::Token(token)) = ports.remembered().borrow_mut().get(&key, ports.now()) {
        return Ok(Some(token.clone()));
    }
    let token = ports.token(&key).await?.filter(|token| token.revoked.is_none());
    if let Some(token) = &token {
        ports.remembered().borrow_mut().put(key, KvValue::Token(token.clone()), ports.now());
    }
    Ok(token)
}

/// Returns the database of a campaign; `None`: KV does not know the campaign yet.
pub async fn campaign_database<P: Ports>(ports: &P, trigger_id: u64) -> Result<Option<u64>, Cause> {
    let key = campaign_key(trigger_id);
    if let Some(KvValue::Database(database)) = ports.remembered().borrow_mut().get(&key, ports.now()) {
        return Ok(Some(*database));
    }
    let database = ports.campaign_database(trigger_id).await?;
    if let Some(database) = database {
        ports.remembered().borrow_mut().put(key, KvValue::Database(database), ports.now());
    }
    Ok(database)
}

/// The manifest of a database's profile index.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KnownManifest {
    /// `None`: KV does not have it.
    pub text: Option<String>,
    /// Whether an earlier request has read it: KV may have a newer one.
    pub is_remembered: bool,
}

/// Returns the manifest of a database's profile index.
pub async fn manifest<P: Ports>(ports: &P, database: u64) -> Result<KnownManifest, Cause> {
    if let Some(KvValue::Manifest(text)) = ports.remembered().borrow_mut().get(&manifest_key(database), ports.now()) {
        return Ok(KnownManifest { text: Some(text.clone()), is_remembered: true });
    }
    read_manifest(ports, database).await
}

/// Forgets the manifest of a database's profile index, and reads it from KV.
pub async fn read_manifest<P: Ports>(ports: &P, database: u64) -> Result<KnownManifest, Cause> {
    let key = manifest_key(database);
    ports.remembered().borrow_mut().forget(&key);
    let text = ports.manifest(database).await?;
    if let Some(text) = &text {
        ports.remembered().borrow_mut().put(key, KvValue::Manifest(text.clone()), ports.now());
    }
    Ok(KnownManifest { text, is_remembered: false })
}
