//! What is asked while a body arrives, and what is known by now: token, campaign, manifest, the campaign's object, and the
//! uploads of attachments.
//!
//! A question is asked as soon as the body has told what it takes, and once. [`super::receive`] waits for answers and for
//! the body at once.

use super::{
    Incoming,
    entry::Arrived,
    files::{Ended, Files, cannot_store},
    intake::Intake,
    new_launch_id,
    ports::{Bucket, Ports},
    verify::{TWO_TOKENS, refuse, verify},
};
use crate::{
    access::{Scope, TokenRecord},
    campaign::{commands::Request, id::LaunchId, message::Repeated},
    limits::{PARTS_MEMORY, PARTS_MEMORY_FIRST, PREFLIGHT_FROM, READ_BUFFER, READ_FIRST, READ_VIEW},
    problem::Problem,
    profiles::lookup::StoreError,
};
use futures_util::{
    future::LocalBoxFuture,
    stream::{FuturesUnordered, StreamExt as _},
};

/// What one of the questions asked meanwhile was answered, or what came of an upload.
pub enum Answer<B: Bucket> {
    Token(Result<TokenRecord, Problem>),
    Database(Result<Option<u64>, StoreError>),
    Manifest(Result<Option<String>, StoreError>),
    Object(Result<Option<Repeated>, Problem>),
    Stored(Ended<B>),
}

/// What is known, and what is being asked.
pub struct Gate<'p, P: Ports> {
    pub ports: &'p P,
    pub incoming: &'p Incoming,
    pub questions: FuturesUnordered<LocalBoxFuture<'p, Answer<P::Bucket>>>,
    /// The token that was asked about first; another one in the body contradicts it.
    pub presented: Option<String>,
    pub contradicted: bool,
    pub token: Option<Result<TokenRecord, Problem>>,
    pub database: Option<Result<Option<u64>, StoreError>>,
    pub database_asked: bool,
    pub manifest: Option<Result<Option<String>, StoreError>>,
    pub object: Option<Result<Option<Repeated>, Problem>>,
    pub object_asked: bool,
    pub files: Files<P::Bucket>,
    /// Why attachments are not stored. It is told if nothing else is wrong and the request is no repeat.
    pub unstored: Option<Problem>,
    /// The id of this attempt, where attachments are stored under it.
    pub launch_id: Option<LaunchId>,
    /// What held arrived bytes the last time, to be used again.
    pub spare: Arrived,
    /// Bytes that are asked for at once; what reading so much takes is reserved.
    at_once: usize,
}

/// Bytes of memory that reading takes: what the runtime is asked for, what is taken in of it, and twice what arrives of
/// attachments with that.
pub fn held_by_reading(at_once: usize) -> u64 {
    (at_once + 3 * at_once.min(READ_BUFFER)) as u64
}

impl<'p, P: Ports> Gate<'p, P> {
    /// Nothing has come yet: of the tokens in the head is asked.
    pub fn new(ports: &'p P, incoming: &'p Incoming) -> Self {
        let mut gate = Self {
            ports,
            incoming,
            questions: FuturesUnordered::new(),
            presented: None,
            contradicted: false,
            token: None,
            database: None,
            database_asked: false,
            manifest: None,
            object: None,
            object_asked: false,
            files: Files::default(),
            unstored: None,
            launch_id: None,
            spare: Arrived::default(),
            at_once: 0,
        };
        match incoming.tokens.as_slice() {
            [] => {}
            [token] => gate.ask_token(token.clone(), true),
            [first, ..] => {
                gate.questions.push(Box::pin(async { Answer::Token(Err(refuse(ports, TWO_TOKENS, true).await)) }));
                gate.presented = Some(first.clone());
            }
        }
        gate
    }

    /// Takes an answer in; an error ends the reading of the body.
    pub fn answered(&mut self, answer: Option<Answer<P::Bucket>>, intake: &mut Intake) -> Result<(), Problem> {
        match answer {
            None => {}
            Some(Answer::Token(token)) => {
                match &token {
                    Ok(record) => {
                        intake.verified();
                        let given = self.has_an_id();
                        let attempt = new_launch_id(self.ports, &record.name, &self.incoming.request_id);
                        self.launch_id = given.then_some(attempt);
                        self.files.permit(attempt.to_string());
                    }
                    Err(problem @ (Problem::TokenRequired(_) | Problem::TooManyRequests)) => {
                        return Err(problem.clone());
                    }
                    Err(_) => intake.close(),
                }
                // A refusal stays: the token of the head may be good, and contradicted by the body's.
                self.token = match (self.token.take(), token) {
                    (Some(Err(earlier)), Err(now)) => Some(Err(earlier.first(now))),
                    (Some(Err(refusal)), _) | (_, Err(refusal)) => Some(Err(refusal)),
                    (_, token) => Some(token),
                };
                self.ask_what_is_known(intake);
            }
            Some(Answer::Database(database)) => {
                if let Ok(Some(database)) = database {
                    let ports = self.ports;
                    self.questions.push(Box::pin(async move { Answer::Manifest(ports.manifest(database).await) }));
                }
                self.database = Some(database);
            }
            Some(Answer::Manifest(manifest)) => self.manifest = Some(manifest),
            Some(Answer::Stored(ended)) => {
                if let Err(error) = self.files.ended(self.ports.bucket(), ended, intake.memory()) {
                    self.ports.tell(&format!("an upload failed: {error}"));
                    self.store_none(cannot_store(), intake);
                }
            }
            Some(Answer::Object(object)) => {
                if matches!(object, Ok(Some(_))) {
                    // It was launched before, with its attachments.
                    self.files.stop(self.ports.bucket(), intake.memory());
                }
                self.object = Some(object);
            }
        }
        Ok(())
    }

