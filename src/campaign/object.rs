//! The object of one campaign, over its database and its [`Host`]. The Worker moves its bytes.
//!
//! Between the last byte of a commit message and the end of its transaction nothing is awaited, so no other request changes
//! what was checked before it is written. The alarm is set in the same turn as the write, so that the platform stores both
//! together.

use std::{cell::Cell, rc::Rc};

use futures_util::{FutureExt as _, join};
use serde::Serialize;

use super::{
    log::{
        alarm::{self, AlarmStep},
        commit::CommitOutcome,
        copy_writes::CopyWrite,
        follower::LogFollower,
        listing, retention,
        state::{LaunchLog, LogError, LogLimits},
        totals, uploads,
    },
    ports::Host,
    protocol::{
        commands::{Command, Definition, Envelope, Refusal},
        layout::MESSAGE_LIMIT,
        transport::{COMMIT_PATH, COMMITTED_HEADER, LENGTH_HEADER, STATUS_FAILED, STATUS_REFUSED, STATUS_REPEATED},
    },
    read::{
        launches::{LaunchesReply, launch_json},
        recipients::RecipientsReply,
        repeat::RepeatReply,
        reply::ObjectReply,
        report::ReportReply,
        stats::StatsReply,
    },
};
use crate::{
    json,
    limits::{COPY_WAIT_MS, Limits, REPLY_WHOLE},
    memory::{Budget, Reservation},
    problem::Cause,
    storage::sql::Sql,
};

const JSON: &str = "application/json";

/// The steps of the alarm that belong to the campaign itself.
pub fn steps<S: Sql + 'static, H: Host>(host: &Rc<H>, follower: &Rc<dyn LogFollower<S>>) -> Vec<AlarmStep<S>> {
    vec![uploads::step(host), retention::step(host, follower), listing::step(host), totals::step()]
}

/// The configuration of an object.
#[derive(Debug, Clone)]
pub struct ObjectConfig {
    pub limits: LogLimits,
    /// The memory that all requests of the isolate share.
    pub budget: Rc<Budget>,
}

/// A request to the object.
pub struct ObjectRequest<'a, F> {
    pub path: &'a str,
    /// The value of [`LENGTH_HEADER`].
    pub length: Option<&'a str>,
    /// Reads the body when it is polled.
    pub body: F,
}

/// The object's response.
pub struct ObjectResponse<S> {
    pub status: u16,
    pub headers: Vec<(&'static str, String)>,
    pub body: ResponseBody<S>,
}

/// The body of a response.
pub enum ResponseBody<S> {
    Whole(Vec<u8>),
    Stream(ReplyStream<S>),
}

/// A reply that is read while it is sent.
pub struct ReplyStream<S> {
    /// The pieces that were read before the response began.
    first: Option<Vec<u8>>,
    /// `None` after the last piece or an error.
    reply: Option<ObjectReply>,
    log: Rc<LaunchLog<S>>,
}

impl<S: Sql> ReplyStream<S> {
    /// Returns the next piece. After an error the response has to be aborted.
    pub fn next_piece(&mut self) -> Option<Result<Vec<u8>, Cause>> {
        if let Some(first) = self.first.take() {
            return Some(Ok(first));
        }
        let piece = self.reply.as_mut()?.next_piece(&self.log).map_err(Cause::from).transpose();
        if !matches!(piece, Some(Ok(_))) {
            self.reply = None;
        }
        piece
    }
}

/// The object of one campaign.
pub struct Object<S, H> {
    pub(super) log: Rc<LaunchLog<S>>,
    host: Rc<H>,
    /// Delivers launches.
    follower: Rc<dyn LogFollower<S>>,
    steps: Rc<[AlarmStep<S>]>,
    /// The memory of the isolate, or why the configuration is invalid. An invalid configuration fails every request.
    budget: Result<Rc<Budget>, Cause>,
    has_started: Cell<bool>,
}

impl<S: Sql + 'static, H: Host> Object<S, H> {
    pub fn new(sql: S, host: Rc<H>, config: Result<ObjectConfig, Cause>, follower: Rc<dyn LogFollower<S>>) -> Self {
        let limits = config.as_ref().map_or_else(|_| LogLimits::from(&Limits::default()), |config| config.limits);
        Self {
            log: Rc::new(LaunchLog::new(sql, limits)),
            steps: steps(&host, &follower).into_iter().chain(follower.steps()).collect(),
            host,
            follower,
            budget: config.map(|config| config.budget),
            has_started: Cell::new(false),
        }
    }

