//! Runs an admitted request.

use futures_util::FutureExt as _;

use super::{
    commit::commit,
    completion::complete_or_abort,
    earlier, known,
    ports::Ports,
    reply::{LaunchResult, Timings},
    request::{Admitted, PendingUploads},
    search::{ProfileIndex, SearchResult, cannot_read_index, search},
};
use crate::{
    campaign::protocol::message::RepeatedLaunch,
    problem::{Problem, Refused},
};

/// The outcome of an admitted request.
#[derive(Debug)]
pub struct RunOutcome {
    pub result: Result<LaunchResult, Refused>,
    /// Without `parse`.
    pub timings: Timings,
    /// Uploads to complete after the answer.
    pub uploads: Option<PendingUploads>,
}

/// Searches the profiles, commits the launch, and returns the reply's content.
pub async fn run<P: Ports>(ports: &P, mut admitted: Admitted) -> RunOutcome {
    let mut timings = Timings::default();
    let result = search_and_commit(ports, &mut admitted, &mut timings).await;
    let Admitted { attachments, memory, request, .. } = admitted;
    let uploads = complete_or_abort(ports, request.trigger_id, attachments.unwrap_or_default(), &result).await;
    drop(request);
    let result = result.and_then(|mut launched| launched.reserve(memory).map(|()| launched));
    RunOutcome { result, timings, uploads }
}

async fn search_and_commit<P: Ports>(
    ports: &P,
    admitted: &mut Admitted,
    timings: &mut Timings,
) -> Result<LaunchResult, Refused> {
    let database = match admitted.database {
        Some(database) => database,
        None => ports.defined_database(admitted.request.trigger_id).boxed_local().await?,
    };
    if !admitted.token.allows_database(database) {
        return Err(Problem::NotFound("trigger campaign").into());
    }
    let was_looked_up = admitted.earlier.is_some();
    if let Some(earlier) = current_earlier(ports, admitted).await? {
        return earlier::repeat(earlier, admitted);
    }

    let start = ports.now();
    let searched = search_profiles(ports, admitted, database).await;
    timings.r#match = ports.now().saturating_sub(start);

    let is_dry_run = admitted.request.root.dry_run;
    let refused = searched.as_ref().err().or(admitted.attachments.as_ref().err()).cloned();
    if let Some(refused) = refused {
        // A repeated request and a paused campaign rank before the faults of the search and of the uploads.
        let earlier = if was_looked_up {
            earlier::find_again(ports, admitted, refused.clone()).await?
        } else {
            earlier::find(ports, admitted).await?
        };
        return earlier.map_or(Err(refused), |earlier| earlier::repeat(earlier, admitted));
    }
    let matched = searched?;
    if is_dry_run {
        // A dry run has no commit, which would find an earlier launch or a paused campaign.
        if !was_looked_up && let Some(earlier) = earlier::find(ports, admitted).await? {
            return earlier::repeat(earlier, admitted);
        }
        return Ok(LaunchResult::new(None, matched, admitted.request.root.report));
    }

    let start = ports.now();
    let launched = commit(ports, admitted, matched).await;
    timings.commit = ports.now().saturating_sub(start);
    launched
}

/// Returns the earlier launch of the same request, if the object was asked while the body arrived. A refusal may be out of date,
/// so the object is asked again.
async fn current_earlier<P: Ports>(ports: &P, admitted: &mut Admitted) -> Result<Option<RepeatedLaunch>, Refused> {
    let refused = match admitted.earlier.take() {
        None => return Ok(None),
        Some(Ok(earlier)) => return Ok(earlier),
        Some(Err(refused)) => refused,
    };
    let cause = refused.cause.clone();
    let earlier = earlier::find_again(ports, admitted, refused).await?;
    if let Some(cause) = cause {
        ports.report("the campaign's object was asked again", &cause);
    }
    Ok(earlier)
}

/// Searches the profiles of all items. With `strict`, an unmatched or invalid item is a refusal.
async fn search_profiles<P: Ports>(ports: &P, admitted: &mut Admitted, database: u64) -> Result<SearchResult, Refused> {
    let manifest = match admitted.manifest.take() {
        Some(manifest) => manifest,
        None => known::manifest(ports, database).await,
    };
    let mut manifest = manifest.map_err(|cause| cannot_read_index(database, cause))?;
    let request = &admitted.request;
    let result = loop {
        let index = ProfileIndex { database, manifest: manifest.text.as_deref(), secrets: &admitted.secrets };
        match search(ports, index, &request.items, &request.keying, &mut admitted.memory).await {
            Ok(result) => break result,
            Err(failed) if failed.needs_other_manifest && manifest.is_remembered => {
                let newer = known::read_manifest(ports, database).boxed_local().await;
                manifest = newer.map_err(|cause| cannot_read_index(database, cause))?;
            }
            Err(failed) => return Err(failed.refused),
        }
    };
    match result.first_refused {
        Some((first, outcome)) if request.root.strict => Err(Problem::Strict {
            unmatched: result.counts.unmatched,
            invalid: result.counts.invalid,
            first,
            reason: outcome.reason().unwrap_or_default(),
        }
        .into()),
        _ => Ok(result),
    }
}
