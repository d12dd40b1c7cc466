//! The use case: one launch, from a body that arrives to a reply, as numbered steps over [`ports`].
//!
//! 1. **Receive**: the body is framed as it comes; token, campaign and (for a large body) the campaign's object
//!    are asked meanwhile.
//! 2. **Admit**: of all faults found, the one that comes first in the contract's order is answered.
//! 3. **Match**: keys are looked up in one generation of the index.
//! 4. **Commit**: one message to the campaign's object. Everything before it can be thrown away, everything
//!    after it repeated.
//!
//! *Architecture invariant:* no clock, no randomness and no I/O but through the ports.

mod admit;
pub mod blocks;
mod digest;
pub mod entry;
pub mod files;
mod gate;
pub mod intake;
pub mod items;
pub mod matched;
pub mod matching;
pub mod pace;
mod parts;
pub mod ports;
mod receive;
pub mod reply;
pub mod room;
pub mod root;
mod taken;
pub mod verify;

use crate::{
    access::TokenRecord,
    campaign::{
        self,
        commands::{self, Request as Asked},
        head::{Attachment, Head},
        id::{LaunchId, RequestKey},
        items::Collector,
        message::{Commit, Repeated},
        upkeep::Uploads as _,
    },
    fields::Endpoint,
    memory::Reservation,
    problem::{Cause, Problem, Refused},
    wire::Format,
};
use intake::{Request, Setup};
use matched::Matched;
use pace::PacedBody;
use ports::{Answer, Body, Clock, ObjectError, Ports};
use receive::receive;
use reply::{Launched, Timings};

/// What is known of a request before its body.
#[derive(Debug, Clone)]
pub struct Incoming {
    /// What the intake needs.
    pub setup: Setup,
    /// `Content-Length`.
    pub length: Option<u64>,
    /// The tokens of `Authorization` and the query, each once: two that differ are refused.
    pub tokens: Vec<String>,
    /// The format of the reply where the body names none.
    pub format: Format,
    /// The request's id: the caller's, or a new one (until the body is in, where a digest of it is to be the id).
    pub request_id: String,
    /// A fault of the head that is answered only after others, such as a malformed request id.
    pub fault: Option<Problem>,
}

/// What a request came to.
#[derive(Debug)]
pub struct Settled {
    /// The launch, or why there is none.
    pub result: Result<Launched, Refused>,
    /// The format of the reply, as far as it became known.
    pub format: Format,
    /// The request's id.
    pub request_id: String,
    /// Bytes of the body that were read.
    pub read: u64,
    /// How long the phases took.
    pub timings: Timings,
    /// What is to be done after the answer.
    pub pending: Option<Pending>,
}

/// How long a commit is repeated while its answers are lost, in milliseconds.
const COMMIT_DEADLINE_MS: u64 = 10_000;
/// How long to wait before the first repetition, in milliseconds; doubled each time.
const COMMIT_PAUSE_MS: u64 = 50;

/// Runs one launch.
pub async fn launch<P: Ports, C: Clock, B: Body>(
    ports: &P,
    incoming: Incoming,
    body: &mut PacedBody<'_, C, B>,
    memory: Reservation,
) -> Settled {
    let start = ports.now();
    let received = receive(ports, &incoming, body, memory).await;
    let mut settled = Settled {
        result: Err(Refused::internal("the launch did not run")),
        format: received.format.unwrap_or(incoming.format),
        request_id: incoming.request_id.clone(),
        read: received.read,
        timings: Timings { parse: ports.now().saturating_sub(start), ..Timings::default() },
        pending: None,
    };
    match received.admitted {
        Err(refused) => settled.result = Err(refused),
        // Boxed, so that a request that waits for its body does not carry the state of what follows.
        Ok(admitted) => Box::pin(run(ports, &incoming, *admitted, &mut settled)).await,
    }
    settled
}

