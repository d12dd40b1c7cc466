//! Launches a campaign: from a body that arrives to a reply.
//!
//! ```text
//! body ─▶ receive ─▶ admit ─▶ run: search ─▶ commit ─▶ reply, then complete uploads
//!           ▲                       ▲          ▲
//!   KV: token, campaign,      KV: buckets    the campaign's object
//!   manifest; object: an
//!   earlier request; R2: uploads
//! ```
//!
//! | step | module | purpose |
//! |---|---|---|
//! | 1. receive | [`receive`] | parses the body as it arrives, while lookups and uploads run; decides when to stop reading |
//! | 2. admit | [`admit`] | a pure function: applies the order of faults, or returns a request that can be run |
//! | 3. run | [`run`] | an earlier launch of the same request, [`search`], [`commit`], the reply |
//! | 4. complete | [`completion`] | completes the uploads of attachments after the answer |
//!
//! [`request`] defines the values that pass between the steps. [`ports`] defines the services that a launch uses. [`Admitted`] owns
//! everything that a run needs, so a request can be run at once, or stored and run later. All work before the commit can be
//! discarded, and all work after the commit can be repeated.
//!
//! The futures of rare cases are boxed. The runtime compiles a function when it is first called, and the code of a future that is
//! not boxed becomes a part of the function that awaits it.

pub mod admit;
pub mod commit;
pub mod completion;
mod earlier;
mod found;
pub mod known;
mod live_search;
pub mod matching;
pub mod ports;
pub mod receive;
pub mod remembered;
pub mod reply;
pub mod request;
pub mod run;
pub mod search;
pub mod verify;

use crate::memory::Reservation;
use admit::admit;
pub use completion::complete_uploads;
use ports::{Body, Clock, Ports};
use receive::{pace::PacedBody, receive, uploads};
use reply::Timings;
pub use request::{Admitted, BodySettings, LaunchOutcome, PendingUploads, RequestHead};
use run::run;

/// Runs one launch request from its body to its outcome. `memory` is the request's reservation.
pub async fn launch<P: Ports, C: Clock, B: Body>(
    ports: &P,
    head: RequestHead,
    body: &mut PacedBody<'_, C, B>,
    memory: Reservation,
) -> LaunchOutcome {
    let start = ports.now();
    let mut received = receive(ports, &head, body, memory).await;
    let timings = Timings { parse: ports.now().saturating_sub(start), ..Timings::default() };
    let format = received.body.format.unwrap_or(head.format);
    let read = received.body.read;
    let begun = std::mem::take(&mut received.uploads.begun);
    let admitted = admit(received, &head);
    if !begun.is_empty() && !admitted.as_ref().is_ok_and(|admitted| admitted.has_attachments()) {
        uploads::abort(ports, begun).await;
    }
    match admitted {
        Err(refused) => {
            LaunchOutcome { result: Err(refused), format, request_id: head.request_id, read, timings, uploads: None }
        }
        Ok(admitted) => {
            let request_id = admitted.request_id.clone();
            // Boxed, so that a request that waits for its body is not as large as the state of the run.
            let ran = Box::pin(run(ports, *admitted)).await;
            let timings = Timings { parse: timings.parse, ..ran.timings };
            LaunchOutcome { result: ran.result, format, request_id, read, timings, uploads: ran.uploads }
        }
    }
}

#[cfg(test)]
pub(crate) mod tests;
