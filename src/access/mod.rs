//! Tokens, their scopes and databases, and copies of campaigns in KV. KV contains digests of tokens, never tokens.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::{
    limits::{DIGEST_SHOWN, METADATA_LIMIT},
    text::push_hex,
};

/// A permission of a token. Scopes do not imply each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    /// Launch campaigns.
    Launch,
    /// Read the launch log.
    Read,
    /// Define, pause, resume and list campaigns.
    Admin,
    /// Change profiles between imports.
    Profiles,
}

impl Scope {
    pub const ALL: [Self; 4] = [Self::Launch, Self::Read, Self::Admin, Self::Profiles];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Launch => "launch",
            Self::Read => "read",
            Self::Admin => "admin",
            Self::Profiles => "profiles",
        }
    }
}

/// The JSON value under a token's key in KV. Pinned: a change is a migration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenRecord {
    /// The scope of request IDs, and the name in the log.
    pub name: String,
    pub scopes: Vec<Scope>,
    /// Empty: all databases.
    #[serde(default)]
    pub databases: Vec<u64>,
    /// Milliseconds since 1970.
    pub created: u64,
    /// Milliseconds since 1970. The record of a revoked token stays.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoked: Option<u64>,
}

impl TokenRecord {
    pub fn allows(&self, scope: Scope) -> bool {
        self.scopes.contains(&scope)
    }

    pub fn allows_database(&self, database: u64) -> bool {
        allows_database(&self.databases, database)
    }
}

/// Whether a token of these databases may use `database`. An empty list means all databases.
pub fn allows_database(databases: &[u64], database: u64) -> bool {
    databases.is_empty() || databases.contains(&database)
}

/// Prefix of all token keys in KV.
pub const TOKEN_PREFIX: &str = "token:";
/// Returns a key of KV for the log. A token's digest is cut to the digits that the command line shows.
pub fn loggable_key(key: &str) -> Cow<'_, str> {
    match key.strip_prefix(TOKEN_PREFIX) {
        Some(digest) => Cow::Owned(format!("{TOKEN_PREFIX}{}…", digest.get(..DIGEST_SHOWN).unwrap_or(digest))),
        None => Cow::Borrowed(key),
    }
}

/// The token of the demo data; refused by the command line with `--remote`.
pub const DEMO_TOKEN: &str = "abcdefghijklmnqrstuvwxyz";

/// Binding of the KV namespace for tokens and [`CampaignRecord`]s.
pub const BINDING: &str = "ACCESS";
/// Prefix of all campaign keys in KV.
pub const CAMPAIGN_PREFIX: &str = "campaign:";

/// Marks a name that was shortened.
const ELLIPSIS: &str = "…";

/// KV's copy of a campaign: the value under [`campaign_key`], and also the metadata of the key, which a listing returns.
/// The campaign's object is authoritative, and the only writer of the copy. Only `database` never changes.
/// The stored format is pinned. Earlier versions wrote records without `active`; readers must still accept them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CampaignRecord {
    pub id: u64,
    /// Shortened if the record would be larger than [`METADATA_LIMIT`].
    pub name: String,
    pub database: u64,
    /// `None` in a copy that an earlier version wrote.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub active: Option<bool>,
}

impl CampaignRecord {
    /// A name that is too long for [`METADATA_LIMIT`] is shortened and ends with an ellipsis.
    pub fn new(id: u64, name: &str, database: u64, active: bool) -> Self {
        let mut record = Self { id, name: name.to_owned(), database, active: Some(active) };
        if json_bytes(&record) > METADATA_LIMIT {
            record.name = ELLIPSIS.to_owned();
            let room = METADATA_LIMIT.saturating_sub(json_bytes(&record));
            record.name = shortened(name, room);
        }
        record
    }
}

/// Returns the longest beginning of `name` that has at most `room` bytes in JSON, and an ellipsis.
fn shortened(name: &str, room: usize) -> String {
    let mut used = 0_usize;
    let fits = |character: &char| {
        // Quotation marks, backslashes and control characters are escaped; a quoted character has two bytes more.
        used = used.saturating_add(json_bytes(character).saturating_sub(2));
        used <= room
    };
    let mut name: String = name.chars().take_while(fits).collect();
    name.push_str(ELLIPSIS);
    name
}

fn json_bytes(value: &impl Serialize) -> usize {
    serde_json::to_string(value).map_or(usize::MAX, |json| json.len())
}

/// Returns the key of a campaign in KV. The ID is padded, so that a listing is in the order of IDs.
pub fn campaign_key(trigger_id: u64) -> String {
    format!("{CAMPAIGN_PREFIX}{trigger_id:016}")
}

/// Returns the key of a token in KV: the SHA-256 of a prefix and the token, in hexadecimal.
/// Looking up the digest replaces the comparison of secrets.
pub fn token_key(token: &str) -> String {
    let mut digest = Sha256::new();
    digest.update(b"trigger-launch token v1\0");
    digest.update(token.as_bytes());
    let mut key = TOKEN_PREFIX.to_owned();
    push_hex(&digest.finalize(), &mut key);
    key
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::SAFE_INTEGER_MAX;

    #[test]
    fn stores_a_campaign_record_as_pinned() {
        let record = CampaignRecord::new(8, "Welcome", 1, true);
        let json = r#"{"id":8,"name":"Welcome","database":1,"active":true}"#;
        assert_eq!(serde_json::to_string(&record).unwrap(), json);
        assert_eq!(serde_json::from_str::<CampaignRecord>(json).unwrap(), record);
        let earlier = r#"{"id":8,"name":"Welcome","database":1}"#;
        let read: CampaignRecord = serde_json::from_str(earlier).unwrap();
        assert_eq!(read, CampaignRecord { active: None, ..record });
        assert_eq!(serde_json::to_string(&read).unwrap(), earlier, "a listing does not add `active`");
    }

    #[test]
    fn does_not_shorten_a_name_of_256_bytes() {
        for character in ["x", "\"", "\\", "é", "…", "\u{1F600}", "\u{2028}", "\u{AD}"] {
            let name = character.repeat(256 / character.len());
            let record = CampaignRecord::new(SAFE_INTEGER_MAX, &name, SAFE_INTEGER_MAX, false);
            assert_eq!(record.name, name);
            assert!(json_bytes(&record) <= METADATA_LIMIT, "{character}");
        }
    }

    #[test]
    fn shortens_a_longer_name_until_the_metadata_fits() {
        // Control characters are not accepted in names. A record that has some is shortened all the same.
        for character in ["x", "\"", "\\", "é", "…", "\u{1F600}", "\u{2028}", "\u{1}"] {
            for length in 1..=1024 / character.len() {
                let name = character.repeat(length);
                let record = CampaignRecord::new(SAFE_INTEGER_MAX, &name, SAFE_INTEGER_MAX, false);
                let bytes = json_bytes(&record);
                assert!(bytes <= METADATA_LIMIT, "{character:?}: {bytes}");
                if record.name == name {
                    continue;
                }
                let kept = record.name.strip_suffix(ELLIPSIS).unwrap();
                assert!(name.starts_with(kept) && !kept.is_empty());
                let one_more = CampaignRecord { name: format!("{kept}{character}{ELLIPSIS}"), ..record.clone() };
                assert!(json_bytes(&one_more) > METADATA_LIMIT, "{character:?}: one more character would fit");
            }
        }
    }
}
