//! Every limit. Operators set those in [`Limits`] with the `[vars]` of `wrangler.toml`; the others are constants. The relations
//! between limits are checked at compile time.

/// One kibibyte, in bytes.
pub const KIB: u64 = 1024;
/// One mebibyte, in bytes.
pub const MIB: u64 = 1024 * KIB;

/// Deepest nesting of a body: the root object or element is the first level.
pub const DEPTH_LIMIT: usize = 64;
/// Longest profile key as the caller wrote it (decoded, before normalisation), in bytes.
pub const KEY_LIMIT: usize = 1024;
/// Fewest digits of a phone number, after normalisation.
pub const PHONE_DIGITS_MIN: usize = 3;
/// Most digits of a phone number, after normalisation.
pub const PHONE_DIGITS: usize = 20;
/// E-mail domains whose A-labels come from the platform and are remembered. When there are more, all of them are forgotten.
pub const DOMAINS_REMEMBERED: usize = 256;
/// Longest domain whose A-labels are remembered, in bytes.
pub const DOMAIN_REMEMBERED_LIMIT: usize = 64;
/// Letters with marks whose composed forms are remembered. When there are more, all of them are forgotten.
pub const COMPOSED_REMEMBERED: usize = 512;
/// Longest letter with its marks whose composed form is remembered, in bytes.
pub const COMPOSED_REMEMBERED_LIMIT: usize = 16;
/// Longest value of a root field other than `content`, `custom_data`, `data` and `attach`, in bytes as sent.
pub const SCALAR_LIMIT: usize = 16 * 1024;
/// Longest XML tag with its attributes, in bytes as sent. JSON has no such limit: names longer than every known name are not
/// kept.
pub const NAME_LIMIT: usize = 64 * 1024;
/// Longest token, in bytes. Longer tokens are not looked up.
pub const TOKEN_LIMIT: usize = 1024;
/// Largest `custom_data` of one item, in bytes as sent.
pub const ITEM_DATA_LIMIT: usize = 64 * 1024;
/// Most entries of `attach`.
pub const ATTACHMENTS_LIMIT: usize = 100;
/// Longest name of an attachment, in bytes of UTF-8.
pub const ATTACHMENT_NAME_LIMIT: usize = 1024;
/// Size of each part of a multipart upload but the last, in bytes (the platform's minimum).
pub const PART: usize = 5 * 1024 * 1024;
/// Longest prefix of a data URI (`data:…;base64,`), in bytes.
pub const DATA_URI_PREFIX_LIMIT: usize = 1024;
/// Largest body of the definition of a campaign, in bytes.
pub const DEFINITION_LIMIT: usize = 64 * 1024;
/// Longest request ID, in characters.
pub const REQUEST_ID_LIMIT: usize = 256;
/// Longest time for which the rest of a refused body is read and discarded before the answer, in milliseconds.
pub const DRAIN_MS: u64 = 600_000;
/// Bytes of a refused body that are read and discarded for an address that has reached its rate limit.
pub const DRAIN_RATE_LIMITED: u64 = MIB;
/// The caller gets 408 if no byte of the body arrives for this long, in milliseconds.
pub const BODY_TIMEOUT_MS: u64 = 30_000;
/// Bytes a second that a caller who is not verified has to send after [`RATE_GRACE_SECONDS`]; only time spent reading counts.
pub const RATE_MIN: u64 = 4 * KIB;
/// Seconds of reading for which no minimum rate applies.
pub const RATE_GRACE_SECONDS: u64 = 10;
/// How often a request that waits for its body checks its rate and whether it is evicted, in milliseconds.
pub const WATCH_MS: u64 = 500;
/// Memory that every request reserves first, in bytes: its state, and the first view of its body.
pub const BASE_COST: u64 = 8 * KIB;
/// Part of `MEMORY_LIMIT` that verified callers leave to others, in bytes: new requests can reserve their base cost.
pub const BASE_ROOM: u64 = MIB;
/// How long a request waits for room before it gets 503, in milliseconds.
pub const ROOM_WAIT_MS: u64 = 2_000;
/// How often a request that waits for room checks for it, in milliseconds.
pub const ROOM_POLL_MS: u64 = 250;
/// Least time between two searches for requests to evict, in milliseconds.
pub const EVICTION_PAUSE_MS: u64 = 20;
/// An unverified request older than this is evicted if it is the slowest, in milliseconds.
pub const EVICTABLE_AFTER_MS: u64 = 2_000;
/// How long a commit is repeated while its answers are lost, in milliseconds.
pub const COMMIT_DEADLINE_MS: u64 = 10_000;
/// Pause before a commit is repeated for the first time, in milliseconds. It doubles each time.
pub const COMMIT_PAUSE_MS: u64 = 50;
/// Size of a body, in bytes, above which a launch asks the campaign's object for an earlier launch before it commits.
pub const PREFLIGHT_FROM: u64 = 64 * KIB;
/// Bytes of values of KV that an isolate remembers for `REMEMBER_SECONDS`, in addition to the memory of requests.
pub const REMEMBERED_BYTES: usize = 1024 * 1024;
/// Size of the first read of a body, in bytes. It grows with the bytes received.
pub const READ_START: usize = 4 * 1024;
/// Largest read of a body for a caller who is not verified, in bytes.
pub const READ_UNVERIFIED: usize = 32 * 1024;
/// Largest read of a body, in bytes. With 64 KiB, reading 100 MiB took 1.5 times as long.
pub const READ_VIEW: usize = 512 * 1024;
/// Bytes of a body that are copied into wasm memory and parsed at once.
pub const READ_BUFFER: usize = 64 * 1024;
/// Bytes of memory for parts of attachments that one launch may have: two whole parts. The body waits for more.
pub const PARTS_MEMORY: usize = 2 * PART;
/// [`PARTS_MEMORY`] while the token is looked up, in bytes. The lookup usually ends before a larger body has arrived.
pub const PARTS_MEMORY_FIRST: usize = 1024 * 1024;
/// Steps of uploads (digests, beginnings and parts) of one launch at once.
pub const UPLOAD_STEPS_AT_ONCE: usize = 4;
/// Largest value that is written to one row of a campaign's object, in bytes (the platform's limit is 2 MB).
pub const CHUNK: usize = 1024 * 1024;
/// Longest name of a campaign, in bytes.
pub const CAMPAIGN_NAME_LIMIT: usize = 256;
/// Longest name of a token that a launch may contain, in bytes. Names have at most [`TOKEN_NAME_LIMIT`] characters today.
pub const LAUNCH_TOKEN_NAME_LIMIT: usize = 255;
/// Longest ID and etag of an upload that R2 is expected to assign, in bytes.
pub const UPLOAD_ID_LIMIT: usize = 1024;
/// Largest head of a launch, in bytes. A row of a campaign's object contains it and at most [`INLINE_LIMIT`] bytes of sections.
pub const LAUNCH_HEAD_LIMIT: usize = CHUNK + CHUNK / 4;
/// Largest sections of a launch that are stored in the launch's own row, in bytes. Larger ones are stored in chunks.
pub const INLINE_LIMIT: u64 = 64 * KIB;
/// Largest texts of a launch as JSON, in bytes: `content`, `custom_data` and the items' own data, which are all from one body.
/// JSON is at most twice as long as XML: `<a/>` becomes `"a":"",`, and some characters need an escape.
pub const LAUNCH_TEXTS_LIMIT: u64 = 2 * BODY_LIMIT_MAX;
/// Largest `limit` of a page of launches.
pub const LAUNCHES_PAGE_MAX: u64 = 1000;
/// `limit` of a page of launches if it is absent.
pub const LAUNCHES_PAGE_DEFAULT: u64 = 100;
/// Size in bytes at which a page of launches ends, unless it has only one launch.
pub const LAUNCHES_PAGE_BYTES: u64 = 8 * MIB;
/// Most buckets of a request for totals.
pub const STATS_BUCKETS_MAX: u64 = 1000;
/// Hours in a request for totals that names no time.
pub const STATS_HOURS_DEFAULT: u64 = 24;
/// Days in a request for totals that names no time.
pub const STATS_DAYS_DEFAULT: u64 = 30;
/// Launches of schema version 1 whose items an object counts at once.
pub const COUNT_STEP_LAUNCHES: u64 = 250;
/// How long an object counts no items after a failure, in milliseconds.
pub const COUNT_PAUSE_MS: u64 = 10_000;
/// Largest `limit` of a page of recipients.
pub const RECIPIENTS_PAGE_MAX: u64 = 50_000;
/// `limit` of a page of recipients if it is absent.
pub const RECIPIENTS_PAGE_DEFAULT: u64 = 1000;
/// Smallest piece of an object's reply except the last, in bytes.
pub const REPLY_PIECE: usize = 64 * 1024;
/// Size in bytes from which an object streams its reply.
pub const REPLY_WHOLE: usize = 64 * 1024;
/// Bytes of a message to an object that is an argument of a call, and of an answer that is its result. A call takes less time than
/// a request, but memory for it cannot be reserved first.
pub const CALL_MESSAGE: usize = 64 * 1024;
/// Launches that an object reads from its database at once.
pub const LAUNCHES_READ_AT_ONCE: u64 = 16;
/// Recipients in one piece of a reply. Each is about 60 bytes of JSON.
pub const RECIPIENTS_PIECE: u64 = 2048;
/// Size in bytes at which the items' data in one piece of a reply ends, unless it is the data of one recipient.
pub const ITEM_DATA_PIECE: u64 = 256 * KIB;
/// Milliseconds of an hour.
pub const HOUR_MS: u64 = 3_600_000;
/// Milliseconds of a day.
pub const DAY_MS: u64 = 86_400_000;
/// How long an object recognizes a commit by its launch ID at least, in milliseconds. The Worker repeats a commit whose answer
/// was lost.
pub const REPEAT_WINDOW_MS: u64 = 3_600_000;
/// Time until the next alarm if the object ends while the steps of an alarm run, in milliseconds.
pub const ALARM_GUARD_MS: u64 = 60_000;
/// How long the alarm ignores work that a later release has recorded, in milliseconds.
pub const UNKNOWN_TASK_PAUSE_MS: u64 = 3_600_000;
/// How long an object does not call R2 after a failure, in milliseconds.
pub const R2_PAUSE_MS: u64 = 10_000;
/// How long after the commit the object leaves the completion of uploads to the Worker, in milliseconds.
pub const UPLOAD_GRACE_MS: u64 = 60_000;
/// Longest time between two attempts of an object to complete the uploads of a launch, in milliseconds.
pub const UPLOAD_BACKOFF_MAX_MS: u64 = 3_600_000;
/// Launches whose uploads an alarm completes at most.
pub const UPLOADS_STEP_LAUNCHES: u64 = 8;
/// Uploads that an object completes at once (the platform allows six connections that wait for headers).
pub const UPLOADS_AT_ONCE: usize = 4;
/// Launches that an alarm removes at most.
pub const RETENTION_STEP_LAUNCHES: u64 = 500;
/// Bytes of sections after which an alarm removes no further launch.
pub const RETENTION_STEP_BYTES: u64 = 32 * MIB;
/// Files that an alarm removes at most: as many as R2 deletes in one call.
pub const RETENTION_STEP_FILES: usize = 1000;
/// Least time between two removals of launches that have not expired yet, in milliseconds.
pub const RETENTION_PAUSE_MS: u64 = 60_000;
/// Least time between two writes of KV's copy of a campaign, in milliseconds: KV accepts one write a second for each key.
pub const COPY_INTERVAL_MS: u64 = 1_000;
/// Longest time between two writes of KV's copy after failures, in milliseconds. The time doubles with each failure.
pub const COPY_BACKOFF_MAX_MS: u64 = 300_000;
/// How long a write of KV's copy without a result prevents the next one, in milliseconds.
pub const COPY_TIMEOUT_MS: u64 = 60_000;
/// How long a `PUT` waits for KV before it is answered, in milliseconds.
pub const COPY_WAIT_MS: u64 = 2_000;
/// Pauses before a page is sent to a webhook again, in milliseconds. They vary by 10 %. Afterwards the delivery stops.
pub const DELIVERY_RETRY_MS: [u64; 11] =
    [5_000, 30_000, 120_000, 300_000, 900_000, 1_800_000, 3_600_000, 7_200_000, 14_400_000, 28_800_000, 28_800_000];
