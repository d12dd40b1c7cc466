//! The launch log and the operator's paths. They speak JSON alone.

use std::rc::Rc;

use serde::Serialize;
use worker::{Env, Request, Response, Result as WorkerResult};

use super::{
    bindings::{self, Config},
    campaigns::Campaigns,
    download,
    entry::{Body, Head},
    ports::RequestPorts,
    respond,
};
use crate::{
    access::{CAMPAIGN_PREFIX, CampaignRecord, Scope, TokenRecord},
    api::{
        headers,
        routes::{Log, Route},
    },
    campaign::{
        commands::{Campaign, Command, Page, parameter},
        definition,
    },
    launch::{ports::Ports, verify::verify_head},
    limits::READ_START,
    memory::Reservation,
    problem::{Cause, Problem, Refused},
    text::SAFE_INTEGER_MAX,
};

/// Largest body of a definition, in bytes.
const DEFINITION_LIMIT: usize = 64 * 1024;

/// `GET /healthz`.
pub fn health(request_id: &str) -> WorkerResult<Response> {
    let body = concat!(r#"{"status":"ok","version":""#, env!("CARGO_PKG_VERSION"), r#""}"#);
    respond::json(body.to_owned(), request_id)
}

/// Answers everything but launches.
pub async fn answer(
    route: Route,
    request: &Request,
    env: &Env,
    config: &Rc<Config>,
    head: &Head,
    body: &mut Body<'_>,
    mut memory: Reservation,
) -> Result<Response, Refused> {
    if matches!(route, Route::Define(_)) {
        readable(request, head)?;
    }
    let ports = RequestPorts::new(env, config, head.address.as_deref(), &head.request_id).map_err(internal)?;
    let scope = if matches!(route, Route::Log(..)) { Scope::Read } else { Scope::Admin };
    let token = verify_head(&ports, &head.tokens, scope).await?;
    memory.verify();
    if let Some(fault) = &head.request_id_fault {
        return Err(fault.clone().into());
    }
    let campaigns = Campaigns::new(env).map_err(internal)?;
    match route {
        Route::Campaigns => list(env, head, &token).await,
        Route::Define(id) => define(&campaigns, head, (body, &mut memory), id, &token).await,
        Route::Campaign(id) => campaign_response(&campaigns.read(id, &token.databases).await?, head),
        Route::Log(id, log) => {
            // A bad parameter is told before what exists.
            let command = command(log, head)?;
            match (log, command) {
                (Log::Attachment(launch_id, number), _) => {
                    let file = (id, launch_id, number);
                    download::answer(request, ports.bucket(), &campaigns, head, file, &token.databases).await
                }
                (Log::Nothing(what), _) => {
                    // Only a token that may read the campaign learns which part of the path names nothing.
                    campaigns.read(id, &token.databases).await?;
                    Err(Problem::NotFound(what).into())
                }
                (_, Some(command)) => read(&campaigns, head, id, command, &token).await,
                (_, None) => Err(Refused::internal("a part of the log without a command")),
            }
        }
        Route::Health | Route::Launch(_) => Err(Refused::internal("another route")),
    }
}

/// What the campaign's object is asked; `None` where it is not the object that answers.
fn command(log: Log, head: &Head) -> Result<Option<Command>, Problem> {
    let (after, limit) = (head.parameter("after"), head.parameter("limit"));
    Ok(Some(match log {
        Log::Launches => Command::Launches(Page::of_launches(after, limit)?),
        Log::Launch(launch) => Command::Launch(launch),
        Log::Recipients(launch) => match Page::of_recipients(after, limit)? {
            _ if head.accepts_ndjson => Command::RecipientsStream(launch),
            page => Command::Recipients(launch, page),
        },
        Log::Report(launch) => Command::Report(launch),
        Log::Attachment(..) | Log::Nothing(_) => return Ok(None),
    }))
}

async fn read(
    campaigns: &Campaigns,
    head: &Head,
    id: u64,
    command: Command,
    token: &TokenRecord,
) -> Result<Response, Refused> {
    let response = campaigns.relay(id, command, &token.databases).await?;
    respond::stamp(response.headers(), &head.request_id).map_err(internal)?;
    Ok(response)
}

/// What is refused of a definition before the token is looked at.
fn readable(request: &Request, head: &Head) -> Result<(), Problem> {
    let header = |name: &str| request.headers().get(name).ok().flatten();
    headers::json_body(header("Content-Type").as_deref(), header("Content-Encoding").as_deref())?;
    match head.length {
        Some(length) if length > DEFINITION_LIMIT as u64 => Err(Problem::LengthTooLarge),
        _ => Ok(()),
    }
}

async fn define(
    campaigns: &Campaigns,
    head: &Head,
    (body, memory): (&mut Body<'_>, &mut Reservation),
    id: u64,
    token: &TokenRecord,
) -> Result<Response, Refused> {
    let text = read_small(body, memory).await?;
    let definition = definition::read(id, &text)?;
    campaign_response(&campaigns.define(definition, &token.databases).await?, head)
}

fn campaign_response(campaign: &Campaign, head: &Head) -> Result<Response, Refused> {
    let body = serde_json::to_string(campaign).map_err(Refused::internal)?;
    respond::json(body, &head.request_id).map_err(internal)
}

/// The campaigns, as they are listed.
#[derive(Serialize)]
struct Listing {
    campaigns: Vec<CampaignRecord>,
    next: Option<u64>,
}

/// `GET …/triggers`: from KV's copies, so that a campaign may be missing for the minute that KV takes.
async fn list(env: &Env, head: &Head, token: &TokenRecord) -> Result<Response, Refused> {
    let after = head.parameter("after").map(|text| parameter("after", text, 0..=SAFE_INTEGER_MAX)).transpose()?;
    let limit = head.parameter("limit").map(|text| parameter("limit", text, 1..=1000)).transpose()?.unwrap_or(100);
    let access = bindings::access(env).map_err(internal)?;
    let mut found: Vec<CampaignRecord> = Vec::new();
    let mut cursor: Option<String> = None;
    let more = 'pages: loop {
        let page = access.list::<CampaignRecord>(CAMPAIGN_PREFIX, cursor.take()).await.map_err(unreadable)?;
        for record in page.metadata {
            if after.is_some_and(|after| record.id <= after) || !token.allows_database(record.database) {
                continue;
            }
            if found.len() as u64 == limit {
                break 'pages true;
            }
            found.push(record);
        }
        cursor = page.cursor;
        if cursor.is_none() {
            break false;
        }
    };
    let next = found.last().map(|record| record.id).filter(|_| more);
    let listing = Listing { campaigns: found, next };
    let body = serde_json::to_string(&listing).map_err(Refused::internal)?;
    respond::json(body, &head.request_id).map_err(internal)
}

async fn read_small(body: &mut Body<'_>, memory: &mut Reservation) -> Result<Vec<u8>, Refused> {
    let mut text = Vec::new();
    while let Some(bytes) = body.read(READ_START).await? {
        memory.grow(bytes as u64)?;
        body.chunk(|bytes| text.extend_from_slice(bytes));
        if text.len() > DEFINITION_LIMIT {
            return Err(Problem::BodyTooLarge.into());
        }
    }
    Ok(text)
}

fn unreadable(cause: Cause) -> Refused {
    Refused::unavailable("the campaign cannot be looked up now: retry later", cause)
}

fn internal(error: worker::Error) -> Refused {
    Refused::internal(error)
}
