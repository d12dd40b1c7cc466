//! Sends the launches of one campaign to its webhook.
//!
//! A *slice* sends what is due, begins no request after [`DELIVERY_SLICE_MS`], and ends when all its requests have ended. A commit
//! starts a slice at once, and the object's alarm starts all others. While a slice runs, the alarm is set to a later time, so
//! that a new instance of the object continues if this one ends. At most one slice runs at a time.
//!
//! The state is written once a slice, and at once if the delivery stops. Nothing is awaited between reading the log and marking
//! a page as sent.

use std::{
    cell::{Cell, RefCell},
    future::poll_fn,
    pin::pin,
    rc::Rc,
    task::{Poll, Waker},
};

use futures_util::{
    future::{Either, LocalBoxFuture, select},
    stream::{FuturesUnordered, StreamExt as _},
};
use serde::Serialize;

use super::{
    address,
    config::WebhookConfig,
    message::{PageOf, Pages, headers, test_body},
    ports::{DeliveryHost, Message, ReceiverAnswer},
    schedule::{AttemptAnswer, parse_retry_after},
    signature::SECRET_BYTES,
    state::{Attempt, Circumstances, DeliveryState, DeliveryStatus, NextStep, PageNumber, SentPage},
};
use crate::{
    campaign::{
        log::{
            alarm::{AlarmStep, set_alarm},
            due::Task,
            follower::LogFollower,
            state::{LaunchLog, LogError, LogState},
            stored::StoredLaunch,
            webhook::StoredWebhook,
        },
        protocol::{
            commands::{Refusal, Resource},
            webhook::{Ordering, RecipientsMode, WebhookCommand, WebhookDefinition},
        },
    },
    json,
    limits::{
        ALARM_GUARD_MS, DELIVERY_MEMORY_PAUSE_MS, DELIVERY_REQUESTS_AT_ONCE, DELIVERY_SLICE_MS, DELIVERY_TIMEOUT_MS,
    },
    memory::{Budget, Reservation},
    problem::Cause,
    storage::sql::{Sql, StorageError},
    telemetry::DataPoint,
    text::{hex, rfc3339},
    vec_map::VecMap,
};

/// The step of the alarm. Its due time follows from the stored state, so it has no rows.
pub const TASK: Task = Task::new("delivery");
/// Reported if the first attempt of a page fails after attempts that succeeded.
pub const FAILING: &str = "a webhook fails: its messages are sent again later";
/// Reported if no further attempt follows.
pub const STOPPED: &str = "a delivery has stopped until an operator resumes it";
/// Reported if retention removes launches that were not delivered.
pub const EXPIRED: &str = "launches expired before they were delivered";
/// Reported if the log or the object's storage fails.
pub const FAILURE: &str = "a delivery continues later";

/// Delivers the launches of one campaign.
pub struct Delivery<H>(Rc<Inner<H>>);

struct Inner<H> {
    host: Rc<H>,
    /// The memory of the isolate.
    budget: Rc<Budget>,
    webhook: RefCell<Option<Webhook>>,
    /// The number of webhooks that this instance has created. Answers for an earlier one are ignored.
    created: Cell<u64>,
    is_running: Cell<bool>,
    news: News,
}

/// The webhook, and what this instance remembers about it.
struct Webhook {
    config: WebhookConfig,
    state: DeliveryState,
    /// Whether the state differs from the stored one.
    is_changed: bool,
    /// The pages of launches that have begun.
    pages: VecMap<u64, Rc<Pages>>,
}

/// Wakes a slice that waits for answers.
#[derive(Default)]
struct News {
    has_news: Cell<bool>,
    waker: RefCell<Option<Waker>>,
}

impl News {
    fn announce(&self) {
        self.has_news.set(true);
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }

    async fn wait(&self) {
        poll_fn(|context| {
            if self.has_news.replace(false) {
                return Poll::Ready(());
            }
            self.waker.replace(Some(context.waker().clone()));
            Poll::Pending
        })
        .await;
    }
}

