//! Reads and changes the profiles of a database: live changes, and what the command line needs to import and to compact.

use super::{
    head::HttpHead,
    ports::ApiPorts,
    reply::{Reply, ReplyBody},
    routes::ProfilesOperation,
    settings::Settings,
};
use crate::{
    access::TokenRecord,
    json,
    launch::{
        ports::{Body, Clock, ObjectError},
        receive::pace::PacedBody,
        search::cannot_read_index,
    },
    limits::{
        BULK_KEYS, BYTES_IN_FLIGHT, CHANGES_BODY_LIMIT, CHANGES_LIMIT, CHANGES_REPORTED_PERCENT, ENTRIES_READS,
        READ_START,
    },
    memory::Reservation,
    problem::{Cause, Problem, Refused},
    profiles::{
        live::{
            command::{ChangeReply, DatabaseCommand, DatabaseStatus, PendingPurpose, Publication, PublishReply},
            message::{ChangeRequest, ChangeSetHead, PendingList, RequestKind},
            rows::{ParsedChanges, RefusedChange, RowFormat, parse_changes},
        },
        manifest::{Generation, IndexError, Manifest},
    },
    text::{hex, rfc3339},
};
use futures_util::stream;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use sha2::{Digest as _, Sha256};
use std::rc::Rc;

/// A request for the profiles of one database.
pub struct ProfilesRequest<'a, 'h, P> {
    pub ports: &'a Rc<P>,
    pub head: &'a HttpHead<'h>,
    pub database: u64,
    pub token: &'a TokenRecord,
    pub settings: &'a Settings,
}

/// Serves a request. A database that the token may not use is answered like one that does not exist.
pub async fn serve<P: ApiPorts + 'static, C: Clock, B: Body>(
    request: ProfilesRequest<'_, '_, P>,
    operation: ProfilesOperation,
    body: &mut PacedBody<'_, C, B>,
    memory: &mut Reservation,
) -> Result<Reply<P::Stream>, Refused> {
    if !request.token.allows_database(request.database) {
        return Err(no_such_database());
    }
    let request_id = &request.head.request_id;
    match operation {
        ProfilesOperation::Read => {
            let status = request.status(memory).await?;
            json_reply(&DatabaseReply::new(request.database, &status), request_id)
        }
        ProfilesOperation::ReadManifest => json_reply(&request.status(memory).await?, request_id),
        ProfilesOperation::Change => request.change(body, memory).await,
        ProfilesOperation::ReadChanges => request.read_changes(memory).await,
        ProfilesOperation::ReadEntries => request.read_entries(memory).await,
        ProfilesOperation::SetLive => {
            let setting = parse(&read_publication(body, memory).await?)?;
            request.set_live(setting, memory).await
        }
        ProfilesOperation::Publish => {
            let publication: Publication = parse(&read_publication(body, memory).await?)?;
            publication.check().map_err(Problem::BadField)?;
            let command = DatabaseCommand::Publish(Box::new(publication));
            let reply: PublishReply = request.command(&command, memory).await?;
            json_reply(&reply, request_id)
        }
    }
}

/// Largest body with a generation or a manifest, in bytes. The names of a generation's fields have at most
/// [`crate::limits::FIELD_NAMES_LIMIT`] bytes.
const PUBLICATION_LIMIT: usize = 2 * 1024 * 1024;

fn no_such_database() -> Refused {
    Problem::NotFound("database").into()
}

/// 503: the database's object cannot be reached.
fn cannot_reach(database: u64, error: ObjectError) -> Refused {
    error.into_refused(format!("database {database} cannot be reached now: retry later"))
}

/// The reply to `GET` of a database.
#[derive(Serialize)]
struct DatabaseReply<'a> {
    database: u64,
    generation: &'a str,
    created_at: String,
    live: bool,
    live_since: Option<String>,
    version: u64,
    pending: u64,
    limit: u64,
}

impl<'a> DatabaseReply<'a> {
    fn new(database: u64, status: &'a DatabaseStatus) -> Self {
        let Generation { name, created, .. } = &status.manifest.current;
        Self {
            database,
            generation: name,
            created_at: rfc3339(*created),
            live: status.live,
            live_since: status.live_since.map(rfc3339),
            version: status.version,
            pending: status.pending,
            limit: CHANGES_LIMIT,
        }
    }
}

/// The reply to a request with changes.
#[derive(Serialize)]
struct ChangesReply<'a> {
    error: u8,
    error_text: &'static str,
    version: u64,
    applied: u64,
    refused: &'a [RefusedChange],
}

/// The body of a request that turns live changes on or off.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LiveSetting {
    live: bool,
    /// The manifest that was written to KV. This location may still read an older one.
    manifest: Option<Box<Manifest>>,
}

