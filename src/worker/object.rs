//! The Durable Object of one campaign: it moves bytes between the runtime and the [`Log`], which decides.
//!
//! *Architecture invariant*: between the last byte of a commit message and the end of its transaction nothing is
//! awaited, so no other request comes between what is checked and what is written.

#![allow(missing_docs, reason = "the macro of the class makes functions that it does not document")]

use std::{cell::Cell, rc::Rc};

use futures_channel::oneshot;
use futures_util::{join, stream};
use wasm_bindgen::{JsValue, prelude::wasm_bindgen};
use worker::{
    DurableObject, Env, Request, Response, ScheduledTime, SqlStorage, SqlStorageValue, State, Storage, durable_object,
    js_sys,
};

use super::{
    bindings::{self, Isolate},
    bucket::Attachments,
    kv::{Namespace, within},
    ports::now,
    telemetry,
};
use crate::{
    campaign::{
        commands::{self, Command, Definition, Envelope, Refusal},
        layout::MESSAGE_LIMIT,
        listing::{self, CopyWrite, REPLY_WAIT},
        log::{Fault, Log, Outcome, Terms},
        reading::{Reading, Repeating},
        sql::{Bound, Broken, Row, Sql, Value},
        upkeep,
    },
    limits::Limits,
    memory::Reservation,
    problem::Cause,
};

/// An answer that is no longer than this is sent whole, in bytes; a longer one is streamed.
const WHOLE: usize = 64 * 1024;

/// The object of one campaign.
#[durable_object(alarm)]
pub struct CampaignObject {
    state: State,
    env: Env,
    /// Or what is wrong with it: told with every request.
    isolate: Result<Rc<Isolate>, Broken>,
    log: Rc<Log<ObjectSql>>,
    started: Cell<bool>,
}

impl DurableObject for CampaignObject {
    fn new(state: State, env: Env) -> Self {
        let isolate = bindings::isolate(&env).map_err(|error| Broken(format!("configuration: {error}")));
        let limits = isolate.as_ref().map_or_else(|_| Limits::default(), |isolate| isolate.settings.limits);
        let log = Log::new(ObjectSql::new(&state), Terms::from(&limits));
        Self { state, env, isolate, log: Rc::new(log), started: Cell::new(false) }
    }

    async fn fetch(&self, request: Request) -> worker::Result<Response> {
        let answer = self.handle(request).await;
        self.set_alarm().await?;
        match answer {
            Ok(response) => Ok(response),
            Err(Fault::Refused(refusal)) => Ok(Response::from_json(&refusal)?.with_status(commands::REFUSED)),
            // The Worker logs it with the request.
            Err(Fault::Broken(broken)) => Ok(Response::ok(broken.0)?.with_status(commands::FAILED)),
        }
    }

    async fn alarm(&self) -> worker::Result<Response> {
        // A failure of one does not keep the other from running.
        let (listed, faults) = join!(self.update_copy(), self.upkeep());
        let faults = faults.and_then(|faults| listed.map(|()| faults));
        for fault in faults.map_err(|broken| worker::Error::RustError(broken.0))? {
            telemetry::failure(None, "work of a campaign's alarm is repeated later", &Cause(fault));
        }
        self.set_alarm().await?;
        Response::empty()
    }
}

impl CampaignObject {
    async fn handle(&self, mut request: Request) -> Result<Response, Fault> {
        if request.path() == commands::COMMIT {
            let mut memory = Reservation::verified(&self.isolate()?.settings.budget);
            let length = length(&request)?;
            memory.grow(length).map_err(|error| Refusal::Busy(error.to_string()))?;
            let message = request.bytes().await.map_err(Broken::new)?;
            self.start()?;
            return self.commit(&message);
        }
        let command = request.bytes().await.map_err(Broken::new)?;
        let envelope: Envelope = serde_json::from_slice(&command).map_err(Broken::new)?;
        self.start()?;
        match &envelope.command {
            Command::Define(definition) => return self.define(definition, &envelope.databases).await,
            Command::Attachment(..) => upkeep::prepare(&self.log, &self.uploads()?, &envelope, now()).await?,
            _ => {}
        }
        self.respond(self.log.answer(&envelope, now())?)
    }

