//! Requests to the API of a deployment, for databases whose changes are live.

use std::{env, io::Read as _, thread, time::Duration};

use serde::{Serialize, de::DeserializeOwned};
use trigger_launch::profiles::live::command::{Contents, DatabaseStatus, Publication, PublishReply};
use trigger_launch::profiles::manifest::{Generation, Manifest};
use ureq::{Agent, Body, http::Response};

/// The environment variable with the token.
pub const TOKEN: &str = "TRIGGER_LAUNCH_TOKEN";
/// How often a request is sent before the command fails.
const ATTEMPTS: u32 = 6;
/// Pause before a request is sent again for the first time. It doubles each time.
const PAUSE: Duration = Duration::from_millis(500);
/// Longest time for one request.
const TIMEOUT: Duration = Duration::from_secs(120);
/// Largest reply that is not streamed, in bytes.
const REPLY_LIMIT: u64 = 256 * 1024 * 1024;

/// Why a request failed.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    #[error("the environment variable {TOKEN} is not set; it must contain a token with the scope profiles")]
    NoToken,
    #[error("{url} cannot be reached")]
    Unreachable { url: String, source: Box<ureq::Error> },
    #[error("{status}: {message}")]
    Refused { status: u16, message: String },
    #[error("unexpected reply of {url}: {message}")]
    Unexpected { url: String, message: String },
}

/// The API of one database.
pub struct DatabaseApi {
    agent: Agent,
    /// Without a slash at the end.
    url: String,
    token: String,
}

/// A body: its media type and its bytes.
type Content<'a> = (&'a str, &'a [u8]);

impl DatabaseApi {
    /// `url` is the address of the deployment, such as `https://trigger-launch.example.workers.dev`.
    pub fn new(url: &str, database: u64) -> Result<Self, ApiError> {
        let token = env::var(TOKEN).ok().filter(|token| !token.trim().is_empty()).ok_or(ApiError::NoToken)?;
        let config = Agent::config_builder().http_status_as_error(false).timeout_global(Some(TIMEOUT)).build();
        let url = format!("{}/api/v1.1/profiles/{database}", url.trim_end_matches('/'));
        Ok(Self { agent: config.into(), url, token: token.trim().to_owned() })
    }

    /// Sends a request, and sends it again while the deployment is unavailable. `request_id` is the same each time, so that the
    /// request is carried out once.
    fn send(
        &self,
        method: &str,
        path: &str,
        content: Option<Content<'_>>,
        request_id: Option<&str>,
    ) -> Result<Response<Body>, ApiError> {
        let mut pause = PAUSE;
        for attempt in 1.. {
            let result = self.send_once(method, path, content, request_id);
            let wait = match &result {
                _ if attempt == ATTEMPTS => return self.check(result?),
                Ok(response) if matches!(response.status().as_u16(), 429 | 503) => {
                    let header = response.headers().get("retry-after").and_then(|value| value.to_str().ok());
                    header.and_then(|seconds| seconds.parse().ok()).map_or(pause, Duration::from_secs)
                }
                Ok(_) => return self.check(result?),
                Err(_) => pause,
            };
            thread::sleep(wait.min(Duration::from_secs(30)));
            pause *= 2;
        }
        Err(ApiError::Unexpected { url: self.url.clone(), message: "no reply".to_owned() })
    }

    fn send_once(
        &self,
        method: &str,
        path: &str,
        content: Option<Content<'_>>,
        request_id: Option<&str>,
    ) -> Result<Response<Body>, ApiError> {
        let url = format!("{}{path}", self.url);
        let authorization = format!("Bearer {}", self.token);
        let builder = ureq::http::Request::builder().method(method).uri(&url).header("Authorization", authorization);
        let builder = match request_id {
            Some(request_id) => builder.header("Request-ID", request_id),
            None => builder,
        };
        let invalid = |error: ureq::http::Error| ApiError::Unexpected { url: url.clone(), message: error.to_string() };
        let unreachable = |error: ureq::Error| ApiError::Unreachable { url: url.clone(), source: Box::new(error) };
        match content {
            None => self.agent.run(builder.body(()).map_err(invalid)?).map_err(unreachable),
            Some((media_type, bytes)) => {
                let request = builder.header("Content-Type", media_type).body(bytes).map_err(invalid)?;
                self.agent.run(request).map_err(unreachable)
            }
        }
    }

