//! The ports of a launch in a [`World`].

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
};

use super::world::{LiveHost, ObjectLog, World};
use crate::{
    access::{CampaignRecord, TokenRecord, campaign_key},
    campaign::{
        log::{commit::CommitOutcome, state::LogError, stored::StoredLaunch},
        ports::CampaignCopies,
        protocol::{
            commands::{Refusal, RequestIdentity},
            id::LaunchId,
            message::RepeatedLaunch,
        },
        read::{repeat::RepeatReply, reply::ObjectReply},
        tests::{
            bucket::MemoryBucket,
            database::{Database, bytes},
            faults::{Timer, run},
        },
    },
    launch::{
        ports::{Clock, CommitAnswer, ObjectError, Ports},
        remembered::Remembered,
    },
    limits::{BULK_KEYS, MIB},
    memory::{Budget, Reservation},
    problem::{Cause, RateLimit},
    profiles::{
        cache::IndexCache,
        live::{
            message::STATUS_REFUSED,
            object::{DatabaseObject, parse_refusal},
        },
        lookup::BucketStore,
        manifest::manifest_key,
        normal::Normaliser,
    },
};

impl World {
    /// The object of a database, at the time of the world.
    pub fn live_object(&self, database: u64) -> Rc<DatabaseObject<Rc<Database>, LiveHost>> {
        let mut rows = self.live_rows.borrow_mut();
        let sql = rows.entry(database).or_insert_with(|| Rc::new(Database::new()));
        let mut objects = self.live_objects.borrow_mut();
        let (clock, object) = objects.entry(database).or_insert_with(|| {
            let now = Rc::new(Cell::new(0));
            let host = LiveHost { now: Rc::clone(&now) };
            // The object has an isolate of its own.
            let budget = Budget::new(64 * MIB, MIB);
            (now, Rc::new(DatabaseObject::new(Rc::clone(sql), host, Ok(budget))))
        });
        clock.set(self.now());
        Rc::clone(object)
    }

    /// Reads KV.
    async fn get<T>(&self, operation: &'static str, read: impl FnOnce() -> T) -> Result<T, Cause> {
        self.pause().await;
        let (slow, pauses) = self.slow.get();
        for _ in 0..if slow == operation { pauses } else { 0 } {
            self.pause().await;
        }
        self.faults.run(operation, Cause("KV is down".to_owned()), || Ok(read()))
    }

    /// Returns whether a rate limit allows a request.
    fn rate_limiter(&self, limit: RateLimit) -> Result<bool, Cause> {
        let down = Cause("the rate limiter is down".to_owned());
        self.faults.run("rate limit", down, || Ok(self.rate_limited.get() != Some(limit)))
    }

    /// Reads a record of KV.
    async fn record<T>(&self, operation: &'static str, key: &str) -> Result<Option<T>, Cause>
    where
        T: serde::de::DeserializeOwned,
    {
        let text = self.get(operation, || self.at_edge(key)).await?;
        Ok(text.map(|text| serde_json::from_str(&text).unwrap()))
    }

    /// Calls an object. The answer may be lost before or after the call has taken effect.
    async fn call<T>(
        &self,
        operation: &'static str,
        id: u64,
        then: impl FnOnce(&ObjectLog) -> Result<T, LogError>,
    ) -> Result<T, ObjectError> {
        self.pause().await;
        let lost = ObjectError::Lost(Cause::new("the connection is gone"));
        let answer = self.faults.run(operation, lost, || {
            let log = self.object(id);
            let answer = then(&log);
            self.set_alarm(id, &log);
            answer.map_err(|fault| match fault {
                LogError::Refused(refusal) => ObjectError::Refused(Refusal::into(refusal)),
                error => ObjectError::Lost(error.into()),
            })
        });
        self.pause().await;
        answer
    }
}

/// Encodes and decodes a stored launch, as it travels from the object.
fn repeated(log: &ObjectLog, stored: StoredLaunch) -> Result<RepeatedLaunch, LogError> {
    let message = bytes(log, ObjectReply::Repeat(Box::new(RepeatReply::new(stored))))?;
    Ok(RepeatedLaunch::decode(message)?)
}

impl CampaignCopies for World {
    async fn read(&self, id: u64) -> Result<Option<CampaignRecord>, Cause> {
        self.record("campaign", &campaign_key(id)).await
    }