/// Longest pause that a receiver can ask for with `Retry-After`, in milliseconds.
pub const DELIVERY_RETRY_AFTER_MAX_MS: u64 = 3_600_000;
/// Requests to a webhook at once (the platform allows six connections that wait for headers; uploads need two).
pub const DELIVERY_REQUESTS_AT_ONCE: usize = 3;
/// Successive launches that are delivered at once with the ordering `relaxed`.
pub const DELIVERY_LAUNCHES_AT_ONCE: u64 = 4;
/// Attempts of a delivery that are kept.
pub const DELIVERY_ATTEMPTS_KEPT: usize = 100;
/// How long the secret of a webhook signs after it was replaced, in milliseconds.
pub const SECRET_OVERLAP_MS: u64 = DAY_MS;
/// Longest address of a webhook, in bytes.
pub const WEBHOOK_URL_LIMIT: usize = 2048;
/// Most headers that are sent to a receiver for the receiver's own use.
pub const WEBHOOK_HEADERS_LIMIT: usize = 10;
/// Longest name of such a header, in bytes.
pub const WEBHOOK_HEADER_NAME_LIMIT: usize = 128;
/// Longest value of such a header, in bytes.
pub const WEBHOOK_HEADER_VALUE_LIMIT: usize = 4096;
/// Entries of the items' data that are read at once.
pub const ITEM_ENTRIES_READ_AT_ONCE: u64 = 4096;
/// How long a receiver may take until its status line, in milliseconds.
pub const DELIVERY_TIMEOUT_MS: u64 = 15_000;
/// How long a slice of a delivery begins requests, in milliseconds. With the last time-out it takes at most 20 s.
pub const DELIVERY_SLICE_MS: u64 = 5_000;
/// Pause of a delivery that found no memory for a message, in milliseconds.
pub const DELIVERY_MEMORY_PAUSE_MS: u64 = 1_000;
/// Most recipients in one message to a webhook.
pub const DELIVERY_PAGE_RECIPIENTS: u64 = 1000;
/// Largest list of recipients in one message to a webhook, in bytes of JSON, unless it has one recipient.
pub const DELIVERY_PAGE_BYTES: u64 = MIB;
/// Largest metadata of a key in KV, in bytes of JSON (the platform's limit).
pub const METADATA_LIMIT: usize = 1024;
/// Keys in one bulk read of KV (the platform's limit).
pub const BULK_KEYS: usize = 100;
/// Most bulk reads of one launch at a time (the platform allows six connections that wait for headers).
pub const BULK_READS_AT_ONCE: usize = 6;
/// Most bulk reads that a launch can need. The importer chooses the number of buckets accordingly.
pub const BULK_READS_LIMIT: usize = 450;
/// Bulk reads that a launch stays below, if that allows several small reads at a time.
pub const BULK_READS_AIM: usize = 100;
/// Most bytes of buckets that one launch reads at a time, unless a single read has more. Many launches of medium size fit into
/// an isolate then.
pub const BYTES_IN_FLIGHT: usize = 4 * 1024 * 1024;
/// Preferred size of a bucket, in bytes. KV reads are billed by the key, which favours large buckets; a launch for one recipient
/// reads a whole bucket, which favours small ones.
pub const BUCKET_TARGET: usize = 32 * 1024;
/// Largest bucket, in bytes. An import that needs a larger one is refused.
pub const BUCKET_LIMIT: usize = 80 * 1024;
/// Most profiles of one key that a bucket contains. A key with more profiles is ambiguous until the next import.
pub const KEY_PROFILES_LIMIT: usize = 8;
/// Longest row of a file that is imported, in bytes.
pub const ROW_LIMIT: usize = 1024 * 1024;
/// Most custom fields and custom channels of a database.
pub const FIELDS_LIMIT: usize = 1000;
/// Most bytes of the names of a database's custom fields and channels together, in JSON: a database's object stores several
/// generations in one row, each with all names.
pub const FIELD_NAMES_LIMIT: usize = 256 * 1024;
/// Longest name of a generation, or of its key, in bytes.
pub const GENERATION_NAME_LIMIT: usize = 64;
/// Most retired generations in a manifest.
pub const RETIRED_LIMIT: usize = 5000;
/// Seconds for which an edge location may serve a KV value (token, campaign, manifest) from its cache.
pub const KV_CACHE_SECONDS: u64 = 60;
/// Seconds for which an edge location may cache a bucket. A bucket never changes.
pub const BUCKET_CACHE_SECONDS: u64 = 86_400;

