//! The object of a database, over its database and its [`DatabaseHost`]. The Worker moves its bytes.
//!
//! Nothing is awaited between the last byte of a request and the end of its transaction. The alarm is set in the same turn as
//! the write, so that the platform stores both together.

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
};

use serde::Serialize;

use super::{
    command::{DatabaseCommand, DatabaseRefusal},
    database::{DatabaseError, LiveDatabase},
    message::{DamagedMessage, LENGTH_HEADER, Question, RequestKind, STATUS_FAILED, STATUS_REFUSED},
};
use crate::{
    json,
    limits::ALARM_GUARD_MS,
    memory::{Budget, Reservation},
    problem::Cause,
    storage::sql::Sql,
};

/// The runtime of one object.
#[allow(async_fn_in_trait, reason = "everything runs on one thread")]
pub trait DatabaseHost {
    /// Milliseconds since 1970.
    fn now(&self) -> u64;
    /// Sets the object's only alarm. The call is made at the first poll, so that the platform stores it together with what was
    /// written before.
    async fn set_alarm(&self, at: u64) -> Result<(), Cause>;
    /// Logs a failure from which the object recovers.
    fn report(&self, failure: &str, cause: &Cause);
}

/// The object's response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DatabaseResponse {
    pub status: u16,
    pub body: Vec<u8>,
}

/// The object of one database.
pub struct DatabaseObject<S, H> {
    /// The database and the memory of the isolate, or why the configuration is invalid. An invalid configuration fails every
    /// request.
    database: Result<(RefCell<LiveDatabase<S>>, Rc<Budget>), Cause>,
    host: H,
    /// The time of the alarm, if it is known.
    alarm: Cell<Option<u64>>,
}

impl<S: Sql, H: DatabaseHost> DatabaseObject<S, H> {
    pub fn new(sql: S, host: H, budget: Result<Rc<Budget>, Cause>) -> Self {
        let database = budget.map(|budget| {
            let database = LiveDatabase::new(sql, Reservation::verified(&budget));
            (RefCell::new(database), budget)
        });
        Self { database, host, alarm: Cell::default() }
    }

    /// Answers a request. `length` is the value of [`LENGTH_HEADER`].
    pub async fn fetch(
        &self,
        length: Option<&str>,
        body: impl Future<Output = Result<Vec<u8>, Cause>>,
    ) -> DatabaseResponse {
        let response = self.handle(length, body).await;
        let response = self.set_alarm().await.map_err(DatabaseError::from).and(response);
        match response {
            Ok(body) => DatabaseResponse { status: 200, body },
            Err(DatabaseError::Refused(refusal)) => match to_json(&refusal) {
                Ok(body) => DatabaseResponse { status: STATUS_REFUSED, body },
                Err(error) => failed(error),
            },
            Err(error) => failed(error),
        }
    }

    /// The alarm has come. Failures are reported and repeated later, because the platform drops an alarm after six failures.
    pub async fn alarm(&self) -> Result<(), Cause> {
        let now = self.host.now();
        self.alarm.set(None);
        self.host.set_alarm(now.saturating_add(ALARM_GUARD_MS)).await?;
        let cleaned = match &self.database {
            Ok((database, _)) => database.borrow_mut().clean_up(now),
            Err(cause) => Err(cause.clone().into()),
        };
        match cleaned {
            Ok(()) => self.set_alarm().await,
            Err(error) => {
                self.host.report("a database's changes were not cleaned up", &error.into());
                Ok(())
            }
        }
    }

    async fn handle(
        &self,
        length: Option<&str>,
        body: impl Future<Output = Result<Vec<u8>, Cause>>,
    ) -> Result<Vec<u8>, DatabaseError> {
        let (database, budget) = self.database.as_ref().map_err(Cause::clone)?;
        let mut request_memory = Reservation::verified(budget);
        let length = length.and_then(|length| length.parse().ok());
        request_memory.grow(length.ok_or_else(|| Cause(format!("no {LENGTH_HEADER}")))?)?;
        let body = body.await?;
        let (kind, content) = RequestKind::split(&body).ok_or(DamagedMessage)?;
        let now = self.host.now();
        let mut database = database.borrow_mut();
        match kind {
            RequestKind::Question => database.answer(Question::read(content)?, &mut request_memory),
            RequestKind::Changes => database.change(content, now).and_then(|reply| to_json(&reply)),
            RequestKind::Command => match json::from_slice(content)? {
                DatabaseCommand::Status => database.status().and_then(|status| to_json(&status)),
                DatabaseCommand::Start(manifest) => database.start(*manifest, now).and_then(|status| to_json(&status)),
                DatabaseCommand::Stop => database.stop(now).and_then(|status| to_json(&status)),
                DatabaseCommand::Pending(purpose) => database.pending(purpose, now, &mut request_memory),
                DatabaseCommand::Publish(publication) => {
                    database.publish(*publication, now).and_then(|reply| to_json(&reply))
                }
            },
        }
    }

    async fn set_alarm(&self) -> Result<(), Cause> {
        let Ok((database, _)) = &self.database else { return Ok(()) };
        let Some(at) = database.borrow().next_alarm() else { return Ok(()) };
        if self.alarm.get().is_none_or(|known| at < known) {
            self.host.set_alarm(at).await?;
            self.alarm.set(Some(at));
        }
        Ok(())
    }
}

fn to_json(value: &impl Serialize) -> Result<Vec<u8>, DatabaseError> {
    Ok(serde_json::to_vec(value).map_err(Cause::new)?)
}

fn failed(error: DatabaseError) -> DatabaseResponse {
    DatabaseResponse { status: STATUS_FAILED, body: Cause::from(error).0.into_bytes() }
}

/// Reads a refusal.
pub fn parse_refusal(body: &[u8]) -> Result<DatabaseRefusal, Cause> {
    json::from_slice(body).map_err(Cause::new)
}
