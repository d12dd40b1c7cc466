//! A runtime for one object, with a clock, an alarm, R2 and KV. Nothing happens until a test polls it.

use std::{
    cell::{Cell, RefCell},
    collections::VecDeque,
    mem,
    rc::Rc,
    task::{Context, Waker},
};

use futures_util::future::LocalBoxFuture;

use super::{
    NOON,
    bucket::MemoryBucket,
    database::{Database, limits, unlimited},
    faults::{Faults, pause, run},
};
use crate::{
    access::CampaignRecord,
    campaign::{
        log::{
            alarm::{self, AlarmStep},
            follower::LogFollower,
            retention,
            state::{LaunchLog, LogError},
            uploads,
        },
        object::{Object, ObjectConfig, ObjectRequest, ObjectResponse, ResponseBody},
        ports::{AttachmentStore, CampaignCopies, Host},
        protocol::{
            commands::{Command, Envelope},
            head::Upload,
            transport::{COMMAND_PATH, COMMIT_PATH},
            webhook::WebhookCommand,
        },
    },
    memory::Budget,
    problem::Cause,
    storage::sql::{Sql, StorageError},
    telemetry::DataPoint,
};

#[derive(Debug, Default)]
pub struct FakeCopies {
    /// `read` and `write`.
    pub faults: Faults,
    pub copy: RefCell<Option<CampaignRecord>>,
    /// When each write began.
    pub writes: RefCell<Vec<u64>>,
    in_progress: Cell<usize>,
    /// Milliseconds that a write takes.
    pub latency: Cell<u64>,
    /// Writes that begin now wait until it is false.
    hold: RefCell<Rc<Cell<bool>>>,
    /// Whether several writes may be in progress. Otherwise a second one fails the test.
    pub allows_overlaps: Cell<bool>,
    now: Rc<Cell<u64>>,
}

/// Counts a write in progress, even if its future is dropped.
struct WriteInProgress<'a>(&'a Cell<usize>);

impl Drop for WriteInProgress<'_> {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

impl FakeCopies {
    /// Lets writes hang that begin from now on, until the returned cell is set to false.
    pub fn hold(&self) -> Rc<Cell<bool>> {
        let hold = Rc::new(Cell::new(true));
        self.hold.replace(Rc::clone(&hold));
        hold
    }

    /// Lets writes succeed that begin from now on.
    pub fn stop_holding(&self) {
        self.hold.replace(Rc::default());
    }
}

impl CampaignCopies for Rc<FakeCopies> {
    async fn read(&self, _: u64) -> Result<Option<CampaignRecord>, Cause> {
        pause().await;
        self.faults.run("read", Cause::new("KV is down"), || Ok(self.copy.borrow().clone()))
    }

    async fn write(&self, record: &CampaignRecord) -> Result<(), Cause> {
        self.in_progress.set(self.in_progress.get() + 1);
        let _counted = WriteInProgress(&self.in_progress);
        assert!(self.allows_overlaps.get() || self.in_progress.get() == 1, "one write at a time");
        let began = self.now.get();
        self.writes.borrow_mut().push(began);
        let (end, hold) = (began + self.latency.get(), Rc::clone(&self.hold.borrow()));
        pause().await;
        while self.now.get() < end || hold.get() {
            pause().await;
        }
        self.faults.run("write", Cause::new("KV is down"), || {
            self.copy.replace(Some(record.clone()));
            Ok(())
        })
    }
}

impl<T: AttachmentStore> AttachmentStore for Rc<T> {
    async fn complete(&self, upload: &Upload) -> Result<(), Cause> {
        (**self).complete(upload).await
    }

    async fn abort(&self, key: &str, upload_id: &str) -> Result<(), Cause> {
        (**self).abort(key, upload_id).await
    }

    async fn delete(&self, keys: &[String]) -> Result<(), Cause> {
        (**self).delete(keys).await
    }
}

/// Deliveries are off.
pub struct NoDelivery;