/// A request that has an answer.
struct Answered {
    created: u64,
    sent: SentPage,
    attempt: Attempt,
    answer: AttemptAnswer,
}

/// What a slice does next.
enum NextRequest {
    Send(LocalBoxFuture<'static, Answered>),
    /// The page could not be built. The attempt is recorded as a failure.
    Failed(Answered),
    /// Nothing can be sent before this time, or before something happens.
    None(Option<u64>),
}

impl<H: DeliveryHost> Delivery<H> {
    pub fn new(host: Rc<H>, budget: Rc<Budget>) -> Self {
        Self(Rc::new(Inner {
            host,
            budget,
            webhook: RefCell::default(),
            created: Cell::default(),
            is_running: Cell::default(),
            news: News::default(),
        }))
    }
}

impl<S: Sql + 'static, H: DeliveryHost> LogFollower<S> for Delivery<H> {
    fn steps(&self) -> Vec<AlarmStep<S>> {
        let inner = Rc::clone(&self.0);
        vec![AlarmStep {
            task: TASK,
            service: "webhook",
            pause_after_failure: ALARM_GUARD_MS,
            failure: FAILURE,
            run: Box::new(move |log, _| {
                let inner = Rc::clone(&inner);
                Box::pin(async move { Ok(inner.run_slice(&log).await.err().into_iter().map(Cause::from).collect()) })
            }),
        }]
    }

    fn started(&self, log: &Rc<LaunchLog<S>>) -> Result<(), StorageError> {
        if log.find_state()?.is_none() {
            return Ok(());
        }
        let Some(stored) = log.webhook()? else { return Ok(()) };
        self.0.webhook.replace(Some(Webhook::read(&stored)?));
        // The slice finds out what is due, and when.
        log.due().set_in_memory(TASK, self.0.has_work(log)?.then(|| self.0.host.now()));
        Ok(())
    }

    fn committed(&self, log: &Rc<LaunchLog<S>>) {
        let starts = self.0.webhook.borrow().as_ref().is_some_and(|webhook| {
            webhook.config.active && !webhook.state.is_stopped() && webhook.state.may_begin(webhook.config.ordering)
        });
        if starts {
            self.0.start(log);
        }
    }

    fn removed(&self, log: &Rc<LaunchLog<S>>) -> Result<(), StorageError> {
        let Some(state) = log.find_state()? else { return Ok(()) };
        self.0.expire(&state);
        if self.0.is_running.get() { Ok(()) } else { self.0.save(log) }
    }

    fn command<'a>(
        &'a self,
        log: &'a Rc<LaunchLog<S>>,
        command: WebhookCommand,
    ) -> LocalBoxFuture<'a, Result<Vec<u8>, LogError>> {
        Box::pin(self.0.command(log, command))
    }
}

impl<H: DeliveryHost> Inner<H> {
    /// Whether a launch is not delivered and may be sent, now or later.
    fn has_work<S: Sql>(&self, log: &LaunchLog<S>) -> Result<bool, StorageError> {
        let Some(state) = log.find_state()? else { return Ok(false) };
        Ok(self.webhook.borrow().as_ref().is_some_and(|webhook| {
            let at = webhook.circumstances(self.host.now(), &state);
            matches!(webhook.state.status(at), DeliveryStatus::Delivering | DeliveryStatus::Retrying)
        }))
    }

