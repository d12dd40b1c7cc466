//! Step 1: receiving a body, while token, campaign and the campaign's object are asked.

use super::{
    Admitted, Incoming,
    files::{self, cannot_store},
    gate::{Answer, Gate},
    intake::Intake,
    ports::{Body, BodyError, Ports},
    verify::TOKEN_NOT_FIRST,
};
use crate::{memory::Reservation, problem::Problem, wire::Format};
use futures_util::{
    future::{Either, select},
    stream::StreamExt as _,
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
        None => gate.judge(&mut intake).await,
    };
    let admitted = match admitted {
        Ok(token) => gate.admit(intake, token).await,
        Err(problem) => {
            // What is held stays reserved until nothing is uploaded any more.
            gate.files.stop(ports.bucket(), intake.memory());
            gate.give_up().await;
            Err(problem)
        }
    };
    Received { admitted, format, read }
}

impl<P: Ports> Gate<'_, P> {
    /// Reads the body to its end. An error is final.
    async fn take_in<B: Body>(&mut self, intake: &mut Intake, body: &mut B) -> Result<(), Problem> {
        loop {
            let at_once = loop {
                match self.at_once(intake) {
                    Ok(at_once) => break at_once,
                    // There is more room for a caller who is verified.
                    Err(_) if self.asks_for_the_token() => {
                        let answer = self.questions.next().await;
                        self.answered(answer, intake)?;
                    }
                    Err(problem) => return Err(problem),
                }
            };
            let chunk = self.next_chunk(intake, body, at_once).await?;
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
        at_once: usize,
    ) -> Result<Option<&'b [u8]>, Problem> {
        let mut read = pin!(body.read(at_once));
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

    /// Passes what has arrived of attachments on to be stored, and waits while there is no memory for it.
    pub async fn store(&mut self, intake: &mut Intake) -> Result<(), Problem> {
        let mut arrived = intake.take_arrived(std::mem::take(&mut self.spare));
        if self.incoming.tokens.is_empty() && intake.before_token() > self.incoming.setup.limits.body {
            intake.fail(Problem::TokenRequiredInBody(TOKEN_NOT_FIRST));
        }
        loop {
            if intake.is_closed() {
                self.files.stop(self.ports.bucket(), intake.memory());
            }
            let bound = self.parts_memory();
            if let Err(problem) = self.files.take(self.ports.bucket(), &mut arrived, bound, intake.memory()) {
                self.store_none(problem, intake);
                continue;
            }
            self.upload();
            if arrived.events.is_empty() {
                break;
            }
            match self.questions.next().await {
                // There is always room for the only part that is held.
                None => self.store_none(cannot_store(), intake),
                answer => self.answered(answer, intake)?,
            }
        }
        self.spare = arrived;
        Ok(())
    }

    /// Begins the uploads that can begin.
    fn upload(&mut self) {
        while let Some(step) = self.files.begin(self.ports.bucket()) {
            self.questions.push(Box::pin(async move { Answer::Stored(step.await) }));
        }
    }

    /// Nothing is launched: what was stored is aborted.
    pub async fn give_up(&mut self) {
        while self.files.is_uploading() {
            if let Some(Answer::Stored(ended)) = self.questions.next().await {
                self.files.lost(ended);
            }
        }
        files::abort(self.ports, self.files.begun()).await;
    }
}
