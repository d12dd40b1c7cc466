//! A world for launches: the ports of the use case over a KV that is slow to agree, the campaigns' real logs, a bucket,
//! and a clock that moves when it is told to. Everything that it does is decided by what a test sets: no time passes and
//! nothing fails by itself.
//!
//! A test makes a [`World`], defines what is in it, and sends [`Call`]s from a [`Place`] (an edge location). Faults are
//! planned by the names of operations: `token`, `campaign`, `manifest`, `buckets` (KV); `defined`, `preflight`, `commit`,
//! `completed` (objects); and those of the bucket.

use std::{
    cell::{Cell, RefCell},
    collections::BTreeMap,
    rc::Rc,
};

use crate::{
    access::{CampaignRecord, Scope, TokenRecord, campaign_key, token_key},
    campaign::{
        commands::{Command, Definition, Refusal, Request},
        id::LaunchId,
        log::{Fault, Log, Outcome, Terms},
        message::Repeated,
        reading::{Reading, Repeating},
        sql::{Bound, Broken, Row, Sql},
        tests::{
            NOON,
            bucket::Bucket,
            database::{Database, bytes, read},
            faults::{Faults, pause, run, splitmix},
        },
        upkeep,
    },
    launch::{
        self, Incoming, Settled,
        intake::Setup,
        ports::{Answer, Body, BodyError, ObjectError, Ports},
    },
    limits::{KV_CACHE_SECONDS, Limits, READ_BUFFER},
    memory::{Budget, Reservation},
    profiles::{
        bucket::{Entry, write},
        key::{Class, IndexKey, NORMALISATION, ProfileId},
        lookup::{BucketStore, StoreError},
        manifest::{ClassIndex, FORMAT, Generation, Manifest, manifest_key},
    },
    wire::{Endpoint, Format},
};

/// The token of a caller who may launch.
pub const TOKEN: &str = "a-token-that-may-launch";
/// The campaign that is defined, on database 1.
pub const CAMPAIGN: u64 = 85;
/// The key of the index.
const SECRET: &str = "5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e";

/// A campaign's object: its database outlives the log that is over it.
type ObjectLog = Log<Rc<Database>>;

/// Everything outside of a request.
pub struct World {
    now: Cell<u64>,
    random: Cell<u64>,
    pub limits: Limits,
    /// The memory of the one isolate that there is.
    pub budget: Rc<Budget>,
    values: RefCell<BTreeMap<String, String>>,
    /// What each place has seen of a key, and until when it goes on saying so.
    seen: RefCell<BTreeMap<(u32, String), (Option<String>, u64)>>,
    databases: RefCell<BTreeMap<u64, Rc<Database>>>,
    objects: RefCell<BTreeMap<u64, Rc<ObjectLog>>>,
    alarms: RefCell<BTreeMap<u64, u64>>,
    pub bucket: Bucket,
    pub faults: Faults,
    /// Whether the rate limits let good tokens and addresses through.
    pub allows: Cell<(bool, bool)>,
    /// What the operator was told.
    pub told: RefCell<Vec<String>>,
}

impl<T: Sql> Sql for Rc<T> {
    fn exec(&self, statement: &str, bound: &[Bound<'_>]) -> Result<Vec<Row>, Broken> {
        (**self).exec(statement, bound)
    }

    fn transaction(&self, then: &mut dyn FnMut() -> Result<(), Broken>) -> Result<(), Broken> {
        (**self).transaction(then)
    }

    fn size(&self) -> u64 {
        (**self).size()
    }
}

impl World {
    /// A world with the token [`TOKEN`], the active campaign [`CAMPAIGN`], and an index of two profiles:
    /// `a@example.com` is `aa…`, `b@example.com` is `bb…`.
    pub fn new() -> Rc<Self> {
        Self::with_limits(Limits::default())
    }

    pub fn with_limits(limits: Limits) -> Rc<Self> {
        let world = Rc::new(Self {
            now: Cell::new(NOON),
            random: Cell::new(1),
            limits,
            budget: Budget::new(limits.memory, limits.unverified),
            values: RefCell::default(),
            seen: RefCell::default(),
            databases: RefCell::default(),
            objects: RefCell::default(),
            alarms: RefCell::default(),
            bucket: Bucket::default(),
            faults: Faults::default(),
            allows: Cell::new((true, true)),
            told: RefCell::default(),
        });
        world.token(TOKEN, "crm", &[Scope::Launch]);
        world.define(CAMPAIGN, 1);
        world.index(1, &[("a@example.com", [0xAA; 12]), ("b@example.com", [0xBB; 12])]);
        world
    }

    /// Milliseconds since 1970.
    pub fn now(&self) -> u64 {
        self.now.get()
    }

