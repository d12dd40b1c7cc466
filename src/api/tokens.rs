//! What a token may do.

use super::{head::HttpHead, reply::Reply};
use crate::{
    access::{Scope, TokenRecord},
    problem::Refused,
};
use serde::Serialize;

#[derive(Serialize)]
struct TokenReply<'a> {
    name: &'a str,
    scopes: &'a [Scope],
    /// Empty: all databases.
    databases: &'a [u64],
}

/// Describes the token of the request.
pub fn read<S>(head: &HttpHead<'_>, token: &TokenRecord) -> Result<Reply<S>, Refused> {
    let TokenRecord { name, scopes, databases, .. } = token;
    let json = serde_json::to_vec(&TokenReply { name, scopes, databases }).map_err(Refused::internal)?;
    Ok(Reply::json(json, &head.request_id))
}
