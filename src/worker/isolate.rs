//! The values that an isolate keeps between requests.

use std::{
    cell::{OnceCell, RefCell},
    rc::Rc,
};

use worker::{Env, RateLimiter, Result};

use super::{
    bindings,
    bucket::Attachments,
    kv::Namespace,
    objects::{CampaignObjects, DatabaseObjects},
    unicode::RuntimeUnicode,
};
use crate::{
    api::settings::{Settings, SettingsError},
    launch::remembered::Remembered,
    problem::Cause,
    profiles::{cache::IndexCache, normal::Normaliser},
};

/// The bindings of a request. The runtime's objects can be used by all requests of an isolate.
#[derive(Debug)]
pub struct Bindings {
    pub profiles: Namespace,
    pub access: Namespace,
    pub objects: CampaignObjects,
    pub databases: DatabaseObjects,
    pub attachments: Attachments,
    /// `None`: rate limiting is off.
    pub rate_limiters: Option<RateLimiters>,
}

#[derive(Debug)]
pub struct RateLimiters {
    /// Limits the requests of one token name.
    pub token: RateLimiter,
    /// Limits the requests of one address that get 401.
    pub address: RateLimiter,
}

impl Bindings {
    /// Fails if a binding is missing.
    fn new(env: &Env, settings: &Settings) -> Result<Self> {
        let limiters = || {
            Ok::<_, worker::Error>(RateLimiters {
                token: env.rate_limiter("TOKEN_LIMIT")?,
                address: env.rate_limiter("ADDRESS_LIMIT")?,
            })
        };
        Ok(Self {
            profiles: Namespace::bound(env, crate::profiles::BINDING)?,
            access: bindings::access(env)?,
            objects: CampaignObjects::new(env)?,
            databases: DatabaseObjects::new(env)?,
            attachments: Attachments::new(env)?,
            rate_limiters: settings.rate_limiting.then(limiters).transpose()?,
        })
    }
}

/// The values that an isolate keeps between requests.
#[derive(Debug)]
pub struct Isolate {
    pub settings: Settings,
    pub normaliser: Rc<Normaliser>,
    /// What was read of profile indexes recently.
    pub index: RefCell<IndexCache>,
    pub remembered: RefCell<Remembered>,
    bindings: OnceCell<Rc<Bindings>>,
}

impl Isolate {
    pub fn bindings(&self, env: &Env) -> Result<Rc<Bindings>> {
        if let Some(bindings) = self.bindings.get() {
            return Ok(Rc::clone(bindings));
        }
        let bindings = Rc::new(Bindings::new(env, &self.settings)?);
        Ok(Rc::clone(self.bindings.get_or_init(|| bindings)))
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
        let index = IndexCache::new(usize::try_from(settings.limits.kept).unwrap_or(0));
        let normaliser = Rc::new(Normaliser::new(Box::new(RuntimeUnicode)));
        let remembered = RefCell::new(Remembered::new(&settings.limits));
        let (index, bindings) = (RefCell::new(index), OnceCell::new());
        let isolate = Isolate { settings, normaliser, index, remembered, bindings };
        Ok(Rc::clone(cell.get_or_init(|| Rc::new(isolate))))
    })
}

/// Returns the configuration for an object, or the cause with which it fails every request.
pub fn object_settings(env: &Env) -> std::result::Result<Settings, Cause> {
    let isolate = isolate(env).map_err(|error| Cause(format!("configuration: {error}")))?;
    Ok(isolate.settings.clone())
}
