//! Resolves the names of CSV columns and NDJSON members.

use std::collections::BTreeSet;

use strsim::jaro_winkler;

use super::{error::ImportError, keys::KeyCollector};
use crate::{
    escape::escape_name,
    profiles::{
        bucket::BucketSection,
        column::{Column, ColumnError, KNOWN_NAMES, KeyColumn, simplify_name},
    },
};

/// The character of [`crate::text::BYTE_ORDER_MARK`]. Some files have a second byte order mark, or one after white space. It is
/// invisible, and not part of a name.
const BYTE_ORDER_MARK_CHAR: char = '\u{feff}';

/// How the operator treats names that are not known.
#[derive(Debug, Clone, Default)]
pub struct NameOptions {
    /// Other names of columns (`--map`).
    pub aliases: Vec<Alias>,
    /// Whether unknown columns are ignored (`--ignore-unknown`).
    pub ignore_unknown: bool,
}

/// Another name of a column: `Email Address=email`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Alias {
    /// The name in the file.
    name: String,
    column: Column,
}

/// The right side of an alias is not the name of a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not in the form \"name in the file=known name\"")]
pub struct InvalidAlias;

impl std::str::FromStr for Alias {
    type Err = InvalidAlias;

    fn from_str(text: &str) -> Result<Self, InvalidAlias> {
        // Both names can contain the sign.
        let parts = text.match_indices('=').filter_map(|(at, _)| Some((text.get(..at)?, text.get(at + 1..)?)));
        let mut aliases = parts.filter_map(|(name, column)| {
            let name = clean_name(name);
            Some(Self { name: name.to_owned(), column: Column::parse(column).ok()? }).filter(|_| !name.is_empty())
        });
        aliases.next().ok_or(InvalidAlias)
    }
}

/// Removes white space and byte order marks around a name.
pub fn clean_name(name: &str) -> &str {
    name.trim_matches(|char: char| char.is_whitespace() || char == BYTE_ORDER_MARK_CHAR)
}

/// A column of a file.
#[derive(Debug, Clone)]
pub enum FileColumn {
    ProfileId,
    Keys(NumberedColumn),
    /// The name is unknown, and the operator ignores it.
    Ignored,
    /// The column has no name, and must have no values.
    Unnamed,
}

/// A column of keys, with the number of its index.
#[derive(Debug, Clone)]
pub struct NumberedColumn {
    /// The name in the file.
    pub name: String,
    pub column: KeyColumn,
    pub field_number: u16,
    /// Whether the operator mapped the name to the column.
    pub is_alias: bool,
}

impl NumberedColumn {
    /// The number of the index and the section of its keys.
    pub fn place(&self) -> (u16, BucketSection) {
        (self.field_number, self.column.section)
    }
}

/// An unknown name, and the known name that is most similar.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnknownName {
    name: String,
    nearest: &'static str,
}

/// Resolves names, and keeps track of the aliases that the file contains.
pub struct NameResolver<'a> {
    options: &'a NameOptions,
    used_aliases: BTreeSet<usize>,
}

impl<'a> NameResolver<'a> {
    pub fn new(options: &'a NameOptions) -> Self {
        Self { options, used_aliases: BTreeSet::new() }
    }

    fn find_alias(&self, name: &str) -> Option<(usize, &'a Alias)> {
        let simple = simplify_name(name);
        let aliases = || self.options.aliases.iter().enumerate();
        let exact = aliases().find(|(_, alias)| alias.name == name);
        exact.or_else(|| aliases().find(|(_, alias)| simplify_name(&alias.name) == simple))
    }

    /// Whether a name is that of a column.
    pub fn is_known(&self, name: &str) -> bool {
        let name = clean_name(name);
        self.find_alias(name).is_some() || Column::parse(name).is_ok()
    }

