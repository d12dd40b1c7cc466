//! The ports of the use case over a [`World`], and the requests that come in.

use std::rc::Rc;

use super::world::{ObjectLog, SECRET, TOKEN, World};
use crate::{
    access::{CampaignRecord, TokenRecord, campaign_key},
    campaign::{
        commands::{Refusal, Request},
        id::LaunchId,
        log::{Fault, Outcome},
        message::Repeated,
        reading::{Reading, Repeating},
        sql::Broken,
        tests::{
            bucket::Bucket,
            database::bytes,
            faults::{pause, run, splitmix},
        },
    },
    launch::{
        self, Incoming, Settled,
        intake::Setup,
        ports::{Answer, Body, BodyError, ObjectError, Ports},
    },
    limits::{KV_CACHE_SECONDS, READ_BUFFER},
    memory::Reservation,
    profiles::{
        key::IndexKey,
        lookup::{BucketStore, StoreError},
        manifest::manifest_key,
    },
    wire::{Endpoint, Format},
};

/// The world as it is seen from one edge location.
#[derive(Clone)]
pub struct Place {
    pub world: Rc<World>,
    pub location: u32,
}

/// One request to launch. Its fields are what a test varies.
pub struct Call {
    pub endpoint: Endpoint,
    pub header_token: Option<&'static str>,
    pub request_id: Option<&'static str>,
    /// A request without an id gets a digest of its body.
    pub checksum: bool,
    pub body: Vec<u8>,
    /// Bytes that come at once.
    pub chunk: usize,
    /// After how many bytes the body breaks off, and how.
    pub ends: Option<(usize, BodyError)>,
}

impl Call {
    pub fn new(body: impl Into<Vec<u8>>) -> Self {
        Self {
            endpoint: Endpoint::Batch,
            header_token: Some(TOKEN),
            request_id: None,
            checksum: false,
            body: body.into(),
            chunk: READ_BUFFER,
            ends: None,
        }
    }
}

impl Place {
    pub fn new(world: &Rc<World>) -> Self {
        Self { world: Rc::clone(world), location: 0 }
    }

    /// Sends a request and waits for its answer.
    pub fn send(&self, call: Call) -> Settled {
        run(self.launch(call))
    }

    /// Sends a request, waits for its answer and for what is done behind it.
    pub fn send_and_complete(&self, call: Call) -> Settled {
        let mut settled = self.send(call);
        if let Some(pending) = settled.pending.take() {
            run(launch::complete(self, &pending));
        }
        settled
    }

    /// Sends a request: to be waited for together with others.
    pub async fn launch(&self, call: Call) -> Settled {
        let world = &self.world;
        let Call { endpoint, header_token, request_id, checksum, body, chunk, ends } = call;
        let mut id = [0; 8];
        self.random(&mut id);
        let setup = Setup {
            endpoint,
            body: None,
            limits: world.limits,
            secrets: Rc::from([IndexKey::new(SECRET).unwrap()]),
            checksum: checksum && request_id.is_none(),
        };
        let incoming = Incoming {
            setup,
            length: ends.is_none().then_some(body.len() as u64),
            tokens: header_token.map(str::to_owned).into_iter().collect(),
            format: Format::Json,
            request_id: request_id.map_or_else(|| format!("{:016x}", u64::from_le_bytes(id)), str::to_owned),
            fault: None,
        };
        let mut body = Chunks { body, at: 0, chunk: chunk.min(READ_BUFFER), ends };
        launch::launch(self, incoming, &mut body, Reservation::new(&world.budget)).await
    }

    /// Reads a key of KV: what this place has seen stays for a while, also that there was nothing.
    fn get(&self, operation: &'static str, key: &str) -> Result<Option<String>, StoreError> {
        let world = &self.world;
        world.faults.run(operation, StoreError("KV is down".to_owned()), || {
            let place = (self.location, key.to_owned());
            let mut seen = world.seen.borrow_mut();
            if let Some((value, _)) = seen.get(&place).filter(|(_, until)| *until > world.now()) {
                return Ok(value.clone());
            }
            let value = world.values.borrow().get(key).cloned();
            seen.insert(place, (value.clone(), world.now() + KV_CACHE_SECONDS * 1000));
            Ok(value)
        })
    }

    fn json<T: serde::de::DeserializeOwned>(
        &self,
        operation: &'static str,
        key: &str,
    ) -> Result<Option<T>, StoreError> {
        Ok(self.get(operation, key)?.map(|text| serde_json::from_str(&text).unwrap()))
    }