    async fn define(&self, definition: &Definition, databases: &[u64]) -> Result<Response, Fault> {
        let copies = self.copies()?;
        let (campaign, begun) = listing::define(&self.log, &copies, definition, databases).await?;
        // The alarm is set in the same step as the definition is written: see `set_alarm`.
        let (alarm, ()) = join!(self.set_alarm(), self.write_copy(copies, begun));
        alarm.map_err(Broken::new)?;
        self.respond(Reading::json(&campaign)?)
    }

    async fn update_copy(&self) -> Result<(), Broken> {
        if let Some(begun) = self.log.begin_copy(now())? {
            self.write_copy(self.copies()?, Some(begun)).await;
        }
        Ok(())
    }

    /// Writes KV's copy. The write goes on if it takes longer than a caller waits for it.
    async fn write_copy(&self, copies: Namespace, begun: Option<CopyWrite>) {
        let Some(begun) = begun else { return };
        let (campaign, storage) = (Rc::clone(&self.log), self.state.storage());
        let (done, written) = oneshot::channel();
        self.state.wait_until(async move {
            match listing::write(&campaign, &copies, begun).await {
                Ok(None) => {}
                Ok(Some(fault)) => telemetry::failure(None, "the list of campaigns is updated later", &Cause(fault)),
                Err(broken) => telemetry::failure(None, "the list of campaigns is updated later", &Cause(broken.0)),
            }
            if let Err(error) = set_alarm(&storage, &campaign).await {
                telemetry::failure(None, "a campaign's alarm was not set", &Cause::new(error));
            }
            // The caller may have stopped waiting.
            let _ = done.send(());
        });
        within(REPLY_WAIT, written).await;
    }

    async fn upkeep(&self) -> Result<Vec<String>, Broken> {
        self.isolate()?;
        upkeep::alarm(&self.log, &self.uploads()?, now()).await
    }

    fn isolate(&self) -> Result<&Isolate, Broken> {
        self.isolate.as_deref().map_err(Broken::clone)
    }

    fn uploads(&self) -> Result<Attachments, Broken> {
        Attachments::new(&self.env).map_err(Broken::new)
    }

    fn copies(&self) -> Result<Namespace, Broken> {
        bindings::access(&self.env).map_err(Broken::new)
    }

    fn commit(&self, message: &[u8]) -> Result<Response, Fault> {
        match self.log.commit(message, now())? {
            Outcome::Committed(committed) => Ok(Response::from_json(&committed).map_err(Broken::new)?),
            Outcome::Repeated(stored) => self.respond(Reading::Repeated(Box::new(Repeating::new(*stored)))),
        }
    }

    /// Once for each instance of the object.
    fn start(&self) -> Result<(), Broken> {
        self.isolate()?;
        if !self.started.get() {
            self.log.start(now())?;
            self.started.set(true);
        }
        Ok(())
    }

    async fn set_alarm(&self) -> worker::Result<()> {
        let set = set_alarm(&self.state.storage(), &self.log).await;
        // When it comes is not known then: the next request begins anew.
        self.started.set(self.started.get() && set.is_ok());
        set
    }

    fn respond(&self, mut reading: Reading) -> Result<Response, Fault> {
        let mut body = Vec::new();
        let mut whole = false;
        while !whole && body.len() < WHOLE {
            match reading.step(&self.log)? {
                Some(piece) if body.is_empty() => body = piece,
                Some(piece) => body.extend_from_slice(&piece),
                None => whole = true,
            }
        }
        let response = Response::builder().with_header("content-type", reading.media_type());
        let response = match &reading {
            Reading::Repeated(repeating) => response
                .and_then(|response| response.with_header(commands::LENGTH, &repeating.length().to_string()))
                .map(|response| response.with_status(commands::REPEATED)),
            _ => response,
        };
        let response = response.map_err(Broken::new)?;
        if whole {
            return Ok(response.fixed(body));
        }
        let steps = Steps { first: Some(body), reading: Some(reading), log: Rc::clone(&self.log) };
        let pieces = stream::unfold(steps, |mut steps| async move { steps.next().map(|piece| (piece, steps)) });
        Ok(response.from_stream(pieces).map_err(Broken::new)?)
    }
}

/// Sets the alarm if it has to come at another time. The call is made without a wait after what was written: both are
/// stored together.
async fn set_alarm(storage: &Storage, log: &Log<ObjectSql>) -> worker::Result<()> {
    match log.take_alarm() {
        Ok(Some(at)) => {
            #[allow(clippy::cast_precision_loss, reason = "times are below 2^53")]
            let date = js_sys::Date::new(&JsValue::from_f64(at as f64));
            storage.set_alarm(ScheduledTime::new(date)).await
        }
        Ok(None) => Ok(()),
        Err(broken) => Err(worker::Error::RustError(broken.0)),
    }
}

