//! Implements the ports of the API and of launches with the bindings of one request.

use std::{cell::RefCell, ops::Range, rc::Rc, time::Duration};

use web_sys::ReadableStream;
use worker::{Delay, Env, RateLimiter};

use super::{
    bucket::Attachments,
    isolate::{Bindings, Isolate},
    objects::ALL_DATABASES,
    telemetry,
};
use crate::{
    access::{CAMPAIGN_PREFIX, CampaignRecord, TokenRecord, campaign_key},
    api::{
        head::HttpHead,
        headers::client_network,
        ports::{ApiPorts, CampaignPage, ObjectStream},
    },
    campaign::protocol::{
        commands::{Campaign, Command, RequestIdentity},
        id::LaunchId,
        message::RepeatedLaunch,
    },
    json,
    launch::{
        ports::{Clock, CommitAnswer, ObjectError, Ports},
        remembered::Remembered,
    },
    limits::{BUCKET_CACHE_SECONDS, KV_CACHE_SECONDS},
    memory::Reservation,
    problem::Cause,
    profiles::{cache::IndexCache, lookup::BucketStore, manifest::manifest_key, normal::Normaliser},
};

/// What one request uses.
pub struct RequestPorts {
    bindings: Rc<Bindings>,
    client_address: String,
    request_id: String,
    isolate: Rc<Isolate>,
    /// Memory of stored launches that objects returned. Released when the request ends.
    stored: RefCell<Vec<Reservation>>,
}

impl RequestPorts {
    /// Opens the bindings. Fails if one is missing.
    pub fn new(env: &Env, isolate: Rc<Isolate>, head: &HttpHead<'_>) -> worker::Result<Self> {
        Ok(Self {
            bindings: isolate.bindings(env)?,
            client_address: head.client_address(),
            request_id: head.request_id.clone(),
            isolate,
            stored: RefCell::default(),
        })
    }

    fn reservation(&self) -> Reservation {
        Reservation::verified(&self.isolate.settings.budget)
    }

    fn keep_reservation(&self, memory: Reservation) {
        self.stored.borrow_mut().push(memory);
    }
}

/// Counts a request of `key`. Returns whether the limiter allows the request.
async fn count(limiter: &RateLimiter, key: &str) -> Result<bool, Cause> {
    limiter.limit(key.to_owned()).await.map(|outcome| outcome.success).map_err(Cause::new)
}

impl BucketStore for RequestPorts {
    async fn read(&self, keys: &[String]) -> Result<Vec<Option<String>>, Cause> {
        self.bindings.profiles.texts(keys, BUCKET_CACHE_SECONDS).await
    }

    fn cache(&self) -> Option<&RefCell<IndexCache>> {
        Some(&self.isolate.index)
    }
}

impl Ports for RequestPorts {
    type Uploader = Attachments;

    fn uploader(&self) -> &Attachments {
        &self.bindings.attachments
    }

    fn normaliser(&self) -> Rc<Normaliser> {
        Rc::clone(&self.isolate.normaliser)
    }

    fn remembered(&self) -> &RefCell<Remembered> {
        &self.isolate.remembered
    }

    async fn completed(&self, trigger_id: u64, launch_id: LaunchId) -> Result<(), ObjectError> {
        self.bindings.objects.command(trigger_id, Command::Completed(launch_id), ALL_DATABASES).await.map(drop)
    }

    async fn token(&self, key: &str) -> Result<Option<TokenRecord>, Cause> {
        self.bindings.access.json(key, KV_CACHE_SECONDS).await
    }

    async fn allow_token(&self, name: &str) -> Result<bool, Cause> {
        match &self.bindings.rate_limiters {
            Some(limiters) => count(&limiters.token, name).await,
            None => Ok(true),
        }
    }

    async fn allow_address(&self) -> Result<bool, Cause> {
        match &self.bindings.rate_limiters {
            Some(limiters) => count(&limiters.address, &client_network(&self.client_address)).await,
            None => Ok(true),
        }
    }

    async fn campaign_database(&self, trigger_id: u64) -> Result<Option<u64>, Cause> {
        let campaign = self.bindings.access.json::<CampaignRecord>(&campaign_key(trigger_id), KV_CACHE_SECONDS).await?;
        Ok(campaign.map(|campaign| campaign.database))
    }

    async fn manifest(&self, database: u64) -> Result<Option<String>, Cause> {
        self.bindings.profiles.text(&manifest_key(database), KV_CACHE_SECONDS).await
    }

    async fn ask_database(
        &self,
        database: u64,
        message: &[u8],
        memory: &mut Reservation,
    ) -> Result<Vec<u8>, ObjectError> {
        self.bindings.databases.ask(database, message, memory).await
    }

    async fn defined_database(&self, trigger_id: u64) -> Result<u64, ObjectError> {
        let campaign = self.bindings.objects.command(trigger_id, Command::Read, ALL_DATABASES).await?;
        let campaign: Campaign = json::from_slice(&campaign).map_err(|error| ObjectError::Lost(Cause::new(error)))?;
        Ok(campaign.database)
    }

    async fn preflight(
        &self,
        trigger_id: u64,
        request: &RequestIdentity,
    ) -> Result<Option<RepeatedLaunch>, ObjectError> {
        let mut memory = self.reservation();
        let repeated = self.bindings.objects.preflight(trigger_id, request.clone(), &mut memory).await;
        self.keep_reservation(memory);
        repeated
    }

    async fn commit(&self, trigger_id: u64, message: &[u8]) -> Result<CommitAnswer, ObjectError> {
        let mut memory = self.reservation();
        let answer = self.bindings.objects.commit(trigger_id, message, &mut memory).await;
        self.keep_reservation(memory);
        answer
    }

    fn report(&self, failure: &str, cause: &Cause) {
        telemetry::failure(Some(&self.request_id), failure, cause);
    }

    fn random(&self, bytes: &mut [u8]) {
        random(bytes);
    }
}

impl ApiPorts for RequestPorts {
    type Stream = Option<ReadableStream>;

    async fn command(&self, trigger_id: u64, command: Command, databases: &[u64]) -> Result<Vec<u8>, ObjectError> {
        self.bindings.objects.command(trigger_id, command, databases).await
    }

    async fn stream(
        &self,
        trigger_id: u64,
        command: Command,
        databases: &[u64],
    ) -> Result<ObjectStream<Option<ReadableStream>>, ObjectError> {
        self.bindings.objects.stream(trigger_id, command, databases).await
    }

    async fn campaigns(&self, cursor: Option<String>) -> Result<CampaignPage, Cause> {
        let page = self.bindings.access.list(CAMPAIGN_PREFIX, cursor).await?;
        Ok(CampaignPage { records: page.metadata, cursor: page.cursor })
    }

    async fn file(&self, key: &str, size: u64, range: Option<Range<u64>>) -> Result<Option<Self::Stream>, Cause> {
        Ok(self.bindings.attachments.read(key, size, range).await?.map(Some))
    }
}

impl Clock for RequestPorts {
    fn now(&self) -> u64 {
        now()
    }

    async fn sleep(&self, milliseconds: u64) {
        sleep(milliseconds).await;
    }
}

/// Milliseconds since 1970. The deployed clock advances only at I/O.
pub fn now() -> u64 {
    worker::Date::now().as_millis()
}

pub async fn sleep(milliseconds: u64) {
    Delay::from(Duration::from_millis(milliseconds)).await;
}

pub fn random(bytes: &mut [u8]) {
    // The platform's generator does not fail. If it did, IDs would be less random; they are still compared in full.
    let _ = getrandom::fill(bytes);
}
