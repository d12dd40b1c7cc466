//! Step 2: once the body is in, finds the fault to answer, or admits the request.

use super::{
    Admitted,
    files::cannot_store,
    gate::Gate,
    intake::Intake,
    ports::Ports,
    verify::{NO_TOKEN, Source, refuse, token_not_first},
};
use crate::{
    access::TokenRecord,
    memory::OutOfMemory,
    problem::{Cause, Problem, Refused},
};
use futures_util::stream::StreamExt as _;

impl<P: Ports> Gate<'_, P> {
    /// Returns the token's record, or the fault with the highest priority.
    pub async fn judge(&mut self, intake: &mut Intake) -> Result<TokenRecord, Refused> {
        let head_fault = self.incoming.fault.clone().map(Refused::from);
        if self.presented.is_none() && !intake.is_short_of_memory() {
            let fault = refuse(self.ports, NO_TOKEN, Source::Body).await;
            return Err(first_of(fault, [intake.fault(), head_fault.as_ref()]));
        }
        self.store(intake).await?;
        while let Some(answer) = self.questions.next().await {
            self.answered(Some(answer), intake)?;
            self.store(intake).await?;
        }
        let faults = [intake.fault(), head_fault.as_ref()];
        let token = match self.token.take() {
            Some(Ok(token)) => token,
            Some(Err(fault)) => return Err(first_of(fault, faults)),
            None => return Err(without_token(faults, intake.shortage(), self.incoming.setup.limits.body)),
        };
        if let Some(fault) = faults.into_iter().flatten().cloned().reduce(Refused::first) {
            return Err(fault);
        }
        match self.database.outcome() {
            Some(Err(cause)) => Err(cannot_look_up(cause.clone())),
            _ => Ok(token),
        }
    }

    /// Returns the request with everything known about it.
    pub async fn admit(&mut self, mut intake: Intake, token: TokenRecord) -> Result<Admitted, Refused> {
        let database = self.database.take().and_then(Result::ok).flatten();
        let (digest, checksum) = (intake.digest().finish(), intake.digest().id());
        let attachments = match (self.object.outcome(), self.unstored.take()) {
            // A repeat: storing its attachments ended when the object reported the earlier launch.
            (Some(Ok(Some(_))), _) => Ok(Vec::new()),
            (_, Some(refused)) => Err(refused),
            (_, None) => {
                let incomplete = || cannot_store(Cause::new("an upload is incomplete, and no step of it has failed"));
                self.files.staged().ok_or_else(incomplete)
            }
        };
        if !attachments.as_ref().is_ok_and(|attachments| !attachments.is_empty()) {
            self.give_up().await;
        }
        self.files.stop(self.ports.bucket(), intake.memory());
        self.stop_reading(&mut intake);
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

/// 503: KV failed.
fn cannot_look_up(cause: Cause) -> Refused {
    Refused::unavailable("the campaign cannot be looked up now: retry later", cause)
}

/// The refusal of a request whose token may have arrived and found no room. Faults that rank after a bad token are answered
/// only to callers with a valid one.
fn without_token(faults: [Option<&Refused>; 2], shortage: Option<OutOfMemory>, limit: u64) -> Refused {
    let bad_token = Problem::TokenRequiredInBody(token_not_first(limit));
    let first = faults.into_iter().flatten().cloned().reduce(Refused::first);
    let first = first.filter(|fault| fault.problem.rank() <= bad_token.rank());
    first.unwrap_or_else(|| match shortage {
        Some(error) => error.into(),
        None => Refused::because(Problem::no_memory(), Cause::new("no token was looked up")),
    })
}

fn first_of(fault: Refused, others: [Option<&Refused>; 2]) -> Refused {
    others.into_iter().flatten().cloned().fold(fault, Refused::first)
}
