//! Defines, reads and lists campaigns.

use super::{head::HttpHead, page, ports::ApiPorts, reply::Reply};
use crate::{
    access::{CampaignRecord, TokenRecord},
    campaign::{
        definition,
        protocol::commands::{Command, PageRequest},
    },
    launch::{
        ports::{Body, Clock},
        receive::pace::PacedBody,
    },
    limits::{DEFINITION_LIMIT, READ_START},
    memory::Reservation,
    problem::{Problem, Refused},
};
use serde::Serialize;

/// Defines, pauses or resumes a campaign. The campaign's object checks that the token may do so.
pub async fn define<P: ApiPorts, C: Clock, B: Body>(
    ports: &P,
    head: &HttpHead<'_>,
    trigger_id: u64,
    token: &TokenRecord,
    body: &mut PacedBody<'_, C, B>,
    memory: &mut Reservation,
) -> Result<Reply<P::Stream>, Refused> {
    let body = read_definition(body, memory).await?;
    let definition = definition::parse(trigger_id, &body)?;
    let campaign = ports.command(trigger_id, Command::Define(definition), &token.databases).await?;
    Ok(Reply::json(campaign, &head.request_id))
}

/// Reads a body of at most [`DEFINITION_LIMIT`] bytes.
pub(super) async fn read_definition<C: Clock, B: Body>(
    body: &mut PacedBody<'_, C, B>,
    memory: &mut Reservation,
) -> Result<Vec<u8>, Refused> {
    let mut definition = Vec::new();
    while let Some(bytes) = body.read(READ_START).await? {
        memory.grow(bytes as u64)?;
        body.chunk(|bytes| definition.extend_from_slice(bytes));
        if definition.len() > DEFINITION_LIMIT {
            return Err(Problem::BodyTooLarge.into());
        }
    }
    Ok(definition)
}

/// Reads a campaign's definition and totals.
pub async fn read<P: ApiPorts>(
    ports: &P,
    head: &HttpHead<'_>,
    trigger_id: u64,
    token: &TokenRecord,
) -> Result<Reply<P::Stream>, Refused> {
    let campaign = ports.command(trigger_id, Command::Read, &token.databases).await?;
    Ok(Reply::json(campaign, &head.request_id))
}

#[derive(Serialize)]
struct CampaignList {
    campaigns: Vec<CampaignRecord>,
    next: Option<u64>,
}

/// Lists the campaigns that the token may use, from KV's copies: a change can take as long as KV's propagation to be listed.
pub async fn list<P: ApiPorts>(
    ports: &P,
    head: &HttpHead<'_>,
    token: &TokenRecord,
) -> Result<Reply<P::Stream>, Refused> {
    let PageRequest { after, limit } = page::of_campaigns(head)?;
    let mut campaigns: Vec<CampaignRecord> = Vec::new();
    let mut cursor = None;
    let is_truncated = 'pages: loop {
        let unavailable = |cause| Refused::unavailable("the campaign cannot be looked up now: retry later", cause);
        let page = ports.campaigns(cursor).await.map_err(unavailable)?;
        for record in page.records {
            if after.is_some_and(|after| record.id <= after) || !token.allows_database(record.database) {
                continue;
            }
            if campaigns.len() as u64 == limit {
                break 'pages true;
            }
            campaigns.push(record);
        }
        match page.cursor {
            Some(next) => cursor = Some(next),
            None => break false,
        }
    };
    let next = campaigns.last().map(|record| record.id).filter(|_| is_truncated);
    let list = serde_json::to_vec(&CampaignList { campaigns, next }).map_err(Refused::internal)?;
    Ok(Reply::json(list, &head.request_id))
}