/// Pending changes of one database, counted in profiles and keys, at which further ones are refused.
pub const CHANGES_LIMIT: u64 = 100_000;
/// Bytes of a field's name for which a pending key counts once more, so that [`CHANGES_LIMIT`] also limits memory.
pub const CHANGE_NAME_BYTES: usize = 64;
/// Rows in one request with changes.
pub const CHANGES_ROWS_LIMIT: usize = 10_000;
/// Largest body of a request with changes, in bytes.
pub const CHANGES_BODY_LIMIT: usize = 10 * 1024 * 1024;
/// Keys of one profile in a request with changes.
pub const CHANGED_KEYS_LIMIT: usize = 1000;
/// How long the ID of a request with changes is known, in milliseconds.
pub const CHANGES_REQUEST_MS: u64 = 86_400_000;
/// How long after live changes are turned on the first one is accepted, in milliseconds: by then every location of KV knows that
/// launches have to ask the database's object.
pub const LIVE_DELAY_MS: u64 = 300_000;
/// How long launches may search a generation that a compaction has replaced, in milliseconds.
pub const GENERATION_KEPT_MS: u64 = 300_000;
/// Most items of a launch that asks the database's object about its own keys. A larger launch reads all pending changes.
pub const QUESTION_ITEMS: usize = 1000;
/// Pending changes that an object reads from its database at once.
pub const PENDING_READ_AT_ONCE: u32 = 1000;
/// Bytes of packed keys after which an object reads no further pending changes at once.
pub const PENDING_READ_BYTES: u64 = 256 * KIB;
/// Most bytes of the settings of a database's object in JSON, which are in one row of at most 2 MB.
pub const LIVE_SETTINGS_LIMIT: usize = 1_900_000;
/// Pending changes that an object writes with one statement, of at most 100 parameters.
pub const PENDING_ROWS_WRITTEN_AT_ONCE: usize = 48;
/// Request IDs that an alarm removes at most.
pub const REQUESTS_REMOVED_AT_ONCE: u32 = 10_000;
/// Bulk reads of KV in one reply with the entries of a generation. The reply says where the next one begins.
pub const ENTRIES_READS: u64 = 400;
/// Shares of [`CHANGES_LIMIT`] in percent. The operator's log reports when pending changes reach one of them.
pub const CHANGES_REPORTED_PERCENT: [u64; 3] = [80, 90, 95];
/// Fewest characters of the secret from which an index key is derived.
pub const INDEX_SECRET_MIN: usize = 32;
/// How long the buckets of an index generation stay in KV after the last launch could begin to use them, in milliseconds.
pub const RETIRED_GENERATION_MS: u64 = 24 * 60 * 60 * 1000;
/// Most cells of a CSV row. A header has fewer columns.
pub const CELLS_LIMIT: usize = FIELDS_LIMIT + 16;
/// Keys that an import has in memory, at 29 bytes each. Further keys are in a temporary file. More keys in memory make an import
/// slower, because they are not in the processor's cache.
pub const SORT_KEYS: usize = 96 * 1024;
/// Keys of each partition of a field in memory, if that is more. Otherwise the file of an import with many fields would be written
/// in too small pieces.
pub const SORT_PARTITION: usize = 4;
/// Keys that an import passes at once to the thread that sorts them, the profile ID of each row included.
pub const SORT_BATCH: usize = 4096;
/// Bytes of the texts of keys after which an import passes fewer keys at once.
pub const SORT_BATCH_BYTES: usize = 256 * 1024;
/// Batches of keys that wait for the thread that sorts them.
pub const SORT_BATCHES: usize = 8;
/// Records in a partition of an import from which on those that a bucket does not need are removed, if other partitions have fewer.
pub const SORT_UNEVEN: usize = 64 * 1024;
/// Size of the write buffer of the temporary file, in bytes.
pub const SORT_WRITE: usize = 256 * 1024;
/// Size of the read buffer of a file that is imported, in bytes.
pub const IMPORT_READ: usize = 256 * 1024;
/// First bytes of a file from which its type and encoding are detected.
pub const IMPORT_SNIFF: usize = 512;
/// First bytes of the text of a file from which the delimiter is detected.
pub const HEADER_SNIFF: usize = 64 * 1024;
/// Lines that an import reports for each reason why it leaves out rows or values.
pub const REASON_LINES: usize = 5;
/// Different reasons that an import counts. It counts further reasons together.
pub const REASONS_KEPT: usize = 200;
/// Refused rows that `profiles apply` prints.
pub const REFUSED_ROWS_SHOWN: usize = 20;
/// Characters of a header value that a message shows.
pub const HEADER_VALUE_SHOWN: usize = 80;
/// Characters of an unknown field's name that a message shows.
pub const FIELD_NAME_SHOWN: usize = 80;
/// Characters of an XML encoding's name that a message shows.
pub const ENCODING_SHOWN: usize = 40;
/// Digits of a token's digest that logs and the command line show.
pub const DIGEST_SHOWN: usize = 12;
/// Fewest characters of a token that an operator chooses.
pub const TOKEN_MIN: usize = 20;
/// Longest name of a token, in characters.
pub const TOKEN_NAME_LIMIT: usize = 64;
/// Longest name from a file or from KV that the command line prints, in characters. The rest is cut off.
pub const PRINTED_NAME_LIMIT: usize = 80;
/// Longest message of another program that the command line prints, in characters. The rest is cut off.
pub const PRINTED_MESSAGE_LIMIT: usize = 400;
/// Pairs in one write, and keys in one read or deletion, of the local KV.
pub const LOCAL_KV_KEYS: usize = 1000;
/// Bytes of values after which an import writes them to the local KV.
pub const LOCAL_KV_BYTES: usize = 4 * 1024 * 1024;
/// Pairs in one `wrangler kv bulk put`, and keys in one `wrangler kv bulk delete` (the platform's limit).
pub const WRANGLER_KV_KEYS: usize = 10_000;
/// Bytes of values after which an import writes them with `wrangler kv bulk put` (the platform's limit is 100 MB).
pub const WRANGLER_KV_BYTES: usize = 32 * 1024 * 1024;

