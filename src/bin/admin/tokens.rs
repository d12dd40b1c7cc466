//! Creates, lists and revokes tokens. KV contains only digests of tokens. A revoked token stays in KV as a tombstone, so that it
//! never works again.
//!
//! A record that cannot be read is reported by its key. Commands still work on all other records.

use std::fmt;

use trigger_launch::{
    access::{DEMO_TOKEN, Scope, TOKEN_PREFIX, TokenRecord, token_key},
    escape::escape_name,
    limits::{DIGEST_SHOWN, TOKEN_LIMIT, TOKEN_MIN, TOKEN_NAME_LIMIT},
    text::rfc3339,
};

use crate::{
    arguments::CreateToken,
    kv::{KvBinding, KvError, KvStore},
    system::{SystemError, random_bytes},
    terminal::{PrintError, Warn},
};

/// Why a command on tokens failed.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    #[error("--name: use 1 to {TOKEN_NAME_LIMIT} visible ASCII characters")]
    InvalidName,
    #[error("--value: use {TOKEN_MIN} to {TOKEN_LIMIT} visible ASCII characters")]
    InvalidValue,
    #[error("--value: the demo token is only for the local state; use another value")]
    DemoToken,
    #[error("--value: the record of this token is damaged; use another value ({0})")]
    DamagedValue(DamagedRecord),
    #[error("--value: a token with another name has this value; use another value")]
    ValueOfOtherToken,
    #[error("--value: this value was revoked; use another value")]
    RevokedValue,
    #[error("token {0} already has this value; use another value, or keep the token as it is")]
    ValueExists(String),
    #[error("token {0} already exists; use another name, or add a second value with --rotate")]
    NameExists(String),
    #[error("there is no active token named {0} to rotate; omit --rotate to create it")]
    NothingToRotate(String),
    #[error("there is no active token named {0}; `token list` shows all tokens")]
    UnknownName(String),
    #[error("token {name} has no active value whose digest begins with {digest}; `token list` shows all digests")]
    UnknownDigest { name: String, digest: String },
    #[error("--digest: {matches} digests begin with {digest}; give more digits")]
    AmbiguousDigest { matches: usize, digest: String },
    #[error("cannot print the new token; revoke it with `token revoke {name} --digest {digest}`")]
    NotPrinted { name: String, digest: String, source: PrintError },
    #[error(transparent)]
    Kv(#[from] KvError),
    #[error(transparent)]
    System(#[from] SystemError),
    #[error("cannot encode a token record as JSON")]
    Encode(#[from] serde_json::Error),
}

/// The token records in KV, with their keys.
struct TokenRecords {
    valid: Vec<(String, TokenRecord)>,
    damaged: Vec<DamagedRecord>,
}

/// A token record that cannot be read.
#[derive(Debug)]
pub struct DamagedRecord {
    key: String,
    /// The name in the record, if the name can be read.
    name: Option<String>,
    reason: String,
}

impl DamagedRecord {
    /// Whether the record may belong to the token with this name.
    fn may_belong_to(&self, name: &str) -> bool {
        self.name.as_ref().is_none_or(|known| known == name)
    }

    /// Whether the record belongs to the token with this name.
    fn belongs_to(&self, name: &str) -> bool {
        self.name.as_ref().is_some_and(|known| known == name)
    }
}

impl fmt::Display for DamagedRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (key, reason, digest) = (escape_name(&self.key), escape_name(&self.reason), short_digest(&self.key));
        let name = self.name.as_deref().unwrap_or("NAME");
        write!(
            f,
            "{key} is damaged ({reason}); `token revoke {name} --digest {digest}` replaces it with a revoked record"
        )
    }
}

