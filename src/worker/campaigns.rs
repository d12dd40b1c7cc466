//! The Worker's client of the campaigns' objects.

use js_sys::Uint8Array;
use worker::{Env, Headers, Method, ObjectNamespace, Request, RequestInit, Response};

use super::bindings;
use crate::{
    campaign::{
        attachments::File,
        commands::{self, COMMAND, COMMIT, Campaign, Command, Definition, Envelope, Refusal},
        id::LaunchId,
        message::Repeated,
    },
    launch::ports::{Answer, ObjectError},
    memory::Reservation,
    problem::{Cause, Refused},
};

/// No restriction to some databases: a launch checks the database itself.
pub const ALL: &[u64] = &[];

/// All campaigns; each is an object of its own.
#[derive(Debug, Clone)]
pub struct Campaigns {
    objects: ObjectNamespace,
}

impl From<worker::Error> for ObjectError {
    fn from(error: worker::Error) -> Self {
        Self::Lost(Cause::new(error))
    }
}

impl Campaigns {
    /// The campaigns of this deployment.
    pub fn new(env: &Env) -> worker::Result<Self> {
        Ok(Self { objects: bindings::campaigns(env)? })
    }

    /// Asks before a large body has been read. `Some`: a launch with this request id is in the log; whether it was
    /// the same request is to be told by [`commands::same_body`] when the body's digest is known.
    pub async fn preflight(
        &self,
        trigger_id: u64,
        token_name: &str,
        request_id: &str,
        memory: &mut Reservation,
    ) -> Result<Option<Repeated>, ObjectError> {
        let request = commands::Request { token_name: token_name.to_owned(), request_id: request_id.to_owned() };
        let mut response = self.ask(trigger_id, Command::Preflight(request), ALL).await?;
        match response.status_code() {
            commands::REPEATED => repeated(&mut response, memory).await.map(Some),
            _ => Ok(None),
        }
    }

    /// Commits a launch: `message` is what [`crate::campaign::message::Commit::encode`] made. Where the answer was
    /// lost, the same message can be sent again: the object knows the launch by its id.
    pub async fn commit(
        &self,
        trigger_id: u64,
        message: &[u8],
        memory: &mut Reservation,
    ) -> Result<Answer, ObjectError> {
        let body = Uint8Array::from(message).into();
        let mut response = self.fetch(trigger_id, COMMIT, message.len(), body).await?;
        match response.status_code() {
            commands::REPEATED => repeated(&mut response, memory).await.map(Box::new).map(Answer::Repeated),
            _ => Ok(Answer::New(response.json().await?)),
        }
    }

    /// Says that the attachments of a launch are complete.
    pub async fn completed(&self, trigger_id: u64, launch_id: LaunchId) -> Result<(), ObjectError> {
        self.ask(trigger_id, Command::Completed(launch_id), ALL).await.map(drop)
    }

    /// Where a file of a launch can be read: it can be by now.
    pub async fn attachment(
        &self,
        trigger_id: u64,
        launch_id: LaunchId,
        number: usize,
        databases: &[u64],
    ) -> Result<File, ObjectError> {
        let command = Command::Attachment(launch_id, number);
        Ok(self.ask(trigger_id, command, databases).await?.json().await?)
    }

    /// Defines, pauses or resumes.
    pub async fn define(&self, definition: Definition, databases: &[u64]) -> Result<Campaign, ObjectError> {
        Ok(self.ask(definition.id, Command::Define(definition), databases).await?.json().await?)
    }

    /// Reads the definition and the totals.
    pub async fn read(&self, trigger_id: u64, databases: &[u64]) -> Result<Campaign, ObjectError> {
        Ok(self.ask(trigger_id, Command::Read, databases).await?.json().await?)
    }

    /// Passes a reply on as it comes, without its bytes crossing into wasm. It holds its content type and nothing
    /// else of the object's headers.
    pub async fn relay(&self, trigger_id: u64, command: Command, databases: &[u64]) -> Result<Response, Refused> {
        let response = self.ask(trigger_id, command, databases).await?;
        let content_type = response.headers().get("content-type").ok().flatten();
        let (_, body) = response.into_parts();
        let response = Response::builder().with_header("content-type", content_type.as_deref().unwrap_or_default());
        response.map(|response| response.body(body)).map_err(Refused::internal)
    }

    /// Sends a command for a token of `databases`; [`ALL`]: the object checks no access.
    async fn ask(&self, trigger_id: u64, command: Command, databases: &[u64]) -> Result<Response, ObjectError> {
        let envelope = Envelope { databases: databases.to_vec(), command };
        let body = serde_json::to_string(&envelope).map_err(|error| ObjectError::Lost(Cause::new(error)))?;
        self.fetch(trigger_id, COMMAND, body.len(), body.into()).await
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
        let headers = Headers::new();
        headers.set(commands::LENGTH, &length.to_string())?;
        let mut init = RequestInit::new();
        init.with_method(Method::Post).with_headers(headers).with_body(Some(body));
        let request = Request::new_with_init(&format!("https://campaign{path}"), &init)?;
        // A stub of its own for every call: one that has failed stays broken.
        let stub = self.objects.id_from_name(&object_name(trigger_id))?.get_stub()?;
        let mut response = stub.fetch_with_request(request).await?;
        match response.status_code() {
            200 | commands::REPEATED => Ok(response),
            commands::REFUSED => Err(ObjectError::Refused(response.json::<Refusal>().await?.into())),
            commands::FAILED => Err(ObjectError::Lost(Cause(response.text().await?))),
            status => Err(ObjectError::Lost(Cause(format!("status {status}")))),
        }
    }
}

/// The name of a campaign's object.
pub fn object_name(trigger_id: u64) -> String {
    format!("campaign:{trigger_id}")
}

/// Reads a stored launch, having reserved room for it.
async fn repeated(response: &mut Response, memory: &mut Reservation) -> Result<Repeated, ObjectError> {
    let length = response.headers().get(commands::LENGTH)?;
    let length =
        length.and_then(|length| length.parse().ok()).ok_or_else(|| ObjectError::Lost(Cause::new("no length")))?;
    memory.grow(length).map_err(|error| ObjectError::Refused(error.into()))?;
    let message = response.bytes().await?;
    Repeated::decode(message).map_err(|bad| ObjectError::Lost(Cause(format!("a stored launch is damaged: {}", bad.0))))
}
