//! A world to launch in. Everything that can go wrong in it comes from a seed.

use std::{
    cell::{Cell, RefCell},
    collections::BTreeMap,
    future::Future,
    pin::{Pin, pin},
    rc::Rc,
    task::{Context, Poll, Waker},
};

use crate::{
    access::{CampaignRecord, Scope, TokenRecord, campaign_key, token_key},
    campaign::{
        commands::{Command, Definition, Page, Request},
        id::LaunchId,
        log::{Fault, Log, Outcome, Terms},
        message::Repeated,
        reading::{Reading, Repeating},
        tests::{bucket::Bucket, database::Database},
    },
    launch::{
        self, Incoming, Settled,
        intake::Setup,
        ports::{Answer, Body, BodyError, ObjectError, Ports},
        reply::Writer,
    },
    limits::Limits,
    memory::{Budget, Reservation},
    profiles::{
        import::Importer,
        key::{IndexKey, NORMALISATION},
        lookup::{BucketStore, StoreError},
        manifest::{FORMAT, Generation, Manifest, manifest_key},
    },
    wire::{Endpoint, Format},
};

/// 2026-11-23, 18:00:00 UTC, in milliseconds.
pub const NOON: u64 = 1_795_456_800_000;
/// A token that may do everything.
pub const TOKEN: &str = "abcdefghijklmnqrstuvwxyz";
const KV_STALE_MS: u64 = 60_000;
const SECRET: &str = "a key of the tests, longer than 32 characters";

/// Small, fast, and the same everywhere (splitmix64).
#[derive(Debug)]
pub struct Rng(Cell<u64>);

impl Rng {
    pub fn new(seed: u64) -> Self {
        Self(Cell::new(seed))
    }

    pub fn next(&self) -> u64 {
        self.0.set(self.0.get().wrapping_add(0x9E37_79B9_7F4A_7C15));
        let mut z = self.0.get();
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    pub fn below(&self, bound: u64) -> u64 {
        self.next() % bound
    }
}

/// What becomes of one call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    Good,
    /// It fails before it has done anything.
    Before,
    /// It fails after it has done everything.
    After,
}

pub struct World {
    pub now: Cell<u64>,
    pub rng: Rng,
    /// How many calls of a thousand go wrong, and how many are delayed.
    pub faults: Cell<u64>,
    pub delays: Cell<u64>,
    pub kv: RefCell<BTreeMap<String, String>>,
    /// What the caller's location has seen, and when; misses too.
    edge: RefCell<BTreeMap<String, (Option<String>, u64)>>,
    pub logs: RefCell<BTreeMap<u64, Rc<Log<Database>>>>,
    pub bucket: Bucket,
    pub budget: Rc<Budget>,
    pub bulk_reads: Cell<usize>,
    pub preflights: Cell<usize>,
    pub commits: Cell<usize>,
    pub limits: Limits,
    pub secrets: Rc<[IndexKey]>,
    imports: Cell<u64>,
}

impl World {
    /// A quiet world: an index of three profiles in database 1, a token, campaign 8.
    pub fn new(seed: u64) -> Self {
        let limits = Limits::default();
        let world = Self {
            now: Cell::new(NOON),
            rng: Rng::new(seed),
            faults: Cell::new(0),
            delays: Cell::new(0),
            kv: RefCell::default(),
            edge: RefCell::default(),
            logs: RefCell::default(),
            bucket: Bucket::default(),
            budget: Budget::new(limits.memory, limits.unverified),
            bulk_reads: Cell::new(0),
            preflights: Cell::new(0),
            commits: Cell::new(0),
            limits,
            secrets: [IndexKey::new(SECRET).unwrap()].into(),
            imports: Cell::new(0),
        };
        world.token(TOKEN, "crm", &[Scope::Launch], &[]);
        world.campaign(8, 1);
        world.import(
            1,
            "profile_id,email,phone,email_sub,phone_sub,push_sub,custom:Custom_ID,custom_sub:chat\n\
             6606e08f10bcdd88297057a7,example1@example.com,+7 900 000-00-01,,,android-firebase:f00:1,003;AA,c1\n\
             66101437dc4594c2934da6da,example2@example.com,79000000002,sub2@example.com,79000000012,,002;YY,c2\n\
             6610000000000000000000aa,both@example.com;Ünï@example.com,79000000003,both@example.com,,,42,\n\
             6610000000000000000000bb,both@example.com,79000000004,example1@example.com,79000000004,,43,c1\n",
        );
        world
    }