    /// Asks an object: the answer may be lost before or after it did what it was asked.
    async fn ask<T>(
        &self,
        operation: &'static str,
        id: u64,
        then: impl FnOnce(&ObjectLog) -> Result<T, Fault>,
    ) -> Result<T, ObjectError> {
        pause().await;
        let lost = ObjectError::Lost("the connection is gone".to_owned());
        let answer = self.world.faults.run(operation, lost, || {
            let log = self.world.object(id);
            let answer = then(&log);
            self.world.set_alarm(id, &log);
            answer.map_err(|fault| match fault {
                Fault::Refused(refusal) => ObjectError::Refused(Refusal::into(refusal)),
                Fault::Broken(broken) => ObjectError::Lost(broken.0),
            })
        });
        pause().await;
        answer
    }
}

/// A stored launch on its way back, as bytes.
fn repeated(log: &ObjectLog, stored: crate::campaign::stored::Stored) -> Result<Repeated, Fault> {
    let message = bytes(log, Reading::Repeated(Box::new(Repeating::new(stored))))?;
    Repeated::decode(message).map_err(|bad| Broken::new(bad.0).into())
}

impl BucketStore for Place {
    async fn read(&self, keys: &[String]) -> Result<Vec<Option<String>>, StoreError> {
        pause().await;
        keys.iter().map(|key| self.get("buckets", key)).collect()
    }
}

impl Ports for Place {
    type Bucket = Bucket;

    fn bucket(&self) -> &Bucket {
        &self.world.bucket
    }

    async fn token(&self, key: &str) -> Result<Option<TokenRecord>, StoreError> {
        pause().await;
        self.json("token", key)
    }

    async fn allow_token(&self, _: &str) -> bool {
        self.world.allows.get().0
    }

    async fn allow_address(&self) -> bool {
        self.world.allows.get().1
    }

    async fn campaign_database(&self, trigger_id: u64) -> Result<Option<u64>, StoreError> {
        pause().await;
        Ok(self.json::<CampaignRecord>("campaign", &campaign_key(trigger_id))?.map(|record| record.database))
    }

    async fn manifest(&self, database: u64) -> Result<Option<String>, StoreError> {
        pause().await;
        self.get("manifest", &manifest_key(database))
    }

    async fn defined_database(&self, trigger_id: u64) -> Result<u64, ObjectError> {
        self.ask("defined", trigger_id, |log| log.read().map(|campaign| campaign.database)).await
    }

    async fn preflight(&self, trigger_id: u64, request: &Request) -> Result<Option<Repeated>, ObjectError> {
        let now = self.world.now();
        let ask = |log: &ObjectLog| log.preflight(request, now)?.map(|stored| repeated(log, stored)).transpose();
        self.ask("preflight", trigger_id, ask).await
    }

    async fn commit(&self, trigger_id: u64, message: &[u8]) -> Result<Answer, ObjectError> {
        let ask = |log: &ObjectLog| match log.commit(message, self.world.now())? {
            Outcome::Committed(committed) => Ok(Answer::New(committed)),
            Outcome::Repeated(stored) => repeated(log, *stored).map(Box::new).map(Answer::Repeated),
        };
        self.ask("commit", trigger_id, ask).await
    }

    fn tell(&self, fault: &str) {
        self.world.told.borrow_mut().push(fault.to_owned());
    }

    async fn completed(&self, trigger_id: u64, launch_id: LaunchId) -> Result<(), ObjectError> {
        self.ask("completed", trigger_id, |log| log.completed(launch_id)).await
    }

    fn now(&self) -> u64 {
        self.world.now()
    }

    async fn sleep(&self, milliseconds: u64) {
        pause().await;
        self.world.advance(milliseconds);
    }

    fn random(&self, bytes: &mut [u8]) {
        let mut state = self.world.random.get();
        for chunk in bytes.chunks_mut(8) {
            chunk.copy_from_slice(&splitmix(&mut state).to_le_bytes()[..chunk.len()]);
        }
        self.world.random.set(state);
    }
}

/// A body that comes in chunks.
struct Chunks {
    body: Vec<u8>,
    at: usize,
    chunk: usize,
    ends: Option<(usize, BodyError)>,
}

impl Body for Chunks {
    async fn read(&mut self) -> Result<Option<&[u8]>, BodyError> {
        pause().await;
        let end = self.ends.map_or(self.body.len(), |(at, _)| at.min(self.body.len()));
        if self.at == end {
            return match self.ends {
                Some((_, error)) => Err(error),
                None => Ok(None),
            };
        }
        let from = self.at;
        self.at = end.min(from + self.chunk);
        Ok(Some(&self.body[from..self.at]))
    }
}
