//! The pairs of `tests/vectors`: `x.json` and `x.xml` produce the launch and the replies of `x.expected`, in any chunks.
//! `UPDATE_VECTORS=1 cargo test --lib vectors` writes the expected files; check the difference before you commit it.

use super::{
    call::{Call, reply},
    reading::launch_id,
    world::{CAMPAIGN, World},
};
use crate::{
    campaign::protocol::commands::{Command, PageRequest},
    fields::Endpoint,
    launch::reply as replies,
    wire::Format,
};
use std::{fs, path::Path};

const CHUNKS: [usize; 7] = [1, 3, 7, 13, 29, 67, 4096];

/// Sends a request in a new world. Returns the reply in both formats and the launch as senders read it, without IDs and times.
fn outcome(endpoint: Endpoint, format: Format, body: &[u8], chunk: usize) -> String {
    let answer = |reply_format| {
        let world = World::new();
        let request_id = Some("vector".into());
        let call = Call { endpoint, format: Some(format), request_id, chunk, ..Call::bare(body) };
        let outcome = world.send_and_complete(call);
        let text = match &outcome.result {
            Err(problem) => replies::problem(&problem.problem, "vector", reply_format),
            Ok(launched) => {
                let id = launched.launch_id.map_or_else(|| "no launch".to_owned(), |id| id.to_string());
                reply(outcome, reply_format).replace(&id, "LAUNCH")
            }
        };
        (world, text)
    };
    let ((world, json), (_, xml)) = (answer(Format::Json), answer(Format::Xml));
    let mut text = format!("{json}\n{xml}\n");
    for launch in world.launches() {
        let id = launch_id(&launch);
        let whole = world.ask(CAMPAIGN, &Command::Launch(id)).unwrap();
        text.push_str(&whole.replace(&id.to_string(), "LAUNCH").replace("2026-11-23T18:00:00.000Z", "NOON"));
        text.push('\n');
        let page = PageRequest { after: None, limit: 1000 };
        text.push_str(&world.ask(CAMPAIGN, &Command::Recipients(id, page)).unwrap());
        text.push('\n');
    }
    text
}

#[test]
fn produces_the_expected_launch_from_both_formats_and_in_all_chunks() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors");
    let mut names: Vec<_> = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    names.retain(|path| path.extension().is_some_and(|extension| extension == "json"));
    names.sort();
    assert!(names.len() >= 12, "only {} vectors were found", names.len());
    for json in names {
        let name = json.file_stem().unwrap().to_str().unwrap().to_owned();
        let endpoint = if name.starts_with("start-") { Endpoint::Start } else { Endpoint::StartBatch };
        let expected_file = json.with_extension("expected");
        let bodies =
            [(Format::Json, fs::read(&json).unwrap()), (Format::Xml, fs::read(json.with_extension("xml")).unwrap())];
        if std::env::var_os("UPDATE_VECTORS").is_some() {
            fs::write(&expected_file, outcome(endpoint, Format::Json, &bodies[0].1, usize::MAX)).unwrap();
        }
        let expected = fs::read_to_string(&expected_file).unwrap();
        for (format, body) in &bodies {
            for chunk in CHUNKS.into_iter().chain([usize::MAX]) {
                assert_eq!(outcome(endpoint, *format, body, chunk), expected, "{name}, {format:?}, chunks of {chunk}");
            }
        }
    }
}