    pub fn token(&self, token: &str, name: &str, scopes: &[Scope], databases: &[u64]) {
        let record = TokenRecord {
            name: name.to_owned(),
            scopes: scopes.to_vec(),
            databases: databases.to_vec(),
            created: NOON,
            revoked: None,
        };
        self.kv.borrow_mut().insert(token_key(token), serde_json::to_string(&record).unwrap());
    }

    /// Defines a campaign, active, and lets KV know.
    pub fn campaign(&self, id: u64, database: u64) {
        let log = Rc::new(Log::new(Database::new(), Terms::from(&self.limits)));
        let name = format!("campaign {id}");
        log.define(&Definition { id, name: Some(name.clone()), database: Some(database), active: Some(true) }).unwrap();
        self.logs.borrow_mut().insert(id, log);
        let record = CampaignRecord { id, name, database };
        self.kv.borrow_mut().insert(campaign_key(id), serde_json::to_string(&record).unwrap());
    }

    pub fn pause(&self, id: u64) {
        let definition = Definition { id, active: Some(false), ..Definition::default() };
        self.log(id).define(&definition).unwrap();
    }

    pub fn log(&self, id: u64) -> Rc<Log<Database>> {
        Rc::clone(&self.logs.borrow()[&id])
    }

    /// Imports profiles, as the operator's command line does: buckets first, the manifest last.
    pub fn import(&self, database: u64, csv: &str) {
        let mut importer = Importer::new(self.secrets[0].clone(), 1000);
        importer.read(csv.as_bytes(), |refused| panic!("{refused:?}")).unwrap();
        let mut buckets = Vec::new();
        let sink = |index: &crate::profiles::manifest::ClassIndex, number: u32, text: String| {
            buckets.push((index.clone(), number, text));
            Ok(())
        };
        let built = importer.build(|_| Ok(()), sink).unwrap();
        self.imports.set(self.imports.get() + 1);
        let current = Generation {
            name: format!("g{}", self.imports.get()),
            created: self.now.get(),
            normalisation: NORMALISATION,
            key: self.secrets[0].check().to_owned(),
            classes: built.classes,
        };
        let mut kv = self.kv.borrow_mut();
        for (index, number, text) in buckets {
            kv.insert(current.bucket_key(database, &index, number), text);
        }
        let previous = kv.get(&manifest_key(database)).map(|text| Manifest::parse(Some(text)).unwrap().current);
        let manifest = Manifest { format: FORMAT, current, previous, retired: Vec::new() };
        kv.insert(manifest_key(database), manifest.to_json());
    }

    /// What the caller's location reads: as it was up to a minute ago, misses too.
    fn at_edge(&self, key: &str) -> Option<String> {
        let mut edge = self.edge.borrow_mut();
        if let Some((value, at)) = edge.get(key)
            && self.now.get() < at + KV_STALE_MS
        {
            return value.clone();
        }
        let value = self.kv.borrow().get(key).cloned();
        edge.insert(key.to_owned(), (value.clone(), self.now.get()));
        value
    }

    /// Delays, and decides whether the call goes wrong.
    async fn fate(&self) -> Fate {
        while self.rng.below(1000) < self.delays.get() {
            Yield::default().await;
        }
        match self.rng.below(1000) < self.faults.get() {
            false => Fate::Good,
            true if self.rng.below(2) == 0 => Fate::Before,
            true => Fate::After,
        }
    }

    async fn read_kv(&self, key: &str) -> Result<Option<String>, StoreError> {
        if self.fate().await != Fate::Good {
            return Err(StoreError("KV is down".into()));
        }
        Ok(self.at_edge(key))
    }

