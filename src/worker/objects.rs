//! Sends commands and commits to campaigns' objects, and messages to databases' objects.

use js_sys::{Promise, Uint8Array};
use serde::Serialize;
use wasm_bindgen::{JsCast, JsValue, prelude::wasm_bindgen};
use wasm_bindgen_futures::JsFuture;
use web_sys::{ReadableStream, RequestInit, Response};
use worker::{Env, ObjectNamespace};

use super::{bindings, runtime};
use crate::{
    api::ports::ObjectStream,
    campaign::protocol::{
        commands::{Command, Committed, Envelope, Refusal, RequestIdentity},
        message::RepeatedLaunch,
        transport::{COMMAND_PATH, COMMIT_PATH, COMMITTED_HEADER, LENGTH_HEADER, ReplyKind},
    },
    json,
    launch::ports::{CommitAnswer, ObjectError},
    limits::CALL_MESSAGE,
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
        let response = self.send_command(trigger_id, Command::Preflight(request), ALL_DATABASES).await?;
        match ReplyKind::of(response.status()) {
            ReplyKind::Repeated => read_repeated(&response, memory).await.map(Some),
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
        let body = Uint8Array::from(message);
        let response = if message.len() > CALL_MESSAGE {
            self.fetch(trigger_id, COMMIT_PATH, message.len(), body.into()).await?
        } else {
            let answer = answer_of_object(&self.objects, &object_name(trigger_id), &body).await;
            let answer = answer.map_err(|error| of_campaign(trigger_id, error.into()))?;
            if let Some(committed) = answer.as_string().as_deref().and_then(Committed::from_header) {
                return Ok(CommitAnswer::New(committed));
            }
            checked(answer.unchecked_into()).await.map_err(|error| of_campaign(trigger_id, error))?
        };
        if ReplyKind::of(response.status()) == ReplyKind::Repeated {
            return read_repeated(&response, memory).await.map(Box::new).map(CommitAnswer::Repeated);
        }
        let committed = header(&response, COMMITTED_HEADER).as_deref().and_then(Committed::from_header);
        let lost = || ObjectError::Lost(Cause(format!("no header {COMMITTED_HEADER}")));
        committed.map(CommitAnswer::New).ok_or_else(lost)
    }

    /// Sends a command for a token of `databases` and reads the reply.
    pub async fn command(&self, trigger_id: u64, command: Command, databases: &[u64]) -> Result<Vec<u8>, ObjectError> {
        read(&self.send_command(trigger_id, command, databases).await?).await
    }

    /// Sends a command for a token of `databases` and returns the reply as a stream, whose bytes do not cross into wasm.
    pub async fn stream(
        &self,
        trigger_id: u64,
        command: Command,
        databases: &[u64],
    ) -> Result<ObjectStream<Option<ReadableStream>>, ObjectError> {
        let response = self.send_command(trigger_id, command, databases).await?;
        let content_type = header(&response, "content-type").unwrap_or_default();
        Ok(ObjectStream { content_type, body: response.body() })
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

    async fn fetch(&self, trigger_id: u64, path: &str, length: usize, body: JsValue) -> Result<Response, ObjectError> {
        let url = format!("https://campaign{path}");
        let response = send_to_object(&self.objects, &object_name(trigger_id), &url, length, &body).await;
        let response = response.map_err(|error| of_campaign(trigger_id, error.into()))?;
        checked(response).await.map_err(|error| of_campaign(trigger_id, error))
    }
}

/// Adds the campaign to the cause of a lost answer.
fn of_campaign(trigger_id: u64, error: ObjectError) -> ObjectError {
    match error {
        ObjectError::Lost(cause) => ObjectError::Lost(cause.during(format_args!("object of campaign {trigger_id}"))),
        refused => refused,
    }
}

/// Returns the response of a campaign's object, or why it has no result.
async fn checked(response: Response) -> Result<Response, ObjectError> {
    match ReplyKind::of(response.status()) {
        ReplyKind::Result | ReplyKind::Repeated => Ok(response),
        ReplyKind::Refused => {
            let refusal: Refusal =
                json::from_slice(&read(&response).await?).map_err(|error| ObjectError::Lost(Cause::new(error)))?;
            Err(ObjectError::Refused(refusal.into()))
        }
        ReplyKind::Failed => Err(failure(&response).await),
        ReplyKind::Unreachable => Err(ObjectError::Lost(Cause(format!("status {}", response.status())))),
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
        let body = Uint8Array::from(message);
        let name = database_object_name(database);
        let response = if message.len() > CALL_MESSAGE {
            send_to_object(&self.objects, &name, "https://database/", message.len(), &body).await?
        } else {
            match answer_of_object(&self.objects, &name, &body).await?.dyn_into::<Uint8Array>() {
                Ok(answer) => {
                    memory.grow(answer.length().into()).map_err(|error| ObjectError::Refused(error.into()))?;
                    return Ok(answer.to_vec());
                }
                Err(response) => response.unchecked_into(),
            }
        };
        match response.status() {
            200 => read_reserved(&response, memory).await,
            STATUS_REFUSED => {
                let refusal = parse_refusal(&read(&response).await?).map_err(ObjectError::Lost)?;
                Err(ObjectError::Refused(refusal.into()))
            }
            STATUS_FAILED => Err(failure(&response).await),
            status => Err(ObjectError::Lost(Cause(format!("status {status}")))),
        }
    }
}

/// The name of a database's object. Pinned: an object with another name has other changes.
fn database_object_name(database: u64) -> String {
    format!("database:{database}")
}

#[wasm_bindgen]
extern "C" {
    /// The runtime's stub of an object. The type of the `worker` crate needs a `Request` for each message.
    type ObjectStub;
    #[wasm_bindgen(method, catch)]
    fn fetch(this: &ObjectStub, url: &str, init: &RequestInit) -> Result<Promise, JsValue>;
    #[wasm_bindgen(method, catch)]
    fn answer(this: &ObjectStub, message: &Uint8Array) -> Result<Promise, JsValue>;
}

/// Calls the method `answer` of an object, which takes less time than a request.
async fn answer_of_object(objects: &ObjectNamespace, name: &str, message: &Uint8Array) -> worker::Result<JsValue> {
    let stub: ObjectStub = objects.get_by_name(name)?.into_rpc();
    // The runtime returns an object that has the method `then`, but is no promise.
    Ok(JsFuture::from(Promise::resolve(&stub.answer(message)?)).await?)
}

/// Sends a message to an object.
async fn send_to_object(
    objects: &ObjectNamespace,
    name: &str,
    url: &str,
    length: usize,
    body: &JsValue,
) -> worker::Result<Response> {
    #[derive(Serialize)]
    struct RequestFields {
        method: &'static str,
        #[serde(serialize_with = "runtime::serialize_headers")]
        headers: [(&'static str, String); 1],
    }
    let headers = [(LENGTH_HEADER, length.to_string())];
    let init: RequestInit = runtime::object(&RequestFields { method: "POST", headers })?;
    init.set_body(body);
    // Each call uses a new stub: a stub that has failed stays broken.
    let stub: ObjectStub = objects.get_by_name(name)?.into_rpc();
    Ok(JsFuture::from(stub.fetch(url, &init)?).await?.unchecked_into())
}

/// Reads a whole reply.
async fn read(response: &Response) -> Result<Vec<u8>, ObjectError> {
    Ok(runtime::bytes(response.array_buffer()).await?)
}

/// Reads the cause of a failure.
async fn failure(response: &Response) -> ObjectError {
    match read(response).await {
        Ok(cause) => ObjectError::Lost(Cause(String::from_utf8_lossy(&cause).into_owned())),
        Err(error) => error,
    }
}

fn header(response: &Response, name: &str) -> Option<String> {
    response.headers().get(name).ok().flatten()
}

/// The name of a campaign's object. Pinned: an object with another name has another log.
fn object_name(trigger_id: u64) -> String {
    format!("campaign:{trigger_id}")
}

/// Reads a stored launch.
async fn read_repeated(response: &Response, memory: &mut Reservation) -> Result<RepeatedLaunch, ObjectError> {
    let message = read_reserved(response, memory).await?;
    RepeatedLaunch::decode(message)
        .map_err(|bad| ObjectError::Lost(Cause(format!("a stored launch is damaged: {bad}"))))
}

/// Reserves memory for a body whose length is in [`LENGTH_HEADER`], and reads it.
async fn read_reserved(response: &Response, memory: &mut Reservation) -> Result<Vec<u8>, ObjectError> {
    let length = header(response, LENGTH_HEADER).and_then(|length| length.parse().ok());
    let length = length.ok_or_else(|| ObjectError::Lost(Cause::new("no length")))?;
    memory.grow(length).map_err(|error| ObjectError::Refused(error.into()))?;
    read(response).await
}
