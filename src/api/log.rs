//! Reads a campaign's launch log.

use super::{download, head::HttpHead, page, ports::ApiPorts, reply::Reply, routes::LogResource, stats};
use crate::{
    access::TokenRecord,
    campaign::protocol::{commands::Command, transport::NDJSON},
    problem::{Problem, Refused},
};

/// Reads a part of the log. Query parameters are checked first, then the token's access to the campaign, then whether the part
/// exists.
pub async fn read<P: ApiPorts>(
    ports: &P,
    head: &HttpHead<'_>,
    trigger_id: u64,
    resource: LogResource,
    token: &TokenRecord,
) -> Result<Reply<P::Stream>, Refused> {
    let command = match resource {
        LogResource::Launches => page::of_launches(head)?,
        LogResource::Stats => Command::Stats(stats::parse(head, ports.now())?),
        LogResource::Launch(launch_id) => Command::Launch(launch_id),
        LogResource::Recipients(launch_id) => {
            let page = page::of_recipients(head)?;
            if head.accepts(NDJSON) {
                Command::RecipientsStream(launch_id)
            } else {
                Command::Recipients(launch_id, page)
            }
        }
        LogResource::Report(launch_id) => Command::Report(launch_id),
        LogResource::Attachment(launch_id, number) => {
            return download::answer(ports, head, trigger_id, (launch_id, number), token).await;
        }
        LogResource::Unknown(kind) => {
            // Without access to the campaign, the reply does not say that the ID is malformed.
            ports.command(trigger_id, Command::Read, &token.databases).await?;
            return Err(Problem::NotFound(kind).into());
        }
    };
    let stream = ports.stream(trigger_id, command, &token.databases).await?;
    Ok(Reply::streamed(stream, &head.request_id))
}