    /// One launch, whole: its settled result. `body` comes in chunks of `chunk` bytes.
    pub async fn launch(&self, request: &Call, body: &[u8], chunk: usize) -> Settled {
        let setup = Setup {
            endpoint: request.endpoint,
            body: request.body,
            limits: self.limits,
            secrets: Rc::clone(&self.secrets),
            checksum: request.checksum && request.id.is_none(),
        };
        let incoming = Incoming {
            setup,
            length: request.length,
            tokens: request.tokens.clone(),
            format: Format::Json,
            request_id: request.id.clone().unwrap_or_else(|| format!("random-{}", self.rng.next())),
            fault: None,
        };
        let mut body = Chunks { world: self, rest: body, chunk };
        let mut settled = launch::launch(self, incoming, &mut body, Reservation::new(&self.budget)).await;
        if let Some(pending) = settled.pending.take() {
            launch::complete(self, &pending).await;
        }
        settled
    }

    /// A launch in a quiet world, from JSON.
    pub fn post(&self, json: &str) -> Settled {
        run(self.launch(&Call::default(), json.as_bytes(), 64 * 1024))
    }

    /// The launches of a campaign's log, oldest first, as consumers read them.
    pub fn launches(&self, campaign: u64) -> Vec<serde_json::Value> {
        let page = Page { after: None, limit: 1000 };
        let text = self.read(campaign, &Command::Launches(page));
        serde_json::from_str::<serde_json::Value>(&text).unwrap()["launches"].as_array().unwrap().clone()
    }

    /// The ids of a launch's recipients.
    pub fn recipients(&self, campaign: u64, launch: &str) -> Vec<String> {
        let id = LaunchId::parse(launch).unwrap();
        let text = self.read(campaign, &Command::Recipients(id, Page { after: None, limit: 50_000 }));
        let page: serde_json::Value = serde_json::from_str(&text).unwrap();
        let ids = page["recipients"].as_array().unwrap().iter();
        ids.map(|recipient| recipient["profile_id"].as_str().unwrap().to_owned()).collect()
    }

    /// What the campaign's object answers.
    pub fn read(&self, campaign: u64, command: &Command) -> String {
        let log = self.log(campaign);
        String::from_utf8(all(log.answer(command, self.now.get()).unwrap(), &log)).unwrap()
    }
}

fn all(mut reading: Reading, log: &Log<Database>) -> Vec<u8> {
    std::iter::from_fn(|| reading.step(log).unwrap()).flatten().collect()
}

/// The body of the reply.
pub fn reply(settled: Settled, format: Format) -> String {
    let mut writer = Writer::new(settled.result.unwrap(), format);
    String::from_utf8(std::iter::from_fn(|| writer.piece()).flatten().collect()).unwrap()
}

/// The head of a request.
#[derive(Debug, Clone)]
pub struct Call {
    pub endpoint: Endpoint,
    pub body: Option<Format>,
    pub length: Option<u64>,
    pub tokens: Vec<String>,
    pub id: Option<String>,
    pub checksum: bool,
}

impl Default for Call {
    fn default() -> Self {
        Self { endpoint: Endpoint::Batch, body: None, length: None, tokens: Vec::new(), id: None, checksum: false }
    }
}

struct Chunks<'a> {
    world: &'a World,
    rest: &'a [u8],
    chunk: usize,
}

impl Body for Chunks<'_> {
    async fn read(&mut self) -> Result<Option<&[u8]>, BodyError> {
        if self.world.fate().await != Fate::Good {
            return Err(BodyError::Aborted);
        }
        let (now, later) = self.rest.split_at(self.chunk.min(self.rest.len()));
        self.rest = later;
        Ok((!now.is_empty()).then_some(now))
    }
}

impl BucketStore for World {
    async fn read(&self, keys: &[String]) -> Result<Vec<Option<String>>, StoreError> {
        assert!(keys.len() <= crate::limits::BULK_KEYS);
        self.bulk_reads.set(self.bulk_reads.get() + 1);
        if self.fate().await != Fate::Good {
            return Err(StoreError("KV is down".into()));
        }
        Ok(keys.iter().map(|key| self.at_edge(key)).collect())
    }
}

