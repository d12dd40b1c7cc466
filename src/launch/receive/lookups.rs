//! The lookups of one request, which run while its body arrives: the token, the campaign's database, the manifest of its
//! profile index, and the launch of an earlier request with the same ID.
//!
//! A lookup starts once, as soon as the body has provided what it needs.

use futures_util::{future::LocalBoxFuture, stream::FuturesUnordered};

use super::{body::BodyParser, uploads::FinishedStep};
use crate::{
    access::{Scope, TokenRecord},
    campaign::protocol::{commands::RequestIdentity, message::RepeatedLaunch},
    launch::{
        known::{self, KnownManifest},
        ports::{AttachmentUploader, Ports},
        request::RequestHead,
        verify::{TWO_TOKENS, TokenSource, refuse, verify},
    },
    limits::PREFLIGHT_FROM,
    problem::{Cause, Refused},
};

/// A lookup that runs while the body arrives.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Lookup<T, E = Cause> {
    #[default]
    Idle,
    Pending,
    Done(Result<T, E>),
}

impl<T, E> Lookup<T, E> {
    pub fn is_idle(&self) -> bool {
        matches!(self, Self::Idle)
    }

    pub fn outcome(&self) -> Option<&Result<T, E>> {
        match self {
            Self::Done(outcome) => Some(outcome),
            Self::Idle | Self::Pending => None,
        }
    }

    pub fn into_outcome(self) -> Option<Result<T, E>> {
        match self {
            Self::Done(outcome) => Some(outcome),
            Self::Idle | Self::Pending => None,
        }
    }
}

/// A completed task: a lookup, or a step of an upload.
pub enum Completed<U: AttachmentUploader> {
    Token(Result<TokenRecord, Refused>),
    Campaign(Result<Option<u64>, Cause>),
    Manifest(Result<KnownManifest, Cause>),
    Earlier(Result<Option<RepeatedLaunch>, Refused>),
    Upload(FinishedStep<U>),
}

/// Lookups and upload steps in progress.
pub type Tasks<'p, U> = FuturesUnordered<LocalBoxFuture<'p, Completed<U>>>;

#[derive(Debug, Default)]
pub struct Lookups {
    pub token: Lookup<TokenRecord, Refused>,
    /// The database of the campaign, according to KV.
    pub campaign: Lookup<Option<u64>>,
    pub manifest: Lookup<KnownManifest>,
    pub earlier: Lookup<Option<RepeatedLaunch>, Refused>,
    /// The token that is looked up.
    presented: Option<String>,
    /// Whether the body contains a different token.
    is_contradicted: bool,
}

impl Lookups {
    /// Starts looking up the header's token before any body has arrived.
    pub fn start_before_body<'p, P: Ports>(
        &mut self,
        ports: &'p P,
        head: &RequestHead,
        tasks: &Tasks<'p, P::Uploader>,
    ) {
        match head.tokens.as_slice() {
            [] => {}
            [token] => self.look_up_token(token.clone(), TokenSource::Head, ports, tasks),
            [first, ..] => {
                self.token = Lookup::Pending;
                self.presented = Some(first.clone());
                push(tasks, async move { Completed::Token(Err(refuse(ports, TWO_TOKENS, TokenSource::Head).await)) });
            }
        }
    }

    /// Starts the lookups for which the body has provided enough by now.
    pub fn start<'p, P: Ports>(
        &mut self,
        ports: &'p P,
        head: &RequestHead,
        body: &BodyParser,
        tasks: &Tasks<'p, P::Uploader>,
    ) {
        let root = body.root();
        match (&self.presented, &root.token) {
            (None, Some(token)) => self.look_up_token(token.clone(), TokenSource::Body, ports, tasks),
            (Some(presented), Some(token)) if presented != token && !self.is_contradicted => {
                self.is_contradicted = true;
                push(tasks, async move { Completed::Token(Err(refuse(ports, TWO_TOKENS, TokenSource::Body).await)) });
            }
            _ => {}
        }
        let Some(trigger_id) = root.trigger_id else { return };
        if self.campaign.is_idle() {
            self.campaign = Lookup::Pending;
            push(tasks, async move { Completed::Campaign(known::campaign_database(ports, trigger_id).await) });
        }
        let is_large = body.received() > PREFLIGHT_FROM || body.has_attachments();
        if let Lookup::Done(Ok(token)) = &self.token
            && is_large
            && self.earlier.is_idle()
            && body.fault().is_none()
            && !head.settings.digest_is_id
        {
            let request = RequestIdentity { token_name: token.name.clone(), request_id: head.request_id.clone() };
            self.earlier = Lookup::Pending;
            push(tasks, async move {
                Completed::Earlier(ports.preflight(trigger_id, &request).await.map_err(Refused::from))
            });
        }
    }

    fn look_up_token<'p, P: Ports>(
        &mut self,
        token: String,
        source: TokenSource,
        ports: &'p P,
        tasks: &Tasks<'p, P::Uploader>,
    ) {
        self.presented = Some(token.clone());
        self.token = Lookup::Pending;
        push(tasks, async move { Completed::Token(verify(ports, &token, &[Scope::Launch], source).await) });
    }

    /// Whether a token has arrived, in the header, the query or the body.
    pub fn has_token(&self) -> bool {
        self.presented.is_some()
    }

    /// Records the outcome of the lookup of a token. A refusal is never replaced by a success: the token in the header can be
    /// valid, and the body can contain a different one.
    pub fn record_token(&mut self, token: Result<TokenRecord, Refused>) {
        self.token = Lookup::Done(match (std::mem::take(&mut self.token).into_outcome(), token) {
            (Some(Err(earlier)), Err(later)) => Err(earlier.first(later)),
            (Some(Err(refused)), _) | (_, Err(refused)) => Err(refused),
            (_, Ok(token)) => Ok(token),
        });
    }

    /// Records the campaign's database, and starts reading the manifest of its profile index.
    pub fn record_campaign<'p, P: Ports>(
        &mut self,
        campaign: Result<Option<u64>, Cause>,
        ports: &'p P,
        tasks: &Tasks<'p, P::Uploader>,
    ) {
        if let Ok(Some(database)) = campaign {
            self.manifest = Lookup::Pending;
            push(tasks, async move { Completed::Manifest(known::manifest(ports, database).await) });
        }
        self.campaign = Lookup::Done(campaign);
    }
}

fn push<'p, U: AttachmentUploader>(tasks: &Tasks<'p, U>, task: impl Future<Output = Completed<U>> + 'p) {
    tasks.push(Box::pin(task));
}
