//! The names of the bindings of `wrangler.toml`.

use worker::{AnalyticsEngineDataset, Env, ObjectNamespace, Result};

use super::kv::Namespace;

pub fn campaigns(env: &Env) -> Result<ObjectNamespace> {
    env.durable_object("CAMPAIGNS")
}

pub fn databases(env: &Env) -> Result<ObjectNamespace> {
    env.durable_object("DATABASES")
}

/// The KV namespace of tokens and copies of campaigns.
pub fn access(env: &Env) -> Result<Namespace> {
    Namespace::bound(env, crate::access::BINDING)
}

/// The binding of the R2 bucket for attachments.
pub const ATTACHMENTS: &str = "ATTACHMENTS";

/// The dataset of the Analytics Engine for metrics, if the operator has bound one.
pub fn metrics(env: &Env) -> Option<AnalyticsEngineDataset> {
    env.analytics_engine("METRICS").ok()
}
