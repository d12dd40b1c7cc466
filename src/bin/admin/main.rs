//! The operator's command line: tokens and profiles, in the local state or (`--remote`) in the deployed account.

#![deny(clippy::print_stdout, clippy::print_stderr)]

mod demo;
mod output;
mod place;
mod profiles;
mod secret;
mod store;
mod tokens;

use std::{fmt, path::PathBuf, process::ExitCode, time::SystemTime};

use clap::{Args, Parser, Subcommand, builder::NonEmptyStringValueParser};
use place::Place;
use trigger_launch::{access::Scope, text::SAFE_INTEGER_MAX};

/// The exit code for arguments that are not understood.
const INVALID_ARGUMENTS: u8 = 2;

#[derive(Parser)]
#[command(name = "admin", version, about = "Operates trigger-launch: tokens and profiles.")]
struct Arguments {
    /// Work on the deployed account instead of the local state; the index key comes from PROFILE_INDEX_KEY.
    #[arg(long, global = true, conflicts_with = "persist_to")]
    remote: bool,
    /// The folder of the local state, as given to `npm run dev`; it must exist.
    #[arg(long, global = true, value_name = "DIR")]
    persist_to: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Creates, lists and revokes tokens.
    #[command(subcommand)]
    Token(TokenCommand),
    /// Imports profiles.
    #[command(subcommand)]
    Profiles(ProfilesCommand),
    /// Loads the demo data into an empty local state.
    #[command(hide = true)]
    Demo,
    /// Creates the local index key if there is none.
    #[command(hide = true)]
    Key,
}

#[derive(Subcommand)]
enum TokenCommand {
    /// Creates a token and prints it once.
    Create(Create),
    /// Lists the tokens by name and digest, never the tokens themselves.
    List,
    /// Revokes all values of a token, or one of them.
    Revoke {
        /// The token's name.
        name: String,
        /// Revokes only the value whose digest begins with PREFIX, as `token list` shows it. A damaged record is replaced.
        #[arg(long, value_name = "PREFIX", value_parser = NonEmptyStringValueParser::new())]
        digest: Option<String>,
    },
}

/// `token create`.
#[derive(Args, Default)]
pub struct Create {
    /// The token's name: the launch log shows it, and request ids are unique within it.
    #[arg(long)]
    name: String,
    /// What the token may be used for: launch (the default), read or admin; may be repeated.
    #[arg(long = "scope", value_name = "SCOPE", value_parser = scope)]
    scopes: Vec<Scope>,
    /// A database that the token may use; may be repeated. The default is all.
    #[arg(long = "database", value_name = "ID", value_parser = database_id())]
    databases: Vec<u64>,
    /// An existing token of at least 20 characters, instead of a new one.
    #[arg(long, value_name = "TOKEN")]
    value: Option<String>,
    /// Adds a value to a name in use, with the same scopes and databases unless given. Revoke the old one by its digest.
    #[arg(long)]
    rotate: bool,
}

#[derive(Subcommand)]
enum ProfilesCommand {
    /// Builds the profile index of a database from a file (CSV with a header, or NDJSON) and replaces the one in use.
    Import {
        /// The file. Columns: profile_id, email, phone, email_sub, phone_sub, push_sub (provider:subscription_id),
        /// custom:<field>, custom_sub:<field>.
        file: PathBuf,
        /// The database.
        #[arg(long, value_name = "ID", value_parser = database_id())]
        database: u64,
    },
}

/// Why a command failed, and what to do next: one line.
#[derive(Debug)]
pub struct Failure(String);

/// The result of a command.
pub type Outcome<T = ()> = Result<T, Failure>;