    /// Turns a refusal into an error with its message.
    fn check(&self, mut response: Response<Body>) -> Result<Response<Body>, ApiError> {
        let status = response.status().as_u16();
        if status == 200 {
            return Ok(response);
        }
        let text = response.body_mut().read_to_string().unwrap_or_default();
        let refusal: serde_json::Value = serde_json::from_str(&text).unwrap_or_default();
        let message = ["error_text", "error_debug"].map(|name| refusal[name].as_str().unwrap_or_default());
        let message = if message.concat().is_empty() { text } else { message.join(": ") };
        Err(ApiError::Refused { status, message })
    }

    fn read(&self, mut response: Response<Body>) -> Result<Vec<u8>, ApiError> {
        let read = response.body_mut().with_config().limit(REPLY_LIMIT).read_to_vec();
        read.map_err(|error| ApiError::Unreachable { url: self.url.clone(), source: Box::new(error) })
    }

    fn json<T: DeserializeOwned>(&self, response: Response<Body>) -> Result<T, ApiError> {
        let bytes = self.read(response)?;
        serde_json::from_slice(&bytes)
            .map_err(|error| ApiError::Unexpected { url: self.url.clone(), message: error.to_string() })
    }

    fn send_json<T: DeserializeOwned>(&self, method: &str, path: &str, body: &impl Serialize) -> Result<T, ApiError> {
        let body = serde_json::to_vec(body)
            .map_err(|error| ApiError::Unexpected { url: self.url.clone(), message: error.to_string() })?;
        self.json(self.send(method, path, Some(("application/json", &body)), None)?)
    }

    /// Returns the manifest and the state of live changes.
    pub fn status(&self) -> Result<DatabaseStatus, ApiError> {
        self.json(self.send("GET", "/manifest", None, None)?)
    }

    /// Turns live changes on. The manifest is that in KV, which says so already.
    pub fn start(&self, manifest: &Manifest) -> Result<DatabaseStatus, ApiError> {
        self.send_json("PUT", "/live", &serde_json::json!({ "live": true, "manifest": manifest }))
    }

    /// Turns live changes off.
    pub fn stop(&self) -> Result<DatabaseStatus, ApiError> {
        self.send_json("PUT", "/live", &serde_json::json!({ "live": false }))
    }

    /// Returns the pending changes: a [`trigger_launch::profiles::live::message::PendingList`].
    pub fn pending(&self, purpose: &str) -> Result<Vec<u8>, ApiError> {
        self.read(self.send("GET", &format!("/changes?purpose={purpose}"), None, None)?)
    }

    /// Returns a part of the entries of a generation as lines of JSON.
    pub fn entries(&self, generation: &str, from: u64) -> Result<impl std::io::Read + use<>, ApiError> {
        let response = self.send("GET", &format!("/entries?generation={generation}&from={from}"), None, None)?;
        Ok(response.into_body().into_reader().take(u64::MAX))
    }

    /// Makes a generation the current one, unless another one has replaced `replaces`.
    pub fn publish(
        &self,
        replaces: &str,
        generation: &Generation,
        deleted: &[String],
        contents: Contents,
    ) -> Result<PublishReply, ApiError> {
        let (replaces, generation, deleted) = (replaces.to_owned(), generation.clone(), deleted.to_vec());
        self.send_json("POST", "/generations", &Publication { replaces, generation, deleted, contents })
    }

    /// Sends rows with changes.
    pub fn change<T: DeserializeOwned>(&self, rows: &[u8], request_id: &str) -> Result<T, ApiError> {
        self.json(self.send("POST", "/changes", Some(("application/json", rows)), Some(request_id))?)
    }
}
