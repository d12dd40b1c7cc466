//! The arguments of the command line, and its help texts.

use std::{path::PathBuf, str::FromStr};

use clap::{
    Args, Parser, Subcommand, ValueEnum,
    builder::{NonEmptyStringValueParser, PossibleValue, PossibleValuesParser, RangedU64ValueParser, TypedValueParser},
    value_parser,
};
use trigger_launch::{
    access::Scope,
    escape::escape_name,
    limits::{TOKEN_LIMIT, TOKEN_MIN, TOKEN_NAME_LIMIT},
    profiles::import::{Alias, NameOptions, Percentage, ReadOptions, TextEncoding},
    text::SAFE_INTEGER_MAX,
};

use crate::profiles::time::parse_time;

/// The heading of the options of all commands.
const GLOBAL: &str = "Global options";

/// Manage the tokens and profiles of trigger-launch.
///
/// Commands work on the local state, which `npm run dev` serves, or on the deployed account (--remote). The exit status is 0
/// if the command succeeded, 1 if it failed, and 2 if the arguments are invalid.
#[derive(Parser)]
#[command(name = "admin", bin_name = "npm run admin --", version)]
pub struct Arguments {
    /// Work on the deployed account instead of the local state.
    #[arg(long, global = true, conflicts_with = "persist_to", help_heading = GLOBAL)]
    pub remote: bool,
    /// Work on the local state in DIR, the folder given to `npm run dev -- --persist-to DIR`.
    #[arg(long, global = true, value_name = "DIR", help_heading = GLOBAL)]
    pub persist_to: Option<PathBuf>,
    #[command(subcommand)]
    pub command: AdminCommand,
}

#[derive(Subcommand)]
pub enum AdminCommand {
    /// Create, list and revoke API tokens.
    ///
    /// A token has a name and one or more values. Callers send a value; the launch log shows the name. Only digests of values
    /// are stored.
    #[command(subcommand)]
    Token(TokenCommand),
    /// Import and find profiles.
    #[command(subcommand)]
    Profiles(ProfilesCommand),
    /// Load the demo data into an empty local state.
    #[command(hide = true)]
    Demo,
    /// Create the local index key if it does not exist.
    #[command(hide = true)]
    Key,
    /// Print the constants that the benchmarks use, as JSON.
    #[command(hide = true)]
    Constants,
}

#[derive(Subcommand)]
pub enum TokenCommand {
    /// Create a token and print its value.
    ///
    /// The value is printed once and cannot be shown again. A new token normally works everywhere within 90 seconds.
    Create(CreateToken),
    /// List all tokens, with the digests of their values.
    List,
    /// Revoke a token.
    ///
    /// All values of the token stop working, normally everywhere within 2 minutes. Revoked values never work again.
    Revoke {
        /// Name of the token.
        name: String,
        /// Revoke only the value whose digest begins with PREFIX.
        ///
        /// `token list` shows the digests. If the record of the value is damaged, the command replaces the record.
        #[arg(long, value_name = "PREFIX", value_parser = NonEmptyStringValueParser::new())]
        digest: Option<String>,
    },
}

#[derive(Args, Default)]
pub struct CreateToken {
    /// Name of the token.
    #[arg(long, long_help = name_help())]
    pub name: String,
    /// What the token allows; repeatable; launch by default.
    #[arg(long = "scope", value_name = "SCOPE", value_parser = scope())]
    pub scopes: Vec<Scope>,
    /// Database that the token can use; repeatable; all by default.
    #[arg(long = "database", value_name = "ID", value_parser = database_id())]
    pub databases: Vec<u64>,
    /// Use this value instead of a random one.
    #[arg(long, value_name = "VALUE", long_help = value_help())]
    pub value: Option<String>,
    /// Add a value to an existing token.
    ///
    /// The new value has the scopes and databases of the newest value, unless they are given. After all callers have changed to
    /// the new value, revoke the old one with `token revoke NAME --digest PREFIX`.
    #[arg(long)]
    pub rotate: bool,
}

