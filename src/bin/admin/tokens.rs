//! Tokens: made, listed, revoked. KV holds digests alone, and a revoked token stays as a tombstone.

use std::fmt::Write as _;

use trigger_launch::{
    access::{DEMO_TOKEN, Scope, TOKEN_MIN, TOKEN_PREFIX, TokenRecord, token_key},
    limits::TOKEN_LIMIT,
};

use crate::{
    Create, Failure, Outcome, random,
    store::{Kv, Namespace},
};

/// How much of a digest is shown.
const DIGEST_SHOWN: usize = 12;
/// Longest name of a token, in characters.
const NAME_LIMIT: usize = 64;

/// Makes a token and returns it.
pub fn create(kv: &mut dyn Kv, create: &Create, remote: bool, now: u64) -> Outcome<String> {
    let name = &create.name;
    if name.is_empty() || name.len() > NAME_LIMIT || !name.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(Failure(format!("--name: 1 to {NAME_LIMIT} visible ASCII characters")));
    }
    let token = match &create.value {
        Some(value) => checked(value, remote)?,
        None => base64_simd::URL_SAFE_NO_PAD.encode_to_string(random::<32>()?),
    };
    let tokens = all(kv)?;
    let key = token_key(&token);
    if let Some((_, record)) = tokens.iter().find(|(known, _)| *known == key) {
        return Err(Failure(if record.name != *name {
            "--value: this is the token of another name".into()
        } else if record.revoked.is_some() {
            "--value: this token has been revoked".into()
        } else {
            format!("{name} has this value already")
        }));
    }
    let in_use = tokens.iter().map(|(_, record)| record).filter(|record| record.name == *name);
    let in_use = in_use.filter(|record| record.revoked.is_none()).max_by_key(|record| record.created);
    let (mut scopes, mut databases) = (create.scopes.clone(), create.databases.clone());
    match in_use {
        Some(_) if !create.rotate => {
            return Err(Failure(format!("there is a token {name}: --rotate adds a second value to it")));
        }
        None if create.rotate => return Err(Failure(format!("there is no token {name} to rotate"))),
        Some(record) => {
            if scopes.is_empty() {
                scopes.clone_from(&record.scopes);
            }
            if databases.is_empty() {
                databases.clone_from(&record.databases);
            }
        }
        None => {}
    }
    if scopes.is_empty() {
        scopes.push(Scope::Launch);
    }
    scopes.sort_by_key(|scope| scope.as_str());
    scopes.dedup();
    databases.sort_unstable();
    databases.dedup();
    let record = TokenRecord { name: name.clone(), scopes, databases, created: now, revoked: None };
    kv.put(Namespace::Access, &[(key, json(&record)?)])?;
    Ok(token)
}

/// A token that the operator brings along.
fn checked(value: &str, remote: bool) -> Outcome<String> {
    if value == DEMO_TOKEN && remote {
        return Err(Failure::new("--value: the demo token is for the local state alone"));
    }
    let length = TOKEN_MIN..=TOKEN_LIMIT;
    if !length.contains(&value.len()) || !value.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(Failure(format!("--value: {TOKEN_MIN} to {TOKEN_LIMIT} visible ASCII characters")));
    }
    Ok(value.to_owned())
}

/// A table of all tokens, one line each.
pub fn list(kv: &mut dyn Kv) -> Outcome<String> {
    let mut tokens = all(kv)?;
    tokens.sort_by(|(_, a), (_, b)| (&a.name, a.created).cmp(&(&b.name, b.created)));
    let mut rows = vec![["NAME", "DIGEST", "SCOPES", "DATABASES", "CREATED", "REVOKED"].map(str::to_owned)];
    for (key, record) in tokens {
        let scopes: Vec<&str> = record.scopes.iter().map(|scope| scope.as_str()).collect();
        let databases: Vec<String> = record.databases.iter().map(u64::to_string).collect();
        rows.push([
            record.name,
            key.trim_start_matches(TOKEN_PREFIX).chars().take(DIGEST_SHOWN).collect(),
            scopes.join(","),
            if databases.is_empty() { "all".into() } else { databases.join(",") },
            date(record.created),
            record.revoked.map_or_else(|| "-".into(), date),
        ]);
    }
    let widths: [usize; 6] = std::array::from_fn(|i| rows.iter().map(|row| row[i].len()).max().unwrap_or(0));
    let mut table = String::new();
    for row in rows {
        let cells: Vec<String> = row.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}")).collect();
        let _ = writeln!(table, "{}", cells.join("  ").trim_end());
    }
    Ok(table)
}

/// Revokes the values of a name, or the one whose digest begins with `digest`; returns how many.
pub fn revoke(kv: &mut dyn Kv, name: &str, digest: Option<&str>, now: u64) -> Outcome<usize> {
    let mut tokens = all(kv)?;
    tokens.retain(|(key, record)| {
        let of_digest = digest.is_none_or(|digest| key.trim_start_matches(TOKEN_PREFIX).starts_with(digest));
        record.name == name && record.revoked.is_none() && of_digest
    });
    if tokens.is_empty() {
        return Err(Failure(format!("there is no such value of a token {name} in use: see `token list`")));
    }
    if digest.is_some() && tokens.len() > 1 {
        return Err(Failure::new("--digest: more than one digest begins so"));
    }
    let mut tombstones = Vec::with_capacity(tokens.len());
    for (key, record) in tokens {
        tombstones.push((key, json(&TokenRecord { revoked: Some(now), ..record })?));
    }
    kv.put(Namespace::Access, &tombstones)?;
    Ok(tombstones.len())
}

