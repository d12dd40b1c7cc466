//! Every binding and variable of `wrangler.toml`, by its name, once.

use std::{
    cell::{OnceCell, RefCell},
    collections::HashMap,
    rc::Rc,
};

use worker::{AnalyticsEngineDataset, Env, ObjectNamespace, RateLimiter, Result};

use super::kv::Namespace;
use crate::{
    limits::{self, Limits},
    memory::Budget,
    profiles::{cache::BucketCache, key::IndexKey},
};

/// The campaigns' objects.
pub fn campaigns(env: &Env) -> Result<ObjectNamespace> {
    env.durable_object("CAMPAIGNS")
}

/// The index of profiles.
pub fn profiles(env: &Env) -> Result<Namespace> {
    Namespace::bound(env, crate::profiles::BINDING)
}

/// Tokens, and what KV knows of campaigns.
pub fn access(env: &Env) -> Result<Namespace> {
    Namespace::bound(env, crate::access::BINDING)
}

/// Bytes of attachments: an R2 bucket.
pub const ATTACHMENTS: &str = "ATTACHMENTS";

/// Requests of one good token.
pub fn token_limit(env: &Env) -> Result<RateLimiter> {
    env.rate_limiter("TOKEN_LIMIT")
}

/// Requests without a good token, of one address.
pub fn address_limit(env: &Env) -> Result<RateLimiter> {
    env.rate_limiter("ADDRESS_LIMIT")
}

/// What is counted of requests: a dataset of the Analytics Engine, where the operator has bound one.
pub fn metrics(env: &Env) -> Option<AnalyticsEngineDataset> {
    env.analytics_engine("METRICS").ok()
}

/// What an isolate keeps: it does not change while the isolate lives.
#[derive(Debug)]
pub struct Config {
    /// The deployment's limits.
    pub limits: Limits,
    /// `PROFILE_INDEX_KEY`, and `PROFILE_INDEX_KEY_PREVIOUS` where it is set.
    pub secrets: Rc<[IndexKey]>,
    /// `RATE_LIMITING` is not `off`.
    pub rate_limiting: bool,
    /// `DEDUPLICATION` is `checksum`.
    pub checksum: bool,
    /// The memory that the isolate's requests share.
    pub budget: Rc<Budget>,
    /// The databases of campaigns that were launched here: they never change.
    pub databases: RefCell<HashMap<u64, u64>>,
    /// Buckets that were read here.
    pub buckets: RefCell<BucketCache>,
}

/// Campaigns of which an isolate remembers the database.
const DATABASES: usize = 10_000;

impl Config {
    /// Remembers the database of a campaign.
    pub fn remember(&self, trigger_id: u64, database: u64) {
        let mut databases = self.databases.borrow_mut();
        if databases.len() >= DATABASES {
            databases.clear();
        }
        databases.insert(trigger_id, database);
    }
}

thread_local! {
    static CONFIG: OnceCell<Rc<Config>> = const { OnceCell::new() };
}

/// The isolate's configuration. A variable that is no number or over its maximum is an error that names it.
pub fn config(env: &Env) -> std::result::Result<Rc<Config>, String> {
    CONFIG.with(|cell| {
        if let Some(config) = cell.get() {
            return Ok(Rc::clone(config));
        }
        let config = Rc::new(read(env)?);
        Ok(Rc::clone(cell.get_or_init(|| config)))
    })
}

fn read(env: &Env) -> std::result::Result<Config, String> {
    let limits = limits(env)?;
    let mut secrets = Vec::new();
    for name in ["PROFILE_INDEX_KEY", "PROFILE_INDEX_KEY_PREVIOUS"] {
        if let Ok(secret) = env.secret(name) {
            secrets.push(IndexKey::new(&secret.to_string()).map_err(|weak| format!("{name}: {weak}"))?);
        }
    }
    let text = |name: &str| env.var(name).map(|value| value.to_string()).unwrap_or_default();
    Ok(Config {
        limits,
        secrets: secrets.into(),
        rate_limiting: text("RATE_LIMITING") != "off",
        checksum: text("DEDUPLICATION") == "checksum",
        budget: Budget::new(limits.memory, limits.unverified),
        databases: RefCell::default(),
        buckets: RefCell::new(BucketCache::new(usize::try_from(limits.kept).unwrap_or(0))),
    })
}

/// The limits that the variables set.
pub fn limits(env: &Env) -> std::result::Result<Limits, String> {
    let mut limits = Limits::default();
    for (name, limit, most) in [
        ("BODY_LIMIT", &mut limits.body, limits::BODY_LIMIT_MAX),
        ("FILES_LIMIT", &mut limits.files, limits::FILES_LIMIT_MAX),
        ("ITEMS_LIMIT", &mut limits.items, limits::ITEMS_LIMIT_MAX),
        ("CONTENT_LIMIT", &mut limits.content, limits::CONTENT_LIMIT_MAX),
        ("MEMORY_LIMIT", &mut limits.memory, u64::MAX),
        ("UNVERIFIED_LIMIT", &mut limits.unverified, u64::MAX),
        ("BUCKETS_KEPT", &mut limits.kept, limits::BUCKETS_KEPT_MAX),
        ("DEDUPLICATION_SECONDS", &mut limits.deduplication_seconds, u64::MAX),
        ("RETENTION_DAYS", &mut limits.retention_days, u64::MAX),
        ("LOG_LIMIT", &mut limits.log, u64::MAX),
    ] {
        let Ok(value) = env.var(name) else { continue };
        let value: u64 = value.to_string().parse().map_err(|_| format!("{name} is no number"))?;
        if value > most {
            return Err(format!("{name} is above {most}"));
        }
        *limit = value;
    }
    Ok(limits)
}
