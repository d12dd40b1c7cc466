//! The Durable Object of one campaign. It moves bytes between the runtime and [`Object`], which decides.

use std::{rc::Rc, time::Duration};

use futures_util::{future::LocalBoxFuture, stream};
use js_sys::Uint8Array;
use wasm_bindgen::{JsValue, prelude::wasm_bindgen};
use web_sys::{Request, Response};
use worker::{
    Delay, Env, ScheduledTime, SqlStorage, SqlStorageValue, State, Storage, js_sys, worker_sys::DurableObjectState,
};

use super::{
    bindings,
    bucket::Attachments,
    isolate,
    kv::Namespace,
    ports::{self, now},
    receiver, response, runtime, telemetry,
};
use crate::{
    api::{head::split_url, settings::Settings},
    campaign::{
        log::state::LogLimits,
        object::{Object, ObjectConfig, ObjectRequest, ObjectResponse, ReplyStream, ResponseBody},
        ports::Host,
        protocol::transport::{COMMIT_PATH, COMMITTED_HEADER, LENGTH_HEADER},
    },
    delivery::{
        address::{AllowedHosts, UrlParts},
        ports::{DeliveryHost, Message, ReceiverAnswer},
        sender::Delivery,
    },
    problem::Cause,
    storage::sql::{Sql, SqlParameter, SqlRow, SqlValue, StorageError},
    telemetry::DataPoint,
};

/// The class for the runtime. The macro of the `worker` crate would convert each request and response to its own types, which
/// takes as long as the commit of a small launch.
#[wasm_bindgen]
pub struct CampaignObject {
    object: Object<ObjectSql, ObjectHost>,
}

#[wasm_bindgen]
impl CampaignObject {
    #[wasm_bindgen(constructor)]
    pub fn new(state: DurableObjectState, env: Env) -> Self {
        let state = State::from(state);
        let settings = isolate::object_settings(&env);
        // An object whose configuration is invalid fails every request and alarm.
        let Settings { webhook_hosts, budget, .. } = settings.as_ref().cloned().unwrap_or_default();
        let config = settings
            .map(|settings| ObjectConfig { limits: LogLimits::from(&settings.limits), budget: settings.budget });
        let sql = ObjectSql::new(&state);
        let host = Rc::new(ObjectHost { state, env, webhook_hosts });
        let delivery = Rc::new(Delivery::new(Rc::clone(&host), budget));
        Self { object: Object::new(sql, host, config, delivery) }
    }

    pub async fn fetch(&self, request: Request) -> Result<Response, JsValue> {
        let (url, length) = (request.url(), request.headers().get(LENGTH_HEADER)?);
        let body: MessageBody<'_> =
            Box::pin(async { runtime::bytes(request.array_buffer()).await.map_err(Cause::new) });
        let request = ObjectRequest { path: split_url(&url).0, length: length.as_deref(), body };
        Ok(into_response(self.object.fetch(request).await)?)
    }

    /// Answers a commit message: with the value of [`COMMITTED_HEADER`] as text, or with the response of [`Self::fetch`].
    pub async fn answer(&self, message: Uint8Array) -> Result<JsValue, JsValue> {
        let length = message.length().to_string();
        let body: MessageBody<'_> = Box::pin(async { Ok(message.to_vec()) });
        let request = ObjectRequest { path: COMMIT_PATH, length: Some(&length), body };
        let response = self.object.fetch(request).await;
        match response.headers.as_slice() {
            [(COMMITTED_HEADER, committed)] => Ok(JsValue::from_str(committed)),
            _ => Ok(into_response(response)?.into()),
        }
    }

    pub async fn alarm(&self) -> Result<(), JsValue> {
        self.object.alarm().await.map_err(runtime::thrown)
    }
}

/// Reads a message. One type for requests and calls keeps the Worker small.
pub(super) type MessageBody<'a> = LocalBoxFuture<'a, Result<Vec<u8>, Cause>>;

fn into_response(response: ObjectResponse<ObjectSql>) -> worker::Result<Response> {
    let body = match response.body {
        ResponseBody::Whole(body) => response::RuntimeBody::Bytes(body),
        ResponseBody::Stream(reply) => response::readable(stream::unfold(reply, next_piece))?,
    };
    response::new(response.status, &response.headers, body)
}

/// The runtime polls the stream when it has room for a piece. An error aborts the response.
async fn next_piece(mut reply: ReplyStream<ObjectSql>) -> Option<(worker::Result<Vec<u8>>, ReplyStream<ObjectSql>)> {
    let piece = reply.next_piece()?.map_err(|cause| response::cut_off("an answer", &cause));
    Some((piece, reply))
}

/// Sets the only alarm of an object, or deletes it.
pub(super) async fn set_alarm(state: &State, at: Option<u64>) -> Result<(), Cause> {
    let storage: Storage = state.storage();
    let result = match at {
        Some(at) => {
            #[allow(clippy::cast_precision_loss, reason = "times are below 2^53")]
            let date = js_sys::Date::new(&JsValue::from_f64(at as f64));
            storage.set_alarm(ScheduledTime::new(date)).await
        }
        None => storage.delete_alarm().await,
    };
    result.map_err(Cause::new)
}