    /// Time passes; the alarms that become due ring, each at its time.
    pub fn advance(&self, milliseconds: u64) {
        let end = self.now() + milliseconds;
        loop {
            let next = self.alarms.borrow().iter().map(|(id, at)| (*at, *id)).min().filter(|(at, _)| *at <= end);
            let Some((at, id)) = next else { break };
            self.alarms.borrow_mut().remove(&id);
            self.now.set(self.now().max(at));
            let log = self.object(id);
            let faults = run(upkeep::alarm(&log, &self.bucket, self.now())).unwrap();
            self.told.borrow_mut().extend(faults);
            self.set_alarm(id, &log);
        }
        self.now.set(end);
    }

    /// Writes a value to KV: places that have seen another go on with it for a while.
    pub fn put(&self, key: &str, value: &str) {
        self.values.borrow_mut().insert(key.to_owned(), value.to_owned());
    }

    /// Adds a token.
    pub fn token(&self, token: &str, name: &str, scopes: &[Scope]) {
        let record = TokenRecord {
            name: name.to_owned(),
            scopes: scopes.to_vec(),
            databases: Vec::new(),
            created: self.now(),
            revoked: None,
        };
        self.put(&token_key(token), &serde_json::to_string(&record).unwrap());
    }

    /// Defines an active campaign, as the operator's path does.
    pub fn define(&self, id: u64, database: u64) {
        let name = Some("Welcome".to_owned());
        let definition = Definition { id, name, database: Some(database), active: Some(true) };
        self.object(id).define(&definition).unwrap();
        let record = CampaignRecord { id, name: "Welcome".to_owned(), database };
        self.put(&campaign_key(id), &serde_json::to_string(&record).unwrap());
    }

    /// Pauses or resumes a campaign.
    pub fn activate(&self, id: u64, active: bool) {
        self.object(id).define(&Definition { id, active: Some(active), ..Definition::default() }).unwrap();
    }

    /// Imports an index of e-mail addresses.
    pub fn index(&self, database: u64, emails: &[(&str, [u8; 12])]) {
        let key = IndexKey::new(SECRET).unwrap();
        let entry = |(email, profile): &(&str, [u8; 12])| Entry {
            hash: key.hash(Class::Email, "", email).entry(),
            profile: Some(ProfileId(*profile)),
        };
        let mut entries: Vec<_> = emails.iter().map(entry).collect();
        entries.sort_by_key(|entry| entry.hash);
        let text = write(&entries, &[]).unwrap();
        let index = ClassIndex {
            class: Class::Email,
            field: String::new(),
            buckets: 1,
            largest: text.len().try_into().unwrap(),
        };
        let current = Generation {
            name: format!("g{}", self.now()),
            created: self.now(),
            normalisation: NORMALISATION,
            key: key.check().to_owned(),
            classes: vec![index],
        };
        let keys: Vec<_> = current.bucket_keys(database).collect();
        keys.iter().for_each(|key| self.put(key, &text));
        let manifest = Manifest { format: FORMAT, current, previous: None, retired: Vec::new() };
        self.put(&manifest_key(database), &manifest.to_json());
    }

    /// The object of a campaign, defined or not.
    pub fn object(&self, id: u64) -> Rc<ObjectLog> {
        let new = || Rc::new(Log::new(self.database(id), Terms::from(&self.limits)));
        Rc::clone(self.objects.borrow_mut().entry(id).or_insert_with(new))
    }

    /// What is stored of a campaign.
    pub fn database(&self, id: u64) -> Rc<Database> {
        Rc::clone(self.databases.borrow_mut().entry(id).or_insert_with(|| Rc::new(Database::new())))
    }

    /// What an object held in memory is gone; its alarm, and what it stored, is not.
    pub fn restart(&self, id: u64) {
        let log = Rc::new(Log::new(self.database(id), Terms::from(&self.limits)));
        log.start(self.now()).unwrap();
        self.set_alarm(id, &log);
        self.objects.borrow_mut().insert(id, log);
    }

    /// What a command of the log is answered, as text.
    pub fn ask(&self, id: u64, command: &Command) -> Result<String, Fault> {
        let log = self.object(id);
        run(upkeep::prepare(&log, &self.bucket, command, self.now()))?;
        read(&log, command, self.now())
    }

    fn set_alarm(&self, id: u64, log: &ObjectLog) {
        if let Some(at) = log.take_alarm().unwrap() {
            self.alarms.borrow_mut().insert(id, at);
        }
    }
}

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
        let Call { endpoint, header_token, request_id, body, chunk, ends } = call;
        let mut id = [0; 8];
        self.random(&mut id);
        let setup =
            Setup { endpoint, body: None, limits: world.limits, secrets: Rc::from([IndexKey::new(SECRET).unwrap()]) };
        let incoming = Incoming {
            setup,
            length: ends.is_none().then_some(body.len() as u64),
            header_token: header_token.map(str::to_owned),
            query_token: None,
            format: Format::Json,
            request_id: request_id.map_or_else(|| format!("{:016x}", u64::from_le_bytes(id)), str::to_owned),
            request_id_given: request_id.is_some(),
            checksum: false,
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