    /// Starts a slice, or lets the running one look for new work.
    fn start<S: Sql + 'static>(self: &Rc<Self>, log: &Rc<LaunchLog<S>>) {
        if self.is_running.get() {
            self.news.announce();
            return;
        }
        self.guard(log);
        let (inner, log) = (Rc::clone(self), Rc::clone(log));
        self.host.spawn(Box::pin(async move {
            if let Err(error) = inner.run_slice(&log).await {
                inner.host.report(FAILURE, &error.into());
            }
            if let Err(cause) = set_alarm(&log, &*inner.host).await {
                inner.host.report("a campaign's alarm was not set", &cause);
            }
        }));
    }

    /// Sets the due time at which another instance continues if this one ends.
    fn guard<S: Sql>(&self, log: &LaunchLog<S>) {
        log.due().set_in_memory(TASK, Some(self.host.now().saturating_add(ALARM_GUARD_MS)));
    }

    /// Runs a slice, unless one is running.
    async fn run_slice<S: Sql + 'static>(&self, log: &Rc<LaunchLog<S>>) -> Result<(), StorageError> {
        self.guard(log);
        if self.is_running.replace(true) {
            return Ok(());
        }
        let due = self.send_due_pages(log).await;
        self.is_running.set(false);
        let saved = self.save(log);
        log.due().set_in_memory(TASK, due.clone()?);
        saved
    }

    /// Sends what is due, for the time of a slice. Returns when the next slice is due.
    async fn send_due_pages<S: Sql + 'static>(&self, log: &Rc<LaunchLog<S>>) -> Result<Option<u64>, StorageError> {
        let end = self.host.now().saturating_add(DELIVERY_SLICE_MS);
        let mut requests = FuturesUnordered::new();
        let mut due = None;
        loop {
            let has_time = self.host.now() < end;
            if has_time {
                due = loop {
                    // Requests of before a replay, or of a webhook that was removed, count too.
                    if requests.len() >= DELIVERY_REQUESTS_AT_ONCE {
                        break None;
                    }
                    match self.next_request(log)? {
                        NextRequest::Send(request) => requests.push(request),
                        NextRequest::Failed(answered) => self.record(log, answered)?,
                        NextRequest::None(due) => break due,
                    }
                };
            }
            if requests.is_empty() {
                return Ok(if has_time { due } else { Some(self.host.now()) });
            }
            let answered = match select(requests.next(), pin!(self.news.wait())).await {
                Either::Left((answered, _)) => answered,
                Either::Right(_) => None,
            };
            if let Some(answered) = answered {
                self.record(log, answered)?;
            }
        }
    }

    /// Finds the next request and marks its page as sent.
    fn next_request<S: Sql>(&self, log: &LaunchLog<S>) -> Result<NextRequest, StorageError> {
        let Some(campaign) = log.find_state()? else { return Ok(NextRequest::None(None)) };
        self.expire(&campaign);
        let mut webhook = self.webhook.borrow_mut();
        let Some(webhook) = webhook.as_mut() else { return Ok(NextRequest::None(None)) };
        let now = self.host.now();
        loop {
            match webhook.state.next_step(webhook.circumstances(now, &campaign)) {
                NextStep::Begin(sequence) => {
                    // If the launch cannot be read, its only page fails.
                    let launch = log.launch_at(sequence);
                    let pages = launch.and_then(|launch| Ok(webhook.pages_of(log, &launch)?.count())).unwrap_or(1);
                    webhook.state.begin(sequence, pages);
                    webhook.is_changed = true;
                }
                NextStep::Send(page) => return Ok(self.request(log, webhook, page, now)),
                NextStep::WaitUntil(due) => return Ok(NextRequest::None(Some(due))),
                NextStep::Idle => return Ok(NextRequest::None(None)),
            }
        }
    }

    /// Builds the request for a page that is marked as sent.
    fn request<S: Sql>(&self, log: &LaunchLog<S>, webhook: &mut Webhook, page: PageNumber, now: u64) -> NextRequest {
        let sent = SentPage { page, epoch: webhook.state.epoch() };
        let PageNumber { sequence, page: number } = page;
        let attempt = |id: String| Attempt {
            webhook_id: id,
            sequence,
            page: number,
            at: now,
            duration_ms: 0,
            status: None,
            error: None,
        };
        let created = self.created.get();
        let mut memory = Reservation::verified(&self.budget);
        let built = webhook.build(log, page, &mut memory);
        let (id, body) = match built {
            Ok(message) => message,
            Err(BuildError::Memory) => {
                webhook.state.postpone(page, now.saturating_add(DELIVERY_MEMORY_PAUSE_MS));
                return NextRequest::None(Some(now.saturating_add(DELIVERY_MEMORY_PAUSE_MS)));
            }
            Err(BuildError::Storage(error)) => {
                let answer = AttemptAnswer::None("the launch cannot be read from the log".to_owned());
                self.host.report(FAILURE, &Cause::from(error));
                return NextRequest::Failed(Answered { created, sent, attempt: attempt(String::new()), answer });
            }
        };
        let config = &webhook.config;
        let headers = headers(&id, &body, &config.secrets(now), now, &config.headers);
        let posted = self.host.post(Message { url: config.url.clone(), headers, body });
        let (host, attempt) = (Rc::clone(&self.host), attempt(id));
        NextRequest::Send(Box::pin(async move {
            let (answer, duration_ms) = receive(&*host, posted, now).await;
            let attempt = Attempt { duration_ms, ..attempt };
            Answered { created, sent, attempt, answer }
        }))
    }

    /// Records an answer. Reports a delivery that begins to fail or stops.
    fn record<S: Sql>(&self, log: &LaunchLog<S>, answered: Answered) -> Result<(), StorageError> {
        let Answered { created, sent, mut attempt, answer } = answered;
        let mut webhook = self.webhook.borrow_mut();
        let Some(webhook) = webhook.as_mut().filter(|_| created == self.created.get()) else { return Ok(()) };
        (attempt.status, attempt.error) = answer.result();
        let what = match (&attempt.error, attempt.status) {
            (Some(error), _) => error.clone(),
            (None, status) => format!("status {}", status.unwrap_or(0)),
        };
        let cause = Cause(format!("message {}: {what}", attempt.webhook_id));
        let (was_failing, was_stopped) = (webhook.state.failing_since().is_some(), webhook.state.is_stopped());
        let mut random = [0; 2];
        self.host.random(&mut random);
        webhook.state.record(&sent, attempt, &answer, self.host.now(), u16::from_le_bytes(random));
        webhook.is_changed = true;
        let Webhook { state, pages, .. } = &mut *webhook;
        pages.retain(|sequence| state.is_in_progress(*sequence));
        if webhook.state.failing_since().is_some() && !was_failing {
            self.host.report(FAILING, &cause);
            self.host.measure(&DataPoint::of_delivery("failing", 0));
        }
        if webhook.state.is_stopped() && !was_stopped {
            self.host.report(STOPPED, &cause);
            self.host.measure(&DataPoint::of_delivery("stopped", 0));
            // An object that restarts must not send anything.
            return webhook.save(log);
        }
        Ok(())
    }

    /// Counts launches that retention removed before they were delivered.
    fn expire(&self, campaign: &LogState) {
        let mut webhook = self.webhook.borrow_mut();
        let Some(webhook) = webhook.as_mut() else { return };
        let lost = webhook.state.expire(campaign.removed);
        if lost > 0 {
            webhook.is_changed = true;
            self.host.report(EXPIRED, &Cause(format!("{lost} launches up to sequence {}", campaign.removed)));
            self.host.measure(&DataPoint::of_delivery("expired", lost));
        }
    }

    fn save<S: Sql>(&self, log: &LaunchLog<S>) -> Result<(), StorageError> {
        match self.webhook.borrow_mut().as_mut() {
            Some(webhook) if webhook.is_changed => webhook.save(log),
            _ => Ok(()),
        }
    }

    async fn command<S: Sql + 'static>(
        self: &Rc<Self>,
        log: &Rc<LaunchLog<S>>,
        command: WebhookCommand,
    ) -> Result<Vec<u8>, LogError> {
        let campaign = log.state()?;
        self.expire(&campaign);
        let secret = match command {
            WebhookCommand::Define(definition) => self.define(log, &campaign, definition)?,
            WebhookCommand::Test => return self.test(campaign.campaign.id).await,
            WebhookCommand::Attempts(limit) => return self.attempts(limit),
            WebhookCommand::Remove => {
                let reply = self.reply(&campaign, false)?;
                log.remove_webhook()?;
                self.webhook.replace(None);
                self.created.set(self.created.get().wrapping_add(1));
                // A slice that runs records at its end when the next one is due: another webhook may have been created by then.
                if !self.is_running.get() {
                    log.due().set_in_memory(TASK, None);
                }
                return Ok(reply);
            }
            WebhookCommand::Read => return self.reply(&campaign, false),
            other => self.act(log, &campaign, &other)?,
        };
        let reply = self.reply(&campaign, secret)?;
        if self.has_work(log)? {
            self.start(log);
        }
        Ok(reply)
    }

    /// Creates or changes the webhook. Returns whether it was created.
    fn define<S: Sql>(
        &self,
        log: &LaunchLog<S>,
        campaign: &LogState,
        definition: WebhookDefinition,
    ) -> Result<bool, LogError> {
        let mut webhook = self.webhook.borrow_mut();
        if let Some(url) = &definition.url {
            let parts = self.host.url_parts(url);
            address::check(parts.as_ref(), self.host.allowed_hosts())
                .map_err(|reason| Refusal::BadField(format!("url: {reason}")))?;
        }
        let is_new = webhook.is_none();
        let mut changed = match webhook.as_ref() {
            Some(webhook) => (webhook.config.clone(), webhook.state.clone()),
            None => {
                let url = definition.url.clone();
                let url =
                    url.ok_or_else(|| Refusal::BadField("url: is missing, and the campaign has no webhook".into()))?;
                (WebhookConfig::new(url, self.secret_bytes(), campaign.last()), DeliveryState::new(campaign.last()))
            }
        };
        if definition.url.as_ref().is_some_and(|url| *url != changed.0.url) {
            changed.1.reset_schedule();
        }
        changed.0.change(definition, campaign.last(), campaign.removed);
        let (config, state) = changed;
        log.write_webhook(&stored(&config, &state)?)?;
        let pages = webhook.take().map(|webhook| webhook.pages).unwrap_or_default();
        *webhook = Some(Webhook { config, state, is_changed: false, pages });
        Ok(is_new)
    }

    /// Carries out an action on the webhook. Returns whether the reply contains the secret.
    fn act<S: Sql>(&self, log: &LaunchLog<S>, campaign: &LogState, command: &WebhookCommand) -> Result<bool, LogError> {
        let mut webhook = self.webhook.borrow_mut();
        let webhook = webhook.as_mut().ok_or(Refusal::NotFound(Resource::Webhook))?;
        let (mut config, mut state) = (webhook.config.clone(), webhook.state.clone());
        let mut has_new_secret = false;
        match command {
            WebhookCommand::Rotate => {
                config.rotate(self.secret_bytes(), self.host.now()).map_err(|error| {
                    let until = rfc3339(error.until);
                    Refusal::WebhookConflict(format!(
                        "the secret was replaced less than a day ago: rotate again after {until}"
                    ))
                })?;
                has_new_secret = true;
            }
            WebhookCommand::Replay(after) => {
                if *after < campaign.removed {
                    return Err(Refusal::Expired { first: campaign.first() }.into());
                }
                if *after > campaign.last() {
                    let last = campaign.last();
                    return Err(Refusal::BadField(format!("after: the last launch has the sequence {last}")).into());
                }
                state.replay(*after);
                webhook.pages.clear();
            }
            WebhookCommand::Resume => state.resume(),
            WebhookCommand::Skip => {
                state.skip().map_err(|error| Refusal::WebhookConflict(error.to_string()))?;
            }
            _ => {}
        }
        log.write_webhook(&stored(&config, &state)?)?;
        (webhook.config, webhook.state, webhook.is_changed) = (config, state, false);
        Ok(has_new_secret)
    }

    fn secret_bytes(&self) -> [u8; SECRET_BYTES] {
        let mut bytes = [0; SECRET_BYTES];
        self.host.random(&mut bytes);
        bytes
    }

    async fn test(&self, trigger_id: u64) -> Result<Vec<u8>, LogError> {
        let now = self.host.now();
        let posted = {
            let webhook = self.webhook.borrow();
            let config = &webhook.as_ref().ok_or(Refusal::NotFound(Resource::Webhook))?.config;
            let mut random = [0; 16];
            self.host.random(&mut random);
            let (id, body) = (format!("test_{}", hex(&random)), test_body(trigger_id, now));
            let headers = headers(&id, &body, &config.secrets(now), now, &config.headers);
            self.host.post(Message { url: config.url.clone(), headers, body })
        };
        let (answer, duration_ms) = receive(&*self.host, posted, now).await;
        let (status, error) = answer.result();
        json(&TestReply { status, duration_ms, error })
    }

    fn attempts(&self, limit: u64) -> Result<Vec<u8>, LogError> {
        let webhook = self.webhook.borrow();
        let webhook = webhook.as_ref().ok_or(Refusal::NotFound(Resource::Webhook))?;
        let attempts = webhook.state.attempts(usize::try_from(limit).unwrap_or(usize::MAX));
        json(&AttemptsReply { attempts: attempts.map(AttemptReply::from).collect() })
    }

    fn reply(&self, campaign: &LogState, has_secret: bool) -> Result<Vec<u8>, LogError> {
        let webhook = self.webhook.borrow();
        let webhook = webhook.as_ref().ok_or(Refusal::NotFound(Resource::Webhook))?;
        let WebhookConfig { url, headers, ordering, active, .. } = &webhook.config;
        let state = &webhook.state;
        let (last_status, last_error) = state.last_result();
        json(&WebhookReply {
            url,
            headers: headers.iter().map(|(name, _)| name.as_str()).collect(),
            recipients: webhook.config.recipients(),
            ordering: *ordering,
            active: *active,
            state: StateReply {
                status: state.status(webhook.circumstances(self.host.now(), campaign)),
                delivered_through: state.delivered_through(),
                expired: state.expired(),
                next_attempt_at: state.next_attempt_at().filter(|_| *active).map(rfc3339),
                failing_since: state.failing_since().map(rfc3339),
                last_status,
                last_error,
            },
            secret: has_secret.then(|| webhook.config.secret()),
        })
    }
}

