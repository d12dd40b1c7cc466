//! The matching modes: which fields of an item are its keys, and where the keys are searched.

use crate::{
    fields::KeyField,
    limits::KEY_LIMIT,
    outcome::Outcome,
    profiles::{
        bucket::BucketSection,
        key::{Class, IndexKey, KeyHash},
        normal::Normaliser,
    },
    wire::{Item, Scalar},
};
use std::borrow::Cow;

/// A matching mode. The names are those of the specification.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
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

/// One search of a matching mode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SearchStep {
    pub class: Class,
    /// The sections of a bucket to search, in order. The first one that contains the key decides.
    pub sections: &'static [BucketSection],
}

const PROFILES: &[BucketSection] = &[BucketSection::Profiles];
const SUBSCRIPTIONS: &[BucketSection] = &[BucketSection::Subscriptions];
const BOTH: &[BucketSection] = &[BucketSection::Profiles, BucketSection::Subscriptions];

const EMAIL: SearchStep = SearchStep { class: Class::Email, sections: BOTH };
const EMAIL_PROFILE: SearchStep = SearchStep { class: Class::Email, sections: PROFILES };
const EMAIL_SUB: SearchStep = SearchStep { class: Class::Email, sections: SUBSCRIPTIONS };
const PHONE: SearchStep = SearchStep { class: Class::Phone, sections: BOTH };
const PHONE_PROFILE: SearchStep = SearchStep { class: Class::Phone, sections: PROFILES };
const PHONE_SUB: SearchStep = SearchStep { class: Class::Phone, sections: SUBSCRIPTIONS };
const PROFILE_ID: SearchStep = SearchStep { class: Class::ProfileId, sections: PROFILES };
const PUSH_SUB: SearchStep = SearchStep { class: Class::Push, sections: SUBSCRIPTIONS };
const CUSTOM: SearchStep = SearchStep { class: Class::Custom, sections: PROFILES };
const CUSTOM_SUB: SearchStep = SearchStep { class: Class::CustomSub, sections: SUBSCRIPTIONS };

/// The hashed keys of one item for the first and the second search of its mode.
pub type ItemKeys = [Option<KeyHash>; 2];

impl Matching {
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

    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().find(|(_, known)| *known == name).map(|(mode, _)| *mode)
    }

    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|(mode, _)| *mode == self).map_or("", |(_, name)| name)
    }

    /// The searches of the mode, in order. An item that the first search does not find is searched by the second.
    pub fn searches(self) -> &'static [SearchStep] {
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

    /// Whether the root field `field_name` is a part of the key.
    pub fn needs_field_name(self) -> bool {
        matches!(self, Self::Custom | Self::CustomSub)
    }

    /// The item field whose text is the key, if the mode has exactly one such field.
    pub fn only_key(self) -> Option<KeyField> {
        Some(match self {
            Self::Email | Self::EmailProfile | Self::EmailSub => KeyField::Email,
            Self::Phone | Self::PhoneSub => KeyField::Phone,
            Self::ProfileId => KeyField::ProfileId,
            Self::Custom | Self::CustomSub => KeyField::FieldValue,
            Self::PushSub | Self::EmailPhone | Self::EmailPhoneSub => return None,
        })
    }

    /// Hashes the keys of an item. Returns the reason if the item is invalid.
    pub fn hash_keys(
        self,
        item: &Item<'_>,
        field_name: &str,
        index: &IndexKey,
        normaliser: &Normaliser,
    ) -> Result<ItemKeys, Outcome> {
        let only = |key: Result<KeyHash, Outcome>| Ok([Some(key?), None]);
        let hash_key = |class, field: &str, value: &str| {
            let value = normaliser.normalise(class, within_limit(value)?).ok_or(Outcome::Malformed)?;
            Ok(index.hash(class, field, &value))
        };
        match self {
            Self::Email | Self::EmailProfile | Self::EmailSub => only(hash_key(Class::Email, "", text(&item.email)?)),
            Self::Phone | Self::PhoneSub => only(hash_key(Class::Phone, "", text(&item.phone)?)),
            Self::ProfileId => only(hash_key(Class::ProfileId, "", text(&item.profile_id)?)),
            Self::Custom => only(hash_key(Class::Custom, field_name, &text_or_integer(&item.field_value)?)),
            Self::CustomSub => only(hash_key(Class::CustomSub, field_name, &text_or_integer(&item.field_value)?)),
            Self::PushSub => {
                let (provider, subscription) = (text(&item.provider)?, text(&item.subscription_id)?);
                let (provider, subscription) = (within_limit(provider)?, within_limit(subscription)?);
                if provider.is_empty() {
                    return Err(Outcome::Malformed);
                }
                only(hash_key(Class::Push, provider, subscription))
            }
            Self::EmailPhone | Self::EmailPhoneSub => {
                let first = text(&item.email).and_then(|value| hash_key(Class::Email, "", value));
                let second = text(&item.phone).and_then(|value| hash_key(Class::Phone, "", value));
                match (first, second) {
                    // Without a valid key, the reason is that of the field that is present, the e-mail first.
                    (Err(Outcome::MissingField), Err(reason)) | (Err(reason), Err(_)) => Err(reason),
                    (first, second) => Ok([first.ok(), second.ok()]),
                }
            }
        }
    }
}

/// Returns the text of a string field.
fn text<'a>(value: &'a Scalar<'_>) -> Result<&'a str, Outcome> {
    match value {
        Scalar::Text(text) => Ok(text),
        Scalar::Absent => Err(Outcome::MissingField),
        _ => Err(Outcome::WrongType),
    }
}

/// Returns the text of a field that can be a string or an integer.
fn text_or_integer<'a>(value: &'a Scalar<'_>) -> Result<Cow<'a, str>, Outcome> {
    match value {
        Scalar::Integer(digits) => Ok(Cow::Borrowed(digits)),
        other => text(other).map(Cow::Borrowed),
    }
}

fn within_limit(value: &str) -> Result<&str, Outcome> {
    if value.len() > KEY_LIMIT { Err(Outcome::TooLong) } else { Ok(value) }
}
