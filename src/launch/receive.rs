//! Step 1: receives a body while token, campaign and the campaign's object are looked up.

use super::{
    Admitted, Incoming,
    files::{self, TakeError, cannot_store},
    gate::{Answer, BUFFERS, Gate},
    intake::Intake,
    pace::PacedBody,
    ports::{Body, Clock, Ports},
    room::Waiting,
    verify::token_not_first,
};
use crate::{
    limits::{READ_BUFFER, ROOM_POLL_MS},
    memory::{OutOfMemory, Reservation},
    problem::{Cause, Problem, Refused},
    wire::Format,
};
use futures_util::{
    future::{Either, select},
    stream::StreamExt as _,
};
use std::pin::pin;

/// A body that was received, whatever its outcome.
#[derive(Debug)]
pub struct Received {
    /// The request, or the fault to answer.
    pub admitted: Result<Box<Admitted>, Refused>,
    /// `format` of the body, as far as it arrived.
    pub format: Option<Format>,
    /// Bytes that were read.
    pub read: u64,
}

/// Receives the body, and admits the request or finds the fault to answer.
pub async fn receive<P: Ports, C: Clock, B: Body>(
    ports: &P,
    incoming: &Incoming,
    body: &mut PacedBody<'_, C, B>,
    memory: Reservation,
) -> Received {
    let mut gate = Box::new(Gate::new(ports, incoming));
    let mut intake = Box::new(Intake::new(incoming.setup.clone(), memory));
    let cut_short = gate.take_in(&mut intake, body).await.err();
    let format = intake.root().format;
    let read = intake.fed();
    let admitted = match cut_short {
        // A bad token in the head ranks before what ended the reading.
        Some(refused) if is_at_once(&refused.problem) => Err(refused),
        Some(refused) => {
            let fault = gate.head_token_fault(&mut intake).await;
            Err(fault.map_or(refused.clone(), |fault| fault.first(refused)))
        }
        None => gate.judge(&mut intake).await,
    };
    let admitted = match admitted {
        Ok(token) => Box::pin(gate.admit(*intake, token)).await.map(Box::new),
        Err(refused) => {
            // What is held stays reserved until the last upload has ended.
            gate.files.stop(ports.bucket(), intake.memory());
            gate.give_up().await;
            Err(refused)
        }
    };
    Received { admitted, format, read }
}

/// A request that has to make room waits for nothing else.
fn is_at_once(problem: &Problem) -> bool {
    matches!(problem, Problem::Unavailable(_))
}