impl Failure {
    fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<trigger_launch::profiles::import::ImportError> for Failure {
    fn from(error: trigger_launch::profiles::import::ImportError) -> Self {
        Self(error.0)
    }
}

fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) if error.use_stderr() => {
            // An argument can be a file name that the shell has inserted.
            error.to_string().lines().for_each(output::note);
            return ExitCode::from(INVALID_ARGUMENTS);
        }
        // Help, or the version.
        Err(error) => error.exit(),
    };
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure(text)) => {
            output::error(&text);
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Outcome {
    if arguments.remote && matches!(arguments.command, Command::Demo) {
        return Err(Failure::new("demo data is only for the local state; omit --remote"));
    }
    let root = root();
    let place = match arguments.remote {
        true => Place::deployed(&root),
        false => Place::local(&root, arguments.persist_to.as_deref())?,
    };
    let secrets = root.join(secret::FILE);
    let now = now()?;
    match &arguments.command {
        Command::Token(command) => token(&place, command, now)?,
        Command::Profiles(ProfilesCommand::Import { file, database }) => {
            let key = secret::index_key(&place, &secrets)?;
            profiles::import_file(&place, file, key, *database, now)?;
        }
        Command::Demo => {
            let key = secret::index_key(&place, &secrets)?;
            let loaded = demo::load(place.kv()?.as_mut(), key, &place.lock_file(), now, &mut output::warning)?;
            output::result(loaded)?;
        }
        Command::Key => {
            secret::index_key(&place, &secrets)?;
        }
    }
    Ok(())
}

/// A change reads all tokens before it writes one, so other changes wait until it has finished.
fn token(place: &Place, command: &TokenCommand, now: u64) -> Outcome {
    match command {
        TokenCommand::Create(create) => {
            let _lock = place.lock()?;
            let token = tokens::create(place.kv()?.as_mut(), create, place.is_deployed(), now, &mut output::warning)?;
            output::result(&token).map_err(|Failure(text)| tokens::not_shown(create, &token, &text))?;
            output::note("This token is not shown again.");
        }
        TokenCommand::List => {
            let (rows, damaged) = tokens::list(place.kv()?.as_mut())?;
            rows.iter().try_for_each(|row| output::result(row))?;
            damaged.iter().for_each(|record| output::warning(&record.to_string()));
            if !damaged.is_empty() {
                return Err(Failure(format!(
                    "the list lacks {} damaged token records: see the warnings",
                    damaged.len()
                )));
            }
        }
        TokenCommand::Revoke { name, digest } => {
            let _lock = place.lock()?;
            let kv = &mut *place.kv()?;
            let values = tokens::revoke(kv, name, digest.as_deref(), now, &mut output::warning)?;
            let values = if values == 1 { "1 value".to_owned() } else { format!("{values} values") };
            output::note(&format!("{values} of {name} revoked; normally this is known everywhere within 90 seconds"));
        }
    }
    Ok(())
}

/// The checkout, which contains wrangler and its configuration. Cargo names it; without cargo it is the current folder.
fn root() -> PathBuf {
    std::env::var_os("CARGO_MANIFEST_DIR")
        .map(PathBuf::from)
        .or_else(|| std::env::current_dir().ok())
        .unwrap_or_default()
}

/// Milliseconds since 1970.
fn now() -> Outcome<u64> {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let since = since.map_err(|_| Failure::new("the system clock is before 1970; correct it"))?;
    u64::try_from(since.as_millis()).map_err(|_| Failure::new("the system clock is too far in the future; correct it"))
}

/// Random bytes from the system.
fn random<const N: usize>() -> Outcome<[u8; N]> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|error| Failure(format!("the system provides no random bytes: {error}")))?;
    Ok(bytes)
}

fn scope(text: &str) -> Result<Scope, String> {
    let known = [Scope::Launch, Scope::Read, Scope::Admin];
    known.into_iter().find(|scope| scope.as_str() == text).ok_or_else(|| "use launch, read or admin".into())
}

/// Database ids are what a JSON number holds exactly.
fn database_id() -> clap::builder::RangedU64ValueParser {
    clap::value_parser!(u64).range(1..=SAFE_INTEGER_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_arguments_are_sound() {
        use clap::CommandFactory as _;
        Arguments::command().debug_assert();
    }
}