/// Most bytes that `BODY_LIMIT` can be set to.
pub const BODY_LIMIT_MAX: u64 = 32 * MIB;
/// Most bytes that `FILES_LIMIT` can be set to (the platform takes 100 MB on most plans, 500 MB at most).
pub const FILES_LIMIT_MAX: u64 = 500 * MIB;
/// Most items that `ITEMS_LIMIT` can be set to.
pub const ITEMS_LIMIT_MAX: u64 = 1_000_000;
/// Most bytes that `CONTENT_LIMIT` can be set to.
pub const CONTENT_LIMIT_MAX: u64 = 4 * MIB;

/// Most bytes that `BUCKETS_KEPT` can be set to: half of the memory that the default of `MEMORY_LIMIT` leaves to an isolate.
pub const BUCKETS_KEPT_MAX: u64 = 32 * MIB;

/// Most seconds that `REMEMBER_SECONDS` can be set to.
pub const REMEMBER_SECONDS_MAX: u64 = 60;

/// The limits of one deployment: `[vars]` of `wrangler.toml`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// `BODY_LIMIT`: bytes of a body without the raw bytes of its attachments' `data`.
    pub body: u64,
    /// `FILES_LIMIT`: bytes of a whole body as sent.
    pub files: u64,
    /// `ITEMS_LIMIT`: entries of `data`.
    pub items: u64,
    /// `CONTENT_LIMIT`: bytes of `content`, and of the root's `custom_data`, each.
    pub content: u64,
    /// `MEMORY_LIMIT`: bytes of memory of all requests of an isolate.
    pub memory: u64,
    /// `UNVERIFIED_LIMIT`: part of `MEMORY_LIMIT` for all callers whose token is not verified yet.
    pub unverified: u64,
    /// `BUCKETS_KEPT`: bytes of profile indexes that an isolate caches, in addition to the memory of requests.
    pub kept: u64,
    /// `REMEMBER_SECONDS`: how long an isolate remembers tokens, manifests and campaigns' databases.
    pub remember_seconds: u64,
    /// `DEDUPLICATION_SECONDS`: how long a request ID is known.
    pub deduplication_seconds: u64,
    /// `RETENTION_DAYS`: how long a launch is kept.
    pub retention_days: u64,
    /// `LOG_LIMIT`: bytes that one campaign's object stores before it refuses new launches.
    pub log: u64,
}

