//! Steps 1 and 2: receiving a body, while token, campaign and the campaign's object are asked; and admitting it.

use super::{
    Admitted, Incoming,
    entry::Arrived,
    files::{self, Ended, Files},
    intake::Intake,
    new_launch_id,
    ports::{Body, BodyError, Bucket, Ports},
};
use crate::{
    access::{Scope, TokenRecord, token_key},
    campaign::{commands::Request, id::LaunchId, message::Repeated},
    limits::{PREFLIGHT_FROM, TOKEN_LIMIT},
    memory::Reservation,
    problem::Problem,
    profiles::lookup::StoreError,
    wire::Format,
};
use futures_util::{
    future::{Either, LocalBoxFuture, select},
    stream::{FuturesUnordered, StreamExt as _},
};
use std::pin::pin;

/// A body that was received, whatever came of it.
#[derive(Debug)]
pub struct Received {
    /// The request, or the fault to answer.
    pub admitted: Result<Admitted, Problem>,
    /// `format` of the body, as far as it came.
    pub format: Option<Format>,
    /// Bytes that were read.
    pub read: u64,
}

/// What one of the questions asked meanwhile was answered, or what came of an upload.
enum Answer<B: Bucket> {
    Token(Result<TokenRecord, Problem>),
    Database(Result<Option<u64>, StoreError>),
    Manifest(Result<Option<String>, StoreError>),
    Object(Result<Option<Repeated>, Problem>),
    Stored(Ended<B>),
}

/// What is known, and what is being asked.
struct Gate<'p, P: Ports> {
    ports: &'p P,
    incoming: &'p Incoming,
    questions: FuturesUnordered<LocalBoxFuture<'p, Answer<P::Bucket>>>,
    /// The token that was asked about first; another one in the body contradicts it.
    presented: Option<String>,
    contradicted: bool,
    token: Option<Result<TokenRecord, Problem>>,
    database: Option<Result<Option<u64>, StoreError>>,
    database_asked: bool,
    manifest: Option<Result<Option<String>, StoreError>>,
    object: Option<Result<Option<Repeated>, Problem>>,
    object_asked: bool,
    files: Files<P::Bucket>,
    /// The id of this attempt, where attachments are stored under it.
    launch_id: Option<LaunchId>,
    /// What held arrived bytes the last time, to be used again.
    spare: Arrived,
}

const NO_TOKEN: &str = "no token: send Authorization: Bearer, the field token, or ?token=";
const NO_TOKEN_IN_HEAD: &str = "no token: send Authorization: Bearer, or ?token=";
const UNKNOWN_TOKEN: &str = "the token is not known";
const TWO_TOKENS: &str = "two tokens that differ were sent";
const TOKEN_NOT_FIRST: &str = "the body holds more than may be held for a caller not yet verified: send the token in \
                               the Authorization header, or ahead of data and attach";

/// Receives the body, and admits the request or finds the fault to answer.
pub async fn receive<P: Ports, B: Body>(ports: &P, incoming: &Incoming, body: &mut B, memory: Reservation) -> Received {
    let mut gate = Gate::new(ports, incoming);
    let mut intake = Intake::new(incoming.setup.clone(), memory);
    let cut_short = gate.take_in(&mut intake, body).await.err();
    let format = intake.root().format;
    let read = intake.fed();
    let admitted = match cut_short {
        // A bad token in the head comes before what the body was cut short for.
        Some(problem) => {
            let fault = gate.head_token_fault(&mut intake).await;
            Err(fault.map_or(problem.clone(), |fault| fault.first(problem)))
        }
        None => gate.admit(intake).await,
    };
    if admitted.is_err() {
        gate.give_up().await;
    }
    Received { admitted, format, read }
}

