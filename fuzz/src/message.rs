//! Commit messages and the other things that travel between Worker and object: decoding any bytes, and that what is sent is
//! what arrives.

use serde::{Serialize, de::DeserializeOwned};
use trigger_launch::{
    campaign::protocol::{
        commands::{Command, Refusal},
        head::LaunchHead,
        id::LaunchId,
        items::{INDEX_ENTRY, ItemDataBuilder},
        layout::{MESSAGE_LIMIT, MessageLayout, PREFIX, PROFILE_ID},
        message::{Commit, MessageDigest, RepeatedLaunch},
        packed::{self, OutcomePacker, OutcomeRuns},
    },
    limits::LAUNCH_HEAD_LIMIT,
    profiles::manifest::Manifest,
};

/// The target.
pub fn run(data: &[u8]) {
    message(data);
    signed(data);
    assembled(data);
    outcomes(data);
    json::<Command>(data);
    json::<Refusal>(data);
    json::<LaunchHead>(data);
    json::<Manifest>(data);
    if let Some(id) = std::str::from_utf8(data).ok().and_then(LaunchId::parse) {
        assert_eq!(id.to_string().as_bytes(), data);
    }
}

/// A message as it is: what is read of it can be sent and read again.
fn message(data: &[u8]) {
    let decoded = Commit::decode(data);
    assert_eq!(RepeatedLaunch::decode(data.to_vec()).is_ok(), decoded.is_ok());
    let Ok(commit) = decoded else { return };
    let again = commit.encode().expect("what was decoded can be encoded");
    assert_eq!(Commit::decode(&again).as_ref(), Ok(&commit));
    let repeated = RepeatedLaunch::decode(again).expect("the same");
    assert_eq!(repeated.head(), &commit.head);
    assert_eq!((repeated.recipients(), repeated.outcomes()), (commit.recipients, commit.outcomes));
    let items: Vec<_> = commit.item_data.iter().collect();
    assert!(items.is_sorted_by(|one, other| one.0 < other.0) && items.iter().all(|(_, text)| !text.is_empty()));
    assert!(items.last().is_none_or(|(recipient, _)| u64::from(*recipient) < commit.head.counts.matched));
    assert_eq!(items.into_iter().map(|(_, text)| text).collect::<String>(), commit.item_data.texts);
}

/// The same with a digest that is right: else no mutation would come past it.
fn signed(data: &[u8]) {
    let mut digest = MessageDigest::default();
    digest.update(data);
    message(&[data, &digest.finish()].concat());
    if let Some(layout) = MessageLayout::read(data) {
        assert_eq!(layout.to_bytes(), data[..PREFIX]);
        assert!(layout.head() <= LAUNCH_HEAD_LIMIT as u64 && layout.message() <= MESSAGE_LIMIT, "within the limits");
    }
}

/// A message put together of parts: first a byte for the length of each (the last takes the rest), and, with the counts and
/// the id made to fit, one that has to be accepted.
fn assembled(data: &[u8]) {
    let Some((lengths, mut rest)) = data.split_at_checked(5) else { return };
    let mut take = |length: usize| {
        let (part, behind) = rest.split_at(length.min(rest.len()));
        rest = behind;
        part
    };
    let [content, custom_data, outcomes, texts, head] =
        [0, 1, 2, 3, 4].map(|part| take(8 * usize::from(lengths[part])));
    let recipients = rest;
    let sections = [content, custom_data, recipients, outcomes, &[], texts];
    if let Some(layout) = MessageLayout::of(head.len(), sections.map(<[u8]>::len)) {
        let prefix = layout.to_bytes();
        signed(&[&prefix[..], head, content, custom_data, recipients, outcomes, texts].concat());
    }

    let Ok(mut head) = serde_json::from_slice::<LaunchHead>(head) else { return };
    let mut packer = OutcomePacker::default();
    outcomes.iter().filter_map(|number| trigger_launch::outcome::Outcome::from_number(*number)).for_each(|outcome| {
        packer.push(outcome);
    });
    head.counts = packer.counts();
    head.launch_id = LaunchId::new(head.launch_id.time(), head.request_key(), 1);
    let ids: Vec<u8> = recipients.iter().copied().chain([0; PROFILE_ID].repeat(outcomes.len())).collect();
    let mut items = ItemDataBuilder::default();
    for (recipient, text) in (0..).zip(texts.chunks(3)).take(head.counts.matched as usize) {
        let text: String = text.iter().map(|byte| char::from(*byte)).collect();
        items.push(recipient, &text).expect("in order");
    }
    assert!(items.view().index.len().is_multiple_of(INDEX_ENTRY));
    let text = |bytes| std::str::from_utf8(bytes).ok().filter(|text| !text.is_empty());
    let commit = Commit {
        recipients: &ids[..PROFILE_ID * head.counts.matched as usize],
        outcomes: &packer.finish(),
        content: text(content),
        custom_data: text(custom_data),
        item_data: items.view(),
        head,
    };
    match commit.encode() {
        Ok(encoded) => assert_eq!(Commit::decode(&encoded).as_ref(), Ok(&commit), "what is sent is what arrives"),
        Err(bad) => assert!(!commit.head.is_valid(), "{bad:?}"),
    }
}

/// Packed outcomes: what can be counted can be gone through, and comes to the same when it is packed again.
fn outcomes(data: &[u8]) {
    let Ok(counts) = packed::counts(data) else { return };
    // A run of a few bytes may stand for millions of items.
    if counts.items() > 100_000 {
        return;
    }
    let mut packer = OutcomePacker::default();
    packed::outcomes(data).for_each(|outcome| packer.push(outcome));
    assert_eq!(packer.counts(), counts);
    let again = packer.finish();
    assert!(again.len() <= data.len());
    assert_eq!(packed::counts(&again), Ok(counts));
    let runs: Vec<_> = OutcomeRuns::new(data).map(|run| run.expect("counted")).collect();
    assert_eq!(runs.iter().map(|(_, length)| u64::from(*length)).sum::<u64>(), counts.items());
    if runs.is_sorted_by(|one, next| one.0 != next.0) {
        assert_eq!(again, data, "there is one way to write it");
    }
}

/// JSON that travels: what was read is written and read again.
fn json<T: DeserializeOwned + Serialize + PartialEq + std::fmt::Debug>(data: &[u8]) {
    let Ok(read) = serde_json::from_slice::<T>(data) else { return };
    let again = serde_json::to_vec(&read).expect("JSON");
    assert_eq!(serde_json::from_slice::<T>(&again).expect("JSON"), read);
}
