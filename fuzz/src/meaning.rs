//! What a request in JSON means, from a reading of the whole of it.

use super::{
    attachment_data,
    intake::{File, Taken, secrets},
    json::{Members, document, fields, lossy, object, scalar},
};
use serde_json::value::RawValue;
use trigger_launch::{
    fields::{Endpoint, RootField},
    launch::{matching::Matching, receive::items::ItemState},
    limits::{ATTACHMENT_NAME_LIMIT, SCALAR_LIMIT},
    outcome::Outcome,
    problem::Problem,
    profiles::{key::KeyHash, normal::Normaliser},
    text::SAFE_INTEGER_MAX,
    wire::{Format, InvalidItem, Item, ObjectText, Scalar},
};

/// Longer bodies may be over a limit that is not read here.
const LONGEST: usize = SCALAR_LIMIT;

/// Compares what was taken in with what the body means.
pub fn compare(endpoint: Endpoint, data: &[u8], taken: &Result<Taken, Problem>) {
    if data.len() > LONGEST {
        return;
    }
    match (std::str::from_utf8(data).ok().and_then(document), taken) {
        (None, Err(Problem::Malformed(_))) => {}
        // Bytes other than UTF-8 in attachment data are the fault of that field.
        (None, Err(Problem::BadField(what))) if what.contains("attach") && std::str::from_utf8(data).is_err() => {}
        (None, taken) => panic!("{taken:?} where the body is malformed"),
        (Some(members), taken) => match (meant(endpoint, members), taken) {
            (Some(meant), Ok(taken)) => assert_eq!(*taken, meant),
            (None, Err(Problem::BadField(_))) => {}
            (meant, taken) => panic!("{taken:?} where the body means {meant:?}"),
        },
    }
}

/// The root, as far as it has been read.
#[derive(Default)]
struct Root<'a> {
    seen: Vec<RootField>,
    token: Option<String>,
    format: Option<Format>,
    trigger_id: Option<u64>,
    matching: Option<Matching>,
    field_name: Option<String>,
    flags: [bool; 4],
    content: Option<String>,
    custom_data: Option<String>,
    items: Vec<Result<Item<'a>, InvalidItem>>,
    single: Item<'a>,
    files: Vec<File>,
}

/// `None`: a field is bad.
fn meant(endpoint: Endpoint, members: Vec<(Option<String>, &RawValue)>) -> Option<Taken> {
    let mut root = Root::default();
    for (name, value) in members {
        let Some(field) = name.and_then(|name| RootField::from_name(endpoint, name.as_bytes())) else { continue };
        if root.seen.contains(&field) {
            return None;
        }
        root.seen.push(field);
        root.set(field, value.get())?;
    }
    root.taken(endpoint)
}

impl<'a> Root<'a> {
    fn set(&mut self, field: RootField, raw: &'a str) -> Option<()> {
        let text = || match scalar(raw) {
            Scalar::Absent => Some(None),
            Scalar::Text(text) => Some(Some(text.into_owned())),
            _ => None,
        };
        match field {
            RootField::Token => {
                self.token = text()?.map(|token| token.trim_ascii().to_owned()).filter(|token| !token.is_empty());
            }
            RootField::FieldName => self.field_name = text()?,
            RootField::Format => {
                self.format = match text()?.as_deref() {
                    None => None,
                    Some("json") => Some(Format::Json),
                    Some("xml") => Some(Format::Xml),
                    Some(_) => return None,
                }
            }
            RootField::Matching => {
                let mode = |name: String| Matching::ALL.iter().find(|(_, known)| *known == name).map(|(mode, _)| *mode);
                self.matching = match text()? {
                    None => None,
                    Some(name) => Some(mode(name)?),
                }
            }
            RootField::TriggerId => self.trigger_id = trigger_id(raw)?,
            RootField::SkipTriggers => self.flags[0] = flag(raw)?,
            RootField::Report => self.flags[1] = flag(raw)?,
            RootField::Strict => self.flags[2] = flag(raw)?,
            RootField::DryRun => self.flags[3] = flag(raw)?,
            RootField::Content => self.content = text_of_object(raw)?,
            RootField::CustomData => self.custom_data = text_of_object(raw)?,
            RootField::Data => self.items = entries(raw)?.into_iter().map(fields).collect(),
            RootField::Attach => self.files = entries(raw)?.into_iter().map(file).collect::<Option<_>>()?,
            RootField::Key(field) => *self.single.key_mut(field) = scalar(raw),
        }
        Some(())
    }

