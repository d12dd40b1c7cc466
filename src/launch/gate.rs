//! What is asked while a body arrives, and what is known by now: token, campaign, manifest, the campaign's object, and the
//! uploads of attachments.
//!
//! A question is asked as soon as the body has told what it takes, and once. [`super::receive`] waits for answers and for
//! the body at once.

use super::{
    Incoming,
    entry::Arrived,
    files::{Ended, Files},
    intake::Intake,
    new_launch_id,
    ports::{Bucket, Ports},
    verify::{TWO_TOKENS, refuse, verify},
};
use crate::{
    access::{Scope, TokenRecord},
    campaign::{commands::Request, id::LaunchId, message::Repeated},
    limits::PREFLIGHT_FROM,
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
    /// The id of this attempt, where attachments are stored under it.
    pub launch_id: Option<LaunchId>,
    /// What held arrived bytes the last time, to be used again.
    pub spare: Arrived,
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
            launch_id: None,
            spare: Arrived::default(),
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
                    intake.fail(cannot_store());
                }
            }
            Some(Answer::Object(object)) => {
                if matches!(object, Ok(Some(_))) {
                    // The answer is there: of the rest of the body only the digest matters.
                    intake.close();
                }
                self.object = Some(object);
            }
        }
        Ok(())
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

/// A bucket that failed.
pub fn cannot_store() -> Problem {
    Problem::Unavailable("attachments cannot be stored now: retry later".into())
}
