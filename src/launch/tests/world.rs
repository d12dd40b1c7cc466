//! A world for launches: an eventually consistent KV, the campaigns' real logs, a bucket, and a clock that tests advance.
//! Nothing fails and nothing is random by itself: a test plans or seeds faults ([`World::faults`], [`World::delays`],
//! [`World::dice`], and those of the bucket).
//!
//! Faults are named by operations: `body`; `token`, `campaign`, `manifest`, `buckets` (KV); `defined`, `preflight`, `commit`,
//! `completed` (objects), `database` (databases' objects), `busy` (an object without memory for a commit), `copy` (the object's writes to KV); and those of the
//! bucket.

use std::{
    cell::{Cell, RefCell},
    collections::BTreeMap,
    rc::Rc,
};

use crate::{
    access::Scope,
    campaign::{
        log::{
            copy_writes::CopyWrite,
            listing,
            state::{LaunchLog, LogLimits},
        },
        tests::{
            NOON,
            bucket::MemoryBucket,
            database::{Database, new_alarm},
            faults::{Dice, Faults, pause, run},
            host::run_bucket_steps,
        },
    },
    launch::remembered::Remembered,
    limits::{KV_CACHE_SECONDS, Limits},
    memory::Budget,
    problem::{Cause, RateLimit},
    profiles::{
        cache::IndexCache,
        key::IndexKey,
        live::object::{DatabaseHost, DatabaseObject},
    },
};

/// The token of a caller who may launch.
pub const TOKEN: &str = "abcdefghijklmnqrstuvwxyz";
/// The campaign that is defined, on database 1.
pub const CAMPAIGN: u64 = 8;
/// The key of the index.
const SECRET: &str = "5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e";
/// The profiles that are imported into database 1.
const PROFILES: &str = "\
profile_id,email,phone,email_sub,phone_sub,push_sub,custom:Custom_ID,custom_sub:chat
6606e08f10bcdd88297057a7,example1@example.com,+7 900 000-00-01,,,android-firebase:f00:1,003;AA,c1
66101437dc4594c2934da6da,example2@example.com,79000000002,sub2@example.com,79000000012,,002;YY,c2
6610000000000000000000aa,both@example.com;Ünï@example.com,79000000003,both@example.com,,,42,
6610000000000000000000bb,both@example.com,79000000004,example1@example.com,79000000004,,43,c1
";

/// The log of a campaign's object. The database survives when the object restarts.
pub type ObjectLog = LaunchLog<Rc<Database>>;

/// The object of a database, and its clock.
pub type LiveObject = (Rc<Cell<u64>>, Rc<DatabaseObject<Rc<Database>, LiveHost>>);

/// The runtime of a database's object.
pub struct LiveHost {
    pub now: Rc<Cell<u64>>,
}

impl DatabaseHost for LiveHost {
    fn now(&self) -> u64 {
        self.now.get()
    }

    async fn set_alarm(&self, _: u64) -> Result<(), Cause> {
        Ok(())
    }

    fn report(&self, failure: &str, cause: &Cause) {
        panic!("{failure}: {cause}");
    }
}

/// Everything outside of a request, as seen from one edge location.
pub struct World {
    now: Cell<u64>,
    pub limits: Limits,
    pub secrets: Rc<[IndexKey]>,
    /// The memory budget: the world has one isolate.
    pub budget: Rc<Budget>,
    /// The latest values of KV.
    pub kv: RefCell<BTreeMap<String, String>>,
    /// The cache of this location: the value of a key, or its absence, and when it expires.
    edge: RefCell<BTreeMap<String, (Option<String>, u64)>>,
    /// What this isolate remembers.
    pub remembered: RefCell<Remembered>,
    /// What this isolate keeps of profile indexes, in tests of it.
    pub index: Option<RefCell<IndexCache>>,
    pub(super) imports: Cell<u64>,
    databases: RefCell<BTreeMap<u64, Rc<Database>>>,
    /// The objects of databases, and their stored rows.
    pub(super) live_objects: RefCell<BTreeMap<u64, LiveObject>>,
    pub(super) live_rows: RefCell<BTreeMap<u64, Rc<Database>>>,
    objects: RefCell<BTreeMap<u64, Rc<ObjectLog>>>,
    alarms: RefCell<BTreeMap<u64, u64>>,
    pub bucket: MemoryBucket,
    pub faults: Faults,
    /// Of 1000 pauses, the number that are followed by another pause.
    pub delays: Cell<u64>,
    /// A slow KV operation, and the number of its additional pauses.
    pub slow: Cell<(&'static str, u32)>,
    /// The rate limit that is used up.
    pub rate_limited: Cell<Option<RateLimit>>,
    /// The source of random IDs and delays.
    pub dice: Dice,
    /// The failures that were reported, with their causes.
    pub reported: RefCell<Vec<(String, Cause)>>,
}

impl World {
    /// A quiet world with the token [`TOKEN`], the active campaign [`CAMPAIGN`], and an index of [`PROFILES`].
    pub fn new() -> Self {
        Self::with_limits(Limits::default())
    }