/// An answer that is streamed. The reader asks for the next piece when it has room for it.
struct Steps {
    first: Option<Vec<u8>>,
    reading: Option<Reading>,
    log: Rc<Log<ObjectSql>>,
}

impl Steps {
    /// An error is the last thing that comes: it aborts the answer.
    fn next(&mut self) -> Option<worker::Result<Vec<u8>>> {
        if let Some(first) = self.first.take() {
            return Some(Ok(first));
        }
        match self.reading.as_mut()?.step(&self.log) {
            Ok(piece) => piece.map(Ok),
            Err(broken) => {
                telemetry::failure(None, "an answer was cut off", &Cause(broken.0));
                self.reading = None;
                Some(Err(worker::Error::RustError("the launch cannot be read to its end".to_owned())))
            }
        }
    }
}

/// The length that the Worker announces, within the limit of messages.
fn length(request: &Request) -> Result<u64, Broken> {
    let length = request.headers().get(commands::LENGTH).map_err(Broken::new)?;
    let length = length.and_then(|length| length.parse().ok());
    length.filter(|length| *length <= MESSAGE_LIMIT).ok_or_else(|| Broken::new("commit message: length"))
}

#[wasm_bindgen]
extern "C" {
    /// `DurableObjectStorage`, for what the `worker` crate does not bind.
    type TransactionalStorage;

    #[wasm_bindgen(method, catch, js_name = transactionSync)]
    fn transaction_sync(
        this: &TransactionalStorage,
        then: &mut dyn FnMut() -> Result<JsValue, JsValue>,
    ) -> Result<JsValue, JsValue>;
}

/// The object's own SQLite.
pub struct ObjectSql {
    sql: SqlStorage,
    storage: TransactionalStorage,
}

impl ObjectSql {
    fn new(state: &State) -> Self {
        let storage = state.storage();
        let raw: &JsValue = storage.as_raw().as_ref();
        Self { sql: storage.sql(), storage: wasm_bindgen::JsCast::unchecked_into(raw.clone()) }
    }
}

impl Sql for ObjectSql {
    fn exec(&self, statement: &str, bound: &[Bound<'_>]) -> Result<Vec<Row>, Broken> {
        let values: Vec<JsValue> = bound.iter().map(to_js).collect();
        let cursor = self.sql.exec_raw(statement, values).map_err(Broken::new)?;
        cursor.raw().map(|row| row.map_err(Broken::new)?.into_iter().map(from_js).collect()).collect()
    }

    fn transaction(&self, then: &mut dyn FnMut() -> Result<(), Broken>) -> Result<(), Broken> {
        let mut broken = None;
        let mut run = || match then() {
            Ok(()) => Ok(JsValue::UNDEFINED),
            Err(error) => {
                // Whatever is thrown makes the runtime undo what was written.
                let thrown = JsValue::from_str(&error.0);
                broken = Some(error);
                Err(thrown)
            }
        };
        let result = self.storage.transaction_sync(&mut run);
        match (broken, result) {
            (Some(broken), _) => Err(broken),
            (None, Err(thrown)) => Err(Broken(format!("transaction: {thrown:?}"))),
            (None, Ok(_)) => Ok(()),
        }
    }

    fn size(&self) -> u64 {
        u64::try_from(self.sql.database_size()).unwrap_or(u64::MAX)
    }
}

fn to_js(bound: &Bound<'_>) -> JsValue {
    match bound {
        Bound::Null => JsValue::NULL,
        #[allow(clippy::cast_precision_loss, reason = "integers are below 2^53: see Bound")]
        Bound::Integer(value) => JsValue::from_f64(*value as f64),
        Bound::Text(text) => JsValue::from_str(text),
        Bound::Blob(bytes) => js_sys::Uint8Array::from(*bytes).into(),
    }
}

fn from_js(value: SqlStorageValue) -> Result<Value, Broken> {
    match value {
        SqlStorageValue::Null => Ok(Value::Null),
        SqlStorageValue::Integer(value) => Ok(Value::Integer(value)),
        SqlStorageValue::String(text) => Ok(Value::Text(text)),
        SqlStorageValue::Blob(bytes) => Ok(Value::Blob(bytes)),
        other => Err(Broken(format!("unexpected value {other:?}"))),
    }
}
