//! Lookups and uploads that run while a body arrives: token, campaign, manifest, an earlier launch of the same request, and
//! the uploads of attachments.
//!
//! A lookup starts as soon as the body has provided what it needs, and only once. [`super::receive`] waits for lookups and for
//! the body at the same time.

use super::{
    Incoming,
    entry::Arrived,
    files::{Ended, Files, cannot_store},
    intake::Intake,
    new_launch_id,
    pace::View,
    ports::{Bucket, Ports},
    verify::{Source, TWO_TOKENS, refuse, verify},
};
use crate::{
    access::{Scope, TokenRecord},
    campaign::{commands::Request, id::LaunchId, message::Repeated},
    limits::{PARTS_MEMORY, PARTS_MEMORY_FIRST, PREFLIGHT_FROM},
    problem::{Lookup, Problem, Refused},
};
use futures_util::{
    future::LocalBoxFuture,
    stream::{FuturesUnordered, StreamExt as _},
};

/// A completed background operation: a lookup or an upload step.
pub enum Answer<B: Bucket> {
    Token(Result<TokenRecord, Refused>),
    Database(Result<Option<u64>, crate::problem::Cause>),
    Manifest(Result<Option<String>, crate::problem::Cause>),
    Object(Result<Option<Repeated>, Refused>),
    Stored(Ended<B>),
}

/// The lookups and uploads of one request.
pub struct Gate<'p, P: Ports> {
    pub ports: &'p P,
    pub incoming: &'p Incoming,
    /// Lookups and upload steps in progress.
    pub questions: FuturesUnordered<LocalBoxFuture<'p, Answer<P::Bucket>>>,
    /// The token that is looked up; a different one in the body contradicts it.
    pub presented: Option<String>,
    pub contradicted: bool,
    pub token: Lookup<TokenRecord, Refused>,
    pub database: Lookup<Option<u64>>,
    pub manifest: Lookup<Option<String>>,
    pub object: Lookup<Option<Repeated>, Refused>,
    pub files: Files<P::Bucket>,
    /// Why attachments are not stored: the answer if nothing else is wrong and the request is not a repeat.
    pub unstored: Option<Refused>,
    /// The ID of this attempt, if attachments are stored under it.
    pub launch_id: Option<LaunchId>,
    /// A buffer of arrived bytes, for reuse.
    pub spare: Arrived,
    pub view: View,
}

/// Copies of what is parsed at once that are held beside the view of the body: attachment data, decoded and to be stored.
pub const BUFFERS: usize = 2;

impl<'p, P: Ports> Gate<'p, P> {
    /// Starts looking up the header's token before any body has arrived.
    pub fn new(ports: &'p P, incoming: &'p Incoming) -> Self {
        let mut gate = Self {
            ports,
            incoming,
            questions: FuturesUnordered::new(),
            presented: None,
            contradicted: false,
            token: Lookup::Idle,
            database: Lookup::Idle,
            manifest: Lookup::Idle,
            object: Lookup::Idle,
            files: Files::default(),
            unstored: None,
            launch_id: None,
            spare: Arrived::default(),
            view: View::default(),
        };
        match incoming.tokens.as_slice() {
            [] => {}
            [token] => gate.look_up_token(token.clone(), Source::Head),
            [first, ..] => {
                gate.token = Lookup::Pending;
                gate.presented = Some(first.clone());
                let refusal = async move { Answer::Token(Err(refuse(ports, TWO_TOKENS, Source::Head).await)) };
                gate.questions.push(Box::pin(refusal));
            }
        }
        gate
    }

    /// Records a completed operation. An error ends the reading of the body.
    pub fn answered(&mut self, answer: Option<Answer<P::Bucket>>, intake: &mut Intake) -> Result<(), Refused> {
        match answer {
            None => {}
            Some(Answer::Token(token)) => {
                match &token {
                    Ok(record) => {
                        intake.verified();
                        let attempt = new_launch_id(self.ports, &record.name, &self.incoming.request_id);
                        self.launch_id = self.has_an_id().then_some(attempt);
                        self.files.permit(attempt.to_string());
                    }
                    Err(refused) if is_final(&refused.problem) => return Err(refused.clone()),
                    Err(_) => intake.close(),
                }
                // A refusal stays: the header's token can be valid, and contradicted by the body's.
                self.token = Lookup::Done(match (self.token.take(), token) {
                    (Some(Err(earlier)), Err(later)) => Err(earlier.first(later)),
                    (Some(Err(refused)), _) | (_, Err(refused)) => Err(refused),
                    (_, Ok(token)) => Ok(token),
                });
                self.start_lookups(intake);
            }
            Some(Answer::Database(database)) => {
                if let Ok(Some(database)) = database {
                    let ports = self.ports;
                    self.manifest = Lookup::Pending;
                    self.questions.push(Box::pin(async move { Answer::Manifest(ports.manifest(database).await) }));
                }
                self.database = Lookup::Done(database);
            }
            Some(Answer::Manifest(manifest)) => self.manifest = Lookup::Done(manifest),
            Some(Answer::Stored(ended)) => {
                if let Err(cause) = self.files.ended(self.ports.bucket(), ended, intake.memory()) {
                    self.store_none(cannot_store(cause), intake);
                }
            }
            Some(Answer::Object(object)) => {
                if matches!(object, Ok(Some(_))) {
                    // A repeat: its attachments are stored already.
                    self.files.stop(self.ports.bucket(), intake.memory());
                }
                self.object = Lookup::Done(object);
            }
        }
        Ok(())
    }

