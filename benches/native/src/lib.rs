//! Native measurements of the Worker's own work of a launch, compared with common libraries and with copying the same bytes.
//! `benches/speed.rs` measures times. `instructions.rs` runs under valgrind, which counts instructions.

use serde::Deserialize;
use std::{
    cell::RefCell,
    collections::{BTreeMap, HashMap},
    hint::black_box,
    pin::pin,
    task::{Context, Poll, Waker},
};
use trigger_launch::{
    campaign::protocol::{
        head::LaunchHead,
        id::{LaunchId, RequestKey},
        items::ItemDataBuilder,
        message::Commit,
        packed::OutcomePacker,
    },
    fields::{Endpoint, RootField},
    outcome::{Counts, Outcome},
    problem::Cause,
    profiles::{
        bucket::{self, Bucket, BucketEntry, BucketSection, KeyMatch},
        cache::IndexCache,
        key::{Class, IndexKey, KeyHash, ProfileId},
        lookup::{self, BucketStore, IndexSearch},
        manifest::{ClassIndex, Generation, bucket_prefix},
    },
    wire::{Piece, Sink, json, xml},
};

/// A measurement.
pub struct Case {
    /// The work that is measured.
    pub group: &'static str,
    /// The implementation: `ours`, the name of a library, or `memcpy`.
    pub by: &'static str,
    /// The size of the input in bytes.
    pub bytes: usize,
    /// Does the work, and returns a value that depends on the result, so that the compiler cannot remove the work.
    pub run: Box<dyn Fn() -> usize>,
}

/// The bytes that the Worker reads at once.
const CHUNK: usize = 64 * 1024;
/// The number of items of a body.
const ITEMS: usize = 30_000;
/// The size of an attachment in bytes.
const FILE: usize = 3 * 1024 * 1024;

/// Counts the bytes of pieces.
#[derive(Default)]
struct Count(usize);

impl Sink for Count {
    fn accept(&mut self, piece: Piece<'_>) {
        self.0 += match piece {
            Piece::Item { plain: Some((_, value)), .. } => value.len(),
            Piece::Item { raw, .. } => raw.len(),
            Piece::AttachData(data) => data.len(),
            _ => 0,
        };
    }
    fn reserve(&mut self, _: usize) -> bool {
        true
    }
    fn release(&mut self, _: usize) {}
    fn field_limit(&self, _: RootField) -> usize {
        usize::MAX
    }
}

fn address(number: usize) -> String {
    format!("p{number:06}@example.com")
}

fn json_body(items: usize) -> Vec<u8> {
    let items: Vec<String> = (0..items).map(|number| format!(r#"{{"email":"{}"}}"#, address(number))).collect();
    format!(r#"{{"token":"t","trigger_id":1,"matching":"email","data":[{}]}}"#, items.join(",")).into_bytes()
}

fn xml_body(items: usize) -> Vec<u8> {
    let items: String = (0..items).map(|number| format!("<data><email>{}</email></data>", address(number))).collect();
    format!("<xml><token>t</token><trigger_id>1</trigger_id><matching>email</matching>{items}</xml>").into_bytes()
}

/// Pseudorandom bytes from a fixed seed.
fn noise(length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    blake3::Hasher::new().finalize_xof().fill(&mut bytes);
    bytes
}

fn frame_json(body: &[u8]) -> usize {
    let mut framer = json::JsonFramer::new(Endpoint::StartBatch);
    let mut count = Count::default();
    let framed = body.chunks(CHUNK).try_for_each(|chunk| framer.feed(chunk, &mut count));
    assert!(framed.and_then(|()| framer.finish(&mut count)).is_ok());
    count.0
}

fn frame_xml(body: &[u8]) -> usize {
    let mut framer = xml::XmlFramer::new(Endpoint::StartBatch);
    let mut count = Count::default();
    let framed = body.chunks(CHUNK).try_for_each(|chunk| framer.feed(chunk, &mut count));
    assert!(framed.and_then(|()| framer.finish(&mut count)).is_ok());
    count.0
}

#[derive(Deserialize)]
struct Document<'a> {
    #[serde(borrow, default)]
    data: Vec<Email<'a>>,
    #[serde(borrow, default)]
    attach: Vec<File<'a>>,
}

#[derive(Deserialize)]
struct Email<'a> {
    email: &'a str,
}

#[derive(Deserialize)]
struct File<'a> {
    data: &'a str,
}

fn quick_xml_events(body: &[u8]) -> usize {
    let mut reader = quick_xml::Reader::from_reader(body);
    let mut length = 0;
    loop {
        match reader.read_event().expect("well-formed") {
            quick_xml::events::Event::Text(text) => length += text.len(),
            quick_xml::events::Event::Eof => return length,
            _ => {}
        }
    }
}