/// Why a message was not built.
enum BuildError {
    /// There is no memory for it now.
    Memory,
    Storage(StorageError),
}

impl From<StorageError> for BuildError {
    fn from(error: StorageError) -> Self {
        Self::Storage(error)
    }
}

impl Webhook {
    /// Not inlined, because most campaigns have no webhook when their object starts.
    #[inline(never)]
    fn read(stored: &StoredWebhook) -> Result<Self, StorageError> {
        let config = json::from_str(&stored.config).map_err(StorageError::damaged)?;
        let state: DeliveryState = json::from_str(&stored.state).map_err(StorageError::damaged)?;
        Ok(Self { config, state, is_changed: false, pages: VecMap::default() })
    }

    fn circumstances(&self, now: u64, campaign: &LogState) -> Circumstances {
        Circumstances { now, last: campaign.last(), ordering: self.config.ordering, is_active: self.config.active }
    }

    /// Returns the pages of a launch. They are found once.
    fn pages_of<S: Sql>(&mut self, log: &LaunchLog<S>, launch: &StoredLaunch) -> Result<Rc<Pages>, StorageError> {
        if let Some(known) = self.pages.get(&launch.sequence) {
            return Ok(Rc::clone(known));
        }
        let pages = Rc::new(Pages::find(log, launch, self.config.recipients_of(launch.sequence))?);
        self.pages.insert(launch.sequence, Rc::clone(&pages));
        Ok(pages)
    }