impl<P: ApiPorts + 'static> ProfilesRequest<'_, '_, P> {
    /// Sends a command to the database's object.
    async fn send(&self, kind: RequestKind, content: &[u8], memory: &mut Reservation) -> Result<Vec<u8>, Refused> {
        self.send_message(&kind.with(content), memory).await
    }

    async fn send_message(&self, message: &[u8], memory: &mut Reservation) -> Result<Vec<u8>, Refused> {
        let reply = self.ports.ask_database(self.database, message, memory).await;
        reply.map_err(|error| cannot_reach(self.database, error))
    }

    async fn command<T: DeserializeOwned>(
        &self,
        command: &DatabaseCommand,
        memory: &mut Reservation,
    ) -> Result<T, Refused> {
        let content = serde_json::to_vec(command).map_err(Refused::internal)?;
        let reply = self.send(RequestKind::Command, &content, memory).await;
        json::from_slice(&self.known_database(reply).await?).map_err(Refused::internal)
    }

    /// If the object does not know the database, and KV neither, refuses with 404.
    async fn known_database(&self, reply: Result<Vec<u8>, Refused>) -> Result<Vec<u8>, Refused> {
        match reply {
            Err(refused) if is_not_live(&refused) => {
                self.manifest_in_kv().await?;
                Err(refused)
            }
            reply => reply,
        }
    }

    /// Reads the manifest in KV.
    async fn manifest_in_kv(&self) -> Result<Manifest, Refused> {
        let database = self.database;
        let text = self.ports.manifest(database).await.map_err(|cause| cannot_read_index(database, cause))?;
        Manifest::parse(text.as_deref()).map_err(|error| match error {
            IndexError::NotImported => no_such_database(),
            error => Refused::unavailable(error.message(database), error.cause(database)),
        })
    }

    /// Returns the state of the database: that of its object if changes are live, and otherwise the manifest in KV.
    async fn status(&self, memory: &mut Reservation) -> Result<DatabaseStatus, Refused> {
        let status: Result<DatabaseStatus, _> = self.command(&DatabaseCommand::Status, memory).await;
        let version = match status {
            Ok(status) if status.live => return Ok(status),
            Ok(status) => status.version,
            Err(refused) if is_not_live(&refused) => 0,
            Err(refused) => return Err(refused),
        };
        let manifest = self.manifest_in_kv().await?;
        Ok(DatabaseStatus { manifest, live: false, live_since: None, version, pending: 0 })
    }

    async fn change<C: Clock, B: Body>(
        &self,
        body: &mut PacedBody<'_, C, B>,
        memory: &mut Reservation,
    ) -> Result<Reply<P::Stream>, Refused> {
        let is_strict = match self.head.parameter("strict") {
            None => false,
            Some(value) if value.eq_ignore_ascii_case("true") || value == "1" => true,
            Some(value) if value.eq_ignore_ascii_case("false") || value == "0" => false,
            Some(_) => return Err(Problem::BadField("strict: must be true or false".to_owned()).into()),
        };
        let format = self.head.row_format()?;
        let keys = &self.settings.secrets;
        if keys.is_empty() {
            let message = "the deployment has no PROFILE_INDEX_KEY";
            return Err(Refused::unavailable(message, Cause::new("the secret PROFILE_INDEX_KEY is not set")));
        }
        let body = read_body(body, CHANGES_BODY_LIMIT, memory).await?;
        let format = format.unwrap_or_else(|| match body.iter().find(|byte| !byte.is_ascii_whitespace()) {
            Some(b'{') => RowFormat::Lines,
            _ => RowFormat::Array,
        });
        let request = self.head.has_request_id.then(|| ChangeRequest {
            token_name: self.token.name.clone(),
            request_id: self.head.request_id.clone(),
            digest: hex(&Sha256::digest(&body)),
        });
        let key_checks = keys.iter().map(|key| key.check().to_owned()).collect();
        let parsed = parse_changes(
            &body,
            format,
            &ChangeSetHead { key_checks, request },
            (keys, &self.ports.normaliser()),
            memory,
        )?;
        drop(body);
        let ParsedChanges { message, refused } = parsed;
        if let (true, Some(RefusedChange { index, field, reason })) = (is_strict, refused.first()) {
            let what = format!("strict: {} rows refused; the first is row {index}: {field}: {reason}", refused.len());
            return Err(Problem::BadField(what).into());
        }
        let reply = self.send_message(&message, memory).await;
        let reply: ChangeReply = json::from_slice(&self.known_database(reply).await?).map_err(Refused::internal)?;
        self.report_pending(&reply);
        let ChangeReply { version, applied, repeated, .. } = reply;
        let content =
            ChangesReply { error: 0, error_text: "Successful operation", version, applied, refused: &refused };
        let mut reply = json_reply(&content, &self.head.request_id)?;
        if repeated {
            reply.set("Duplicate-Request", "true".to_owned());
            reply.set("Duplicate-Key", self.head.request_id.clone());
        }
        Ok(reply)
    }

    /// Logs that the pending changes have come close to their limit.
    fn report_pending(&self, reply: &ChangeReply) {
        let [before, after] = reply.pending;
        let is_reached = |percent: &u64| (before..after).contains(&(CHANGES_LIMIT * percent / 100).saturating_sub(1));
        if CHANGES_REPORTED_PERCENT.iter().any(is_reached) {
            let cause = format!("database {}: {after} of {CHANGES_LIMIT} pending changes", self.database);
            self.ports.report("pending changes are close to their limit: compact", &Cause(cause));
        }
    }

    async fn read_changes(&self, memory: &mut Reservation) -> Result<Reply<P::Stream>, Refused> {
        let purpose = match self.head.parameter("purpose") {
            None | Some("search") => PendingPurpose::Search,
            Some("compaction") => PendingPurpose::Compaction,
            Some(_) => return Err(Problem::BadField("purpose: must be search or compaction".to_owned()).into()),
        };
        let content = serde_json::to_vec(&DatabaseCommand::Pending(purpose)).map_err(Refused::internal)?;
        let list = self.send(RequestKind::Command, &content, memory).await;
        let list = match list {
            Err(refused) if is_not_live(&refused) && purpose == PendingPurpose::Search => {
                PendingList::begin(&self.status(memory).await?)
            }
            list => self.known_database(list).await?,
        };
        let mut reply = Reply::json(list, &self.head.request_id);
        reply.set("Content-Type", "application/octet-stream".to_owned());
        Ok(reply)
    }

    /// Turns live changes on or off. The manifest in KV must already say that they are on.
    async fn set_live(&self, setting: LiveSetting, memory: &mut Reservation) -> Result<Reply<P::Stream>, Refused> {
        let command = match setting {
            LiveSetting { live: false, .. } => DatabaseCommand::Stop,
            LiveSetting { manifest: Some(manifest), .. } if manifest.live => {
                manifest.check().map_err(Problem::BadField)?;
                DatabaseCommand::Start(manifest)
            }
            _ => {
                let what = "manifest: send the manifest in KV, which says that changes are live";
                return Err(Problem::BadField(what.to_owned()).into());
            }
        };
        let status: DatabaseStatus = self.command(&command, memory).await?;
        json_reply(&status, &self.head.request_id)
    }

    /// Streams the buckets of a generation as lines of JSON: the generation, each bucket, and where to continue.
    async fn read_entries(&self, memory: &mut Reservation) -> Result<Reply<P::Stream>, Refused> {
        let from = match self.head.parameter("from") {
            None => 0,
            Some(text) => text.parse().map_err(|_| Problem::BadField("from: must be an integer".to_owned()))?,
        };
        let manifest = self.status(memory).await?.manifest;
        let mut generations = std::iter::once(&manifest.current).chain(&manifest.previous);
        let wanted = self.head.parameter("generation").unwrap_or(&manifest.current.name);
        let generation = generations.find(|generation| generation.name == wanted);
        let generation = generation.ok_or(Problem::NotFound("generation"))?.clone();
        let largest = generation.classes.iter().map(|class| class.largest as usize).max().unwrap_or(1).max(1);
        let at_once = (BYTES_IN_FLIGHT / 4 / largest).clamp(1, BULK_KEYS);
        // A bucket as it is read, and the line that contains it.
        let page_bytes = (at_once * largest * 2) as u64;
        let mut memory = memory.sibling();
        memory.grow(page_bytes)?;
        memory.shrink(page_bytes);
        let reader = EntriesReader {
            ports: Rc::clone(self.ports),
            database: self.database,
            next: Some(from),
            generation,
            has_begun: false,
            at_once,
            reads: 0,
            page_bytes,
            memory,
        };
        let pieces = stream::unfold(reader, |mut reader| async move { Some((reader.next_piece().await?, reader)) });
        let mut reply = Reply::json(Vec::new(), &self.head.request_id);
        reply.set("Content-Type", crate::campaign::protocol::transport::NDJSON.to_owned());
        reply.body = ReplyBody::Lines(Box::pin(pieces));
        Ok(reply)
    }
}