fn fault<T>(result: Result<T, Fault>) -> Result<T, ObjectError> {
    result.map_err(|fault| match fault {
        Fault::Refused(refusal) => ObjectError::Refused(refusal.into()),
        Fault::Broken(broken) => ObjectError::Lost(broken.0),
    })
}

fn lost<T>() -> Result<T, ObjectError> {
    Err(ObjectError::Lost("the connection is gone".into()))
}

impl World {
    fn find_log(&self, id: u64) -> Result<Rc<Log<Database>>, ObjectError> {
        let none = || ObjectError::Refused(crate::problem::Problem::NotFound("trigger campaign"));
        self.logs.borrow().get(&id).cloned().ok_or_else(none)
    }
}

fn stored(stored: crate::campaign::stored::Stored, log: &Log<Database>) -> Repeated {
    Repeated::decode(all(Reading::Repeated(Box::new(Repeating::new(stored))), log)).unwrap()
}

impl Ports for World {
    type Bucket = Bucket;

    fn bucket(&self) -> &Bucket {
        &self.bucket
    }

    async fn token(&self, key: &str) -> Result<Option<TokenRecord>, StoreError> {
        Ok(self.read_kv(key).await?.map(|text| serde_json::from_str(&text).unwrap()))
    }

    async fn allow_token(&self, _: &str) -> bool {
        true
    }

    async fn allow_address(&self) -> bool {
        true
    }

    async fn campaign_database(&self, trigger_id: u64) -> Result<Option<u64>, StoreError> {
        let text = self.read_kv(&campaign_key(trigger_id)).await?;
        Ok(text.map(|text| serde_json::from_str::<CampaignRecord>(&text).unwrap().database))
    }

    async fn manifest(&self, database: u64) -> Result<Option<String>, StoreError> {
        self.read_kv(&manifest_key(database)).await
    }

    async fn defined_database(&self, trigger_id: u64) -> Result<u64, ObjectError> {
        if self.fate().await != Fate::Good {
            return lost();
        }
        fault(self.find_log(trigger_id)?.read()).map(|campaign| campaign.database)
    }

    async fn preflight(&self, trigger_id: u64, request: &Request) -> Result<Option<Repeated>, ObjectError> {
        self.preflights.set(self.preflights.get() + 1);
        if self.fate().await != Fate::Good {
            return lost();
        }
        let log = self.find_log(trigger_id)?;
        let found = fault(log.preflight(request, self.now.get()))?;
        Ok(found.map(|found| stored(found, &log)))
    }

    async fn commit(&self, trigger_id: u64, message: &[u8]) -> Result<Answer, ObjectError> {
        self.commits.set(self.commits.get() + 1);
        let fate = self.fate().await;
        if fate == Fate::Before {
            return lost();
        }
        let log = self.find_log(trigger_id)?;
        let outcome = fault(log.commit(message, self.now.get()));
        Yield::default().await;
        if fate == Fate::After {
            return lost();
        }
        Ok(match outcome? {
            Outcome::Committed(committed) => Answer::New(committed),
            Outcome::Repeated(found) => Answer::Repeated(Box::new(stored(*found, &log))),
        })
    }

    async fn completed(&self, trigger_id: u64, launch_id: LaunchId) -> Result<(), ObjectError> {
        let fate = self.fate().await;
        if fate == Fate::Before {
            return lost();
        }
        fault(self.find_log(trigger_id)?.answer(&Command::Completed(launch_id), self.now.get()))?;
        if fate == Fate::After { lost() } else { Ok(()) }
    }

    fn tell(&self, _: &str) {}

    fn now(&self) -> u64 {
        self.now.get()
    }

    async fn sleep(&self, milliseconds: u64) {
        self.now.set(self.now.get() + milliseconds);
        Yield::default().await;
    }

    fn random(&self, bytes: &mut [u8]) {
        bytes.iter_mut().for_each(|byte| *byte = self.rng.next() as u8);
    }
}

/// Lets others go on, once.
#[derive(Debug, Default)]
pub struct Yield(bool);

impl Future for Yield {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if self.0 {
            return Poll::Ready(());
        }
        self.0 = true;
        context.waker().wake_by_ref();
        Poll::Pending
    }
}

/// Runs a future to its end.
pub fn run<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            return output;
        }
    }
}
