//! A campaign's webhook. The campaign's object carries out the commands and checks that the token may give them.

use super::{campaigns::read_definition, head::HttpHead, page, ports::ApiPorts, reply::Reply, routes::WebhookAction};
use crate::{
    access::TokenRecord,
    campaign::protocol::{commands::Command, webhook::WebhookCommand},
    delivery::config,
    launch::{
        ports::{Body, Clock},
        receive::pace::PacedBody,
    },
    memory::Reservation,
    problem::Refused,
};

/// Whether the action needs a body.
pub fn has_body(action: WebhookAction) -> bool {
    matches!(action, WebhookAction::Define | WebhookAction::Replay)
}

/// Carries out an action and returns the object's reply.
pub async fn act<P: ApiPorts, C: Clock, B: Body>(
    ports: &P,
    head: &HttpHead<'_>,
    (trigger_id, action): (u64, WebhookAction),
    token: &TokenRecord,
    body: &mut PacedBody<'_, C, B>,
    memory: &mut Reservation,
) -> Result<Reply<P::Stream>, Refused> {
    let body = if has_body(action) { read_definition(body, memory).await? } else { Vec::new() };
    let command = match action {
        WebhookAction::Define => WebhookCommand::Define(config::parse_definition(&body)?),
        WebhookAction::Read => WebhookCommand::Read,
        WebhookAction::Remove => WebhookCommand::Remove,
        WebhookAction::Rotate => WebhookCommand::Rotate,
        WebhookAction::Test => WebhookCommand::Test,
        WebhookAction::Replay => WebhookCommand::Replay(config::parse_replay(&body)?),
        WebhookAction::Resume => WebhookCommand::Resume,
        WebhookAction::Skip => WebhookCommand::Skip,
        WebhookAction::Attempts => WebhookCommand::Attempts(page::of_attempts(head)?),
    };
    let reply = ports.command(trigger_id, Command::Webhook(command), &token.databases).await?;
    Ok(Reply::json(reply, &head.request_id))
}
