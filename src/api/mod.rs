//! The HTTP API: which requests exist, what is refused before the body is read, who may do what, and the replies.
//!
//! [`answer`] takes a request through these steps:
//!
//! 1. Find the [route](routes). `/healthz` is answered at once.
//! 2. Reserve the base cost of a request.
//! 3. Check the path and the method, then the [configuration](settings).
//! 4. Refuse what the [head](head) alone shows to be wrong.
//! 5. Launch, or verify the token and call the route's handler ([`campaigns`], [`log`], [`download`], [`webhook`],
//!    [`profiles`], [`tokens`]).
//! 6. If the request was refused, read and discard the rest of its body.
//! 7. Write the log line and the data point, and build the [reply].

pub mod campaigns;
pub mod download;
pub mod head;
pub mod headers;
pub mod log;
pub mod page;
pub mod ports;
pub mod profiles;
pub mod reply;
pub mod routes;
pub mod settings;
pub mod stats;
pub mod tokens;
pub mod webhook;

use futures_util::FutureExt as _;

use crate::{
    access::Scope,
    fields::Endpoint,
    launch::{
        self, LaunchOutcome,
        ports::Body,
        receive::{pace::PacedBody, room},
        verify::verify_head,
    },
    limits::{BASE_COST, DRAIN_RATE_LIMITED, Limits},
    memory::Reservation,
    problem::{Cause, Problem, RateLimit, Refused},
    telemetry::{DataPoint, IsolateMemory, RequestLine},
};
use head::{HttpHead, HttpRequest, split_url};
use ports::{ApiPorts, Runtime};
use profiles::ProfilesRequest;
use reply::Reply;
use routes::{FoundRoute, Operation, ProfilesOperation, Route, UNKNOWN_ROUTE};
use settings::Settings;

/// The runtime's type of a streamed body.
pub type Stream<R> = <<R as Runtime>::Ports as ApiPorts>::Stream;

/// A request that was served, without its reply.
enum ServedRequest<S> {
    /// A launch, or a refusal after the body began to be read.
    Launch(Box<LaunchOutcome>),
    /// Any other request, or a refusal before the body was read.
    Other(Result<Reply<S>, Refused>),
}

/// Answers a request.
pub async fn answer<R: Runtime, B: Body>(runtime: &R, request: HttpRequest<'_>, body: &mut B) -> Reply<Stream<R>> {
    let started_at = runtime.now();
    let (path, query) = split_url(request.url);
    let route = routes::find(request.method, path);
    let head = HttpHead::read(request, query, routes::is_json_only(path), |bytes| runtime.random(bytes));
    if let Ok(FoundRoute { route: Route::Health, .. }) = route {
        return Reply::health(&head.request_id);
    }
    let name = route.as_ref().map_or(UNKNOWN_ROUTE, FoundRoute::name);
    let configuration = runtime.settings();
    let settings = configuration.as_ref().ok().cloned().unwrap_or_default();
    let mut base = Reservation::new(&settings.budget, started_at);
    let served = match room::reserve(&mut base, BASE_COST, runtime).await {
        // There is no memory even for a view of the body, so the body is not discarded.
        Err(refused) => ServedRequest::Other(Err(refused)),
        Ok(()) => {
            let mut body = PacedBody::new(runtime, body, base.watch(), head.length);
            let memory = base.sibling();
            // Boxed, so that the future of a request that waits for room is small.
            let served = Box::pin(serve(runtime, &head, route, configuration, &mut body, memory)).await;
            if let Some(refused) = served.refusal() {
                body.drain(drain_limit(&refused.problem, &settings.limits), &mut base).boxed_local().await;
            }
            served
        }
    };
    let total_ms = runtime.now().saturating_sub(started_at);
    match served {
        ServedRequest::Launch(outcome) => {
            let memory = IsolateMemory { linear: runtime.linear_memory(), reserved: settings.budget.reserved() };
            runtime.log(&RequestLine::of_launch(&outcome, total_ms, memory).to_json());
            runtime.measure(&outcome.request_id, &DataPoint::of_launch(name, &outcome, total_ms, memory));
            let LaunchOutcome { result, format, request_id, timings, .. } = *outcome;
            match result {
                Ok(launched) => Reply::launched(launched, format, &request_id, timings),
                Err(refused) => Reply::refused(&refused.problem, &request_id, format),
            }
        }
        ServedRequest::Other(result) => reply_to_other(runtime, &head, name, result, total_ms),
    }
}

/// Logs a request that was no launch, and returns its reply. Not inlined, because most requests are launches.
#[inline(never)]
fn reply_to_other<R: Runtime>(
    runtime: &R,
    head: &HttpHead<'_>,
    route: &'static str,
    result: Result<Reply<Stream<R>>, Refused>,
    total_ms: u64,
) -> Reply<Stream<R>> {
    let status = result.as_ref().map_or_else(Refused::status, |reply| reply.status);
    let refused = result.as_ref().err();
    runtime.log(&RequestLine::new(&head.request_id, status, refused, total_ms).to_json());
    runtime.measure(&head.request_id, &DataPoint::new(route, status, head.format, refused, total_ms));
    result.unwrap_or_else(|refused| Reply::refused(&refused.problem, &head.request_id, head.format))
}