    /// Stores no attachments, for the reason given.
    pub fn store_none(&mut self, refused: Refused, intake: &mut Intake) {
        self.unstored.get_or_insert(refused);
        self.files.stop(self.ports.bucket(), intake.memory());
    }

    /// Bytes of memory that parts of attachments may take; `None` before a token has arrived: then the limit is how much may be
    /// held for an unverified caller.
    pub fn parts_memory(&self) -> Option<usize> {
        let first = usize::try_from(self.incoming.setup.limits.body).unwrap_or(usize::MAX).min(PARTS_MEMORY_FIRST);
        match (self.files.is_permitted(), &self.token) {
            (true, _) => Some(PARTS_MEMORY),
            (false, Lookup::Pending) => Some(first),
            (false, _) => None,
        }
    }

    /// The body has ended, and everything that arrived is processed.
    pub fn stop_reading(&mut self, intake: &mut Intake) {
        self.spare = Arrived::default();
        self.view.release(intake.memory());
    }

    /// Starts the lookups that can be started by now.
    pub fn start_lookups(&mut self, intake: &Intake) {
        let ports = self.ports;
        let root = intake.root();
        match (&self.presented, &root.token) {
            (None, Some(token)) => self.look_up_token(token.clone(), Source::Body),
            (Some(presented), Some(token)) if presented != token && !self.contradicted => {
                self.contradicted = true;
                let refusal = async move { Answer::Token(Err(refuse(ports, TWO_TOKENS, Source::Body).await)) };
                self.questions.push(Box::pin(refusal));
            }
            _ => {}
        }
        let Some(trigger_id) = root.trigger_id else { return };
        if self.database.is_idle() {
            self.database = Lookup::Pending;
            self.questions.push(Box::pin(async move { Answer::Database(ports.campaign_database(trigger_id).await) }));
        }
        let is_large = intake.fed() > PREFLIGHT_FROM || intake.has_attachments();
        if let Lookup::Done(Ok(token)) = &self.token
            && is_large
            && self.object.is_idle()
            && intake.fault().is_none()
            && self.has_an_id()
        {
            let request = Request { token_name: token.name.clone(), request_id: self.incoming.request_id.clone() };
            self.object = Lookup::Pending;
            self.questions.push(Box::pin(async move {
                Answer::Object(ports.preflight(trigger_id, &request).await.map_err(Refused::from))
            }));
        }
    }

    /// Whether the request's ID is known before the body has ended.
    fn has_an_id(&self) -> bool {
        !self.incoming.setup.checksum
    }

    fn look_up_token(&mut self, token: String, source: Source) {
        self.presented = Some(token.clone());
        self.token = Lookup::Pending;
        let ports = self.ports;
        let verified = async move { Answer::Token(verify(ports, &token, Scope::Launch, source).await) };
        self.questions.push(Box::pin(verified));
    }

    /// Returns the fault of a token in a header or the query, if it has one.
    pub async fn head_token_fault(&mut self, intake: &mut Intake) -> Option<Refused> {
        if self.incoming.tokens.is_empty() {
            return None;
        }
        while self.token.outcome().is_none() {
            match self.questions.next().await {
                Some(Answer::Token(token)) => self.token = Lookup::Done(token),
                None => return None,
                answer => drop(self.answered(answer, intake)),
            }
        }
        self.token.outcome()?.as_ref().err().cloned()
    }
}

/// Whether nothing that can still arrive would be answered instead of this fault of a token.
fn is_final(problem: &Problem) -> bool {
    matches!(problem, Problem::TokenRequired(_) | Problem::TooManyRequests(_))
}