/// Runs an admitted request to its outcome.
async fn run<P: Ports>(ports: &P, incoming: &Incoming, admitted: Admitted, settled: &mut Settled) {
    if let Some(checksum) = &admitted.checksum {
        settled.request_id.clear();
        crate::text::push_hex(checksum, &mut settled.request_id);
    }
    let mut launch = Launch { ports, endpoint: incoming.setup.endpoint, request_id: &settled.request_id, admitted };
    let result = launch.run(incoming, &mut settled.timings).await;
    let memory;
    (settled.pending, memory) = launch.end(&result).await;
    settled.result = result.and_then(|mut launched| launched.reserve(memory).map(|()| launched));
}

/// A request that nothing speaks against so far: a good token, a good body.
#[derive(Debug)]
pub struct Admitted {
    request: Request,
    memory: Reservation,
    token: TokenRecord,
    digest: [u8; 32],
    /// The request's id, where a digest of the body is it.
    checksum: Option<[u8; 32]>,
    /// The campaign's database as KV has it; `None`: KV does not know the campaign yet.
    database: Option<u64>,
    /// The manifest of its index, if it was read while the body arrived.
    manifest: Option<Result<Option<String>, Cause>>,
    /// The answer of the campaign's object, if it was asked while the body arrived. It may be out of date by now.
    object: Option<Result<Option<Repeated>, Refused>>,
    /// The id under which attachments were stored, if it is this request's.
    launch_id: Option<LaunchId>,
    /// Uploaded, and not complete; or why they could not be uploaded.
    attachments: Result<Vec<Attachment>, Refused>,
}

/// A launch whose attachments are still to be completed: after the answer, and again by the object's alarm.
#[derive(Debug)]
pub struct Pending {
    trigger_id: u64,
    launch_id: LaunchId,
    attachments: Vec<Attachment>,
}

/// Completes the uploads of a launch that is in the log. If one fails, the object's alarm repeats it.
pub async fn complete<P: Ports>(ports: &P, pending: &Pending) {
    let launch_id = pending.launch_id;
    for attachment in &pending.attachments {
        if let Err(cause) = ports.bucket().complete(&attachment.upload).await {
            return ports
                .report("an attachment is left to the alarm", &cause.during(format_args!("launch {launch_id}")));
        }
    }
    if let Err(ObjectError::Lost(cause)) = ports.completed(pending.trigger_id, launch_id).await {
        ports.report("the alarm completes attachments again", &cause.during(format_args!("launch {launch_id}")));
    }
}

struct Launch<'p, P> {
    ports: &'p P,
    endpoint: Endpoint,
    request_id: &'p str,
    admitted: Admitted,
}