#[derive(Subcommand)]
pub enum ProfilesCommand {
    /// Replace all profiles of a database with those in a file.
    ///
    /// FILE contains all profiles of the database, as CSV with a header, as NDJSON (one JSON object per line) or as one JSON array,
    /// and can be packed with gzip. Columns, or members of the objects:
    ///
    ///   profile_id            the profile: 24 hexadecimal digits; required
    ///   email, phone          addresses of the profile
    ///   email_sub, phone_sub  addresses of the profile's subscriptions
    ///   push_sub              push subscriptions, as provider:subscription_id
    ///   custom:<field>        values of a custom field
    ///   custom_sub:<field>    subscriptions of a custom channel
    ///
    /// In CSV, semicolons separate several values in a cell. In NDJSON, several values are an array. Rows and values with errors
    /// are reported and left out. If there are too many of them, nothing is imported. Launches use the new profiles normally 90
    /// seconds after the command has succeeded. The exit status is 0 only if the import is in use.
    ///
    /// With --remote, the environment variable PROFILE_INDEX_KEY must contain the key of the deployed Worker.
    #[command(verbatim_doc_comment, about = "Replace all profiles of a database with those in a file")]
    Import(ImportFile),
    /// Print the profiles that have a key.
    ///
    /// Prints a line for each profile. If no profile has the key, prints the reason and exits with 1. If the changes of the
    /// database are live, pending changes count: the command reads them with the token in TRIGGER_LAUNCH_TOKEN, which needs the
    /// scope profiles. The deployment does not receive the key.
    Find {
        /// Database to search.
        #[arg(long, value_name = "ID", value_parser = database_id())]
        database: u64,
        #[command(flatten)]
        key: FindKey,
        /// Address of the deployment; required if the changes of the database are live.
        #[arg(long, value_name = "URL")]
        url: Option<String>,
    },
    /// Turn live changes of a database on or off.
    ///
    /// Changes are accepted five minutes after they were turned on. They cannot be turned off while changes are pending: compact
    /// first.
    #[command(after_help = TOKEN_HELP)]
    Live {
        /// Whether changes are live.
        #[arg(value_enum)]
        state: LiveState,
        /// Database.
        #[arg(long, value_name = "ID", value_parser = database_id())]
        database: u64,
        /// Address of the deployment.
        #[arg(long, value_name = "URL")]
        url: String,
    },
    /// Fold pending changes into a new generation of the index.
    ///
    /// Launches and changes go on in the meantime.
    #[command(after_help = TOKEN_HELP)]
    Compact {
        /// Database.
        #[arg(long, value_name = "ID", value_parser = database_id())]
        database: u64,
        /// Address of the deployment.
        #[arg(long, value_name = "URL")]
        url: String,
    },
    /// Send a file of changes.
    ///
    /// FILE contains rows as for `POST /api/v1.1/profiles/{database}/changes`: one JSON array, or NDJSON. Each row states all keys
    /// of a profile, or `"deleted": true`. Rows of one profile are merged.
    #[command(after_help = TOKEN_HELP)]
    Apply {
        /// JSON or NDJSON file.
        file: PathBuf,
        /// Database.
        #[arg(long, value_name = "ID", value_parser = database_id())]
        database: u64,
        /// Address of the deployment.
        #[arg(long, value_name = "URL")]
        url: String,
    },
}

const TOKEN_HELP: &str = "The environment variable TRIGGER_LAUNCH_TOKEN must contain a token with the scope profiles.";

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LiveState {
    On,
    Off,
}