    /// Returns the column with this name. An unknown name is an inner error, so that all of them can be reported together.
    pub fn resolve(
        &mut self,
        keys: &mut KeyCollector,
        name: &str,
    ) -> Result<Result<FileColumn, UnknownName>, ImportError> {
        let name = clean_name(name);
        let alias = self.find_alias(name);
        let is_alias = alias.is_some();
        let column = match alias {
            Some((position, alias)) => {
                self.used_aliases.insert(position);
                Ok(alias.column.clone())
            }
            None => Column::parse(name),
        };
        Ok(Ok(match column {
            Ok(Column::ProfileId) => FileColumn::ProfileId,
            Ok(Column::Keys(column)) => {
                let field_number = keys.field_number(column.class, &column.field)?;
                FileColumn::Keys(NumberedColumn { name: name.to_owned(), column, field_number, is_alias })
            }
            Err(_) if name.is_empty() && !self.options.ignore_unknown => FileColumn::Unnamed,
            Err(_) if self.options.ignore_unknown => FileColumn::Ignored,
            Err(ColumnError::FieldNameLength) => {
                let reason = format!("{}: {}", escape_name(name), ColumnError::FieldNameLength);
                return Err(ImportError::Header(reason.into()));
            }
            Err(ColumnError::Unknown) => {
                return Ok(Err(UnknownName { name: name.to_owned(), nearest: nearest_name(name) }));
            }
        }))
    }

    /// Returns an error if an alias names no column of the file.
    pub fn finish(&self) -> Result<(), ImportError> {
        let mut aliases = self.options.aliases.iter().enumerate();
        match aliases.find(|(position, _)| !self.used_aliases.contains(position)) {
            Some((_, alias)) => Err(ImportError::UnusedAlias(escape_name(&alias.name).to_string())),
            None => Ok(()),
        }
    }
}

/// Returns the known name that is most similar to an unknown one.
fn nearest_name(name: &str) -> &'static str {
    let name = simplify_name(name);
    // A name that contains a known name is most similar to the longest one: `Phone Number` is `phone`, not `phone_sub`.
    let similarity = |known: &str| {
        let known = simplify_name(known);
        if name.contains(&known) {
            known.len() as f64
        } else if known.contains(&name) {
            1.0
        } else {
            jaro_winkler(&name, &known)
        }
    };
    let nearest = KNOWN_NAMES.into_iter().max_by(|a, b| similarity(a).total_cmp(&similarity(b)));
    nearest.unwrap_or_default()
}

/// Returns the error for unknown names. `line` is that of the first one.
pub fn unknown_names(line: u64, names: &[UnknownName]) -> ImportError {
    /// Names in the message. A file with another delimiter can have many.
    const SHOWN: usize = 5;
    let name = |unknown: &UnknownName| {
        format!("\"{}\" (the nearest known name is {})", escape_name(&unknown.name), unknown.nearest)
    };
    let mut list: Vec<String> = names.iter().take(SHOWN).map(name).collect();
    if names.len() > SHOWN {
        list.push(format!("{} more", names.len() - SHOWN));
    }
    let example = names.first().map(|unknown| {
        let name = escape_name(&unknown.name).to_string();
        format!("{name}={}", unknown.nearest.replace("<field>", &name))
    });
    let plural = if names.len() == 1 { "" } else { "s" };
    ImportError::UnknownColumns {
        line,
        names: format!("unknown column{plural} {}", list.join(", ")),
        example: example.unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_the_nearest_known_name() {
        for (name, nearest) in [
            ("Email Address", "email"),
            ("Phone Number", "phone"),
            ("emial", "email"),
            ("profil id", "profile_id"),
            ("ID", "profile_id"),
            ("Push", "push_sub"),
            ("customer", "custom:<field>"),
        ] {
            assert_eq!(nearest_name(name), nearest, "{name}");
        }
    }

    #[test]
    fn an_alias_has_a_known_name_after_one_of_its_signs() {
        let alias = |text: &str| text.parse::<Alias>().map(|alias| alias.name);
        assert_eq!(alias("Email Address=email").as_deref(), Ok("Email Address"));
        assert_eq!(alias(" a=b = Profile ID").as_deref(), Ok("a=b"));
        assert_eq!(alias("a=custom:b=c").as_deref(), Ok("a"));
        for text in ["", "a", "a=", "=email", "a=b", "email"] {
            assert_eq!(alias(text), Err(InvalidAlias), "{text}");
        }
    }
}