impl<P: Ports> Launch<'_, P> {
    async fn run(&mut self, incoming: &Incoming, timings: &mut Timings) -> Result<Launched, Refused> {
        let trigger_id = self.admitted.request.trigger_id;
        let database = match self.admitted.database {
            Some(database) => database,
            None => self.ports.defined_database(trigger_id).await?,
        };
        if !self.admitted.token.allows_database(database) {
            return Err(Problem::NotFound("trigger campaign").into());
        }
        let mut is_asked = false;
        if let Some(early) = self.admitted.object.take() {
            // A refusal may be out of date: the campaign may have been resumed, and the request launched by its first attempt.
            let now = match early {
                Err(refused) => {
                    let cause = refused.cause.clone();
                    let now = self.ask_again(refused).await;
                    if let (Ok(_), Some(cause)) = (&now, &cause) {
                        self.ports.report("the campaign's object was asked again", cause);
                    }
                    now
                }
                current => current,
            };
            if let Some(stored) = now? {
                return self.repeated(stored);
            }
            is_asked = true;
        }
        let start = self.ports.now();
        let matched = self.search(incoming, database).await;
        timings.r#match = self.ports.now().saturating_sub(start);
        let is_dry_run = self.admitted.request.root.dry_run;
        let refused = matched.as_ref().err().or(self.admitted.attachments.as_ref().err()).cloned();
        if refused.is_some() || (is_dry_run && !is_asked) {
            // A repeat and a pause rank before what was found here, and nothing is written that would detect them.
            let asked = match &refused {
                Some(refused) if is_asked => self.ask_again(refused.clone()).await,
                _ => self.preflight().await.map_err(Refused::from),
            };
            match asked {
                Ok(Some(stored)) => return self.repeated(stored),
                Ok(None) => {}
                Err(refused) => return Err(refused),
            }
        }
        if let Some(refused) = refused {
            return Err(refused);
        }
        let matched = matched?;
        if is_dry_run {
            return Ok(Launched::new(None, matched, self.admitted.request.root.report));
        }
        let start = self.ports.now();
        let launched = self.commit(matched).await;
        timings.commit = self.ports.now().saturating_sub(start);
        launched
    }

    /// Asks the campaign's object whether the request was launched before.
    async fn preflight(&self) -> Result<Option<Repeated>, ObjectError> {
        let token_name = self.admitted.token.name.clone();
        let asked = Asked { token_name, request_id: self.request_id.to_owned() };
        self.ports.preflight(self.admitted.request.trigger_id, &asked).await
    }

    /// Asks the campaign's object again before a request is refused; without an answer, the refusal stands.
    async fn ask_again(&self, refused: Refused) -> Result<Option<Repeated>, Refused> {
        match self.preflight().await {
            Ok(answer) => Ok(answer),
            Err(ObjectError::Refused(current)) => Err(current),
            Err(ObjectError::Lost(cause)) => {
                self.ports.report("the campaign's object could not be asked again before a refusal", &cause);
                Err(refused)
            }
        }
    }

    async fn search(&mut self, incoming: &Incoming, database: u64) -> Result<Matched, Refused> {
        let Admitted { request, memory, manifest, .. } = &mut self.admitted;
        let text = match manifest.take() {
            Some(read) => read,
            None => self.ports.manifest(database).await,
        };
        let text = text.map_err(|cause| matched::unreadable(database, cause))?;
        let index = matched::Index { database, manifest: text.as_deref(), secrets: &incoming.setup.secrets };
        let matched = matched::search(self.ports, index, &request.items, &request.keying, memory).await?;
        match matched.first_refused {
            Some((first, outcome)) if request.root.strict => Err(Problem::Strict {
                unmatched: matched.counts.unmatched,
                invalid: matched.counts.invalid,
                first,
                reason: outcome.reason().unwrap_or_default(),
            }
            .into()),
            _ => Ok(matched),
        }
    }

    async fn commit(&mut self, matched: Matched) -> Result<Launched, Refused> {
        let new = || new_launch_id(self.ports, &self.admitted.token.name, self.request_id);
        let launch_id = self.admitted.launch_id.unwrap_or_else(new);
        let message = self.message(launch_id, &matched)?;
        let deadline = self.ports.now().saturating_add(COMMIT_DEADLINE_MS);
        let mut pause = COMMIT_PAUSE_MS;
        let mut lost: Option<Cause> = None;
        loop {
            let cause = match self.ports.commit(self.admitted.request.trigger_id, &message).await {
                Ok(answer) => {
                    if let Some(cause) = lost {
                        self.ports.report("the answer to a commit was lost, and the commit repeated", &cause);
                    }
                    return match answer {
                        Answer::New(_) => {
                            Ok(Launched::new(Some(launch_id), matched, self.admitted.request.root.report))
                        }
                        Answer::Repeated(stored) => self.repeated(*stored),
                    };
                }
                // An object without room does not look: it knows nothing of the attempt whose answer was lost.
                Err(ObjectError::Refused(refused))
                    if lost.is_some() && matches!(refused.problem, Problem::Unavailable(_)) =>
                {
                    refused.cause.unwrap_or_else(|| Cause::new(refused.problem.debug("")))
                }
                Err(ObjectError::Refused(refused)) => return Err(refused),
                // It may have been carried out: the same commit again finds out.
                Err(ObjectError::Lost(cause)) => cause,
            };
            let cause = cause.during(format_args!("commit of {launch_id}"));
            if self.ports.now() >= deadline {
                return Err(Refused::because(Problem::OutcomeUnknown, cause));
            }
            lost = Some(cause);
            self.ports.sleep(pause).await;
            pause = pause.saturating_mul(2);
        }
    }

    /// What becomes of the attachments: they wait for their completion if they are in the log, and are aborted where
    /// it is known that they are not. And the request's reservation.
    async fn end(self, result: &Result<Launched, Refused>) -> (Option<Pending>, Reservation) {
        let Admitted { attachments, memory, request: Request { trigger_id, .. }, .. } = self.admitted;
        let attachments = attachments.unwrap_or_default();
        let pending = match result {
            _ if attachments.is_empty() => None,
            Ok(Launched { launch_id: Some(launch_id), repeated: false, .. }) => {
                Some(Pending { trigger_id, launch_id: *launch_id, attachments })
            }
            // It may be in the log: the alarm completes what is, and the bucket's own rule removes what is not.
            Err(Refused { problem: Problem::OutcomeUnknown, .. }) => None,
            _ => {
                let uploads = attachments.iter().map(|attachment| &attachment.upload);
                let uploads = uploads.map(|upload| (upload.key.clone(), upload.upload_id.as_str()));
                files::abort(self.ports, uploads).await;
                None
            }
        };
        (pending, memory)
    }

    fn message(&mut self, launch_id: LaunchId, matched: &Matched) -> Result<Vec<u8>, Refused> {
        let Admitted { request, memory, token, digest, attachments, .. } = &mut self.admitted;
        let Request { root, trigger_id, keying, items } = request;
        let mut item_data = Collector::default();
        let mut places = matched.with_data.iter().peekable();
        for (place, (_, text)) in (0_u32..).zip(items.custom_data()) {
            let Some((recipient, _)) = places.next_if(|(_, wanted)| *wanted == place) else { continue };
            memory.grow(text.len() as u64 + ITEM_DATA_ENTRY)?;
            let text = str::from_utf8(text).map_err(broken)?;
            item_data.push(*recipient, text).map_err(|_| broken("item data is not in order"))?;
        }
        let texts = [&root.content, &root.custom_data].into_iter().flatten().map(String::len).sum::<usize>();
        let size = matched.recipients.len() + matched.outcomes.len() + item_data.bytes() + texts;
        memory.grow(size as u64)?;
        let head = Head {
            launch_id,
            trigger_id: *trigger_id,
            request_id: self.request_id.to_owned(),
            token_name: token.name.clone(),
            endpoint: self.endpoint,
            body_digest: *digest,
            matching: keying.matching.name().to_owned(),
            field_name: keying.matching.needs_field_name().then(|| keying.field_name.clone()),
            skip_triggers: root.skip_triggers,
            counts: matched.counts,
            attachments: attachments.clone()?,
        };
        let commit = Commit {
            head,
            content: root.content.as_deref(),
            custom_data: root.custom_data.as_deref(),
            recipients: &matched.recipients,
            outcomes: &matched.outcomes,
            item_data: item_data.view(),
        };
        commit.encode().map_err(|bad| broken(bad.0))
    }

    /// The answer to a request that was launched before: the same, if the body is the same.
    fn repeated(&self, stored: Repeated) -> Result<Launched, Refused> {
        let of = stored.head();
        commands::same_body((of.endpoint, &of.body_digest), (self.endpoint, &self.admitted.digest))?;
        Ok(Launched::repeated(stored, self.admitted.request.root.report))
    }
}

/// Bytes that the index of items' data takes for each.
const ITEM_DATA_ENTRY: u64 = campaign::items::ENTRY as u64;

/// 500: a commit message that cannot be built is a fault of this software.
fn broken(cause: impl std::fmt::Display) -> Refused {
    Refused::internal(format_args!("commit message: {cause}"))
}

/// The refusal of a command whose answer was lost and that writes nothing: nothing was launched.
impl From<ObjectError> for Refused {
    fn from(error: ObjectError) -> Self {
        match error {
            ObjectError::Refused(refused) => refused,
            ObjectError::Lost(cause) => Self::unavailable("the campaign cannot be reached now: retry later", cause),
        }
    }
}

/// A new id of a launch, for that request of that token.
fn new_launch_id<P: Ports>(ports: &P, token_name: &str, request_id: &str) -> LaunchId {
    let mut random = [0; 8];
    ports.random(&mut random);
    LaunchId::new(ports.now(), RequestKey::new(token_name, request_id), u64::from_le_bytes(random))
}

#[cfg(test)]
mod tests;