/// Creates a token, or adds a value to one, and returns the value.
pub fn create_token(
    kv: &mut dyn KvStore,
    arguments: &CreateToken,
    is_remote: bool,
    now: u64,
    warn: Warn<'_>,
) -> Result<String, TokenError> {
    let name = &arguments.name;
    if !is_valid_name(name) {
        return Err(TokenError::InvalidName);
    }
    let value = match &arguments.value {
        Some(value) => {
            check_value(value, is_remote)?;
            value.clone()
        }
        None => base64_simd::URL_SAFE_NO_PAD.encode_to_string(random_bytes::<32>()?),
    };
    let TokenRecords { valid, damaged } = read_records(kv)?;
    let key = token_key(&value);
    for record in damaged {
        // The damaged record may be a tombstone. A revoked token must never work again.
        if record.key == key {
            return Err(TokenError::DamagedValue(record));
        }
        match record.may_belong_to(name) {
            true => warn(&format!("{record}; it may belong to the token {name}")),
            false => warn(&record.to_string()),
        }
    }
    if let Some((_, record)) = valid.iter().find(|(known, _)| *known == key) {
        return Err(if record.name != *name {
            TokenError::ValueOfOtherToken
        } else if record.revoked.is_some() {
            TokenError::RevokedValue
        } else {
            TokenError::ValueExists(name.clone())
        });
    }
    let active =
        valid.iter().map(|(_, record)| record).filter(|record| record.name == *name && record.revoked.is_none());
    let newest = active.max_by_key(|record| record.created);
    match newest {
        Some(_) if !arguments.rotate => return Err(TokenError::NameExists(name.clone())),
        None if arguments.rotate => return Err(TokenError::NothingToRotate(name.clone())),
        _ => {}
    }
    let record = new_record(arguments, newest, now);
    kv.put(KvBinding::Access, &[(key, serde_json::to_string(&record)?)])?;
    Ok(value)
}

/// Returns the record of a new value. Scopes and databases that are not given are those of the newest value.
fn new_record(arguments: &CreateToken, newest: Option<&TokenRecord>, now: u64) -> TokenRecord {
    let (mut scopes, mut databases) = (arguments.scopes.clone(), arguments.databases.clone());
    if let Some(newest) = newest {
        if scopes.is_empty() {
            scopes.clone_from(&newest.scopes);
        }
        if databases.is_empty() {
            databases.clone_from(&newest.databases);
        }
    }
    if scopes.is_empty() {
        scopes.push(Scope::Launch);
    }
    scopes.sort_by_key(|scope| scope.as_str());
    scopes.dedup();
    databases.sort_unstable();
    databases.dedup();
    TokenRecord { name: arguments.name.clone(), scopes, databases, created: now, revoked: None }
}

/// Returns the error for a token that was created but cannot be printed.
pub fn not_printed(arguments: &CreateToken, value: &str, source: PrintError) -> TokenError {
    TokenError::NotPrinted { name: arguments.name.clone(), digest: short_digest(&token_key(value)), source }
}

fn is_valid_name(name: &str) -> bool {
    (1..=TOKEN_NAME_LIMIT).contains(&name.len()) && name.bytes().all(|byte| byte.is_ascii_graphic())
}

fn check_value(value: &str, is_remote: bool) -> Result<(), TokenError> {
    if value == DEMO_TOKEN && is_remote {
        return Err(TokenError::DemoToken);
    }
    let is_valid =
        (TOKEN_MIN..=TOKEN_LIMIT).contains(&value.len()) && value.bytes().all(|byte| byte.is_ascii_graphic());
    if is_valid { Ok(()) } else { Err(TokenError::InvalidValue) }
}

/// Returns the lines of a table of all tokens, and the damaged records, which the table does not contain.
pub fn list_tokens(kv: &mut dyn KvStore) -> Result<(Vec<String>, Vec<DamagedRecord>), TokenError> {
    let TokenRecords { mut valid, damaged } = read_records(kv)?;
    valid.sort_by(|(_, a), (_, b)| (&a.name, a.created).cmp(&(&b.name, b.created)));
    let mut rows = vec![["NAME", "DIGEST", "SCOPES", "DATABASES", "CREATED", "REVOKED"].map(str::to_owned)];
    for (key, record) in valid {
        let scopes: Vec<&str> = record.scopes.iter().map(|scope| scope.as_str()).collect();
        let databases: Vec<String> = record.databases.iter().map(u64::to_string).collect();
        rows.push([
            escape_name(&record.name).to_string(),
            short_digest(&key),
            scopes.join(","),
            if databases.is_empty() { "all".into() } else { databases.join(",") },
            format_date(record.created),
            record.revoked.map_or_else(|| "-".into(), format_date),
        ]);
    }
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: [usize; 6] = std::array::from_fn(width);
    let line = |row: &[String; 6]| {
        let cells: Vec<String> = row.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}")).collect();
        cells.join("  ").trim_end().to_owned()
    };
    Ok((rows.iter().map(line).collect(), damaged))
}