/// All measurements.
pub fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    let mut add = |group, by, bytes, run: Box<dyn Fn() -> usize>| cases.push(Case { group, by, bytes, run });

    let body: &'static [u8] = json_body(ITEMS).leak();
    add("frame JSON items", "ours", body.len(), Box::new(|| frame_json(body)));
    let whole = || serde_json::from_slice::<Document>(body).expect("a body").data;
    add(
        "frame JSON items",
        "serde_json",
        body.len(),
        Box::new(move || whole().iter().map(|item| item.email.len()).sum()),
    );
    add("frame JSON items", "memcpy", body.len(), Box::new(|| black_box(body.to_vec()).len()));

    let body: &'static [u8] = xml_body(ITEMS).leak();
    add("frame XML items", "ours", body.len(), Box::new(|| frame_xml(body)));
    add("frame XML items", "quick-xml", body.len(), Box::new(|| quick_xml_events(body)));
    add("frame XML items", "memcpy", body.len(), Box::new(|| black_box(body.to_vec()).len()));

    let base64: &'static str = base64_simd::STANDARD.encode_to_string(noise(FILE)).leak();
    let body: &'static [u8] = format!(r#"{{"attach":[{{"name":"a","data":"{base64}"}}]}}"#).into_bytes().leak();
    add("frame JSON attachment", "ours", body.len(), Box::new(|| frame_json(body)));
    let whole = || serde_json::from_slice::<Document>(body).expect("a body").attach;
    add(
        "frame JSON attachment",
        "serde_json",
        body.len(),
        Box::new(move || whole().iter().map(|file| file.data.len()).sum()),
    );
    add("frame JSON attachment", "memcpy", body.len(), Box::new(|| black_box(body.to_vec()).len()));

    let item: &'static [u8] =
        br#" { "email" : "Somebody\u0040Example.com" , "custom_data" : { "a" : [ 1, 2.5, "x" ] } } "#;
    add("decode an item", "ours", item.len(), Box::new(|| usize::from(json::item(black_box(item)).is_ok())));
    let whole = || serde_json::from_slice::<serde_json::Value>(black_box(item)).expect("an item");
    add("decode an item", "serde_json", item.len(), Box::new(move || usize::from(whole().is_object())));

    let secret = IndexKey::new("0123456789abcdef0123456789abcdef").unwrap_or_else(|_| unreachable!("long enough"));
    let addresses: &'static [String] = (0..ITEMS).map(address).collect::<Vec<_>>().leak();
    let bytes = addresses.iter().map(String::len).sum();
    let hash = |index: IndexKey| {
        move || addresses.iter().map(|text| usize::from(index.hash(Class::Email, "", text).0[0])).sum()
    };
    add("hash keys", "ours", bytes, Box::new(hash(secret.clone())));
    let keyed =
        || addresses.iter().map(|text| usize::from(blake3::keyed_hash(&[7; 32], text.as_bytes()).as_bytes()[0])).sum();
    add("hash keys", "blake3", bytes, Box::new(keyed));

    search(&mut add, &secret, &addresses[..256]);
    search_index(&mut add, &secret);
    commit(&mut add);
    cases
}

type Add<'a> = dyn FnMut(&'static str, &'static str, usize, Box<dyn Fn() -> usize>) + 'a;

/// Searches a bucket that contains half of the keys. The comparison creates a map of the entries first.
fn search(add: &mut Add<'_>, index: &IndexKey, addresses: &[String]) {
    let hashes: Vec<KeyHash> = addresses.iter().map(|text| index.hash(Class::Email, "", text)).collect();
    let profile = Some(ProfileId([9; 12]));
    let mut entries: Vec<BucketEntry> =
        hashes.iter().step_by(2).map(|hash| BucketEntry { hash: hash.prefix(), profile }).collect();
    entries.sort_by_key(|entry| entry.hash);
    let text: &'static str = bucket::write([entries.clone(), Vec::new()]).expect("sorted entries").text.leak();
    let wanted: &'static [KeyHash] = hashes.leak();
    let ours = || {
        let bucket = Bucket::parse(text).expect("a bucket");
        let found = wanted.iter().map(|hash| bucket.find(BucketSection::Profiles, hash.prefix()));
        found.filter(|found| matches!(found, Ok(KeyMatch::Profile(_)))).count()
    };
    add("search a bucket", "ours", text.len(), Box::new(ours));
    let json: &'static str = serde_json::to_string(
        &entries.iter().map(|entry| (format!("{:?}", entry.hash), 9)).collect::<BTreeMap<_, _>>(),
    )
    .unwrap_or_default()
    .leak();
    let keys: &'static [String] = wanted.iter().map(|hash| format!("{:?}", hash.prefix())).collect::<Vec<_>>().leak();
    let map = || {
        let map: HashMap<&str, u8> = serde_json::from_str(json).expect("a map");
        keys.iter().filter(|key| map.contains_key(key.as_str())).count()
    };
    add("search a bucket", "serde_json map", json.len(), Box::new(map));
}

/// The number of profiles of an index, and of items of a launch that searches the index. Every second item has no profile.
const PROFILES: u32 = 100_000;
const SEARCHED: u32 = 300_000;

