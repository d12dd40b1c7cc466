//! Tokens: created, listed and revoked. KV contains only digests, and a revoked token stays as a tombstone.
//!
//! A record that cannot be read is reported by its key. It does not keep commands from working on the other records.

use std::fmt;

use trigger_launch::{
    access::{DEMO_TOKEN, DIGEST_SHOWN, Scope, TOKEN_MIN, TOKEN_PREFIX, TokenRecord, token_key},
    escape::short,
    limits::TOKEN_LIMIT,
};

use crate::{
    Create, Failure, Outcome,
    output::Warn,
    random,
    store::{Kv, Namespace},
};

/// How many digits of a digest are shown.
/// Longest name of a token, in characters.
const NAME_LIMIT: usize = 64;

/// The token records in KV.
struct Records {
    good: Vec<(String, TokenRecord)>,
    damaged: Vec<Damaged>,
}

/// A token record that cannot be read.
#[derive(Debug)]
pub struct Damaged {
    key: String,
    /// Its name, if that can be read.
    name: Option<String>,
    reason: String,
}

impl Damaged {
    /// Whether the record may be a value of that name.
    fn may_belong_to(&self, name: &str) -> bool {
        self.name.as_ref().is_none_or(|known| known == name)
    }

    /// Whether the record is a value of that name.
    fn belongs_to(&self, name: &str) -> bool {
        self.name.as_ref().is_some_and(|known| known == name)
    }
}

impl fmt::Display for Damaged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (key, reason, digest) = (short(&self.key), short(&self.reason), shown(&self.key));
        let name = self.name.as_deref().unwrap_or("NAME");
        write!(f, "{key} is damaged ({reason}); `token revoke {name} --digest {digest}` replaces the record")
    }
}