    async fn write(&self, record: &CampaignRecord) -> Result<(), Cause> {
        self.pause().await;
        self.faults.run("copy", Cause("KV is down".to_owned()), || {
            let value = serde_json::to_string(record).unwrap();
            self.kv.borrow_mut().insert(campaign_key(record.id), value);
            Ok(())
        })
    }
}

impl BucketStore for World {
    async fn read(&self, keys: &[String]) -> Result<Vec<Option<String>>, Cause> {
        assert!(keys.len() <= BULK_KEYS);
        self.get("buckets", || keys.iter().map(|key| self.at_edge(key)).collect()).await
    }

    fn cache(&self) -> Option<&RefCell<IndexCache>> {
        self.index.as_ref()
    }
}

impl Clock for World {
    fn now(&self) -> u64 {
        self.now()
    }

    /// The clock advances when nothing else can run.
    async fn sleep(&self, milliseconds: u64) {
        let end = self.now() + milliseconds;
        Timer::new(end).await;
        self.advance(end.saturating_sub(self.now()));
    }
}

impl Ports for World {
    type Uploader = MemoryBucket;

    fn uploader(&self) -> &MemoryBucket {
        &self.bucket
    }

    fn normaliser(&self) -> Rc<Normaliser> {
        Rc::new(Normaliser::native())
    }

    fn remembered(&self) -> &RefCell<Remembered> {
        &self.remembered
    }

    async fn token(&self, key: &str) -> Result<Option<TokenRecord>, Cause> {
        self.record("token", key).await
    }

    async fn allow_token(&self, _: &str) -> Result<bool, Cause> {
        self.rate_limiter(RateLimit::Token)
    }

    async fn allow_address(&self) -> Result<bool, Cause> {
        self.rate_limiter(RateLimit::Address)
    }

    async fn campaign_database(&self, trigger_id: u64) -> Result<Option<u64>, Cause> {
        let record = self.record::<CampaignRecord>("campaign", &campaign_key(trigger_id)).await?;
        Ok(record.map(|record| record.database))
    }

    async fn manifest(&self, database: u64) -> Result<Option<String>, Cause> {
        self.get("manifest", || self.at_edge(&manifest_key(database))).await
    }

    async fn ask_database(
        &self,
        database: u64,
        message: &[u8],
        memory: &mut Reservation,
    ) -> Result<Vec<u8>, ObjectError> {
        self.pause().await;
        let lost = ObjectError::Lost(Cause::new("the connection is gone"));
        let reply = self.faults.run("database", lost, || {
            let object = self.live_object(database);
            let length = message.len().to_string();
            let response = run(object.fetch(Some(&length), async { Ok(message.to_vec()) }));
            match response.status {
                200 => Ok(response.body),
                STATUS_REFUSED => Err(ObjectError::Refused(parse_refusal(&response.body).unwrap().into())),
                _ => Err(ObjectError::Lost(Cause(String::from_utf8(response.body).unwrap()))),
            }
        })?;
        memory.grow(reply.len() as u64).map_err(|error| ObjectError::Refused(error.into()))?;
        Ok(reply)
    }

    async fn defined_database(&self, trigger_id: u64) -> Result<u64, ObjectError> {
        self.call("defined", trigger_id, |log| log.read().map(|campaign| campaign.database)).await
    }

    async fn preflight(
        &self,
        trigger_id: u64,
        request: &RequestIdentity,
    ) -> Result<Option<RepeatedLaunch>, ObjectError> {
        let ask = |log: &ObjectLog| log.preflight(request, self.now())?.map(|stored| repeated(log, stored)).transpose();
        self.call("preflight", trigger_id, ask).await
    }

    async fn commit(&self, trigger_id: u64, message: &[u8]) -> Result<CommitAnswer, ObjectError> {
        if self.faults.next("busy").is_some() {
            return Err(ObjectError::Refused(Refusal::Busy("the object is full".to_owned()).into()));
        }
        let ask = |log: &ObjectLog| match log.commit(message, self.now())? {
            CommitOutcome::Committed(committed) => Ok(CommitAnswer::New(committed)),
            CommitOutcome::Repeated(stored) => repeated(log, *stored).map(Box::new).map(CommitAnswer::Repeated),
        };
        self.call("commit", trigger_id, ask).await
    }

    fn report(&self, failure: &str, cause: &Cause) {
        self.reported.borrow_mut().push((failure.to_owned(), cause.clone()));
    }

    async fn completed(&self, trigger_id: u64, launch_id: LaunchId) -> Result<(), ObjectError> {
        self.call("completed", trigger_id, |log| log.uploads_completed(launch_id)).await
    }

    fn random(&self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(8) {
            chunk.copy_from_slice(&self.dice.number().to_le_bytes()[..chunk.len()]);
        }
    }
}