    /// Answers a request.
    pub async fn fetch<F>(&self, request: ObjectRequest<'_, F>) -> ObjectResponse<S>
    where
        F: Future<Output = Result<Vec<u8>, Cause>>,
    {
        let response = self.handle(request).await;
        let response = alarm::set_alarm(&self.log, &*self.host).await.map_err(LogError::from).and(response);
        match response {
            Ok(response) => response,
            Err(LogError::Refused(refusal)) => {
                json_response(STATUS_REFUSED, &refusal).unwrap_or_else(|cause| failed(&cause))
            }
            Err(error) => failed(&error.into()),
        }
    }

    /// The alarm has come. After an error the platform repeats it.
    pub async fn alarm(&self) -> Result<(), Cause> {
        self.budget()?;
        self.start()?;
        alarm::ring(&self.log, &self.host, &self.steps).await
    }

    async fn handle<F>(&self, request: ObjectRequest<'_, F>) -> Result<ObjectResponse<S>, LogError>
    where
        F: Future<Output = Result<Vec<u8>, Cause>>,
    {
        let mut memory = Reservation::verified(self.budget()?);
        if request.path == COMMIT_PATH {
            memory.grow(message_length(request.length)?).map_err(|error| Refusal::Busy(error.to_string()))?;
            let message = request.body.await?;
            self.start()?;
            return self.commit(&message);
        }
        let command = request.body.await?;
        self.start()?;
        self.carry_out(&command).boxed_local().await
    }

    /// Carries out a command, which is an [`Envelope`] in JSON.
    async fn carry_out(&self, command: &[u8]) -> Result<ObjectResponse<S>, LogError> {
        let envelope: Envelope = json::from_slice(command).map_err(Cause::new)?;
        match &envelope.command {
            Command::Define(definition) => return self.define(definition, &envelope.databases).await,
            Command::Attachment(..) => {
                let store = self.host.attachments()?;
                uploads::complete_requested(&self.log, &store, &envelope, self.host.now()).await?;
            }
            Command::Stats(request) => {
                self.log.authorize(&envelope.databases)?;
                totals::count_period(&self.log, &*self.host, request).await?;
            }
            Command::Webhook(command) => {
                self.log.authorize(&envelope.databases)?;
                let reply = self.follower.command(&self.log, command.clone()).await?;
                return self.respond(ObjectReply::Whole(Some(reply)));
            }
            _ => {}
        }
        self.respond(answer(&self.log, &envelope, self.host.now())?)
    }

    fn budget(&self) -> Result<&Rc<Budget>, Cause> {
        self.budget.as_ref().map_err(Cause::clone)
    }

    /// Runs once in each instance of the object.
    fn start(&self) -> Result<(), LogError> {
        if !self.has_started.get() {
            self.log.start(self.host.now())?;
            self.follower.started(&self.log)?;
            self.has_started.set(true);
        }
        Ok(())
    }

    fn commit(&self, message: &[u8]) -> Result<ObjectResponse<S>, LogError> {
        match self.log.commit(message, self.host.now())? {
            CommitOutcome::Committed(committed) => {
                self.follower.committed(&self.log);
                let headers = vec![(COMMITTED_HEADER, committed.to_header())];
                Ok(ObjectResponse { status: 200, headers, body: ResponseBody::Whole(Vec::new()) })
            }
            CommitOutcome::Repeated(launch) => self.respond(ObjectReply::Repeat(Box::new(RepeatReply::new(*launch)))),
        }
    }

    async fn define(&self, definition: &Definition, databases: &[u64]) -> Result<ObjectResponse<S>, LogError> {
        let (log, host) = (&self.log, &self.host);
        let copies = host.copies()?;
        let (campaign, write) = listing::define(log, &copies, definition, databases, || host.now()).await?;
        let (alarm, ()) = join!(alarm::set_alarm(log, &**host), self.write_copy(copies, write));
        alarm?;
        Ok(json_response(200, &campaign)?)
    }

    async fn write_copy(&self, copies: H::Copies, write: Option<CopyWrite>) {
        if let Some(write) = write {
            listing::write_in_background(&self.log, &self.host, copies, write, COPY_WAIT_MS).await;
        }
    }

    /// Sends a short reply whole and streams a long one.
    fn respond(&self, mut reply: ObjectReply) -> Result<ObjectResponse<S>, LogError> {
        let mut body = Vec::new();
        let mut is_whole = false;
        while !is_whole && body.len() < REPLY_WHOLE {
            match reply.next_piece(&self.log)? {
                Some(piece) if body.is_empty() => body = piece,
                Some(piece) => body.extend_from_slice(&piece),
                None => is_whole = true,
            }
        }
        let mut headers = vec![("content-type", reply.media_type().to_owned())];
        let status = match &reply {
            ObjectReply::Repeat(repeat) => {
                headers.push((LENGTH_HEADER, repeat.length().to_string()));
                STATUS_REPEATED
            }
            _ => 200,
        };
        let body = if is_whole {
            ResponseBody::Whole(body)
        } else {
            ResponseBody::Stream(ReplyStream { first: Some(body), reply: Some(reply), log: Rc::clone(&self.log) })
        };
        Ok(ObjectResponse { status, headers, body })
    }
}

/// Carries out a command, if its sender may give it. `now` is the object's time in milliseconds since 1970.
pub fn answer<S: Sql>(log: &LaunchLog<S>, envelope: &Envelope, now: u64) -> Result<ObjectReply, LogError> {
    let Envelope { databases, command } = envelope;
    if !matches!(command, Command::Define(_)) {
        log.authorize(databases)?;
    }
    Ok(match command {
        Command::Define(definition) => ObjectReply::json(&log.define(definition, databases, now)?)?,
        Command::Read => ObjectReply::json(&log.read()?)?,
        Command::Preflight(request) => match log.preflight(request, now)? {
            Some(launch) => ObjectReply::Repeat(Box::new(RepeatReply::new(launch))),
            None => empty_object(),
        },
        Command::Launches(page) => ObjectReply::Launches(Box::new(LaunchesReply::open(log, *page)?)),
        Command::NewestLaunches(page) => ObjectReply::Launches(Box::new(LaunchesReply::open_newest(log, *page)?)),
        Command::Stats(request) => ObjectReply::json(&StatsReply::read(log, request)?)?,
        Command::Launch(id) => ObjectReply::Whole(Some(launch_json(log, &log.find(*id)?)?.into_bytes())),
        Command::Recipients(id, page) => {
            ObjectReply::Recipients(Box::new(RecipientsReply::page(log, log.find(*id)?, *page)?))
        }
        Command::RecipientsStream(id) => ObjectReply::Recipients(Box::new(RecipientsReply::ndjson(log.find(*id)?))),
        Command::Attachment(id, number) => ObjectReply::json(&log.file(*id, *number, now)?)?,
        Command::Completed(id) => {
            log.uploads_completed(*id)?;
            empty_object()
        }
        // Carried out before by the module that delivers launches.
        Command::Webhook(_) => return Err(Cause::new("a command about the webhook").into()),
        Command::Report(id) => ObjectReply::Report(Box::new(ReportReply::open(log, &log.find(*id)?)?)),
    })
}

fn empty_object() -> ObjectReply {
    ObjectReply::Whole(Some(b"{}".to_vec()))
}

/// Parses the length of a commit message.
fn message_length(header: Option<&str>) -> Result<u64, Cause> {
    let length = header.and_then(|header| header.parse().ok()).filter(|length| *length <= MESSAGE_LIMIT);
    length.ok_or_else(|| Cause(format!("{LENGTH_HEADER}: must be an integer of at most {MESSAGE_LIMIT}")))
}

fn json_response<S>(status: u16, value: &impl Serialize) -> Result<ObjectResponse<S>, Cause> {
    let body = serde_json::to_vec(value).map_err(Cause::new)?;
    Ok(ObjectResponse { status, headers: vec![("content-type", JSON.to_owned())], body: ResponseBody::Whole(body) })
}

/// Returns the response to a failed request. Its body is the cause, which the Worker writes to its log.
fn failed<S>(cause: &Cause) -> ObjectResponse<S> {
    let body = ResponseBody::Whole(cause.to_string().into_bytes());
    let headers = vec![("content-type", "text/plain; charset=utf-8".to_owned())];
    ObjectResponse { status: STATUS_FAILED, headers, body }
}
