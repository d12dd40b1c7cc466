//! Columns, and one row: collected first, so that a row with a fault leaves nothing behind.

use std::borrow::Cow;

use super::{ImportError, Importer};
use crate::{
    escape::short,
    limits::KEY_LIMIT,
    profiles::{
        bucket::Section,
        key::{Class, KeyHash, ProfileId},
        normal::normalise,
    },
};

/// What a column or member may be called.
pub const KNOWN: &str = "profile_id, email, phone, email_sub, phone_sub, push_sub, custom:<field>, custom_sub:<field>";

/// A column of CSV, or a member of NDJSON.
#[derive(Debug, Clone)]
pub struct Column {
    /// As the file calls it.
    pub name: String,
    /// `None`: the profile id itself.
    pub keys: Option<Keys>,
}

/// Which keys a column holds.
#[derive(Debug, Clone)]
pub struct Keys {
    pub class: Class,
    field_name: String,
    field: u16,
    section: Section,
}

/// A reason for refusing a row.
pub type Reason = Cow<'static, str>;

/// Good, or refused.
pub type Checked<T = ()> = Result<T, Reason>;

impl Column {
    /// The column of that name; the inner error is for a name that is not known.
    pub fn new(importer: &mut Importer, name: &str) -> Result<Checked<Self>, ImportError> {
        let (class, section, field) = match name {
            "profile_id" => return Ok(Ok(Self { name: name.into(), keys: None })),
            "email" => (Class::Email, Section::Profiles, ""),
            "email_sub" => (Class::Email, Section::Subscriptions, ""),
            "phone" => (Class::Phone, Section::Profiles, ""),
            "phone_sub" => (Class::Phone, Section::Subscriptions, ""),
            "push_sub" => (Class::Push, Section::Subscriptions, ""),
            _ => match name.split_once(':') {
                Some((_, field)) if field.is_empty() || field.len() > KEY_LIMIT => {
                    let name = short(name);
                    return Ok(Err(format!("{name}: the name of the field must have 1 to {KEY_LIMIT} bytes").into()));
                }
                Some(("custom", field)) => (Class::Custom, Section::Profiles, field),
                Some(("custom_sub", field)) => (Class::CustomSub, Section::Subscriptions, field),
                _ => return Ok(Err(format!("unknown column \"{}\"; known columns: {KNOWN}", short(name)).into())),
            },
        };
        let keys = Keys { class, field_name: field.into(), field: importer.field(class, field)?, section };
        Ok(Ok(Self { name: name.into(), keys: Some(keys) }))
    }
}

/// The row that is being read.
#[derive(Debug, Default)]
pub struct Row {
    profile: Option<ProfileId>,
    keys: Vec<(u16, Section, KeyHash)>,
}

impl Row {
    /// Takes one value of a column. Empty ones are skipped, also those of which normalisation leaves nothing.
    pub fn value(&mut self, importer: &Importer, column: &Column, value: &str) -> Checked {
        let name = short(&column.name);
        let Some(keys) = &column.keys else {
            let id = ProfileId::parse(value).ok_or("profile_id: not 24 hexadecimal digits")?;
            return match self.profile.replace(id) {
                None => Ok(()),
                Some(_) => Err("profile_id: given twice".into()),
            };
        };
        if value.len() > KEY_LIMIT {
            return Err(format!("{name}: a value is longer than {KEY_LIMIT} bytes").into());
        }
        if value.is_empty() {
            return Ok(());
        }
        let (field, value) = if keys.class == Class::Push {
            value.split_once(':').unwrap_or_default()
        } else {
            (keys.field_name.as_str(), value)
        };
        if keys.class == Class::Push && (field.is_empty() || value.is_empty()) {
            return Err(format!("{name}: not provider:subscription_id").into());
        }
        if let Some(value) = normalise(keys.class, value) {
            self.keys.push((keys.field, keys.section, importer.key.hash(keys.class, field, &value)));
        }
        Ok(())
    }

    /// Forgets what it holds.
    pub fn clear(&mut self) {
        self.profile = None;
        self.keys.clear();
    }

    /// The row is whole and good: its keys are added. The inner error refuses it after all.
    pub fn finish(&mut self, importer: &mut Importer) -> Result<Checked, ImportError> {
        let Some(profile) = self.profile else { return Ok(Err("profile_id: missing".into())) };
        let hex = profile.to_string();
        let hash = importer.key.hash(Class::ProfileId, "", &hex);
        let field = importer.field(Class::ProfileId, "")?;
        importer.add(field, Section::Profiles, hash, profile)?;
        for (field, section, hash) in self.keys.drain(..) {
            importer.add(field, section, hash, profile)?;
        }
        Ok(Ok(()))
    }
}