impl<S> LogFollower<S> for NoDelivery {
    fn steps(&self) -> Vec<AlarmStep<S>> {
        Vec::new()
    }

    fn started(&self, _: &Rc<LaunchLog<S>>) -> Result<(), StorageError> {
        Ok(())
    }

    fn committed(&self, _: &Rc<LaunchLog<S>>) {}

    fn removed(&self, _: &Rc<LaunchLog<S>>) -> Result<(), StorageError> {
        Ok(())
    }

    fn command<'a>(
        &'a self,
        _: &'a Rc<LaunchLog<S>>,
        _: WebhookCommand,
    ) -> LocalBoxFuture<'a, Result<Vec<u8>, LogError>> {
        Box::pin(async { Ok(b"{}".to_vec()) })
    }
}

/// Makes what delivers the launches of an object.
pub type MakeFollower = fn(&Rc<FakeHost>, &Rc<Budget>) -> Rc<dyn LogFollower<Rc<Database>>>;

/// A request that the receiver of a webhook has received.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Received {
    pub at: u64,
    pub url: String,
    pub headers: Vec<(String, String)>,
    pub body: String,
    /// How it was answered.
    pub behavior: Behavior,
}

impl Received {
    pub fn header(&self, name: &str) -> &str {
        let found = self.headers.iter().find(|(known, _)| known == name);
        found.map_or("", |(_, value)| value)
    }
}

/// How the receiver of a webhook answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Behavior {
    /// This status, with `Retry-After`, after some milliseconds.
    Status(u16, Option<&'static str>, u64),
    /// The connection fails.
    Fail,
    /// The receiver accepts the message, and the connection fails.
    LoseAnswer,
    /// There is no answer.
    Hang,
}

/// The receiver of a webhook.
#[derive(Debug, Default)]
pub struct FakeReceiver {
    pub received: RefCell<Vec<Received>>,
    /// How the next requests are answered; later ones with 204.
    pub plan: RefCell<VecDeque<Behavior>>,
}

#[derive(Default)]
pub struct FakeHost {
    /// The receiver of the webhook.
    pub receiver: FakeReceiver,
    /// The bytes that are random are the middle of their range, changed by these bits.
    pub random: Cell<u8>,
    /// The data points that were written.
    pub points: RefCell<Vec<DataPoint>>,
    now: Rc<Cell<u64>>,
    /// How often background work was polled. One poll is one turn of the runtime.
    pub turn: Rc<Cell<u64>>,
    /// When the alarm comes.
    pub alarm: Cell<Option<u64>>,
    /// Every call of `set_alarm`.
    pub alarm_calls: RefCell<Vec<Option<u64>>>,
    /// `alarm`, and the bindings `R2` and `KV`.
    pub faults: Faults,
    pub bucket: Rc<MemoryBucket>,
    pub kv: Rc<FakeCopies>,
    spawned: RefCell<Vec<LocalBoxFuture<'static, ()>>>,
    reported: RefCell<Vec<(String, String)>>,
}

impl FakeHost {
    pub fn new() -> Rc<Self> {
        let now = Rc::new(Cell::new(NOON));
        let kv = Rc::new(FakeCopies { now: Rc::clone(&now), ..FakeCopies::default() });
        Rc::new(Self { now, kv, ..Self::default() })
    }

    /// The clock, for futures that outlive a borrow of the host.
    pub fn clock(&self) -> Rc<Cell<u64>> {
        Rc::clone(&self.now)
    }

    pub fn set_now(&self, now: u64) {
        self.now.set(now);
    }

    /// Polls every background future once. Returns whether some have not ended.
    pub fn poll_spawned(&self) -> bool {
        self.turn.set(self.turn.get() + 1);
        let mut context = Context::from_waker(Waker::noop());
        let mut futures = mem::take(&mut *self.spawned.borrow_mut());
        futures.retain_mut(|future| future.as_mut().poll(&mut context).is_pending());
        // A future may have spawned others.
        let mut spawned = self.spawned.borrow_mut();
        futures.append(&mut spawned);
        *spawned = futures;
        !spawned.is_empty()
    }