impl<S> ServedRequest<S> {
    fn refusal(&self) -> Option<&Refused> {
        match self {
            Self::Launch(outcome) => outcome.result.as_ref().err(),
            Self::Other(result) => result.as_ref().err(),
        }
    }
}

/// Returns the number of bytes of a refused body that are read and discarded.
fn drain_limit(problem: &Problem, limits: &Limits) -> u64 {
    match problem {
        Problem::TooManyRequests(RateLimit::Address) => DRAIN_RATE_LIMITED,
        _ => limits.drain(),
    }
}

async fn serve<R: Runtime, B: Body>(
    runtime: &R,
    head: &HttpHead<'_>,
    route: Result<FoundRoute, Problem>,
    configuration: Result<Settings, Cause>,
    body: &mut PacedBody<'_, R, B>,
    memory: Reservation,
) -> ServedRequest<Stream<R>> {
    let FoundRoute { route, spec } = match route {
        Ok(route) => route,
        Err(problem) => return ServedRequest::Other(Err(problem.into())),
    };
    let settings = match configuration {
        Ok(settings) => settings,
        Err(cause) => {
            let message = "the deployment is not configured: its operator's log says what";
            return ServedRequest::Other(Err(Refused::unavailable(message, cause.during("configuration"))));
        }
    };
    match route {
        Route::Health => ServedRequest::Other(Ok(Reply::health(&head.request_id))),
        Route::Launch(endpoint) => launch(runtime, head, endpoint, &settings, body, memory).await,
        Route::Operate(operation) => ServedRequest::Other(
            Box::pin(operate(runtime, head, operation, spec.scopes, &settings, body, memory)).await,
        ),
    }
}

async fn launch<R: Runtime, B: Body>(
    runtime: &R,
    head: &HttpHead<'_>,
    endpoint: Endpoint,
    settings: &Settings,
    body: &mut PacedBody<'_, R, B>,
    memory: Reservation,
) -> ServedRequest<Stream<R>> {
    let launch_head = match head.launch_head(endpoint, settings) {
        Ok(launch_head) => launch_head,
        Err(refused) => return ServedRequest::Other(Err(refused)),
    };
    let ports = match runtime.ports(head) {
        Ok(ports) => ports,
        Err(cause) => return ServedRequest::Other(Err(Refused::internal(cause))),
    };
    let mut outcome = launch::launch(&*ports, launch_head, body, memory).await;
    if let Some(uploads) = outcome.uploads.take() {
        runtime.after_reply(Box::pin(async move { launch::complete_uploads(&*ports, &uploads).await }));
    }
    ServedRequest::Launch(Box::new(outcome))
}

async fn operate<R: Runtime, B: Body>(
    runtime: &R,
    head: &HttpHead<'_>,
    operation: Operation,
    scopes: &'static [Scope],
    settings: &Settings,
    body: &mut PacedBody<'_, R, B>,
    mut memory: Reservation,
) -> Result<Reply<Stream<R>>, Refused> {
    match operation {
        Operation::DefineCampaign(_) => head.check_definition()?,
        Operation::Webhook(_, action) if webhook::has_body(action) => head.check_definition()?,
        Operation::Profiles(_, ProfilesOperation::Change) => head.check_changes()?,
        Operation::Profiles(_, ProfilesOperation::SetLive | ProfilesOperation::Publish) => head.check_json()?,
        _ => {}
    }
    let owned_ports = runtime.ports(head).map_err(Refused::internal)?;
    let ports = &*owned_ports;
    let token = &verify_head(ports, &head.tokens, scopes).await?;
    memory.verify();
    if let Some(fault) = &head.request_id_fault {
        return Err(fault.clone().into());
    }
    match operation {
        Operation::ReadToken => tokens::read(head, token),
        Operation::ListCampaigns => campaigns::list(ports, head, token).await,
        Operation::DefineCampaign(id) => campaigns::define(ports, head, id, token, body, &mut memory).await,
        Operation::ReadCampaign(id) => campaigns::read(ports, head, id, token).await,
        Operation::Webhook(id, action) => webhook::act(ports, head, (id, action), token, body, &mut memory).await,
        Operation::ReadLog(id, resource) => log::read(ports, head, id, resource, token).await,
        Operation::Profiles(database, operation) => {
            let request = ProfilesRequest { ports: &owned_ports, head, database, token, settings };
            profiles::serve(request, operation, body, &mut memory).await
        }
    }
}

#[cfg(test)]
mod tests;