    fn taken(self, endpoint: Endpoint) -> Option<Taken> {
        let matching = self.matching.unwrap_or(Matching::Email);
        let custom = matches!(matching, Matching::Custom | Matching::CustomSub);
        let field_name = if custom { self.field_name.filter(|name| !name.is_empty())? } else { String::new() };
        let items = if endpoint == Endpoint::Start { vec![Ok(self.single)] } else { self.items };
        if items.is_empty() {
            return None;
        }
        let data = (0..).zip(&items).filter_map(|(place, item)| match &item.as_ref().ok()?.custom_data {
            ObjectText::Object(text) => Some((place, text.to_string())),
            _ => None,
        });
        Some(Taken {
            token: self.token,
            format: self.format,
            trigger_id: self.trigger_id?,
            matching,
            flags: self.flags,
            content: self.content,
            custom_data: self.custom_data,
            items_data: data.collect(),
            items: items.iter().map(|item| known(item, matching, &field_name)).collect(),
            field_name,
            files: self.files,
        })
    }
}

fn known(item: &Result<Item<'_>, InvalidItem>, matching: Matching, field_name: &str) -> (ItemState, Vec<KeyHash>) {
    let keys = |secret| match item {
        Err(InvalidItem) => Err(Outcome::Malformed),
        Ok(item) if matches!(item.custom_data, ObjectText::WrongType(_)) => Err(Outcome::WrongType),
        Ok(item) => matching.hash_keys(item, field_name, secret, &Normaliser::native()),
    };
    let searches = matching.searches().len();
    let (mut known, mut hashes) = (ItemState::Invalid(Outcome::Malformed), Vec::new());
    for secret in secrets().iter() {
        let keys = keys(secret);
        known = match &keys {
            Ok([first, second]) => ItemState::Keys { first: first.is_some(), second: second.is_some() },
            Err(reason) => ItemState::Invalid(*reason),
        };
        let keys = keys.unwrap_or([None, None]);
        hashes.extend(keys.into_iter().take(searches).map(|key| key.unwrap_or(KeyHash([0; 16]))));
    }
    (known, hashes)
}

fn trigger_id(raw: &str) -> Option<Option<u64>> {
    let text = match scalar(raw) {
        Scalar::Absent => return Some(None),
        Scalar::Integer(digits) | Scalar::ZeroFraction(digits) => digits.to_owned(),
        Scalar::Text(text) => text.trim_ascii().to_owned(),
        _ => return None,
    };
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    let number = text.parse().ok().filter(|number| digits && (1..=SAFE_INTEGER_MAX).contains(number))?;
    Some(Some(number))
}

fn flag(raw: &str) -> Option<bool> {
    match scalar(raw) {
        Scalar::Absent => Some(false),
        Scalar::Boolean(flag) => Some(flag),
        Scalar::Text(text) => match text.trim_ascii().to_ascii_lowercase().as_str() {
            "true" | "1" => Some(true),
            "false" | "0" => Some(false),
            _ => None,
        },
        Scalar::Integer(digits) | Scalar::ZeroFraction(digits) => match digits.strip_prefix('-').unwrap_or(digits) {
            "1" if !digits.starts_with('-') => Some(true),
            "0" => Some(false),
            _ => None,
        },
        Scalar::WrongType(_) => None,
    }
}

fn text_of_object(raw: &str) -> Option<Option<String>> {
    match object(raw) {
        ObjectText::Absent => Some(None),
        ObjectText::Object(text) => Some(Some(text.into_owned())),
        ObjectText::TooLong | ObjectText::WrongType(_) => None,
    }
}

fn entries(raw: &str) -> Option<Vec<&str>> {
    if raw == "null" {
        return Some(Vec::new());
    }
    let entries: Vec<&RawValue> = serde_json::from_str(raw).ok()?;
    Some(entries.into_iter().map(RawValue::get).collect())
}

fn file(raw: &str) -> Option<File> {
    let Members(members) = serde_json::from_str(raw).ok()?;
    let only = |wanted: &str| {
        let mut all = members.iter().filter(|(name, _)| name.as_deref() == Some(wanted)).map(|(_, value)| *value);
        let first = all.next().filter(|value| value.get().starts_with('"'))?;
        all.next().is_none().then(|| lossy(first))
    };
    let (name, broken) = only("name")?;
    let (data, _) = only("data")?;
    let name = Some(name).filter(|name| !broken && !name.is_empty() && name.len() <= ATTACHMENT_NAME_LIMIT)?;
    let (bytes, content_type) = attachment_data::model(data.as_bytes()).ok()?;
    (!name.chars().any(char::is_control)).then_some(File { name, content_type, bytes })
}