    /// Polls background futures until they end, or until it is clear that they wait for the clock.
    pub fn run_spawned(&self) {
        for _ in 0..500 {
            if !self.poll_spawned() {
                break;
            }
        }
    }

    /// Runs a future and the background futures that it needs.
    pub fn run<T>(&self, future: impl Future<Output = T>) -> T {
        let mut future = std::pin::pin!(future);
        let both = std::future::poll_fn(|context| {
            let poll = future.as_mut().poll(context);
            self.poll_spawned();
            poll
        });
        run(both)
    }

    /// Drops the background futures: the object ends.
    pub fn end(&self) {
        self.spawned.borrow_mut().clear();
    }

    /// Returns the causes that were reported since the last call.
    pub fn take_reported(&self) -> Vec<String> {
        self.reported.take().into_iter().map(|(_, cause)| cause).collect()
    }

    /// Returns the failures and causes that were reported since the last call.
    pub fn take_failures(&self) -> Vec<(String, String)> {
        self.reported.take()
    }

    /// Applies a change of the alarm, and returns when the alarm comes.
    pub fn next_alarm<S: Sql>(&self, log: &LaunchLog<S>) -> Option<u64> {
        run(alarm::set_alarm(log, self)).unwrap();
        self.alarm.get()
    }

    /// The alarm comes at `now`. Returns once its steps have ended.
    pub fn ring<S: Sql + 'static>(
        self: &Rc<Self>,
        log: &Rc<LaunchLog<S>>,
        steps: &Rc<[AlarmStep<S>]>,
        now: u64,
    ) -> Result<(), Cause> {
        self.set_now(now);
        self.alarm.set(None);
        run(alarm::ring(log, self, steps))?;
        self.run_spawned();
        Ok(())
    }
}

impl Host for FakeHost {
    type Attachments = Rc<MemoryBucket>;
    type Copies = Rc<FakeCopies>;

    fn attachments(&self) -> Result<Rc<MemoryBucket>, Cause> {
        self.faults.run("R2", Cause::new("no binding ATTACHMENTS"), || Ok(Rc::clone(&self.bucket)))
    }

    fn copies(&self) -> Result<Rc<FakeCopies>, Cause> {
        self.faults.run("KV", Cause::new("no binding ACCESS"), || Ok(Rc::clone(&self.kv)))
    }

    fn now(&self) -> u64 {
        self.now.get()
    }

    async fn sleep(&self, milliseconds: u64) {
        let end = self.now().saturating_add(milliseconds);
        while self.now() < end {
            pause().await;
        }
    }

    async fn set_alarm(&self, at: Option<u64>) -> Result<(), Cause> {
        if at == Some(0) {
            return Err(Cause::new("TypeError: setAlarm() cannot be called with an alarm time <= 0"));
        }
        self.faults.run("alarm", Cause::new("the storage is gone"), || {
            self.alarm.set(at);
            self.alarm_calls.borrow_mut().push(at);
            Ok(())
        })
    }

    fn spawn(&self, future: LocalBoxFuture<'static, ()>) {
        self.spawned.borrow_mut().push(future);
    }

    fn report(&self, failure: &str, cause: &Cause) {
        self.reported.borrow_mut().push((failure.to_owned(), cause.to_string()));
    }
}

/// An object with its runtime. The database and the alarm outlive an instance of the object.
pub struct TestObject {
    pub host: Rc<FakeHost>,
    pub database: Rc<Database>,
    pub object: Rc<Object<Rc<Database>, FakeHost>>,
    follower: MakeFollower,
}

/// A response that was read to its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    pub status: u16,
    pub headers: Vec<(&'static str, String)>,
    /// An error aborted the body.
    pub body: Result<Vec<u8>, String>,
}