    /// Builds a message: its ID and its body.
    fn build<S: Sql>(
        &mut self,
        log: &LaunchLog<S>,
        page: PageNumber,
        memory: &mut Reservation,
    ) -> Result<(String, String), BuildError> {
        let launch = log.launch_at(page.sequence)?;
        let mode = self.config.recipients_of(page.sequence);
        let page = PageOf { launch: &launch, pages: &*self.pages_of(log, &launch)?, page: page.page, mode };
        memory.grow(page.memory()).map_err(|_| BuildError::Memory)?;
        Ok((page.id(), page.body(log)?))
    }

    fn save<S: Sql>(&mut self, log: &LaunchLog<S>) -> Result<(), StorageError> {
        log.write_webhook_state(&serde_json::to_string(&self.state).map_err(StorageError::damaged)?)?;
        self.is_changed = false;
        Ok(())
    }
}

fn stored(config: &WebhookConfig, state: &DeliveryState) -> Result<StoredWebhook, StorageError> {
    let json = |result: serde_json::Result<String>| result.map_err(StorageError::damaged);
    Ok(StoredWebhook { config: json(serde_json::to_string(config))?, state: json(serde_json::to_string(state))? })
}

/// Waits for an answer. Also returns how long that took, in milliseconds.
async fn receive<H: DeliveryHost>(
    host: &H,
    posted: LocalBoxFuture<'static, Result<ReceiverAnswer, String>>,
    began: u64,
) -> (AttemptAnswer, u64) {
    let timeout = pin!(host.sleep(DELIVERY_TIMEOUT_MS));
    let result = match select(posted, timeout).await {
        Either::Left((result, _)) => result,
        Either::Right(_) => Err(format!("no status line within {} s", DELIVERY_TIMEOUT_MS / 1000)),
    };
    let now = host.now();
    let answer = match result {
        Ok(ReceiverAnswer { status, retry_after }) => {
            let retry_after_ms = retry_after.and_then(|value| parse_retry_after(&value, now));
            AttemptAnswer::Status { status, retry_after_ms }
        }
        Err(error) => AttemptAnswer::None(error),
    };
    (answer, now.saturating_sub(began))
}

