//! One request: its head is read, and it goes where its path says.

use std::rc::Rc;

use worker::{Context, Env, Request, Response, Result};

use super::{
    bindings::{self, Config},
    body::RequestBody,
    log::{self, Told},
    operate,
    ports::{RequestPorts, RuntimeClock, now, random},
    respond,
};
use crate::{
    campaign::commands,
    fields::Endpoint,
    http::{
        headers,
        route::{Route, is_json_alone, route},
        target,
    },
    launch::{self, Incoming, Settled, intake::Setup, pace::PacedBody, room},
    limits::{BASE_COST, DRAIN_RATE_LIMITED, Limits},
    memory::{Budget, Reservation},
    problem::{Cause, Problem, RateLimit, Refused},
    wire::Format,
};

/// The body of a request that is being answered.
pub type Body<'b> = PacedBody<'b, RuntimeClock, RequestBody>;

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
    crate::text::push_hex(&bytes, &mut id);
    id
}

/// The answer to a request, before it is written.
enum Answer {
    /// A launch, made or refused.
    Launch(Box<Settled>),
    /// Any other request, or one that was refused before its body was read.
    Other(std::result::Result<Response, Refused>),
}

impl Answer {
    fn refused(&self) -> Option<&Refused> {
        match self {
            Self::Launch(settled) => settled.result.as_ref().err(),
            Self::Other(answer) => answer.as_ref().err(),
        }
    }
}

/// Answers one request.
pub async fn handle(request: Request, env: Env, context: Rc<Context>) -> Result<Response> {
    let start = now();
    // The crate's own way to a URL brings the tables of all of Unicode's domain names along.
    let url = request.inner().url();
    let (path, query) = target::split(&url);
    let route = route(&request.inner().method(), path);
    let head = Head::read(&request, query)?;
    if route == Ok(Route::Health) {
        return operate::health(&head.request_id);
    }
    let format = if is_json_alone(path) { Format::Json } else { head.format };
    let config = bindings::config(&env);
    let limits = config.as_ref().map_or_else(|_| Limits::default(), |config| config.limits);
    let budget = match &config {
        Ok(config) => Rc::clone(&config.budget),
        Err(_) => Budget::new(limits.memory, limits.unverified),
    };
    let mut base = Reservation::new(&budget, start);
    let (route, answer) = match room::reserve(&mut base, BASE_COST, &RuntimeClock).await {
        // Without room nothing is read: the answer follows at once.
        Err(refused) => (route, Answer::Other(Err(refused))),
        Ok(()) => {
            let mut body = RequestBody::new(&request);
            let mut body = Body::new(&RuntimeClock, &mut body, base.watch(), head.length);
            // Boxed, so that a request that waits for room is small.
            let answer = Box::pin(answer(&request, &env, &context, config, &head, &route, &mut body, &base)).await;
            if let Some(refused) = answer.refused() {
                body.drain(drain_limit(&refused.problem, &limits), &mut base).await;
            }
            (route, answer)
        }
    };
    let name = route.map_or(log::NOWHERE, Route::name);
    let told = |request_id| Told { route: name, request_id, total: now().saturating_sub(start) };
    match answer {
        Answer::Launch(settled) => {
            log::request(&env, told(&settled.request_id), &settled, budget.reserved());
            respond::launch(*settled)
        }
        Answer::Other(Ok(response)) => {
            log::other(&env, told(&head.request_id), response.status_code(), None, format);
            Ok(response)
        }
        Answer::Other(Err(refused)) => {
            log::other(&env, told(&head.request_id), refused.problem.status(), Some(&refused), format);
            respond::refusal(&refused.problem, &head.request_id, format)
        }
    }
}

/// How many bytes of a refused body are read and discarded.
fn drain_limit(problem: &Problem, limits: &Limits) -> u64 {
    match problem {
        Problem::TooManyRequests(RateLimit::Address) => DRAIN_RATE_LIMITED,
        _ => limits.drain(),
    }
}

#[allow(clippy::too_many_arguments, reason = "everything that is known of a request")]
async fn answer(
    request: &Request,
    env: &Env,
    context: &Context,
    config: std::result::Result<Rc<Config>, String>,
    head: &Head,
    route: &std::result::Result<Route, Problem>,
    body: &mut Body<'_>,
    base: &Reservation,
) -> Answer {
    let route = match route {
        Ok(route) => *route,
        Err(problem) => return Answer::Other(Err(problem.clone().into())),
    };
    let config = match config {
        Ok(config) => config,
        Err(fault) => {
            let message = "the deployment is not configured: its operator's log says what";
            return Answer::Other(Err(Refused::unavailable(message, Cause(format!("configuration: {fault}")))));
        }
    };
    match route {
        Route::Launch(endpoint) => match incoming(request, &config, head, endpoint) {
            Ok(incoming) => launch(env, context, &config, head, incoming, body, base).await,
            Err(refused) => Answer::Other(Err(refused)),
        },
        route => {
            Answer::Other(Box::pin(operate::answer(route, request, env, &config, head, body, base.sibling())).await)
        }
    }
}

async fn launch(
    env: &Env,
    context: &Context,
    config: &Rc<Config>,
    head: &Head,
    incoming: Incoming,
    body: &mut Body<'_>,
    base: &Reservation,
) -> Answer {
    let ports = match RequestPorts::new(env, config, head.address.as_deref(), &head.request_id) {
        Ok(ports) => Box::new(ports),
        Err(error) => return Answer::Other(Err(Refused::internal(error))),
    };
    let mut settled = launch::launch(&*ports, incoming, body, base.sibling()).await;
    if let Some(pending) = settled.pending.take() {
        context.wait_until(async move { launch::complete(&*ports, &pending).await });
    }
    Answer::Launch(Box::new(settled))
}

/// What the launch needs of the head, or what is refused before the body.
fn incoming(
    request: &Request,
    config: &Rc<Config>,
    head: &Head,
    endpoint: Endpoint,
) -> std::result::Result<Incoming, Refused> {
    let header = |name: &str| request.headers().get(name).ok().flatten();
    let body = headers::body_format(header("Content-Type").as_deref(), header("Content-Encoding").as_deref())?;
    if head.length.is_some_and(|length| length > config.limits.files) {
        return Err(Problem::LengthTooLarge.into());
    }
    if config.secrets.is_empty() {
        let message = "the deployment has no PROFILE_INDEX_KEY";
        return Err(Refused::unavailable(message, Cause::new("the secret PROFILE_INDEX_KEY is not set")));
    }
    let checksum = config.checksum && !head.request_id_given;
    let setup = Setup { endpoint, body, limits: config.limits, secrets: Rc::clone(&config.secrets), checksum };
    let bad_format = head.parameter("format").filter(|name| Format::from_name(name).is_none());
    let bad_format = bad_format.map(|_| Problem::BadField("format: must be json or xml".into()));
    Ok(Incoming {
        setup,
        length: head.length,
        tokens: head.tokens.clone(),
        format: head.format,
        request_id: head.request_id.clone(),
        fault: head.request_id_fault.clone().or(bad_format),
    })
}
