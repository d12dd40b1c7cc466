//! One request: its head is read, and it goes where its path says.

use std::rc::Rc;

use worker::{Context, Env, Request, Response, Result};

use super::{
    bindings::{self, Config},
    body::RequestBody,
    log::{self, Told},
    operate,
    ports::{RequestPorts, now, random},
    respond,
};
use crate::{
    campaign::commands,
    http::{
        headers,
        route::{Route, is_json_alone, route},
        target,
    },
    launch::{self, Incoming, intake::Setup},
    memory::Reservation,
    problem::Problem,
    wire::{Endpoint, Format},
};

/// What the head of a request says, for every path.
pub struct Head {
    /// The request's id: the caller's, or a new one.
    pub request_id: String,
    /// Whether the caller gave it.
    pub request_id_given: bool,
    /// The fault of an id that is none.
    pub request_id_fault: Option<Problem>,
    /// The format of the reply, as far as the head tells.
    pub format: Format,
    /// `Content-Length`.
    pub length: Option<u64>,
    /// The tokens of `Authorization` and the query, each once.
    pub tokens: Vec<String>,
    /// The query's parameters.
    pub query: Vec<(String, String)>,
    /// The caller's address.
    pub address: Option<String>,
    /// Whether `Accept` asks for NDJSON.
    pub accepts_ndjson: bool,
}

impl Head {
    fn read(request: &Request, query: Vec<(String, String)>) -> Result<Self> {
        let header = |name: &str| request.headers().get(name);
        let given = headers::request_id(
            header("Request-ID")?.as_deref(),
            header("Idempotency-Key")?.as_deref(),
            header("X-Request-ID")?.as_deref(),
        );
        let (id, request_id_fault) = match given {
            Ok(id) => (id, None),
            Err(fault) => (None, Some(fault)),
        };
        let format = query.iter().find(|(name, _)| name == "format").and_then(|(_, name)| Format::from_name(name));
        let in_query = query.iter().filter(|(name, _)| name == "token").map(|(_, token)| token.as_str());
        Ok(Self {
            request_id_given: id.is_some(),
            request_id: id.unwrap_or_else(new_request_id),
            request_id_fault,
            format: format.unwrap_or_else(|| headers::accepted_format(header("Accept").ok().flatten().as_deref())),
            length: headers::content_length(header("Content-Length")?.as_deref()),
            tokens: headers::tokens(header("Authorization")?.as_deref(), in_query),
            query,
            address: header("CF-Connecting-IP")?,
            accepts_ndjson: headers::asks_for(header("Accept")?.as_deref(), commands::NDJSON),
        })
    }

    /// A parameter of the query.
    pub fn parameter(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

/// 128 random bits, as 32 hexadecimal digits.
fn new_request_id() -> String {
    let mut bytes = [0; 16];
    random(&mut bytes);
    let mut id = String::with_capacity(32);
    crate::campaign::hex(&bytes, &mut id);
    id
}

/// Answers one request.
pub async fn handle(request: Request, env: &Env, context: &Context) -> Result<Response> {
    let start = now();
    // The crate's own way to a URL brings the tables of all of Unicode's domain names along.
    let url = request.inner().url();
    let (path, query) = target::split(&url);
    let head = Head::read(&request, query)?;
    let method = request.inner().method();
    let route = route(&method, path);
    let name = route.as_ref().map_or(log::NOWHERE, |route| route.name());
    let json_alone = is_json_alone(path);
    let mut body = RequestBody::new(&request, head.length)?;
    let answer = match route {
        Err(problem) => Err(problem),
        Ok(Route::Health) => return operate::health(&head.request_id),
        Ok(route) => match bindings::config(env) {
            Ok(config) => match route {
                Route::Launch(endpoint) => {
                    return launch(&request, (env, context), &config, head, endpoint, &mut body).await;
                }
                route => operate::answer(route, &request, env, &config, &head, &mut body).await,
            },
            Err(fault) => {
                worker::console_error!("configuration: {fault}");
                Err(Problem::Unavailable("the deployment is not configured: its operator's log says what".into()))
            }
        },
    };
    let format = if json_alone { Format::Json } else { head.format };
    let (response, refused) = match answer {
        Ok(response) => (response, None),
        Err(problem) => {
            body.drain().await;
            (respond::refusal(&problem, &head.request_id, format)?, Some(problem))
        }
    };
    let told = Told { route: name, request_id: &head.request_id, total: now().saturating_sub(start) };
    log::other(env, told, response.status_code(), refused.as_ref(), format);
    Ok(response)
}

async fn launch(
    request: &Request,
    (env, context): (&Env, &Context),
    config: &Rc<Config>,
    head: Head,
    endpoint: Endpoint,
    body: &mut RequestBody,
) -> Result<Response> {
    let start = now();
    let (request_id, format) = (head.request_id.clone(), head.format);
    let told = |total| Told { route: Route::Launch(endpoint).name(), request_id: &request_id, total };
    let settled = match incoming(request, config, head, endpoint) {
        Err(problem) => Err(problem),
        Ok(incoming) => {
            let ports = RequestPorts::new(env, config, incoming.1)?;
            let memory = Reservation::new(&config.budget);
            let mut settled = launch::launch(&ports, incoming.0, body, memory).await;
            if let Some(pending) = settled.pending.take() {
                context.wait_until(async move { launch::complete(&ports, &pending).await });
            }
            Ok(settled)
        }
    };
    match settled {
        Ok(settled) => {
            log::request(env, told(now().saturating_sub(start)), &settled);
            if settled.result.is_err() {
                body.drain().await;
            }
            respond::launch(settled)
        }
        Err(problem) => {
            body.drain().await;
            log::other(env, told(now().saturating_sub(start)), problem.status(), Some(&problem), format);
            respond::refusal(&problem, &request_id, format)
        }
    }
}

/// What the launch needs of the head, or what is refused before the body.
fn incoming(
    request: &Request,
    config: &Rc<Config>,
    head: Head,
    endpoint: Endpoint,
) -> std::result::Result<(Incoming, Option<String>), Problem> {
    let header = |name: &str| request.headers().get(name).ok().flatten();
    let body = headers::body_format(header("Content-Type").as_deref(), header("Content-Encoding").as_deref())?;
    if head.length.is_some_and(|length| length > config.limits.files) {
        return Err(Problem::LengthTooLarge);
    }
    if config.secrets.is_empty() {
        return Err(Problem::Unavailable("the deployment has no PROFILE_INDEX_KEY".into()));
    }
    let checksum = config.checksum && !head.request_id_given;
    let setup = Setup { endpoint, body, limits: config.limits, secrets: Rc::clone(&config.secrets), checksum };
    let bad_format = head.parameter("format").filter(|name| Format::from_name(name).is_none());
    let bad_format = bad_format.map(|_| Problem::BadField("format: must be json or xml".into()));
    let incoming = Incoming {
        setup,
        length: head.length,
        tokens: head.tokens,
        format: head.format,
        request_id: head.request_id,
        fault: head.request_id_fault.or(bad_format),
    };
    Ok((incoming, head.address))
}