impl Limits {
    /// Bytes of a refused body that are read and discarded, so that the caller has sent all of it when the answer arrives.
    pub fn drain(&self) -> u64 {
        self.files.saturating_mul(2)
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            body: 10 * MIB,
            files: 100 * MIB,
            items: 1_000_000,
            content: MIB,
            memory: 64 * MIB,
            unverified: 16 * MIB,
            kept: 8 * MIB,
            remember_seconds: 30,
            deduplication_seconds: 86_400,
            retention_days: 30,
            log: 8 * 1024 * MIB,
        }
    }
}

const _: () = {
    assert!(CHUNK < 2_000_000, "a row of an object has at most 2 MB");
    assert!(READ_START <= READ_UNVERIFIED && READ_UNVERIFIED <= READ_BUFFER && READ_BUFFER <= READ_VIEW);
    assert!(READ_START as u64 <= BASE_COST);
    assert!(WATCH_MS + ROOM_POLL_MS <= ROOM_WAIT_MS, "an evicted request ends while others wait for its room");
    assert!(PARTS_MEMORY_FIRST <= PARTS_MEMORY);
    assert!(ITEM_DATA_LIMIT as u64 <= CONTENT_LIMIT_MAX);
    assert!(2 * BULK_READS_LIMIT < 1000 - 50, "KV operations of one invocation, the generation before included");
    assert!(BUCKET_LIMIT * BULK_KEYS <= 2 * BYTES_IN_FLIGHT);
    assert!(BULK_READS_AIM <= BULK_READS_LIMIT);
    assert!(BUCKET_LIMIT * BULK_KEYS <= 25_000_000, "the platform's limit of a bulk read's answer");
    assert!(
        (KV_CACHE_SECONDS + REMEMBER_SECONDS_MAX) * 1000 < LIVE_DELAY_MS,
        "a manifest is out of date for less time"
    );
    assert!((KV_CACHE_SECONDS + REMEMBER_SECONDS_MAX) * 1000 < GENERATION_KEPT_MS);
    assert!(BUCKET_TARGET < BUCKET_LIMIT);
    assert!(ATTACHMENTS_LIMIT <= RETENTION_STEP_FILES, "an alarm can remove any launch");
    assert!(LAUNCH_HEAD_LIMIT as u64 + INLINE_LIMIT < 2_000_000, "a row of an object has at most 2 MB");
    assert!(3 + 2 * PENDING_ROWS_WRITTEN_AT_ONCE <= 100, "the platform's limit of parameters");
    assert!(CHANGED_KEYS_LIMIT * (KEY_LIMIT + 64) < 2_000_000, "a row of an object has at most 2 MB");
    assert!(KEY_LIMIT * 6 <= SCALAR_LIMIT, "a key written in \\u escapes only fits into a root field");
};
