//! Access to KV through wrangler: a helper process (`scripts/kv.mjs`) for the local state, `wrangler kv` for the deployed
//! account.

#[cfg(test)]
pub mod fake;
mod local;
mod program;
mod store;
#[cfg(test)]
mod tests;
mod wrangler;

pub use self::{
    local::LocalKv,
    store::{BatchLimits, KvBinding, KvError, KvPair, KvStore},
    wrangler::WranglerKv,
};