/// Creates a token and returns it.
pub fn create(kv: &mut dyn Kv, create: &Create, remote: bool, now: u64, warn: Warn<'_>) -> Outcome<String> {
    let name = &create.name;
    if !is_name(name) {
        return Err(Failure(format!("--name: use 1 to {NAME_LIMIT} visible ASCII characters")));
    }
    let token = match &create.value {
        Some(value) => checked(value, remote)?,
        None => base64_simd::URL_SAFE_NO_PAD.encode_to_string(random::<32>()?),
    };
    let Records { good, damaged } = read(kv)?;
    let key = token_key(&token);
    for record in &damaged {
        // Whether this token was revoked cannot be read, and a revoked token must not work again.
        if record.key == key {
            return Err(Failure(format!("--value: the record of this token is damaged, use another value; {record}")));
        }
        if record.may_belong_to(name) {
            warn(&format!("{record}; it may be a value of {name}"));
        } else {
            warn(&record.to_string());
        }
    }
    if let Some((_, record)) = good.iter().find(|(known, _)| *known == key) {
        return Err(Failure(if record.name != *name {
            "--value: another name has this token; use another value".into()
        } else if record.revoked.is_some() {
            "--value: this token was revoked; use another value".into()
        } else {
            format!("{name} has this value already")
        }));
    }
    let in_use = good.iter().map(|(_, record)| record).filter(|record| record.name == *name);
    let in_use = in_use.filter(|record| record.revoked.is_none()).max_by_key(|record| record.created);
    let (mut scopes, mut databases) = (create.scopes.clone(), create.databases.clone());
    match in_use {
        Some(_) if !create.rotate => {
            return Err(Failure(format!("there is a token {name}: --rotate adds a second value to it")));
        }
        None if create.rotate => {
            return Err(Failure(format!("there is no token {name} to rotate: omit --rotate to create it")));
        }
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

/// The failure of a token that was created and cannot be printed.
pub fn not_shown(create: &Create, token: &str, reason: &str) -> Failure {
    let (name, digest) = (&create.name, shown(&token_key(token)));
    Failure(format!("{reason}; revoke the new token: token revoke {name} --digest {digest}"))
}

fn is_name(name: &str) -> bool {
    (1..=NAME_LIMIT).contains(&name.len()) && name.bytes().all(|byte| byte.is_ascii_graphic())
}

/// Checks an existing token, which the operator provides.
fn checked(value: &str, remote: bool) -> Outcome<String> {
    if value == DEMO_TOKEN && remote {
        return Err(Failure::new("--value: the demo token is only for the local state; use another value"));
    }
    let length = TOKEN_MIN..=TOKEN_LIMIT;
    if !length.contains(&value.len()) || !value.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(Failure(format!("--value: use {TOKEN_MIN} to {TOKEN_LIMIT} visible ASCII characters")));
    }
    Ok(value.to_owned())
}

/// The rows of a table of all tokens, and the records that it lacks.
pub fn list(kv: &mut dyn Kv) -> Outcome<(Vec<String>, Vec<Damaged>)> {
    let Records { mut good, damaged } = read(kv)?;
    good.sort_by(|(_, a), (_, b)| (&a.name, a.created).cmp(&(&b.name, b.created)));
    let mut rows = vec![["NAME", "DIGEST", "SCOPES", "DATABASES", "CREATED", "REVOKED"].map(str::to_owned)];
    for (key, record) in good {
        let scopes: Vec<&str> = record.scopes.iter().map(|scope| scope.as_str()).collect();
        let databases: Vec<String> = record.databases.iter().map(u64::to_string).collect();
        rows.push([
            short(&record.name).to_string(),
            shown(&key),
            scopes.join(","),
            if databases.is_empty() { "all".into() } else { databases.join(",") },
            date(record.created),
            record.revoked.map_or_else(|| "-".into(), date),
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

/// Revokes the values of a name, or the one whose digest begins with `digest`, and returns how many. A damaged record is
/// replaced by a tombstone if it has the name, or if it has no readable name and `digest` matches nothing else.
pub fn revoke(kv: &mut dyn Kv, name: &str, digest: Option<&str>, now: u64, warn: Warn<'_>) -> Outcome<usize> {
    let Records { mut good, damaged } = read(kv)?;
    let selected = |key: &str| digest.is_none_or(|digest| digest_of(key).starts_with(digest));
    good.retain(|(key, record)| record.name == name && record.revoked.is_none() && selected(key));
    let (mut lost, others): (Vec<_>, Vec<_>) =
        damaged.into_iter().partition(|record| record.belongs_to(name) && selected(&record.key));
    let by_digest_alone = good.is_empty() && lost.is_empty() && digest.is_some() && is_name(name);
    for record in others {
        if by_digest_alone && record.name.is_none() && selected(&record.key) {
            lost.push(record);
        } else {
            warn(&record.to_string());
        }
    }
    let found = good.len() + lost.len();
    match digest {
        None if found == 0 => return Err(Failure(format!("there is no token {name} in use: see `token list`"))),
        Some(digest) if found == 0 => {
            return Err(Failure(format!(
                "no value of {name} in use has a digest that begins with {digest}: see `token list`"
            )));
        }
        Some(digest) if found > 1 => {
            return Err(Failure(format!("--digest: {found} digests begin with {digest}; give more digits")));
        }
        _ => {}
    }
    let tombstone = |name: &str| TokenRecord {
        name: name.to_owned(),
        scopes: Vec::new(),
        databases: Vec::new(),
        created: now,
        revoked: Some(now),
    };
    let good = good.into_iter().map(|(key, record)| (key, TokenRecord { revoked: Some(now), ..record }));
    let records = good.chain(lost.into_iter().map(|record| (record.key, tombstone(name))));
    let tombstones = records.map(|(key, record)| Ok((key, json(&record)?))).collect::<Outcome<Vec<_>>>()?;
    kv.put(Namespace::Access, &tombstones)?;
    Ok(found)
}

fn read(kv: &mut dyn Kv) -> Outcome<Records> {
    let keys = kv.list(Namespace::Access, TOKEN_PREFIX)?;
    let values = kv.get(Namespace::Access, &keys)?;
    let mut records = Records { good: Vec::with_capacity(keys.len()), damaged: Vec::new() };
    for (key, value) in keys.into_iter().zip(values) {
        // A deleted key may still be listed.
        let Some(value) = value else { continue };
        match serde_json::from_str(&value) {
            Ok(record) => records.good.push((key, record)),
            Err(error) => {
                let name = name_in(&value).filter(|name| is_name(name));
                records.damaged.push(Damaged { key, name, reason: error.to_string() });
            }
        }
    }
    Ok(records)
}

/// The name in a damaged record that is still a JSON object, for example one that a later version has written.
fn name_in(value: &str) -> Option<String> {
    let record: serde_json::Value = serde_json::from_str(value).ok()?;
    Some(record.get("name")?.as_str()?.to_owned())
}

fn digest_of(key: &str) -> &str {
    key.strip_prefix(TOKEN_PREFIX).unwrap_or(key)
}

/// The beginning of a digest, which identifies a value.
fn shown(key: &str) -> String {
    short(&digest_of(key).chars().take(DIGEST_SHOWN).collect::<String>()).to_string()
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

    /// These tests expect no warnings unless they collect them.
    fn create(kv: &mut Fake, create: &Create, remote: bool, now: u64) -> Outcome<String> {
        super::create(kv, create, remote, now, &mut |warning| panic!("{warning}"))
    }

    fn revoke(kv: &mut Fake, name: &str, digest: Option<&str>, now: u64) -> Outcome<usize> {
        super::revoke(kv, name, digest, now, &mut |warning| panic!("{warning}"))
    }

    /// A result, with the warnings.
    fn warned<T>(command: impl FnOnce(Warn<'_>) -> Outcome<T>) -> (Result<T, String>, Vec<String>) {
        let mut warnings = Vec::new();
        let result = command(&mut |warning| warnings.push(warning.to_owned()));
        (result.map_err(|Failure(text)| text), warnings)
    }

    /// A name in use and a damaged record.
    fn with_damage(value: &str) -> (Fake, String) {
        let mut kv = Fake::default();
        let scopes = vec![Scope::Launch];
        let record = TokenRecord { name: "shop".into(), scopes, databases: vec![], created: 5, revoked: None };
        let [good, damaged] = ["a", "d"].map(|digit| format!("{TOKEN_PREFIX}{}", digit.repeat(64)));
        kv.access.insert(good, json(&record).unwrap());
        kv.access.insert(damaged.clone(), value.into());
        (kv, damaged)
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
        let (listed, damaged) = list(&mut kv).unwrap();
        let row = format!("shop  {digest}  launch,read  1,2        1970-01-01  1970-01-01");
        assert!(listed.contains(&row) && damaged.is_empty(), "{listed:?}");
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
    fn reports_a_damaged_record_by_its_key_and_works_on_the_others() {
        for value in ["", "{", "null", "[]", "{\"name\":\"shop\"}", "{\"name\":7}", "\u{1b}[2J", "\u{0}"] {
            let (mut kv, key) = with_damage(value);
            let (rows, damaged) = list(&mut kv).unwrap();
            assert_eq!((rows.len(), damaged.len()), (2, 1), "{value:?}");
            assert!(damaged[0].to_string().starts_with(&format!("{key} is damaged (")), "{}", damaged[0]);
            let (created, warnings) = warned(|warn| super::create(&mut kv, &named("new"), false, 6, warn));
            assert!(created.is_ok() && warnings.len() == 1 && warnings[0].contains(&key), "{warnings:?}");
            let rotate = Create { rotate: true, ..named("shop") };
            let (rotated, warnings) = warned(|warn| super::create(&mut kv, &rotate, false, 7, warn));
            assert!(rotated.is_ok() && warnings.len() == 1, "{warnings:?}");
            let (revoked, warnings) = warned(|warn| super::revoke(&mut kv, "new", None, 8, warn));
            assert_eq!((revoked, warnings.len()), (Ok(1), 1));
            assert_eq!(kv.access[&key], value, "a damaged record stays as it is");
        }
    }

    #[test]
    fn warns_when_a_damaged_record_may_have_the_name_of_a_new_token() {
        for (value, doubt) in [("{", true), ("{\"name\":\"crm\"}", true), ("{\"name\":\"shop\"}", false)] {
            let (mut kv, _) = with_damage(value);
            let (_, warnings) = warned(|warn| super::create(&mut kv, &named("crm"), false, 6, warn));
            assert_eq!(warnings[0].ends_with("; it may be a value of crm"), doubt, "{warnings:?}");
        }
    }

    #[test]
    fn replaces_a_damaged_record_that_is_revoked_by_its_digest() {
        for (value, name) in [("{", "lost"), ("{\"name\":7}", "lost"), ("{\"name\":\"shop\"}", "shop")] {
            let (mut kv, key) = with_damage(value);
            for (name, digest) in [(name, "e"), ("", "d"), ("a b", "d")] {
                let (revoked, warnings) = warned(|warn| super::revoke(&mut kv, name, Some(digest), 6, warn));
                assert!(revoked.is_err() && warnings.len() == 1, "{name} {digest} {warnings:?}");
            }
            assert_eq!(revoke(&mut kv, name, Some("dd"), 7).unwrap(), 1, "{value}");
            let tombstone: TokenRecord = serde_json::from_str(&kv.access[&key]).unwrap();
            assert_eq!((tombstone.name.as_str(), tombstone.scopes, tombstone.revoked), (name, vec![], Some(7)));
            assert!(list(&mut kv).unwrap().1.is_empty());
        }
    }

    #[test]
    fn revokes_a_damaged_record_with_the_other_values_of_its_name() {
        let (mut kv, key) = with_damage("{\"name\":\"shop\",\"scopes\":[\"of a later version\"],\"created\":1}");
        assert_eq!(revoke(&mut kv, "shop", None, 6).unwrap(), 2);
        assert!(serde_json::from_str::<TokenRecord>(&kv.access[&key]).unwrap().revoked.is_some());
    }

    #[test]
    fn prefers_a_good_record_to_a_damaged_one_with_the_same_beginning() {
        let (mut kv, key) = with_damage("{");
        let good = kv.access.keys().find(|known| **known != key).unwrap().clone();
        let value = kv.access.remove(&good).unwrap();
        kv.access.insert(format!("{TOKEN_PREFIX}{}", "da".repeat(32)), value);
        let (revoked, warnings) = warned(|warn| super::revoke(&mut kv, "shop", Some("d"), 6, warn));
        assert_eq!((revoked, warnings.len()), (Ok(1), 1));
        assert_eq!(kv.access[&key], "{");
        kv.access.insert(format!("{TOKEN_PREFIX}{}", "db".repeat(32)), "{".into());
        let (revoked, _) = warned(|warn| super::revoke(&mut kv, "lost", Some("d"), 7, warn));
        assert_eq!(revoked, Err("--digest: 2 digests begin with d; give more digits".into()));
    }

    #[test]
    fn does_not_replace_the_damaged_record_of_an_existing_token() {
        let mut kv = Fake::default();
        let value = "an-existing-token-of-a-shop";
        kv.access.insert(token_key(value), "{".into());
        let create = Create { value: Some(value.into()), ..named("shop") };
        let (created, _) = warned(|warn| super::create(&mut kv, &create, false, 5, warn));
        assert!(created.unwrap_err().starts_with("--value: the record of this token is damaged"));
        assert_eq!(kv.access[&token_key(value)], "{");
    }

    #[test]
    fn lists_names_without_control_characters_and_in_columns() {
        let (mut kv, key) = with_damage("");
        let name = format!("\u{1b}[2J\u{202e}größe{}", "x".repeat(2000));
        let record = TokenRecord { name, scopes: vec![Scope::Read], databases: vec![], created: 1, revoked: None };
        kv.access.insert(key, json(&record).unwrap());
        kv.access.insert(format!("{TOKEN_PREFIX}\u{1b}[2J"), "\u{1b}".into());
        let (rows, damaged) = list(&mut kv).unwrap();
        let lines: Vec<String> = rows.iter().cloned().chain(damaged.iter().map(Damaged::to_string)).collect();
        for line in &lines {
            assert_eq!(trigger_launch::escape::whole(line).to_string(), *line);
            assert!(line.len() < 400, "{line}");
        }
        let column = |row: &String| row.chars().position(|char| char == ' ');
        assert!(rows[1].starts_with("\\u{1b}[2J\\u{202e}größexx"), "{}", rows[1]);
        assert_eq!(rows[0].find("DIGEST"), column(&rows[1]).map(|at| at + 2));
    }

    #[test]
    fn formats_days() {
        assert_eq!(date(0), "1970-01-01");
        assert_eq!(date(951_782_399_999), "2000-02-28");
        assert_eq!(date(951_782_400_000), "2000-02-29");
        assert_eq!(date(1_798_675_200_000), "2026-12-31");
    }
}
