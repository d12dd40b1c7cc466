//! The eleven matching modes: which field of an item is its key, and where the key is searched.

use crate::{
    limits::KEY_LIMIT,
    outcome::Outcome,
    profiles::{
        bucket::BucketSection,
        key::{Class, IndexKey, KeyHash},
        normal::normalise,
    },
    wire::{Item, Scalar},
};
use std::borrow::Cow;

/// How the items of a launch name their profiles (specification, "Profile matching mode").
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[allow(missing_docs, reason = "the names are the specification's")]
pub enum Matching {
    #[default]
    Email,
    EmailProfile,
    EmailSub,
    Phone,
    PhoneSub,
    ProfileId,
    PushSub,
    Custom,
    CustomSub,
    EmailPhone,
    EmailPhoneSub,
}

/// One search of a mode: a class of keys, and the sections of its buckets in the order in which they are asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Search {
    /// The class of keys.
    pub class: Class,
    /// The sections, in order; the first that holds the key decides.
    pub sections: &'static [BucketSection],
}

const PROFILES: &[BucketSection] = &[BucketSection::Profiles];
const SUBSCRIPTIONS: &[BucketSection] = &[BucketSection::Subscriptions];
const BOTH: &[BucketSection] = &[BucketSection::Profiles, BucketSection::Subscriptions];

const EMAIL: Search = Search { class: Class::Email, sections: BOTH };
const EMAIL_PROFILE: Search = Search { class: Class::Email, sections: PROFILES };
const EMAIL_SUB: Search = Search { class: Class::Email, sections: SUBSCRIPTIONS };
const PHONE: Search = Search { class: Class::Phone, sections: BOTH };
const PHONE_PROFILE: Search = Search { class: Class::Phone, sections: PROFILES };
const PHONE_SUB: Search = Search { class: Class::Phone, sections: SUBSCRIPTIONS };
const PROFILE_ID: Search = Search { class: Class::ProfileId, sections: PROFILES };
const PUSH_SUB: Search = Search { class: Class::Push, sections: SUBSCRIPTIONS };
const CUSTOM: Search = Search { class: Class::Custom, sections: PROFILES };
const CUSTOM_SUB: Search = Search { class: Class::CustomSub, sections: SUBSCRIPTIONS };

/// The hashes of one item's keys, for the mode's first and second search.
pub type ItemKeys = [Option<KeyHash>; 2];

impl Matching {
    /// All modes, with their names.
    pub const ALL: [(Self, &'static str); 11] = [
        (Self::Email, "email"),
        (Self::EmailProfile, "email_profile"),
        (Self::EmailSub, "email_sub"),
        (Self::Phone, "phone"),
        (Self::PhoneSub, "phone_sub"),
        (Self::ProfileId, "profile_id"),
        (Self::PushSub, "push_sub"),
        (Self::Custom, "custom"),
        (Self::CustomSub, "custom_sub"),
        (Self::EmailPhone, "email_phone"),
        (Self::EmailPhoneSub, "email_phone_sub"),
    ];

    /// The mode of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().find(|(_, known)| *known == name).map(|(mode, _)| *mode)
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|(mode, _)| *mode == self).map_or("", |(_, name)| name)
    }

    /// Its searches, in order: an item that the first does not find goes on to the second.
    pub fn searches(self) -> &'static [Search] {
        match self {
            Self::Email => &[EMAIL],
            Self::EmailProfile => &[EMAIL_PROFILE],
            Self::EmailSub => &[EMAIL_SUB],
            Self::Phone => &[PHONE],
            Self::PhoneSub => &[PHONE_SUB],
            Self::ProfileId => &[PROFILE_ID],
            Self::PushSub => &[PUSH_SUB],
            Self::Custom => &[CUSTOM],
            Self::CustomSub => &[CUSTOM_SUB],
            Self::EmailPhone => &[EMAIL_PROFILE, PHONE_PROFILE],
            Self::EmailPhoneSub => &[EMAIL_SUB, PHONE_SUB],
        }
    }

    /// Whether the root's `field_name` belongs to the key.
    pub fn needs_field_name(self) -> bool {
        matches!(self, Self::Custom | Self::CustomSub)
    }

    /// The field whose text alone is the key, where there is one.
    pub fn only_field(self) -> Option<&'static str> {
        Some(match self {
            Self::Email | Self::EmailProfile | Self::EmailSub => "email",
            Self::Phone | Self::PhoneSub => "phone",
            Self::ProfileId => "profile_id",
            Self::Custom | Self::CustomSub => "field_value",
            Self::PushSub | Self::EmailPhone | Self::EmailPhoneSub => return None,
        })
    }

    /// The hashes of an item's keys, or why it is invalid.
    pub fn keys(self, item: &Item<'_>, field_name: &str, index: &IndexKey) -> Result<ItemKeys, Outcome> {
        let only = |key: Result<KeyHash, Outcome>| Ok([Some(key?), None]);
        match self {
            Self::Email | Self::EmailProfile | Self::EmailSub => only(key(Class::Email, "", text(&item.email)?, index)),
            Self::Phone | Self::PhoneSub => only(key(Class::Phone, "", text(&item.phone)?, index)),
            Self::ProfileId => only(key(Class::ProfileId, "", text(&item.profile_id)?, index)),
            Self::Custom => only(key(Class::Custom, field_name, &text_or_integer(&item.field_value)?, index)),
            Self::CustomSub => only(key(Class::CustomSub, field_name, &text_or_integer(&item.field_value)?, index)),
            Self::PushSub => only(push(text(&item.provider)?, text(&item.subscription_id)?, index)),
            Self::EmailPhone | Self::EmailPhoneSub => {
                let first = text(&item.email).and_then(|value| key(Class::Email, "", value, index));
                let second = text(&item.phone).and_then(|value| key(Class::Phone, "", value, index));
                match (first, second) {
                    // Nothing to search by: the reason of the field that is there, the e-mail's first.
                    (Err(Outcome::MissingField), Err(reason)) | (Err(reason), Err(_)) => Err(reason),
                    (first, second) => Ok([first.ok(), second.ok()]),
                }
            }
        }
    }
}

/// The text of a field that has to be a string.
fn text<'a>(value: &'a Scalar<'_>) -> Result<&'a str, Outcome> {
    match value {
        Scalar::Text(text) => Ok(text),
        Scalar::Absent => Err(Outcome::MissingField),
        _ => Err(Outcome::WrongType),
    }
}

/// The text of a field that may be an integer as well.
fn text_or_integer<'a>(value: &'a Scalar<'_>) -> Result<Cow<'a, str>, Outcome> {
    match value {
        Scalar::Integer(digits) => Ok(Cow::Borrowed(digits)),
        other => text(other).map(Cow::Borrowed),
    }
}

fn within_limit(value: &str) -> Result<&str, Outcome> {
    if value.len() > KEY_LIMIT { Err(Outcome::TooLong) } else { Ok(value) }
}

fn key(class: Class, field: &str, value: &str, index: &IndexKey) -> Result<KeyHash, Outcome> {
    let value = normalise(class, within_limit(value)?).ok_or(Outcome::Malformed)?;
    Ok(index.hash(class, field, &value))
}

fn push(provider: &str, subscription: &str, index: &IndexKey) -> Result<KeyHash, Outcome> {
    let (provider, subscription) = (within_limit(provider)?, within_limit(subscription)?);
    if provider.is_empty() { Err(Outcome::Malformed) } else { key(Class::Push, provider, subscription, index) }
}