/// The runtime of one object.
struct ObjectHost {
    state: State,
    env: Env,
    webhook_hosts: AllowedHosts,
}

impl DeliveryHost for ObjectHost {
    fn random(&self, bytes: &mut [u8]) {
        ports::random(bytes);
    }

    fn url_parts(&self, url: &str) -> Option<UrlParts> {
        receiver::url_parts(url)
    }

    fn allowed_hosts(&self) -> AllowedHosts {
        self.webhook_hosts
    }

    fn post(&self, message: Message) -> LocalBoxFuture<'static, Result<ReceiverAnswer, String>> {
        receiver::post(message)
    }

    fn measure(&self, point: &DataPoint) {
        telemetry::measure(&self.env, None, point);
    }
}

impl Host for ObjectHost {
    type Attachments = Attachments;
    type Copies = Namespace;

    fn attachments(&self) -> Result<Attachments, Cause> {
        Attachments::new(&self.env).map_err(Cause::new)
    }

    fn copies(&self) -> Result<Namespace, Cause> {
        bindings::access(&self.env).map_err(Cause::new)
    }

    fn now(&self) -> u64 {
        now()
    }

    async fn sleep(&self, milliseconds: u64) {
        Delay::from(Duration::from_millis(milliseconds)).await;
    }

    async fn set_alarm(&self, at: Option<u64>) -> Result<(), Cause> {
        set_alarm(&self.state, at).await
    }

    fn spawn(&self, future: LocalBoxFuture<'static, ()>) {
        self.state.wait_until(future);
    }

    fn report(&self, failure: &str, cause: &Cause) {
        telemetry::failure(None, failure, cause);
    }
}

#[wasm_bindgen]
extern "C" {
    /// `DurableObjectStorage`, for the method that the `worker` crate does not bind.
    type TransactionalStorage;

    #[wasm_bindgen(method, catch, js_name = transactionSync)]
    fn transaction_sync(
        this: &TransactionalStorage,
        body: &mut dyn FnMut() -> Result<JsValue, JsValue>,
    ) -> Result<JsValue, JsValue>;
}

/// The object's SQLite database.
pub(super) struct ObjectSql {
    sql: SqlStorage,
    storage: TransactionalStorage,
}

impl ObjectSql {
    pub(super) fn new(state: &State) -> Self {
        let storage = state.storage();
        let raw: &JsValue = storage.as_raw().as_ref();
        Self { sql: storage.sql(), storage: wasm_bindgen::JsCast::unchecked_into(raw.clone()) }
    }
}

impl Sql for ObjectSql {
    fn exec(&self, statement: &str, parameters: &[SqlParameter<'_>]) -> Result<Vec<SqlRow>, StorageError> {
        let values: Vec<JsValue> = parameters.iter().map(to_js).collect();
        let cursor = self.sql.exec_raw(statement, values).map_err(Cause::new)?;
        cursor.raw().map(|row| row.map_err(Cause::new)?.into_iter().map(from_js).collect()).collect()
    }

    fn transaction(&self, body: &mut dyn FnMut() -> Result<(), StorageError>) -> Result<(), StorageError> {
        let mut failure = None;
        let mut run = || match body() {
            Ok(()) => Ok(JsValue::UNDEFINED),
            Err(error) => {
                // The runtime rolls back if the callback throws.
                let thrown = JsValue::from_str(&error.to_string());
                failure = Some(error);
                Err(thrown)
            }
        };
        let result = self.storage.transaction_sync(&mut run);
        match (failure, result) {
            (Some(error), _) => Err(error),
            (None, Err(thrown)) => Err(Cause(format!("transaction: {thrown:?}")).into()),
            (None, Ok(_)) => Ok(()),
        }
    }

    fn size(&self) -> u64 {
        u64::try_from(self.sql.database_size()).unwrap_or(u64::MAX)
    }
}

fn to_js(parameter: &SqlParameter<'_>) -> JsValue {
    match parameter {
        SqlParameter::Null => JsValue::NULL,
        #[allow(clippy::cast_precision_loss, reason = "integers are below 2^53")]
        SqlParameter::Integer(value) => JsValue::from_f64(*value as f64),
        SqlParameter::Text(text) => JsValue::from_str(text),
        SqlParameter::Blob(bytes) => js_sys::Uint8Array::from(*bytes).into(),
    }
}

fn from_js(value: SqlStorageValue) -> Result<SqlValue, StorageError> {
    match value {
        SqlStorageValue::Null => Ok(SqlValue::Null),
        SqlStorageValue::Integer(value) => Ok(SqlValue::Integer(value)),
        SqlStorageValue::String(text) => Ok(SqlValue::Text(text)),
        SqlStorageValue::Blob(bytes) => Ok(SqlValue::Blob(bytes)),
        other => Err(StorageError::Damaged(format!("unexpected value {other:?}"))),
    }
}
