//! The ports of a launch, over the bindings of one request.

use std::{cell::RefCell, rc::Rc, time::Duration};

use worker::{Delay, Env, RateLimiter};

use super::{
    bindings::{self, Config},
    bucket::Attachments,
    campaigns::{self, Campaigns},
    kv::Namespace,
    log,
};
use crate::{
    access::{CampaignRecord, TokenRecord, campaign_key},
    campaign::{commands::Request, id::LaunchId, message::Repeated},
    launch::ports::{Answer, Clock, ObjectError, Ports},
    limits::{BUCKET_CACHE_SECONDS, KV_CACHE_SECONDS},
    memory::Reservation,
    problem::Cause,
    profiles::{lookup::BucketStore, manifest::manifest_key},
};

/// What one request asks.
pub struct RequestPorts {
    profiles: Namespace,
    access: Namespace,
    campaigns: Campaigns,
    attachments: Attachments,
    /// `None`: rate limiting is off.
    limits: Option<(RateLimiter, RateLimiter)>,
    address: String,
    request_id: String,
    config: Rc<Config>,
    /// Room for stored launches that came back; given back when the request ends.
    stored: RefCell<Vec<Reservation>>,
}

impl RequestPorts {
    /// The ports of a request from `address` (`CF-Connecting-IP`).
    pub fn new(env: &Env, config: &Rc<Config>, address: Option<&str>, request_id: &str) -> worker::Result<Self> {
        let limits = config.rate_limiting.then(|| Ok((bindings::token_limit(env)?, bindings::address_limit(env)?)));
        Ok(Self {
            profiles: bindings::profiles(env)?,
            access: bindings::access(env)?,
            campaigns: Campaigns::new(env)?,
            attachments: Attachments::new(env)?,
            limits: limits.transpose().map_err(|error: worker::Error| error)?,
            address: crate::http::headers::client_network(address.unwrap_or_default()),
            request_id: request_id.to_owned(),
            config: Rc::clone(config),
            stored: RefCell::default(),
        })
    }

    fn reservation(&self) -> Reservation {
        Reservation::verified(&self.config.budget)
    }

    fn keep(&self, memory: Reservation) {
        self.stored.borrow_mut().push(memory);
    }

    /// Whether a limiter lets the request through. One that fails lets all requests through: it protects the service, and must
    /// not stop it.
    async fn allow(&self, limiter: Option<&RateLimiter>, key: &str) -> bool {
        let Some(limiter) = limiter else { return true };
        match limiter.limit(key.to_owned()).await {
            Ok(outcome) => outcome.success,
            Err(error) => {
                self.report("a rate limiter failed; the request was let through", &Cause::new(error));
                true
            }
        }
    }
}

impl BucketStore for RequestPorts {
    async fn read(&self, keys: &[String]) -> Result<Vec<Option<String>>, Cause> {
        self.profiles.texts(keys, BUCKET_CACHE_SECONDS).await
    }

    fn cache_limit(&self) -> usize {
        self.config.buckets.borrow().limit()
    }

    fn cached(&self, key: &str) -> Option<Rc<String>> {
        self.config.buckets.borrow_mut().get(key)
    }

    fn cache(&self, key: String, bucket: String) {
        self.config.buckets.borrow_mut().put(key, bucket);
    }
}

impl Ports for RequestPorts {
    type Bucket = Attachments;

    fn bucket(&self) -> &Attachments {
        &self.attachments
    }

    async fn completed(&self, trigger_id: u64, launch_id: LaunchId) -> Result<(), ObjectError> {
        self.campaigns.completed(trigger_id, launch_id).await
    }

    async fn token(&self, key: &str) -> Result<Option<TokenRecord>, Cause> {
        self.access.json(key, KV_CACHE_SECONDS).await
    }

    async fn allow_token(&self, name: &str) -> bool {
        self.allow(self.limits.as_ref().map(|(token, _)| token), name).await
    }

    async fn allow_address(&self) -> bool {
        self.allow(self.limits.as_ref().map(|(_, address)| address), &self.address).await
    }

    async fn campaign_database(&self, trigger_id: u64) -> Result<Option<u64>, Cause> {
        let known = self.config.databases.borrow().get(&trigger_id).copied();
        if known.is_some() {
            return Ok(known);
        }
        let campaign = self.access.json::<CampaignRecord>(&campaign_key(trigger_id), KV_CACHE_SECONDS).await?;
        let database = campaign.map(|campaign| campaign.database);
        if let Some(database) = database {
            self.config.remember(trigger_id, database);
        }
        Ok(database)
    }

    async fn manifest(&self, database: u64) -> Result<Option<String>, Cause> {
        self.profiles.text(&manifest_key(database), KV_CACHE_SECONDS).await
    }

    async fn defined_database(&self, trigger_id: u64) -> Result<u64, ObjectError> {
        self.campaigns.read(trigger_id, campaigns::ALL).await.map(|campaign| campaign.database)
    }

    async fn preflight(&self, trigger_id: u64, request: &Request) -> Result<Option<Repeated>, ObjectError> {
        let mut memory = self.reservation();
        let asked = self.campaigns.preflight(trigger_id, &request.token_name, &request.request_id, &mut memory).await;
        self.keep(memory);
        asked
    }

    async fn commit(&self, trigger_id: u64, message: &[u8]) -> Result<Answer, ObjectError> {
        let mut memory = self.reservation();
        let answer = self.campaigns.commit(trigger_id, message, &mut memory).await;
        self.keep(memory);
        answer
    }

    fn report(&self, failure: &str, cause: &Cause) {
        log::failure(Some(&self.request_id), failure, cause);
    }

    fn random(&self, bytes: &mut [u8]) {
        random(bytes);
    }
}

/// The runtime's clock and timers.
#[derive(Debug, Clone, Copy)]
pub struct RuntimeClock;

impl Clock for RuntimeClock {
    fn now(&self) -> u64 {
        now()
    }

    async fn sleep(&self, milliseconds: u64) {
        Delay::from(Duration::from_millis(milliseconds)).await;
    }
}

impl Clock for RequestPorts {
    fn now(&self) -> u64 {
        now()
    }

    async fn sleep(&self, milliseconds: u64) {
        RuntimeClock.sleep(milliseconds).await;
    }
}

/// Milliseconds since 1970. The deployed clock advances only at I/O.
pub fn now() -> u64 {
    worker::Date::now().as_millis()
}

/// Fills with random bytes.
pub fn random(bytes: &mut [u8]) {
    // The platform's generator does not fail; were it to, ids would be less random and still be compared in full.
    let _ = getrandom::fill(bytes);
}