impl<P: Ports> Gate<'_, P> {
    /// Reads the body to its end. An error is final.
    async fn take_in<C: Clock, B: Body>(
        &mut self,
        intake: &mut Intake,
        body: &mut PacedBody<'_, C, B>,
    ) -> Result<(), Refused> {
        while let Some(arrived) = self.next_read(intake, body).await? {
            let mut rest = arrived;
            while rest > 0 {
                let next = rest.min(READ_BUFFER);
                self.make_room(intake, next).await?;
                let fed = body.chunk(|bytes| (bytes.len(), intake.feed(bytes)));
                intake.memory().release_credit();
                let Some((fed, result)) = fed else { break };
                result?;
                rest = rest.saturating_sub(fed);
                if intake.is_broken()
                    && let Some(length) = self.incoming.length
                {
                    // Nothing can be made of the rest, and its size is known.
                    let rest = length.saturating_sub(intake.fed());
                    let missing = || Refused::internal("a malformed body without a fault");
                    return Err(intake.broken_with_rest(rest).unwrap_or_else(missing));
                }
                self.start_lookups(intake);
                self.store(intake).await?;
            }
        }
        intake.finish(self.incoming.length);
        self.start_lookups(intake);
        Ok(())
    }

    /// Waits for the next bytes; completed lookups are recorded meanwhile. A bad token in the head ends the reading.
    async fn next_read<C: Clock, B: Body>(
        &mut self,
        intake: &mut Intake,
        body: &mut PacedBody<'_, C, B>,
    ) -> Result<Option<usize>, Refused> {
        let watch = intake.memory().watch();
        let at_once = self.view.grow(body.received(), &watch, body.length(), intake.memory(), BUFFERS);
        let mut read = pin!(body.read(at_once));
        loop {
            let arrived = if self.questions.is_empty() {
                read.as_mut().await
            } else {
                match select(read.as_mut(), self.questions.next()).await {
                    Either::Left((arrived, _)) => arrived,
                    Either::Right((answer, _)) => {
                        self.answered(answer, intake)?;
                        continue;
                    }
                }
            };
            return Ok(arrived?);
        }
    }

    /// Waits for room for what `bytes` of the body may take, if the caller is not verified and the room is used up.
    async fn make_room(&mut self, intake: &mut Intake, bytes: usize) -> Result<(), Refused> {
        if intake.memory().watch().is_verified() {
            return Ok(());
        }
        let wanted = intake.growth(bytes).min(intake.memory().most());
        if intake.memory().has_room(wanted) {
            return Ok(());
        }
        let error = intake.memory().shortage(wanted);
        match self.wait_for_room(intake, wanted, error).await {
            // What is there may be enough.
            Err(refused) if refused.problem == Problem::no_memory() => Ok(()),
            outcome => outcome,
        }
    }

    /// Waits until `bytes` are reserved as a credit; completed lookups are recorded meanwhile.
    async fn wait_for_room(&mut self, intake: &mut Intake, bytes: u64, error: OutOfMemory) -> Result<(), Refused> {
        let ports = self.ports;
        let waiting = Waiting::start(intake.memory(), bytes, error, ports.now());
        loop {
            if let Some(outcome) = waiting.outcome(intake.memory(), ports.now()) {
                return outcome;
            }
            let mut pause = pin!(ports.sleep(ROOM_POLL_MS));
            while !self.questions.is_empty() {
                match select(pause.as_mut(), self.questions.next()).await {
                    Either::Left(_) => break,
                    Either::Right((answer, _)) => self.answered(answer, intake)?,
                }
            }
            if intake.memory().watch().is_verified() {
                intake.memory().withdraw();
                return Ok(());
            }
            if self.questions.is_empty() {
                pause.await;
            }
        }
    }

    /// Passes arrived attachment data on to be stored, and waits while there is no memory for it.
    pub async fn store(&mut self, intake: &mut Intake) -> Result<(), Refused> {
        let mut arrived = intake.take_arrived(std::mem::take(&mut self.spare));
        let limit = self.incoming.setup.limits.body;
        if self.incoming.tokens.is_empty() && intake.before_token() > limit {
            intake.fail(Problem::TokenRequiredInBody(token_not_first(limit)));
        }
        loop {
            if intake.is_closed() {
                self.files.stop(self.ports.bucket(), intake.memory());
            }
            let bound = self.parts_memory();
            let taken = self.files.take(self.ports.bucket(), &mut arrived, bound, intake.memory());
            intake.memory().release_credit();
            if let Err(error) = taken {
                if let Some(bytes) = self.worth_waiting_for(&error, intake)
                    && let TakeError::OutOfMemory(error) = error
                {
                    match self.wait_for_room(intake, bytes, error).await {
                        Err(refused) if refused.problem == Problem::no_memory() => self.store_none(refused, intake),
                        outcome => outcome?,
                    }
                } else {
                    self.store_none(error.into(), intake);
                }
                continue;
            }
            self.upload();
            if arrived.events.is_empty() {
                break;
            }
            match self.questions.next().await {
                // There is always room for the only part that is held.
                None => {
                    let cause = Cause::new("parts of attachments wait for memory, and no upload is in progress");
                    self.store_none(cannot_store(cause), intake);
                }
                answer => self.answered(answer, intake)?,
            }
        }
        self.spare = arrived;
        Ok(())
    }

    /// Bytes that an unverified caller can wait for.
    fn worth_waiting_for(&self, error: &TakeError, intake: &mut Intake) -> Option<u64> {
        let TakeError::OutOfMemory(error) = error else { return None };
        error.worth_waiting_for().filter(|_| !intake.memory().watch().is_verified())
    }

    /// Starts the upload steps that can start.
    fn upload(&mut self) {
        while let Some(step) = self.files.begin(self.ports.bucket()) {
            self.questions.push(Box::pin(async move { Answer::Stored(step.await) }));
        }
    }

    /// Aborts what was uploaded: the request is not launched.
    pub async fn give_up(&mut self) {
        while self.files.is_uploading() {
            if let Some(Answer::Stored(ended)) = self.questions.next().await {
                self.files.lost(ended);
            }
        }
        files::abort(self.ports, self.files.begun()).await;
    }
}