fn is_not_live(refused: &Refused) -> bool {
    matches!(&refused.problem, Problem::LiveChanges { what, .. } if what == "live changes are off")
}

/// Reads the buckets of a generation while they are sent.
struct EntriesReader<P> {
    ports: Rc<P>,
    database: u64,
    /// The number of the next bucket among all classes. `None` after the last line or an error.
    next: Option<u64>,
    generation: Generation,
    /// Whether the first line, with the generation, was written.
    has_begun: bool,
    /// Buckets in one read.
    at_once: usize,
    reads: u64,
    /// Bytes of memory that a page needs while it is built.
    page_bytes: u64,
    /// Empty between two pages: a caller who reads slowly must not reserve the memory of others.
    memory: Reservation,
}

impl<P: ApiPorts> EntriesReader<P> {
    async fn next_piece(&mut self) -> Option<Result<Vec<u8>, Cause>> {
        let next = self.next?;
        if !std::mem::replace(&mut self.has_begun, true) {
            let generation = serde_json::to_string(&self.generation).map_err(Cause::new);
            return Some(generation.map(|generation| format!("{{\"generation\":{generation}}}\n").into_bytes()));
        }
        // Without memory, the reply ends here. Its last line says where the next one begins.
        let has_room = self.reads < ENTRIES_READS && self.memory.grow(self.page_bytes).is_ok();
        let piece = self.read_buckets(next, if has_room { self.at_once } else { 0 }).await;
        self.memory.shrink(self.memory.bytes());
        if piece.is_err() {
            self.next = None;
        }
        Some(piece)
    }

