//! A world for launches: the ports of the use case over a KV that is slow to agree, the campaigns' real logs, a bucket,
//! and a clock that moves when it is told to. Everything that it does is decided by what a test sets: no time passes and
//! nothing fails by itself.
//!
//! A test makes a [`World`], defines what is in it, and sends calls from a [`super::place::Place`] (an edge location). Faults are
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
        commands::{Command, Definition},
        log::{Fault, Log, Terms},
        sql::{Bound, Broken, Row, Sql},
        tests::{
            NOON,
            bucket::Bucket,
            database::{Database, read},
            faults::{Faults, run},
        },
        upkeep,
    },
    limits::Limits,
    memory::Budget,
    profiles::{
        bucket::{Entry, write},
        key::{Class, IndexKey, NORMALISATION, ProfileId},
        manifest::{ClassIndex, FORMAT, Generation, Manifest, manifest_key},
    },
};

/// The token of a caller who may launch.
pub const TOKEN: &str = "a-token-that-may-launch";
/// The campaign that is defined, on database 1.
pub const CAMPAIGN: u64 = 85;
/// The key of the index.
pub(super) const SECRET: &str = "5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e";

/// A campaign's object: its database outlives the log that is over it.
pub(super) type ObjectLog = Log<Rc<Database>>;

/// A value, or that there was none, and until when it is remembered.
pub(super) type Seen = (Option<String>, u64);

/// Everything outside of a request.
pub struct World {
    pub(super) now: Cell<u64>,
    pub(super) random: Cell<u64>,
    pub limits: Limits,
    /// The memory of the one isolate that there is.
    pub budget: Rc<Budget>,
    pub(super) values: RefCell<BTreeMap<String, String>>,
    /// What each place has seen of a key, and until when it goes on saying so.
    pub(super) seen: RefCell<BTreeMap<(u32, String), Seen>>,
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

    pub(super) fn set_alarm(&self, id: u64, log: &ObjectLog) {
        if let Some(at) = log.take_alarm().unwrap() {
            self.alarms.borrow_mut().insert(id, at);
        }
    }
}