impl<'p, P: Ports> Gate<'p, P> {
    fn new(ports: &'p P, incoming: &'p Incoming) -> Self {
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

    /// Reads the body to its end. An error is final.
    async fn take_in<B: Body>(&mut self, intake: &mut Intake, body: &mut B) -> Result<(), Problem> {
        loop {
            let chunk = self.next_chunk(intake, body).await?;
            let Some(chunk) = chunk else { break };
            intake.feed(chunk)?;
            if intake.is_broken()
                && let Some(length) = self.incoming.length
            {
                // Nothing can be made of the rest, and its size is known.
                let rest = length.saturating_sub(intake.fed());
                return Err(intake.broken_with_rest(rest).unwrap_or(Problem::Internal));
            }
            self.ask_what_is_known(intake);
            self.store(intake).await?;
        }
        intake.finish(self.incoming.length);
        self.ask_what_is_known(intake);
        Ok(())
    }

    /// The next chunk; meanwhile answers are taken in. A bad token in the head ends it.
    async fn next_chunk<'b, B: Body>(
        &mut self,
        intake: &mut Intake,
        body: &'b mut B,
    ) -> Result<Option<&'b [u8]>, Problem> {
        let mut read = pin!(body.read());
        let chunk = loop {
            if self.questions.is_empty() {
                break read.await;
            }
            match select(read.as_mut(), self.questions.next()).await {
                Either::Left((chunk, _)) => break chunk,
                Either::Right((answer, _)) => self.answered(answer, intake)?,
            }
        };
        match chunk {
            Ok(chunk) => Ok(chunk),
            Err(BodyError::Timeout) => Err(Problem::Timeout),
            Err(BodyError::Aborted) => Err(Problem::Malformed(format!("byte {}: the body ends early", intake.fed()))),
        }
    }

    /// Passes what has arrived of attachments on to be stored, and waits while too much is held.
    async fn store(&mut self, intake: &mut Intake) -> Result<(), Problem> {
        let arrived = intake.take_arrived(std::mem::take(&mut self.spare));
        if let Err(problem) = self.files.take(self.ports.bucket(), &arrived, intake.memory()) {
            intake.fail(problem);
        }
        self.spare = arrived;
        loop {
            if intake.is_closed() {
                self.files.stop(self.ports.bucket(), intake.memory());
            }
            self.upload();
            let token_is_coming = self.presented.is_some() && self.token.is_none();
            let wait = !self.files.has_room(self.ports.bucket()) && (self.files.is_permitted() || token_is_coming);
            if !wait || self.questions.is_empty() {
                break;
            }
            let answer = self.questions.next().await;
            self.answered(answer, intake)?;
        }
        if !self.files.is_permitted() && self.files.held() as u64 > self.incoming.setup.limits.body {
            intake.fail(Problem::TokenRequiredInBody(TOKEN_NOT_FIRST));
            self.files.stop(self.ports.bucket(), intake.memory());
        }
        Ok(())
    }

    /// Begins the uploads that can begin.
    fn upload(&mut self) {
        while let Some(step) = self.files.begin(self.ports.bucket()) {
            self.questions.push(Box::pin(async move { Answer::Stored(step.await) }));
        }
    }

    /// Nothing is launched: what was stored is aborted.
    async fn give_up(&mut self) {
        while self.files.is_uploading() {
            if let Some(Answer::Stored(ended)) = self.questions.next().await {
                self.files.lost(ended);
            }
        }
        files::abort(self.ports, self.files.begun()).await;
    }

    /// Takes an answer in; an error ends the reading of the body.
    fn answered(&mut self, answer: Option<Answer<P::Bucket>>, intake: &mut Intake) -> Result<(), Problem> {
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
    fn ask_what_is_known(&mut self, intake: &Intake) {
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
    async fn head_token_fault(&mut self, intake: &mut Intake) -> Option<Problem> {
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

    /// Step 2: with the body in, of all faults the one that is answered.
    async fn admit(&mut self, mut intake: Intake) -> Result<Admitted, Problem> {
        if self.presented.is_none() && !intake.is_short_of_memory() {
            let fault = refuse(self.ports, NO_TOKEN, false).await;
            return Err(worst(fault, [intake.fault(), self.incoming.fault.as_ref()]));
        }
        self.store(&mut intake).await?;
        while let Some(answer) = self.questions.next().await {
            self.answered(Some(answer), &mut intake)?;
            self.store(&mut intake).await?;
        }
        let faults = [intake.fault(), self.incoming.fault.as_ref()];
        let token = match self.token.take() {
            Some(Ok(token)) => token,
            Some(Err(fault)) => return Err(worst(fault, faults)),
            None => {
                let told = Problem::TokenRequiredInBody(TOKEN_NOT_FIRST);
                return Err(faults.into_iter().flatten().next().cloned().unwrap_or(told));
            }
        };
        if let Some(fault) = faults.into_iter().flatten().cloned().reduce(Problem::first) {
            return Err(fault);
        }
        let unreadable = |_| Problem::Unavailable("the campaign cannot be looked up now: retry later".into());
        let database = self.database.take().transpose().map_err(unreadable)?.flatten();
        let (digest, checksum) = (intake.digest().finish(), intake.digest().id());
        let attachments = match self.files.staged() {
            Some(attachments) => attachments,
            // A repeat: its attachments were given up when the object knew the request.
            None if matches!(self.object, Some(Ok(Some(_)))) => {
                self.give_up().await;
                Vec::new()
            }
            // The platform gave no digest.
            None => return Err(cannot_store()),
        };
        self.files.stop(self.ports.bucket(), intake.memory());
        let (request, memory) = intake.into_request()?;
        Ok(Admitted {
            request,
            memory,
            token,
            digest,
            checksum,
            database,
            manifest: self.manifest.take(),
            object: self.object.take(),
            launch_id: self.launch_id,
            attachments,
        })
    }
}

fn worst(fault: Problem, others: [Option<&Problem>; 2]) -> Problem {
    others.into_iter().flatten().cloned().fold(fault, Problem::first)
}

fn cannot_store() -> Problem {
    Problem::Unavailable("attachments cannot be stored now: retry later".into())
}

/// Verifies the token of a request whose body holds none.
pub async fn verify_head<P: Ports>(ports: &P, tokens: &[String], scope: Scope) -> Result<TokenRecord, Problem> {
    match tokens {
        [] => Err(refuse(ports, NO_TOKEN_IN_HEAD, true).await),
        [token] => verify(ports, token, scope, true).await,
        _ => Err(refuse(ports, TWO_TOKENS, true).await),
    }
}

/// Verifies a token: it is known, not revoked, within its rate limit, and has the scope.
/// `early`: it came in a header or the query.
async fn verify<P: Ports>(ports: &P, token: &str, scope: Scope, early: bool) -> Result<TokenRecord, Problem> {
    if token.len() > TOKEN_LIMIT {
        return Err(refuse(ports, UNKNOWN_TOKEN, early).await);
    }
    let unreadable = |_| Problem::Unavailable("tokens cannot be looked up now: retry later".into());
    let record = ports.token(&token_key(token)).await.map_err(unreadable)?;
    let Some(record) = record.filter(|record| record.revoked.is_none()) else {
        return Err(refuse(ports, UNKNOWN_TOKEN, early).await);
    };
    if !ports.allow_token(&record.name).await {
        return Err(Problem::TooManyRequests);
    }
    if record.allows(scope) { Ok(record) } else { Err(Problem::AccessDenied(scope.as_str())) }
}

/// The refusal of a caller without a good token: 401, or 429 once its address has had too many.
async fn refuse<P: Ports>(ports: &P, what: &'static str, early: bool) -> Problem {
    match (ports.allow_address().await, early) {
        (false, _) => Problem::TooManyRequests,
        (true, true) => Problem::TokenRequired(what),
        (true, false) => Problem::TokenRequiredInBody(what),
    }
}