    /// Returns the lines of at most `count` buckets. Without a bucket, returns the last line.
    async fn read_buckets(&mut self, next: u64, count: usize) -> Result<Vec<u8>, Cause> {
        let generation = &self.generation;
        let mut skipped = next;
        let buckets = generation.classes.iter().enumerate().flat_map(|(class, index)| {
            let first = u32::try_from(skipped).unwrap_or(u32::MAX).min(index.buckets);
            skipped -= u64::from(first);
            (first..index.buckets).map(move |number| (class, index, number))
        });
        let group: Vec<_> = buckets.take(count).collect();
        if group.is_empty() {
            let total: u64 = generation.classes.iter().map(|index| u64::from(index.buckets)).sum();
            self.next = None;
            let next = if next < total { next.to_string() } else { "null".to_owned() };
            return Ok(format!("{{\"next\":{next}}}\n").into_bytes());
        }
        let keys: Vec<String> =
            group.iter().map(|(_, index, number)| generation.bucket_key(self.database, index, *number)).collect();
        let texts = self.ports.read(&keys).await?;
        let mut lines = String::new();
        for (((class, _, number), key), text) in group.iter().zip(&keys).zip(texts) {
            let bucket = text.ok_or_else(|| Cause(format!("KV {key}: not found")))?;
            // A bucket contains no character that JSON escapes.
            lines.push_str(&format!("{{\"class\":{class},\"number\":{number},\"bucket\":\"{bucket}\"}}\n"));
        }
        self.reads += 1;
        self.next = Some(next + group.len() as u64);
        Ok(lines.into_bytes())
    }
}

/// Reads a body with a generation or a manifest.
async fn read_publication<C: Clock, B: Body>(
    body: &mut PacedBody<'_, C, B>,
    memory: &mut Reservation,
) -> Result<Vec<u8>, Refused> {
    let bytes = read_body(body, PUBLICATION_LIMIT, memory).await?;
    // The parsed content, the command, and the message to the object.
    memory.grow(3 * bytes.len() as u64)?;
    Ok(bytes)
}

/// Reads a body of at most `limit` bytes, after reserving its memory.
async fn read_body<C: Clock, B: Body>(
    body: &mut PacedBody<'_, C, B>,
    limit: usize,
    memory: &mut Reservation,
) -> Result<Vec<u8>, Refused> {
    let mut bytes = Vec::new();
    while let Some(read) = body.read(READ_START.max(bytes.len().min(crate::limits::READ_BUFFER))).await? {
        // The vector doubles when it grows.
        memory.grow(2 * read as u64)?;
        while body.chunk(|chunk| bytes.extend_from_slice(chunk)).is_some() {}
        if bytes.len() > limit {
            return Err(Problem::BodyTooLarge.into());
        }
    }
    Ok(bytes)
}

fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, Problem> {
    json::from_slice(body).map_err(|error| {
        if error.is_data() {
            Problem::BadField(format!("body: not in the documented form, at column {}", error.column()))
        } else {
            Problem::Malformed(format!("invalid JSON: {error}"))
        }
    })
}

fn json_reply<S>(value: &impl Serialize, request_id: &str) -> Result<Reply<S>, Refused> {
    Ok(Reply::json(serde_json::to_vec(value).map_err(Refused::internal)?, request_id))
}