impl Response {
    pub fn text(&self) -> &str {
        str::from_utf8(self.body.as_ref().unwrap()).unwrap()
    }

    fn read<S: Sql>(response: ObjectResponse<S>) -> Self {
        let ObjectResponse { status, headers, body } = response;
        let body = match body {
            ResponseBody::Whole(body) => Ok(body),
            ResponseBody::Stream(mut reply) => {
                let pieces = std::iter::from_fn(|| reply.next_piece());
                pieces.collect::<Result<Vec<_>, _>>().map(|pieces| pieces.concat()).map_err(|cause| cause.to_string())
            }
        };
        Self { status, headers, body }
    }
}

impl TestObject {
    pub fn new() -> Self {
        Self::with_follower(|_, _| Rc::new(NoDelivery))
    }

    pub fn with_follower(follower: MakeFollower) -> Self {
        let (host, database) = (FakeHost::new(), Rc::new(Database::new()));
        let object = Self::instance(&host, &database, follower);
        Self { host, database, object, follower }
    }

    fn instance(
        host: &Rc<FakeHost>,
        database: &Rc<Database>,
        follower: MakeFollower,
    ) -> Rc<Object<Rc<Database>, FakeHost>> {
        let config = ObjectConfig { limits: limits(), budget: Budget::new(64 << 20, 16 << 20) };
        let follower = follower(host, &config.budget);
        Rc::new(Object::new(Rc::clone(database), Rc::clone(host), Ok(config), follower))
    }

    /// Ends the instance of the object, with everything that it had in memory, and starts another.
    pub fn restart(&mut self) {
        self.replace();
        self.send(&unlimited(&Command::Read));
    }

    /// Like [`TestObject::restart`], but nothing is sent to the new instance.
    pub fn replace(&mut self) {
        self.host.end();
        self.object = Self::instance(&self.host, &self.database, self.follower);
    }

    /// Sends a request.
    pub fn fetch(
        &self,
        path: &'static str,
        length: Option<String>,
        body: Vec<u8>,
    ) -> impl Future<Output = Response> + use<> {
        let object = Rc::clone(&self.object);
        async move {
            let request = ObjectRequest { path, length: length.as_deref(), body: async { Ok(body) } };
            Response::read(object.fetch(request).await)
        }
    }

    /// Sends a command and returns its response.
    pub fn send(&self, envelope: &Envelope) -> Response {
        self.host.run(self.fetch(COMMAND_PATH, None, serde_json::to_vec(envelope).unwrap()))
    }

    /// Sends a commit message and returns the response.
    pub fn commit(&self, message: &[u8]) -> Response {
        self.host.run(self.fetch(COMMIT_PATH, Some(message.len().to_string()), message.to_vec()))
    }

    /// The alarm comes.
    pub fn ring(&self) -> impl Future<Output = ()> + use<> {
        let object = Rc::clone(&self.object);
        self.host.alarm.set(None);
        async move { object.alarm().await.unwrap() }
    }

    /// Lets time pass. Alarms come when they are due. Returns the causes that were reported.
    pub fn advance(&self, milliseconds: u64) -> Vec<String> {
        self.host.take_reported();
        let end = self.host.now() + milliseconds;
        for alarms in 0.. {
            assert!(alarms < 10_000, "the alarm comes again and again");
            let Some(at) = self.host.alarm.get().filter(|at| *at <= end) else { break };
            self.host.set_now(self.host.now().max(at));
            self.host.run(self.ring());
            self.host.run_spawned();
        }
        self.host.set_now(end);
        self.host.take_reported()
    }
}

/// Runs the steps that need R2, for tests that have no [`FakeHost`].
pub async fn run_bucket_steps<S: Sql>(log: &LaunchLog<S>, store: &impl AttachmentStore, now: u64) -> Vec<Cause> {
    log.due().forget_alarm();
    let mut failures = uploads::complete_due(log, store, now).await.unwrap();
    failures.extend(retention::remove_expired(log, store, now).await.unwrap());
    failures
}
