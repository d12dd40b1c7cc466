//! Step 2: with the body in, of all faults the one that is answered; or the request is admitted.

use super::{
    Admitted,
    files::cannot_store,
    gate::Gate,
    intake::Intake,
    ports::Ports,
    verify::{NO_TOKEN, TOKEN_NOT_FIRST, refuse},
};
use crate::{access::TokenRecord, problem::Problem};
use futures_util::stream::StreamExt as _;

impl<P: Ports> Gate<'_, P> {
    /// The fault to answer; or the token, of a request in which there is none.
    pub async fn judge(&mut self, intake: &mut Intake) -> Result<TokenRecord, Problem> {
        if self.presented.is_none() && !intake.is_short_of_memory() {
            let fault = refuse(self.ports, NO_TOKEN, false).await;
            return Err(worst(fault, [intake.fault(), self.incoming.fault.as_ref()]));
        }
        self.store(intake).await?;
        while let Some(answer) = self.questions.next().await {
            self.answered(Some(answer), intake)?;
            self.store(intake).await?;
        }
        let faults = [intake.fault(), self.incoming.fault.as_ref()];
        let token = match self.token.take() {
            Some(Ok(token)) => token,
            Some(Err(fault)) => return Err(worst(fault, faults)),
            None => return Err(without_token(faults)),
        };
        if let Some(fault) = faults.into_iter().flatten().cloned().reduce(Problem::first) {
            return Err(fault);
        }
        if matches!(self.database, Some(Err(_))) {
            return Err(Problem::Unavailable("the campaign cannot be looked up now: retry later".into()));
        }
        Ok(token)
    }

    /// The request, with what is known of it.
    pub async fn admit(&mut self, mut intake: Intake, token: TokenRecord) -> Result<Admitted, Problem> {
        let database = self.database.take().and_then(Result::ok).flatten();
        let (digest, checksum) = (intake.digest().finish(), intake.digest().id());
        let attachments = match (&self.object, self.unstored.take()) {
            // A repeat: its attachments were given up when the object knew the request.
            (Some(Ok(Some(_))), _) => Ok(Vec::new()),
            (_, Some(problem)) => Err(problem),
            (_, None) => self.files.staged().ok_or_else(cannot_store),
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

/// The token may have come and found no room: what ranks behind a bad one is told to callers with a good one alone.
fn without_token(faults: [Option<&Problem>; 2]) -> Problem {
    let bad_token = Problem::TokenRequiredInBody(TOKEN_NOT_FIRST);
    let first = faults.into_iter().flatten().cloned().reduce(Problem::first);
    first.filter(|fault| fault.rank() <= bad_token.rank()).unwrap_or_else(Problem::no_memory)
}

fn worst(fault: Problem, others: [Option<&Problem>; 2]) -> Problem {
    others.into_iter().flatten().cloned().fold(fault, Problem::first)
}
