//! The Durable Object of one database, and the messages to it. It moves bytes between the runtime and [`DatabaseObject`], which
//! decides.

use std::rc::Rc;

use js_sys::Uint8Array;
use worker::{DurableObject, Env, ObjectNamespace, Request, Response, State, durable_object};

use super::{
    bindings,
    object::{ObjectSql, set_alarm},
    objects::send_to_object,
    ports::now,
    telemetry,
};
use crate::{
    launch::ports::ObjectError,
    memory::Reservation,
    problem::Cause,
    profiles::live::{
        message::{LENGTH_HEADER, STATUS_FAILED, STATUS_REFUSED},
        object::{DatabaseHost, DatabaseObject, parse_refusal},
    },
};

#[durable_object(alarm)]
pub struct ProfilesObject {
    object: DatabaseObject<ObjectSql, ProfilesHost>,
}

impl DurableObject for ProfilesObject {
    fn new(state: State, env: Env) -> Self {
        let isolate = bindings::isolate(&env).map_err(|error| Cause(format!("configuration: {error}")));
        let budget = isolate.map(|isolate| Rc::clone(&isolate.settings.budget));
        let sql = ObjectSql::new(&state);
        Self { object: DatabaseObject::new(sql, ProfilesHost { state }, budget) }
    }

    async fn fetch(&self, mut request: Request) -> worker::Result<Response> {
        let length = request.headers().get(LENGTH_HEADER)?;
        let body = async { request.bytes().await.map_err(Cause::new) };
        let response = self.object.fetch(length.as_deref(), body).await;
        let builder = Response::builder().with_status(response.status);
        Ok(builder.with_header(LENGTH_HEADER, &response.body.len().to_string())?.fixed(response.body))
    }

    async fn alarm(&self) -> worker::Result<Response> {
        self.object.alarm().await.map_err(|cause| worker::Error::RustError(cause.0))?;
        Response::empty()
    }
}

/// The runtime of one object.
struct ProfilesHost {
    state: State,
}

impl DatabaseHost for ProfilesHost {
    fn now(&self) -> u64 {
        now()
    }

    async fn set_alarm(&self, at: u64) -> Result<(), Cause> {
        set_alarm(&self.state, Some(at)).await
    }

    fn report(&self, failure: &str, cause: &Cause) {
        telemetry::failure(None, failure, cause);
    }
}

/// Sends messages to databases' objects.
#[derive(Debug, Clone)]
pub struct DatabaseObjects {
    objects: ObjectNamespace,
}

impl DatabaseObjects {
    pub fn new(env: &Env) -> worker::Result<Self> {
        Ok(Self { objects: bindings::databases(env)? })
    }

    /// Sends a message and reads the reply, whose memory is reserved first.
    pub async fn ask(&self, database: u64, message: &[u8], memory: &mut Reservation) -> Result<Vec<u8>, ObjectError> {
        self.send(database, message, memory).await.map_err(|error| match error {
            ObjectError::Lost(cause) => ObjectError::Lost(cause.during(format_args!("object of database {database}"))),
            refused => refused,
        })
    }

    async fn send(&self, database: u64, message: &[u8], memory: &mut Reservation) -> Result<Vec<u8>, ObjectError> {
        let body = Uint8Array::from(message).into();
        let name = object_name(database);
        let mut response = send_to_object(&self.objects, &name, "https://database/", message.len(), body).await?;
        match response.status_code() {
            200 => {
                let length = response.headers().get(LENGTH_HEADER)?.and_then(|length| length.parse().ok());
                let length = length.ok_or_else(|| ObjectError::Lost(Cause::new("no length")))?;
                memory.grow(length).map_err(|error| ObjectError::Refused(error.into()))?;
                Ok(response.bytes().await?)
            }
            STATUS_REFUSED => {
                let refusal = parse_refusal(&response.bytes().await?).map_err(ObjectError::Lost)?;
                Err(ObjectError::Refused(refusal.into()))
            }
            STATUS_FAILED => Err(ObjectError::Lost(Cause(response.text().await?))),
            status => Err(ObjectError::Lost(Cause(format!("status {status}")))),
        }
    }
}

/// The name of a database's object. Pinned: an object with another name has other changes.
fn object_name(database: u64) -> String {
    format!("database:{database}")
}