/// An index whose buckets are all cached.
struct CachedIndex {
    generation: Generation,
    cache: RefCell<IndexCache>,
}

impl BucketStore for CachedIndex {
    async fn read(&self, _: &[String]) -> Result<Vec<Option<String>>, Cause> {
        Err(Cause("a bucket is not cached".to_owned()))
    }

    fn cache(&self) -> Option<&RefCell<IndexCache>> {
        Some(&self.cache)
    }
}

impl CachedIndex {
    fn new(hashes: &[KeyHash]) -> Self {
        let buckets = PROFILES.div_ceil(1024);
        let mut generation = Generation::new("g", "", 0);
        generation.classes.push(ClassIndex { class: Class::Email, field: String::new(), buckets, largest: 65_536 });
        let mut entries = vec![Vec::new(); buckets as usize];
        for (number, hash) in (0_u32..).zip(hashes) {
            let mut id = [0; 12];
            id[..4].copy_from_slice(&number.to_le_bytes());
            let entry = BucketEntry { hash: hash.prefix(), profile: Some(ProfileId(id)) };
            entries[hash.bucket_number(buckets) as usize].push(entry);
        }
        let prefix = bucket_prefix(1, "g", Class::Email, "");
        let mut cache = IndexCache::new(usize::MAX);
        for (number, mut entries) in (0_u32..).zip(entries) {
            entries.sort_by_key(|entry: &BucketEntry| entry.hash);
            let bucket = bucket::write([entries, Vec::new()]).expect("sorted entries");
            cache.put_bucket(format!("{prefix}{number}"), bucket.text);
        }
        Self { generation, cache: RefCell::new(cache) }
    }
}

/// Runs a future that does not wait.
fn run<F: Future>(future: F) -> F::Output {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => output,
        Poll::Pending => unreachable!("all buckets are cached"),
    }
}

/// Searches an index for the keys of all items of a large launch. Every second item has a profile.
fn search_index(add: &mut Add<'_>, index: &IndexKey) {
    let profiles: Vec<KeyHash> =
        (0..PROFILES).map(|number| index.hash(Class::Email, "", &format!("p{number}@ex.io"))).collect();
    let nobody = |number: u32| index.hash(Class::Email, "", &format!("q{number}@ex.io"));
    let hashes: &'static [KeyHash] = (0..SEARCHED / 2)
        .flat_map(|number| [profiles[number as usize % profiles.len()], nobody(number)])
        .collect::<Vec<_>>()
        .leak();
    let store: &'static CachedIndex = Box::leak(Box::new(CachedIndex::new(&profiles)));
    let ours = || {
        let generation = &store.generation;
        let sections = &[BucketSection::Profiles];
        let search = IndexSearch { database: 1, generation, class: Class::Email, field: "", sections };
        let wanted: Vec<u32> = (0..SEARCHED).collect();
        let mut ids = vec![ProfileId([0; 12]); hashes.len()];
        let mut found = 0;
        let on_result = |item: u32, result| {
            if let KeyMatch::Profile(id) = result {
                ids[item as usize] = id;
                found += 1;
            }
        };
        run(lookup::find(store, search, &wanted, |item| hashes[item as usize], on_result)).expect("found");
        assert_eq!(found, SEARCHED / 2);
        black_box(ids).len()
    };
    add("search 300,000 keys", "ours", 16 * hashes.len(), Box::new(ours));
}

fn commit(add: &mut Add<'_>) {
    let recipients: &'static [u8] = noise(12 * ITEMS).leak();
    let mut packer = OutcomePacker::default();
    (0..ITEMS).for_each(|_| packer.push(Outcome::Matched));
    let outcomes: &'static [u8] = packer.finish().leak();
    let head = LaunchHead {
        launch_id: LaunchId::new(0, RequestKey::new("t", "r"), 0),
        trigger_id: 1,
        request_id: "r".to_owned(),
        token_name: "t".to_owned(),
        endpoint: Endpoint::StartBatch,
        body_digest: [0; 32],
        matching: "email".to_owned(),
        field_name: None,
        skip_triggers: false,
        counts: Counts { matched: ITEMS as u64, ..Counts::default() },
        attachments: Vec::new(),
    };
    let encode = move || {
        let item_data = ItemDataBuilder::default();
        let item_data = item_data.view();
        let commit = Commit { head: head.clone(), content: None, custom_data: None, recipients, outcomes, item_data };
        commit.encode().expect("a message").len()
    };
    add("encode a commit", "ours", recipients.len(), Box::new(encode));
    let ids = || recipients.chunks(12).map(|id| id.iter().map(|byte| format!("{byte:02x}")).collect::<String>());
    let ids: &'static [String] = ids().collect::<Vec<_>>().leak();
    add("encode a commit", "serde_json", recipients.len(), Box::new(|| serde_json::to_vec(ids).expect("JSON").len()));
    add("encode a commit", "memcpy", recipients.len(), Box::new(|| black_box(recipients.to_vec()).len()));
}