    pub fn with_limits(limits: Limits) -> Self {
        let world = Self {
            now: Cell::new(NOON),
            limits,
            secrets: [IndexKey::new(SECRET).unwrap()].into(),
            budget: Budget::new(limits.memory, limits.unverified),
            kv: RefCell::default(),
            edge: RefCell::default(),
            remembered: RefCell::new(Remembered::new(&limits)),
            index: None,
            imports: Cell::new(0),
            databases: RefCell::default(),
            live_objects: RefCell::default(),
            live_rows: RefCell::default(),
            objects: RefCell::default(),
            alarms: RefCell::default(),
            bucket: MemoryBucket::default(),
            faults: Faults::default(),
            delays: Cell::new(0),
            slow: Cell::new(("", 0)),
            rate_limited: Cell::new(None),
            dice: Dice::new(1),
            reported: RefCell::default(),
        };
        world.grant(TOKEN, "crm", &[Scope::Launch], &[]);
        world.define(CAMPAIGN, 1);
        world.import(1, PROFILES);
        world
    }

    /// Milliseconds since 1970.
    pub fn now(&self) -> u64 {
        self.now.get()
    }

    /// Advances the clock, and runs the alarms that become due, each at its time.
    pub fn advance(&self, milliseconds: u64) {
        let end = self.now() + milliseconds;
        loop {
            let next = self.alarms.borrow().iter().map(|(id, at)| (*at, *id)).min().filter(|(at, _)| *at <= end);
            let Some((at, id)) = next else { break };
            self.alarms.borrow_mut().remove(&id);
            self.now.set(self.now().max(at));
            let log = self.object(id);
            self.write_copy(&log, log.begin_copy(self.now()).unwrap());
            let causes = run(run_bucket_steps(&log, &self.bucket, self.now()));
            let faults = causes.into_iter().map(|cause| ("alarm".to_owned(), cause));
            self.reported.borrow_mut().extend(faults);
            self.set_alarm(id, &log);
        }
        self.now.set(end);
    }

    /// Lets other tasks run.
    pub async fn pause(&self) {
        pause().await;
        while self.dice.below(1000) < self.delays.get() {
            pause().await;
        }
    }

    /// Reads a key of KV through the cache of this location.
    pub(super) fn at_edge(&self, key: &str) -> Option<String> {
        let mut edge = self.edge.borrow_mut();
        if let Some((value, _)) = edge.get(key).filter(|(_, until)| *until > self.now()) {
            return value.clone();
        }
        let value = self.kv.borrow().get(key).cloned();
        edge.insert(key.to_owned(), (value.clone(), self.now() + KV_CACHE_SECONDS * 1000));
        value
    }

    /// The object of a campaign, defined or not.
    pub fn object(&self, id: u64) -> Rc<ObjectLog> {
        let new = || Rc::new(self.log(id));
        Rc::clone(self.objects.borrow_mut().entry(id).or_insert_with(new))
    }

    fn log(&self, id: u64) -> ObjectLog {
        let database = Rc::clone(self.databases.borrow_mut().entry(id).or_insert_with(|| Rc::new(Database::new())));
        LaunchLog::new(database, LogLimits::from(&self.limits))
    }

    /// Restarts an object: its memory is lost, but not its alarm and its database.
    pub fn restart(&self, id: u64) {
        let log = Rc::new(self.log(id));
        log.start(self.now()).unwrap();
        self.set_alarm(id, &log);
        self.objects.borrow_mut().insert(id, log);
    }

    pub(super) fn write_copy(&self, log: &ObjectLog, begun: Option<CopyWrite>) {
        if let Some(begun) = begun {
            let fault = run(listing::write(log, self, &begun, || self.now())).unwrap();
            self.reported.borrow_mut().extend(fault.map(|cause| ("listing".to_owned(), cause)));
        }
    }

    pub(super) fn set_alarm(&self, id: u64, log: &ObjectLog) {
        if let Some(at) = new_alarm(log) {
            self.alarms.borrow_mut().insert(id, at);
        }
    }
}
