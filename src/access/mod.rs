//! Who may do what: tokens, scopes, databases. KV holds digests of tokens, never tokens.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// What a token may be used for. Scopes do not imply each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    /// Launch campaigns.
    Launch,
    /// Read the launch log.
    Read,
    /// Define, pause, resume and list campaigns.
    Admin,
}

impl Scope {
    /// As it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Launch => "launch",
            Self::Read => "read",
            Self::Admin => "admin",
        }
    }
}

/// The value under a token's key in KV, as JSON. Pinned: a change of it is a migration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenRecord {
    /// The token's name: the scope of request ids, and what the log shows.
    pub name: String,
    /// What it may be used for.
    pub scopes: Vec<Scope>,
    /// The databases it may use; empty: all.
    #[serde(default)]
    pub databases: Vec<u64>,
    /// When it was made, in milliseconds since 1970.
    pub created: u64,
    /// When it was revoked: a tombstone. A revoked token is as good as none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoked: Option<u64>,
}

impl TokenRecord {
    /// Whether it has that scope.
    pub fn allows(&self, scope: Scope) -> bool {
        self.scopes.contains(&scope)
    }

    /// Whether it may use that database.
    pub fn allows_database(&self, database: u64) -> bool {
        self.databases.is_empty() || self.databases.contains(&database)
    }
}

/// What all keys of tokens in KV begin with.
pub const TOKEN_PREFIX: &str = "token:";
/// Digits of a token's digest that logs and the command line show.
pub const DIGEST_SHOWN: usize = 12;
/// The token of the demo data; refused by the command line with `--remote`.
pub const DEMO_TOKEN: &str = "abcdefghijklmnqrstuvwxyz";
/// Fewest characters of a token that an operator brings along.
pub const TOKEN_MIN: usize = 20;

/// The KV namespace that holds tokens and [`CampaignRecord`]s: its binding's name.
pub const BINDING: &str = "ACCESS";
/// What all keys of campaigns in KV begin with.
pub const CAMPAIGN_PREFIX: &str = "campaign:";

/// What KV knows of a campaign, under [`campaign_key`], as value and as metadata (which a listing shows). The
/// campaign's object is what counts: here stands what never changes (the database), and the name for listings.
/// Pinned: a change of it is a migration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CampaignRecord {
    /// The campaign's id.
    pub id: u64,
    /// Its name.
    pub name: String,
    /// The database of its profiles.
    pub database: u64,
}

/// The key in KV of a campaign. Padded, so that a listing is in the order of the ids.
pub fn campaign_key(trigger_id: u64) -> String {
    format!("{CAMPAIGN_PREFIX}{trigger_id:016}")
}

/// The key in KV of a token: a SHA-256 in hexadecimal, of the token behind a domain of its own.
/// A look-up by digest is also the comparison: nothing compares secrets byte by byte.
pub fn token_key(token: &str) -> String {
    let mut digest = Sha256::new();
    digest.update(b"trigger-launch token v1\0");
    digest.update(token.as_bytes());
    let mut key = String::with_capacity(TOKEN_PREFIX.len() + 64);
    key.push_str(TOKEN_PREFIX);
    for byte in digest.finalize() {
        for nibble in [byte >> 4, byte & 15] {
            key.push(char::from_digit(u32::from(nibble), 16).unwrap_or('0'));
        }
    }
    key
}