fn all(kv: &mut dyn Kv) -> Outcome<Vec<(String, TokenRecord)>> {
    let keys = kv.list(Namespace::Access, TOKEN_PREFIX)?;
    let values = kv.get(Namespace::Access, &keys)?;
    let mut tokens = Vec::with_capacity(keys.len());
    for (key, value) in keys.into_iter().zip(values) {
        // A key that the list still shows may have gone; a value that cannot be read must not be passed over.
        let Some(value) = value else { continue };
        let record = serde_json::from_str(&value);
        tokens.push((key, record.map_err(|error| Failure(format!("a token in KV cannot be read: {error}")))?));
    }
    Ok(tokens)
}

/// The value in KV.
pub fn json(record: &TokenRecord) -> Outcome<String> {
    serde_json::to_string(record).map_err(|error| Failure(error.to_string()))
}

/// The day, in UTC.
fn date(ms: u64) -> String {
    // Days since 1 March of the year 0: with the leap day last, months and years follow by division.
    let days = ms / 86_400_000 + 719_468;
    let (era, of_era) = (days / 146_097, days % 146_097);
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let (year, month) = (era * 400 + year, if month < 10 { month + 3 } else { month - 9 });
    format!("{:04}-{month:02}-{day:02}", year + u64::from(month <= 2))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::fake::Fake;

    fn named(name: &str) -> Create {
        Create { name: name.into(), ..Create::default() }
    }

    fn record(kv: &Fake, token: &str) -> TokenRecord {
        serde_json::from_str(&kv.access[&token_key(token)]).unwrap()
    }

    #[test]
    fn a_token_is_made_and_only_its_digest_kept() {
        let mut kv = Fake::default();
        let token = create(&mut kv, &named("shop"), true, 5).unwrap();
        assert_eq!(token.len(), 43);
        let expected = TokenRecord {
            name: "shop".into(),
            scopes: vec![Scope::Launch],
            databases: vec![],
            created: 5,
            revoked: None,
        };
        assert_eq!(record(&kv, &token), expected);
        assert!(kv.access.iter().all(|(key, value)| !key.contains(&token) && !value.contains(&token)));
        assert!(create(&mut kv, &named("shop"), true, 6).is_err(), "the name is in use");
        for name in ["", "a b", "é", &"a".repeat(65)] {
            assert!(create(&mut kv, &named(name), true, 6).is_err(), "{name}");
        }
    }

    #[test]
    fn a_rotation_adds_a_value_and_revoking_by_digest_ends_it() {
        let mut kv = Fake::default();
        let scopes = vec![Scope::Read, Scope::Launch, Scope::Read];
        let first = create(&mut kv, &Create { scopes, databases: vec![2, 1], ..named("shop") }, false, 5).unwrap();
        assert!(create(&mut kv, &Create { rotate: true, ..named("other") }, false, 6).is_err());
        let second = create(&mut kv, &Create { rotate: true, ..named("shop") }, false, 6).unwrap();
        assert_eq!(record(&kv, &second), TokenRecord { created: 6, ..record(&kv, &first) });
        assert_eq!(record(&kv, &second).databases, [1, 2]);
        let digest = token_key(&first)[TOKEN_PREFIX.len()..][..12].to_owned();
        assert_eq!(revoke(&mut kv, "shop", Some(&digest), 7).unwrap(), 1);
        assert_eq!((record(&kv, &first).revoked, record(&kv, &second).revoked), (Some(7), None));
        assert!(revoke(&mut kv, "shop", Some(&digest), 8).is_err(), "revoked already");
        let listed = list(&mut kv).unwrap();
        assert!(
            listed.contains(&format!("shop  {digest}  launch,read  1,2        1970-01-01  1970-01-01")),
            "{listed}"
        );
        assert_eq!(revoke(&mut kv, "shop", None, 9).unwrap(), 1);
        assert_eq!(record(&kv, &first).revoked, Some(7), "a tombstone keeps its time");
        assert!(create(&mut kv, &named("shop"), false, 10).is_ok(), "all values revoked: the name is free");
    }

    #[test]
    fn an_existing_token_is_kept_if_it_can_be() {
        let mut kv = Fake::default();
        let with = |name: &str, value: &str| Create { value: Some(value.into()), ..named(name) };
        let token = "an-existing-token-of-a-shop";
        assert_eq!(create(&mut kv, &with("shop", token), true, 5).unwrap(), token);
        assert!(create(&mut kv, &with("other", token), true, 5).is_err(), "another name's");
        assert!(create(&mut kv, &Create { rotate: true, ..with("shop", token) }, true, 5).is_err(), "the same again");
        revoke(&mut kv, "shop", None, 6).unwrap();
        assert!(create(&mut kv, &with("shop", token), true, 7).is_err(), "what is revoked does not come back");
        for value in ["nineteen-characters", "with a space in between", &"a".repeat(1025)] {
            assert!(create(&mut kv, &with("new", value), true, 5).is_err(), "{value}");
        }
        assert!(create(&mut kv, &with("demo", DEMO_TOKEN), true, 5).is_err());
        assert!(create(&mut kv, &with("demo", DEMO_TOKEN), false, 5).is_ok());
    }

    #[test]
    fn days_are_told() {
        assert_eq!(date(0), "1970-01-01");
        assert_eq!(date(951_782_399_999), "2000-02-28");
        assert_eq!(date(951_782_400_000), "2000-02-29");
        assert_eq!(date(1_798_675_200_000), "2026-12-31");
    }
}