/// Revokes all values of a token, or the value whose digest begins with `digest`. Returns the number of values.
///
/// Damaged records are replaced with tombstones if they have the name. A record without a readable name is replaced if
/// `digest` selects nothing else.
pub fn revoke_token(
    kv: &mut dyn KvStore,
    name: &str,
    digest: Option<&str>,
    now: u64,
    warn: Warn<'_>,
) -> Result<usize, TokenError> {
    let TokenRecords { mut valid, damaged } = read_records(kv)?;
    let is_selected = |key: &str| digest.is_none_or(|digest| digest_of(key).starts_with(digest));
    valid.retain(|(key, record)| record.name == name && record.revoked.is_none() && is_selected(key));
    let (mut replaced, others): (Vec<_>, Vec<_>) =
        damaged.into_iter().partition(|record| record.belongs_to(name) && is_selected(&record.key));
    let by_digest_only = valid.is_empty() && replaced.is_empty() && digest.is_some() && is_valid_name(name);
    for record in others {
        if by_digest_only && record.name.is_none() && is_selected(&record.key) {
            replaced.push(record);
        } else {
            warn(&record.to_string());
        }
    }
    let matches = valid.len() + replaced.len();
    match digest {
        None if matches == 0 => return Err(TokenError::UnknownName(name.to_owned())),
        Some(digest) if matches == 0 => {
            return Err(TokenError::UnknownDigest { name: name.to_owned(), digest: digest.to_owned() });
        }
        Some(digest) if matches > 1 => return Err(TokenError::AmbiguousDigest { matches, digest: digest.to_owned() }),
        _ => {}
    }
    let valid = valid.into_iter().map(|(key, record)| (key, TokenRecord { revoked: Some(now), ..record }));
    let replaced = replaced.into_iter().map(|record| {
        let (name, scopes, databases) = (name.to_owned(), Vec::new(), Vec::new());
        (record.key, TokenRecord { name, scopes, databases, created: now, revoked: Some(now) })
    });
    let tombstones: Result<Vec<_>, TokenError> =
        valid.chain(replaced).map(|(key, record)| Ok((key, serde_json::to_string(&record)?))).collect();
    kv.put(KvBinding::Access, &tombstones?)?;
    Ok(matches)
}

fn read_records(kv: &mut dyn KvStore) -> Result<TokenRecords, TokenError> {
    let keys = kv.list(KvBinding::Access, TOKEN_PREFIX)?;
    let values = kv.get(KvBinding::Access, &keys)?;
    let mut records = TokenRecords { valid: Vec::with_capacity(keys.len()), damaged: Vec::new() };
    for (key, value) in keys.into_iter().zip(values) {
        // KV can list a key that has been deleted.
        let Some(value) = value else { continue };
        match serde_json::from_str(&value) {
            Ok(record) => records.valid.push((key, record)),
            Err(error) => {
                let name = read_name(&value).filter(|name| is_valid_name(name));
                records.damaged.push(DamagedRecord { key, name, reason: error.to_string() });
            }
        }
    }
    Ok(records)
}

/// Reads the name in a damaged record that is a JSON object, such as a record that a later version has written.
fn read_name(value: &str) -> Option<String> {
    let record: serde_json::Value = serde_json::from_str(value).ok()?;
    Some(record.get("name")?.as_str()?.to_owned())
}

fn digest_of(key: &str) -> &str {
    key.strip_prefix(TOKEN_PREFIX).unwrap_or(key)
}

/// Returns the beginning of a digest, which identifies a value.
fn short_digest(key: &str) -> String {
    escape_name(&digest_of(key).chars().take(DIGEST_SHOWN).collect::<String>()).to_string()
}

/// Returns the date of a time in milliseconds since 1970, in UTC.
fn format_date(time: u64) -> String {
    rfc3339(time).chars().take_while(|char| *char != 'T').collect()
}

#[cfg(test)]
mod tests;