#[derive(Args)]
pub struct ImportFile {
    /// File with profiles.
    pub file: PathBuf,
    /// Database to replace.
    #[arg(long, value_name = "ID", value_parser = database_id())]
    pub database: u64,
    /// Encoding of the file, such as windows-1252; detected by default.
    #[arg(long, value_name = "LABEL", value_parser = encoding)]
    pub encoding: Option<TextEncoding>,
    /// Use a column under another name: 'Email Address=email'; repeatable.
    #[arg(long = "map", value_name = "NAME=COLUMN")]
    pub aliases: Vec<Alias>,
    /// Ignore columns with unknown names.
    #[arg(long)]
    pub ignore_unknown: bool,
    /// Import even if this percentage of the rows is refused, or of the values skipped; 1% by default.
    #[arg(long, value_name = "PERCENTAGE", default_value_t = Percentage::MAX_BAD_DEFAULT, hide_default_value = true)]
    pub max_bad: Percentage,
    /// Import even if the file has less than 90% of the profiles of the import in use.
    #[arg(long)]
    pub allow_shrink: bool,
    /// Do everything except write.
    #[arg(long)]
    pub dry_run: bool,
    /// Print the summary as one JSON object.
    #[arg(long)]
    pub json: bool,
    /// Address of the deployment; required if the changes of the database are live.
    #[arg(long, value_name = "URL", requires = "as_of")]
    pub url: Option<String>,
    /// Time of the export in RFC 3339; required if the changes of the database are live.
    ///
    /// Changes made before that time are superseded, later ones are kept.
    #[arg(long, value_name = "TIME", requires = "url", value_parser = parse_time)]
    pub as_of: Option<u64>,
}

impl ImportFile {
    pub fn read_options(&self) -> ReadOptions {
        let names = NameOptions { aliases: self.aliases.clone(), ignore_unknown: self.ignore_unknown };
        ReadOptions { encoding: self.encoding, names }
    }
}

#[derive(Args, Default)]
#[group(required = true, multiple = false)]
pub struct FindKey {
    /// E-mail address of a profile or a subscription.
    #[arg(long, value_name = "ADDRESS")]
    pub email: Option<String>,
    /// Phone number of a profile or a subscription.
    #[arg(long, value_name = "NUMBER")]
    pub phone: Option<String>,
    /// Value of a custom field.
    #[arg(long, value_name = "FIELD=VALUE")]
    pub custom: Option<CustomValue>,
}

/// A value of a custom field, written as `FIELD=VALUE`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CustomValue {
    pub field: String,
    pub value: String,
}

impl FromStr for CustomValue {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once('=') {
            Some((field, value)) if !field.is_empty() => Ok(Self { field: field.to_owned(), value: value.to_owned() }),
            _ => Err(format!("\"{}\" is not in the form FIELD=VALUE", escape_name(text))),
        }
    }
}

fn encoding(label: &str) -> Result<TextEncoding, &'static str> {
    TextEncoding::from_label(label).ok_or("not the label of a text encoding, such as utf-8 or windows-1252")
}

fn name_help() -> String {
    format!(
        "Name of the token: 1 to {TOKEN_NAME_LIMIT} visible ASCII characters. The launch log shows the name. Request IDs are \
         unique within a name."
    )
}

fn value_help() -> String {
    format!(
        "Use this value instead of a random one: {TOKEN_MIN} to {TOKEN_LIMIT} visible ASCII characters. The value should be \
         hard to guess."
    )
}

fn scope() -> impl TypedValueParser<Value = Scope> {
    const SCOPES: [(Scope, &str); 4] = [
        (Scope::Launch, "Launch campaigns"),
        (Scope::Read, "Read the launch log"),
        (Scope::Admin, "Define, pause, resume and list campaigns"),
        (Scope::Profiles, "Change profiles between imports"),
    ];
    let values = SCOPES.map(|(scope, help)| PossibleValue::new(scope.as_str()).help(help));
    PossibleValuesParser::new(values).try_map(|name| {
        let scope = SCOPES.into_iter().map(|(scope, _)| scope).find(|scope| scope.as_str() == name);
        scope.ok_or("unknown scope")
    })
}

/// A database ID must be an integer that JSON numbers represent exactly.
fn database_id() -> RangedU64ValueParser {
    value_parser!(u64).range(1..=SAFE_INTEGER_MAX)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_definition_of_the_arguments_is_valid() {
        Arguments::command().debug_assert();
    }
}
