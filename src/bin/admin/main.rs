//! The operator's command line: tokens and profiles, in the local state or (`--remote`) in the deployed account.

mod demo;
mod profiles;
mod secret;
mod store;
mod tokens;

use std::{fmt, fs, path::PathBuf, process::ExitCode, time::SystemTime};

use clap::{Args, Parser, Subcommand};
use store::{Kv, Local, Wrangler};
use trigger_launch::access::Scope;

/// Where wrangler keeps the local state, below the checkout.
const DEFAULT_STATE: &str = ".wrangler/state";

#[derive(Parser)]
#[command(name = "admin", version, about = "Operates trigger-launch: tokens and profiles.")]
struct Arguments {
    /// The deployed account, not the local state. Takes the key from the environment (PROFILE_INDEX_KEY).
    #[arg(long, global = true, conflicts_with = "persist_to")]
    remote: bool,
    /// The folder of the local state, as `wrangler dev` has it.
    #[arg(long, global = true, value_name = "DIR")]
    persist_to: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Makes, lists and revokes tokens.
    #[command(subcommand)]
    Token(TokenCommand),
    /// Imports profiles.
    #[command(subcommand)]
    Profiles(ProfilesCommand),
    /// Puts the demo data into an empty local state.
    #[command(hide = true)]
    Demo,
    /// Makes the local key where there is none yet.
    #[command(hide = true)]
    Key,
}

#[derive(Subcommand)]
enum TokenCommand {
    /// Makes a token and prints it, once.
    Create(Create),
    /// Lists the tokens: never the tokens themselves, but the beginnings of their digests.
    List,
    /// Revokes all values of a token.
    Revoke {
        /// The token's name.
        name: String,
        /// Revokes one value alone: the beginning of its digest, as `token list` shows it.
        #[arg(long, value_name = "PREFIX")]
        digest: Option<String>,
    },
}

/// `token create`.
#[derive(Args, Default)]
pub struct Create {
    /// The token's name: what the launch log shows, and the scope of request ids.
    #[arg(long)]
    name: String,
    /// What it may be used for: launch, read or admin; may be repeated. Without one: launch.
    #[arg(long = "scope", value_name = "SCOPE", value_parser = scope)]
    scopes: Vec<Scope>,
    /// A database that it may use; may be repeated. Without one: all.
    #[arg(long = "database", value_name = "ID", value_parser = database_id())]
    databases: Vec<u64>,
    /// An existing token, of at least 20 characters, in place of a new one.
    #[arg(long, value_name = "TOKEN")]
    value: Option<String>,
    /// Adds a second value to a name; what it may do is taken over unless given. Revoke the first one by its digest.
    #[arg(long)]
    rotate: bool,
}

#[derive(Subcommand)]
enum ProfilesCommand {
    /// Makes the profile index of a database from a file, CSV with a header or NDJSON; it replaces the one before.
    Import {
        /// The file. Columns: profile_id, email, phone, email_sub, phone_sub, push_sub (provider:subscription_id),
        /// custom:<field>, custom_sub:<field>.
        file: PathBuf,
        /// The database.
        #[arg(long, value_name = "ID", value_parser = database_id())]
        database: u64,
    },
}

/// Why a command failed: one line.
#[derive(Debug)]
pub struct Failure(String);

/// What a command comes to.
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
    let arguments = Arguments::parse();
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure(text)) => {
            eprintln!("error: {text}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Outcome {
    let state = arguments.persist_to.clone().unwrap_or_else(|| root().join(DEFAULT_STATE));
    let state = std::path::absolute(&state).and_then(|path| fs::create_dir_all(&path).map(|()| path));
    let state = state.map_err(|error| Failure(format!("the folder of the local state: {error}")))?;
    let vars = root().join(secret::FILE);
    let now = now()?;
    let store = || -> Outcome<Box<dyn Kv>> {
        Ok(if arguments.remote { Box::new(Wrangler::remote()?) } else { Box::new(Local::start(&state)?) })
    };
    match &arguments.command {
        Command::Token(TokenCommand::Create(create)) => {
            let token = tokens::create(store()?.as_mut(), create, arguments.remote, now)?;
            println!("{token}");
            eprintln!("This is the only time that the token is shown.");
        }
        Command::Token(TokenCommand::List) => print!("{}", tokens::list(store()?.as_mut())?),
        Command::Token(TokenCommand::Revoke { name, digest }) => {
            let values = tokens::revoke(store()?.as_mut(), name, digest.as_deref(), now)?;
            eprintln!("{name}: {values} revoked; it stops working in about 90 seconds at the most, as a rule.");
        }
        Command::Profiles(ProfilesCommand::Import { file, database }) => {
            let key = secret::index_key(arguments.remote, &vars, &state)?;
            profiles::import_file(store()?.as_mut(), file, key, *database, &state, now)?;
        }
        Command::Demo if arguments.remote => return Err(Failure::new("demo data is for the local state alone")),
        Command::Demo => {
            let key = secret::index_key(false, &vars, &state)?;
            println!("{}", demo::load(store()?.as_mut(), key, &state, now)?);
        }
        Command::Key => {
            secret::index_key(arguments.remote, &vars, &state)?;
        }
    }
    Ok(())
}

/// The checkout, in which wrangler and its settings are: cargo says where, and a caller without it stands there.
fn root() -> PathBuf {
    std::env::var_os("CARGO_MANIFEST_DIR")
        .map(PathBuf::from)
        .or_else(|| std::env::current_dir().ok())
        .unwrap_or_default()
}

/// Milliseconds since 1970.
fn now() -> Outcome<u64> {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let since = since.map_err(|_| Failure::new("the clock stands before 1970"))?;
    u64::try_from(since.as_millis()).map_err(|_| Failure::new("the clock is wrong"))
}

/// Random bytes from the system.
fn random<const N: usize>() -> Outcome<[u8; N]> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|error| Failure(format!("no random bytes: {error}")))?;
    Ok(bytes)
}

fn scope(text: &str) -> Result<Scope, String> {
    let known = [Scope::Launch, Scope::Read, Scope::Admin];
    known.into_iter().find(|scope| scope.as_str() == text).ok_or_else(|| "it is launch, read or admin".into())
}

/// Database ids are what a JSON number holds exactly.
fn database_id() -> clap::builder::RangedU64ValueParser {
    clap::value_parser!(u64).range(1..=(1 << 53) - 1)
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