fn json(value: &impl Serialize) -> Result<Vec<u8>, LogError> {
    Ok(serde_json::to_vec(value).map_err(Cause::new)?)
}

#[derive(Serialize)]
struct WebhookReply<'a> {
    url: &'a str,
    headers: Vec<&'a str>,
    recipients: RecipientsMode,
    ordering: Ordering,
    active: bool,
    state: StateReply<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    secret: Option<&'a str>,
}

#[derive(Serialize)]
struct StateReply<'a> {
    status: DeliveryStatus,
    delivered_through: Option<u64>,
    expired: u64,
    next_attempt_at: Option<String>,
    failing_since: Option<String>,
    last_status: Option<u16>,
    last_error: Option<&'a str>,
}

#[derive(Serialize)]
struct TestReply {
    status: Option<u16>,
    duration_ms: u64,
    error: Option<String>,
}

#[derive(Serialize)]
struct AttemptsReply<'a> {
    attempts: Vec<AttemptReply<'a>>,
}

#[derive(Serialize)]
struct AttemptReply<'a> {
    webhook_id: &'a str,
    sequence: u64,
    page: u64,
    at: String,
    duration_ms: u64,
    status: Option<u16>,
    error: Option<&'a str>,
}

impl<'a> From<&'a Attempt> for AttemptReply<'a> {
    fn from(attempt: &'a Attempt) -> Self {
        let Attempt { webhook_id, sequence, page, at, duration_ms, status, error } = attempt;
        Self {
            webhook_id,
            sequence: *sequence,
            page: *page,
            at: rfc3339(*at),
            duration_ms: *duration_ms,
            status: *status,
            error: error.as_deref(),
        }
    }
}
