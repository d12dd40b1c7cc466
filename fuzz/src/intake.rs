//! Taking a whole request in: in chunks and whole, short of memory, and what it means, against a reading of the JSON as a
//! whole ([`super::meaning`]) and of the XML as the JSON that the contract translates it to ([`super::translation`]).

use super::{
    chunks::{Dice, cut},
    meaning, translation,
};
use std::{cell::OnceCell, rc::Rc};
use trigger_launch::{
    fields::Endpoint,
    launch::{
        matching::Matching,
        receive::{
            attachments::{AttachmentEvent, DecodedAttachments},
            body::BodyParser,
            items::ItemState,
        },
        request::{BodySettings, LaunchRequest},
    },
    limits::{Limits, MIB},
    memory::{Budget, Reservation},
    problem::Problem,
    profiles::{
        key::{IndexKey, KeyHash},
        normal::Normaliser,
    },
    wire::Format,
};

/// The target.
pub fn run(data: &[u8]) {
    for endpoint in [Endpoint::StartBatch, Endpoint::Start] {
        let chunks = cut(data);
        let format = format_of(data);
        let whole = take_in(endpoint, Some(format), Limits::default(), &[data]);
        assert_eq!(take_in(endpoint, Some(format), Limits::default(), &chunks), whole, "in chunks");
        let guessed = take_in(endpoint, None, Limits::default(), &chunks);
        assert_eq!(guessed.as_ref().map_err(Problem::rank), whole.as_ref().map_err(Problem::rank), "without a type");

        let limits = tight(data);
        let limited = take_in(endpoint, Some(format), limits, &[data]);
        assert_eq!(take_in(endpoint, Some(format), limits, &chunks), limited, "in chunks, within limits");
        starved(endpoint, format, data, &whole);

        match format {
            Format::Json => meaning::compare(endpoint, data, &whole),
            Format::Xml => translation::compare(endpoint, data, &whole),
        }
    }
}

fn format_of(data: &[u8]) -> Format {
    let first = data.iter().find(|byte| !b" \t\r\n\xEF\xBB\xBF".contains(byte));
    if first == Some(&b'<') { Format::Xml } else { Format::Json }
}

/// Limits that the body may well be over.
fn tight(data: &[u8]) -> Limits {
    let mut dice = Dice::of(data);
    let mut around = |size: usize| dice.below(2 * size + 2) as u64;
    Limits {
        body: around(data.len()),
        files: around(data.len()) + data.len() as u64 / 2,
        items: around(4),
        content: around(64),
        ..Limits::default()
    }
}

/// What was taken in, to be compared.
#[derive(Debug, PartialEq)]
pub struct Taken {
    pub token: Option<String>,
    pub format: Option<Format>,
    pub trigger_id: u64,
    pub matching: Matching,
    pub field_name: String,
    /// `skip_triggers`, `report`, `strict`, `dry_run`.
    pub flags: [bool; 4],
    pub content: Option<String>,
    pub custom_data: Option<String>,
    /// Of each item what is known, and the hashes of its keys.
    pub items: Vec<(ItemState, Vec<KeyHash>)>,
    /// The items with a `custom_data` of their own.
    pub items_data: Vec<(u32, String)>,
    pub files: Vec<File>,
}

/// An attachment.
#[derive(Debug, PartialEq, Default)]
pub struct File {
    pub name: String,
    pub content_type: String,
    pub bytes: Vec<u8>,
}

/// The index keys: two, as while one is rotated.
pub fn secrets() -> Rc<[IndexKey]> {
    thread_local! {
        static SECRETS: OnceCell<Rc<[IndexKey]>> = const { OnceCell::new() };
    }
    let new = |text: &str| IndexKey::new(text).expect("long enough");
    SECRETS.with(|secrets| {
        let made =
            || [new("the first key of the index, long enough"), new("the one before it, as long as that")].into();
        Rc::clone(secrets.get_or_init(made))
    })
}

pub fn take_in(endpoint: Endpoint, body: Option<Format>, limits: Limits, chunks: &[&[u8]]) -> Result<Taken, Problem> {
    let budget = Budget::new(64 * MIB, 64 * MIB);
    let taken = take_in_with(
        &budget,
        BodySettings { endpoint, format: body, limits, secrets: secrets(), digest_is_id: false },
        chunks,
    );
    assert_eq!(budget.reserved(), 0, "what was reserved has been given back");
    taken
}

fn take_in_with(budget: &Rc<Budget>, settings: BodySettings, chunks: &[&[u8]]) -> Result<Taken, Problem> {
    let mut intake = BodyParser::new(settings, Rc::new(Normaliser::native()), Reservation::new(budget, 0));
    let (mut files, mut file, mut arrived) = (Vec::new(), File::default(), DecodedAttachments::default());
    let mut fed = 0;
    for chunk in chunks {
        fed += chunk.len() as u64;
        intake.feed(chunk).map_err(|refused| refused.problem)?;
        assert_eq!(intake.received(), fed);
        arrived = intake.take_attachments(arrived);
        for event in &arrived.events {
            match event {
                AttachmentEvent::Bytes(range) => file.bytes.extend_from_slice(&arrived.bytes[range.clone()]),
                AttachmentEvent::End { name, content_type } => {
                    let File { bytes, .. } = std::mem::take(&mut file);
                    files.push(File { name: name.clone(), content_type: content_type.clone(), bytes });
                }
            }
        }
    }
    intake.finish(Some(fed));
    let broken = intake.is_malformed();
    let (request, memory) = intake.into_parsed().into_request().map_err(|refused| refused.problem)?;
    assert!(!broken && memory.bytes() <= budget.reserved());
    Ok(taken(request, files))
}

fn taken(request: LaunchRequest, files: Vec<File>) -> Taken {
    let LaunchRequest { root, trigger_id, keying, items } = request;
    let searches = keying.matching.searches().len();
    let hashes = |item| (0..2).flat_map(move |secret| (0..searches).map(move |search| (item, secret, search)));
    let hashes = |item| hashes(item).map(|(item, secret, search)| items.hash(item, secret, search)).collect();
    Taken {
        token: root.token,
        format: root.format,
        trigger_id,
        matching: keying.matching,
        field_name: keying.field_name,
        flags: [root.skip_triggers, root.report, root.strict, root.dry_run],
        content: root.content,
        custom_data: root.custom_data,
        items: (0..).zip(items.states()).map(|(item, known)| (known, hashes(item))).collect(),
        items_data: items
            .custom_data()
            .map(|(item, text)| (item, String::from_utf8(text.to_vec()).expect("UTF-8")))
            .collect(),
        files,
    }
}

/// With little memory: either the same, or a refusal that says so.
fn starved(endpoint: Endpoint, format: Format, data: &[u8], whole: &Result<Taken, Problem>) {
    let budget = Budget::new(data.len() as u64, data.len() as u64 / 2);
    let setup = BodySettings {
        endpoint,
        format: Some(format),
        limits: Limits::default(),
        secrets: secrets(),
        digest_is_id: false,
    };
    match (take_in_with(&budget, setup, &cut(data)), whole) {
        (Err(Problem::Unavailable(_)), _) => {}
        // Behind a tag of XML that could not be held nothing is checked any longer, and an earlier fault is answered.
        (Err(Problem::BadField(_)), Err(_)) if format == Format::Xml => {}
        (Err(problem), Err(other)) => assert_eq!(problem.rank(), other.rank(), "{problem:?} for {other:?}"),
        (taken, whole) => assert_eq!(&taken, whole, "short of memory"),
    }
    assert_eq!(budget.reserved(), 0, "what was reserved has been given back");
}
