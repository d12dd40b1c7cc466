//! The names of the bindings of `wrangler.toml`, and the values that an isolate keeps between requests.

use std::{
    cell::{OnceCell, RefCell},
    collections::HashMap,
    rc::Rc,
};

use worker::{AnalyticsEngineDataset, Env, ObjectNamespace, RateLimiter, Result};

use super::{kv::Namespace, unicode::RuntimeUnicode};
use crate::{
    api::settings::{Settings, SettingsError},
    limits::DATABASES_REMEMBERED,
    profiles::{cache::BucketCache, normal::Normaliser},
};

pub fn campaigns(env: &Env) -> Result<ObjectNamespace> {
    env.durable_object("CAMPAIGNS")
}

pub fn databases(env: &Env) -> Result<ObjectNamespace> {
    env.durable_object("DATABASES")
}

/// The KV namespace of profile indexes.
pub fn profiles(env: &Env) -> Result<Namespace> {
    Namespace::bound(env, crate::profiles::BINDING)
}

/// The KV namespace of tokens and copies of campaigns.
pub fn access(env: &Env) -> Result<Namespace> {
    Namespace::bound(env, crate::access::BINDING)
}

/// The binding of the R2 bucket for attachments.
pub const ATTACHMENTS: &str = "ATTACHMENTS";

/// Limits the requests of one token name.
pub fn token_limit(env: &Env) -> Result<RateLimiter> {
    env.rate_limiter("TOKEN_LIMIT")
}

/// Limits the requests of one address that get 401.
pub fn address_limit(env: &Env) -> Result<RateLimiter> {
    env.rate_limiter("ADDRESS_LIMIT")
}

/// The dataset of the Analytics Engine for metrics, if the operator has bound one.
pub fn metrics(env: &Env) -> Option<AnalyticsEngineDataset> {
    env.analytics_engine("METRICS").ok()
}

/// The values that an isolate keeps between requests.
#[derive(Debug)]
pub struct Isolate {
    pub settings: Settings,
    /// Databases of campaigns. The database of a campaign never changes.
    databases: RefCell<HashMap<u64, u64>>,
    pub normaliser: Rc<Normaliser>,
    /// Buckets of profile indexes that were read recently.
    pub buckets: RefCell<BucketCache>,
}

impl Isolate {
    pub fn database(&self, trigger_id: u64) -> Option<u64> {
        self.databases.borrow().get(&trigger_id).copied()
    }

    pub fn remember_database(&self, trigger_id: u64, database: u64) {
        let mut databases = self.databases.borrow_mut();
        if databases.len() >= DATABASES_REMEMBERED {
            databases.clear();
        }
        databases.insert(trigger_id, database);
    }
}

thread_local! {
    static ISOLATE: OnceCell<Rc<Isolate>> = const { OnceCell::new() };
}

/// Returns the values of this isolate, or why the configuration is invalid.
pub fn isolate(env: &Env) -> std::result::Result<Rc<Isolate>, SettingsError> {
    ISOLATE.with(|cell| {
        if let Some(isolate) = cell.get() {
            return Ok(Rc::clone(isolate));
        }
        let variable = |name: &str| env.var(name).ok().map(|value| value.to_string());
        let secret = |name: &str| env.secret(name).ok().map(|value| value.to_string());
        let settings = Settings::read(variable, secret)?;
        let buckets = BucketCache::new(usize::try_from(settings.limits.kept).unwrap_or(0));
        let normaliser = Rc::new(Normaliser::new(Box::new(RuntimeUnicode)));
        let isolate = Isolate { settings, normaliser, databases: RefCell::default(), buckets: RefCell::new(buckets) };
        Ok(Rc::clone(cell.get_or_init(|| Rc::new(isolate))))
    })
}