    /// No attachments are stored, because of that.
    pub fn store_none(&mut self, problem: Problem, intake: &mut Intake) {
        self.unstored.get_or_insert(problem);
        self.files.stop(self.ports.bucket(), intake.memory());
    }

    /// Whether a token is being looked up.
    pub fn asks_for_the_token(&self) -> bool {
        self.presented.is_some() && self.token.is_none()
    }

    /// Bytes of memory that parts of attachments may take; `None`: as many as may be held for a caller without a token.
    pub fn parts_memory(&self) -> Option<usize> {
        let first = usize::try_from(self.incoming.setup.limits.body).unwrap_or(usize::MAX).min(PARTS_MEMORY_FIRST);
        match (self.files.is_permitted(), self.asks_for_the_token()) {
            (true, _) => Some(PARTS_MEMORY),
            (false, true) => Some(first),
            (false, false) => None,
        }
    }

    /// How many bytes are to be asked for at once: few as long as the caller is not verified, or the body may be small.
    pub fn at_once(&mut self, intake: &mut Intake) -> Result<usize, Problem> {
        let length = self.incoming.length.and_then(|length| usize::try_from(length).ok());
        let large = length.is_some() || intake.fed() >= READ_VIEW as u64;
        let most = if large && matches!(self.token, Some(Ok(_))) { READ_VIEW } else { READ_FIRST };
        let wanted = length.map_or(most, |length| length.clamp(1, most));
        if wanted > self.at_once {
            match intake.memory().grow(held_by_reading(wanted) - held_by_reading(self.at_once)) {
                Ok(()) => self.at_once = wanted,
                Err(_) if self.at_once == 0 => return Err(Problem::no_memory()),
                Err(_) => {}
            }
        }
        Ok(self.at_once)
    }

    /// The body has ended, and all that arrived is taken.
    pub fn stop_reading(&mut self, intake: &mut Intake) {
        self.spare = Arrived::default();
        intake.memory().shrink(held_by_reading(std::mem::take(&mut self.at_once)));
    }

    /// Asks whatever can be asked by now and was not yet.
    pub fn ask_what_is_known(&mut self, intake: &Intake) {
        let root = intake.root();
        match (&self.presented, &root.token) {
            (None, Some(token)) => self.ask_token(token.clone(), false),
            (Some(presented), Some(token)) if presented != token && !self.contradicted => {
                self.contradicted = true;
                let ports = self.ports;
                self.questions
                    .push(Box::pin(async move { Answer::Token(Err(refuse(ports, TWO_TOKENS, false).await)) }));
            }
            _ => {}
        }
        let Some(trigger_id) = root.trigger_id else { return };
        let ports = self.ports;
        if !self.database_asked {
            self.database_asked = true;
            self.questions.push(Box::pin(async move { Answer::Database(ports.campaign_database(trigger_id).await) }));
        }
        let large = intake.fed() > PREFLIGHT_FROM || intake.has_attachments();
        if let Some(Ok(token)) = &self.token
            && large
            && !self.object_asked
            && intake.fault().is_none()
            && self.has_an_id()
        {
            self.object_asked = true;
            let request = self.preflight_request(token);
            self.questions.push(Box::pin(async move {
                Answer::Object(ports.preflight(trigger_id, &request).await.map_err(Problem::from))
            }));
        }
    }

    /// Whether the request's id is known before the body has ended.
    fn has_an_id(&self) -> bool {
        !self.incoming.setup.checksum
    }

    fn preflight_request(&self, token: &TokenRecord) -> Request {
        Request { token_name: token.name.clone(), request_id: self.incoming.request_id.clone() }
    }

    fn ask_token(&mut self, token: String, early: bool) {
        self.presented = Some(token.clone());
        let ports = self.ports;
        self.questions.push(Box::pin(async move { Answer::Token(verify(ports, &token, Scope::Launch, early).await) }));
    }

    /// The fault of a token in a header or the query, if it has one.
    pub async fn head_token_fault(&mut self, intake: &mut Intake) -> Option<Problem> {
        if self.incoming.tokens.is_empty() {
            return None;
        }
        while self.token.is_none() {
            match self.questions.next().await {
                Some(Answer::Token(token)) => self.token = Some(token),
                None => return None,
                answer => drop(self.answered(answer, intake)),
            }
        }
        self.token.clone()?.err()
    }
}
