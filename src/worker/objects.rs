//! Sends commands and commits to campaigns' objects, and messages to databases' objects.

use js_sys::Uint8Array;
use worker::{Env, Headers, Method, ObjectNamespace, Request, RequestInit, Response, ResponseBody};

use super::bindings;
use crate::{
    api::ports::ObjectStream,
    campaign::protocol::{
        commands::{Command, Envelope, Refusal, RequestIdentity},
        message::RepeatedLaunch,
        transport::{COMMAND_PATH, COMMIT_PATH, LENGTH_HEADER, ReplyKind},
    },
    launch::ports::{CommitAnswer, ObjectError},
    memory::Reservation,
    problem::Cause,
    profiles::live::{
        message::{STATUS_FAILED, STATUS_REFUSED},
        object::parse_refusal,
    },
};

/// The databases of a command for which the object checks no access: a launch checks the database itself.
pub const ALL_DATABASES: &[u64] = &[];

#[derive(Debug, Clone)]
pub struct CampaignObjects {
    objects: ObjectNamespace,
}

impl From<worker::Error> for ObjectError {
    fn from(error: worker::Error) -> Self {
        Self::Lost(Cause::new(error))
    }
}

impl CampaignObjects {
    pub fn new(env: &Env) -> worker::Result<Self> {
        Ok(Self { objects: bindings::campaigns(env)? })
    }

    /// Returns the stored launch of an earlier request with this request ID, if there is one. Whether that request had the same
    /// body is checked by [`check_same_request`](crate::campaign::protocol::commands::check_same_request).
    pub async fn preflight(
        &self,
        trigger_id: u64,
        request: RequestIdentity,
        memory: &mut Reservation,
    ) -> Result<Option<RepeatedLaunch>, ObjectError> {
        let mut response = self.send_command(trigger_id, Command::Preflight(request), ALL_DATABASES).await?;
        match ReplyKind::of(response.status_code()) {
            ReplyKind::Repeated => read_repeated(&mut response, memory).await.map(Some),
            _ => Ok(None),
        }
    }

    /// Commits a launch. `message` is the result of [`Commit::encode`](crate::campaign::protocol::message::Commit::encode). If the
    /// answer is lost, the same message can be sent again, because the object stores a launch ID once.
    pub async fn commit(
        &self,
        trigger_id: u64,
        message: &[u8],
        memory: &mut Reservation,
    ) -> Result<CommitAnswer, ObjectError> {
        let body = Uint8Array::from(message).into();
        let mut response = self.fetch(trigger_id, COMMIT_PATH, message.len(), body).await?;
        match ReplyKind::of(response.status_code()) {
            ReplyKind::Repeated => read_repeated(&mut response, memory).await.map(Box::new).map(CommitAnswer::Repeated),
            _ => Ok(CommitAnswer::New(response.json().await?)),
        }
    }

    /// Sends a command for a token of `databases` and reads the reply.
    pub async fn command(&self, trigger_id: u64, command: Command, databases: &[u64]) -> Result<Vec<u8>, ObjectError> {
        Ok(self.send_command(trigger_id, command, databases).await?.bytes().await?)
    }

    /// Sends a command for a token of `databases` and returns the reply as a stream, whose bytes do not cross into wasm.
    pub async fn stream(
        &self,
        trigger_id: u64,
        command: Command,
        databases: &[u64],
    ) -> Result<ObjectStream<ResponseBody>, ObjectError> {
        let response = self.send_command(trigger_id, command, databases).await?;
        let content_type = response.headers().get("content-type")?.unwrap_or_default();
        let (_, body) = response.into_parts();
        Ok(ObjectStream { content_type, body })
    }

    async fn send_command(
        &self,
        trigger_id: u64,
        command: Command,
        databases: &[u64],
    ) -> Result<Response, ObjectError> {
        let envelope = Envelope { databases: databases.to_vec(), command };
        let body = serde_json::to_string(&envelope).map_err(|error| ObjectError::Lost(Cause::new(error)))?;
        self.fetch(trigger_id, COMMAND_PATH, body.len(), body.into()).await
    }

    async fn fetch(
        &self,
        trigger_id: u64,
        path: &str,
        length: usize,
        body: wasm_bindgen::JsValue,
    ) -> Result<Response, ObjectError> {
        self.send(trigger_id, path, length, body).await.map_err(|error| match error {
            ObjectError::Lost(cause) => {
                ObjectError::Lost(cause.during(format_args!("object of campaign {trigger_id}")))
            }
            refused => refused,
        })
    }

    async fn send(
        &self,
        trigger_id: u64,
        path: &str,
        length: usize,
        body: wasm_bindgen::JsValue,
    ) -> Result<Response, ObjectError> {
        let url = format!("https://campaign{path}");
        let mut response = send_to_object(&self.objects, &object_name(trigger_id), &url, length, body).await?;
        match ReplyKind::of(response.status_code()) {
            ReplyKind::Result | ReplyKind::Repeated => Ok(response),
            ReplyKind::Refused => Err(ObjectError::Refused(response.json::<Refusal>().await?.into())),
            ReplyKind::Failed => Err(ObjectError::Lost(Cause(response.text().await?))),
            ReplyKind::Unreachable => Err(ObjectError::Lost(Cause(format!("status {}", response.status_code())))),
        }
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
        let name = database_object_name(database);
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
fn database_object_name(database: u64) -> String {
    format!("database:{database}")
}

/// Sends a message to an object.
async fn send_to_object(
    objects: &ObjectNamespace,
    name: &str,
    url: &str,
    length: usize,
    body: wasm_bindgen::JsValue,
) -> worker::Result<Response> {
    let headers = Headers::new();
    headers.set(LENGTH_HEADER, &length.to_string())?;
    let mut init = RequestInit::new();
    init.with_method(Method::Post).with_headers(headers).with_body(Some(body));
    let request = Request::new_with_init(url, &init)?;
    // Each call uses a new stub: a stub that has failed stays broken.
    objects.id_from_name(name)?.get_stub()?.fetch_with_request(request).await
}

/// The name of a campaign's object. Pinned: an object with another name has another log.
fn object_name(trigger_id: u64) -> String {
    format!("campaign:{trigger_id}")
}

/// Reserves memory for a stored launch and reads it.
async fn read_repeated(response: &mut Response, memory: &mut Reservation) -> Result<RepeatedLaunch, ObjectError> {
    let length = response.headers().get(LENGTH_HEADER)?;
    let length =
        length.and_then(|length| length.parse().ok()).ok_or_else(|| ObjectError::Lost(Cause::new("no length")))?;
    memory.grow(length).map_err(|error| ObjectError::Refused(error.into()))?;
    let message = response.bytes().await?;
    RepeatedLaunch::decode(message)
        .map_err(|bad| ObjectError::Lost(Cause(format!("a stored launch is damaged: {bad}"))))
}
