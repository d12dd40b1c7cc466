//! The decision after receiving: the order of faults, row by row, and running an admitted request later.

use std::rc::Rc;

use super::{
    call::Call,
    world::{TOKEN, World},
};
use crate::{
    access::{Scope, TokenRecord},
    campaign::tests::faults::run,
    fields::Endpoint,
    launch::{
        BodySettings, RequestHead,
        admit::admit,
        receive::{
            Received,
            body::ParsedBody,
            lookups::{Lookup, Lookups},
            pace::PacedBody,
            receive,
            uploads::UploadedAttachments,
        },
        reply::LaunchResult,
        run::run as run_admitted,
    },
    limits::Limits,
    memory::{Budget, OutOfMemory, Reservation},
    problem::{Cause, Problem, RateLimit, Refused},
    profiles::{key::IndexKey, normal::Normaliser},
    wire::Format,
};

fn head(tokens: &[&str], fault: Option<Problem>) -> RequestHead {
    RequestHead {
        settings: BodySettings {
            endpoint: Endpoint::StartBatch,
            format: None,
            limits: Limits::default(),
            secrets: [IndexKey::new("a key of the tests, longer than 32 characters").unwrap()].into(),
            digest_is_id: false,
        },
        length: None,
        tokens: tokens.iter().map(|token| (*token).to_owned()).collect(),
        format: Format::Json,
        request_id: "req-1".to_owned(),
        fault,
    }
}

/// What a test varies of a received request. By default it has a valid body and a valid token.
#[derive(Default)]
struct Case {
    stopped: Option<Problem>,
    token: Option<Problem>,
    token_is_missing: bool,
    body: Option<Problem>,
    shortage: bool,
    head: Option<Problem>,
    campaign: bool,
    uploads: Option<Problem>,
    repeat: bool,
}

const OUT_OF_MEMORY: OutOfMemory = OutOfMemory::Limit { name: "MEMORY_LIMIT", limit: 1, reserved: 1, requested: 1 };

impl Case {
    fn admit(self, tokens: &[&str]) -> Result<(), Problem> {
        let head = head(tokens, self.head);
        let record = TokenRecord {
            name: "crm".to_owned(),
            scopes: vec![Scope::Launch],
            databases: Vec::new(),
            created: 0,
            revoked: None,
        };
        let token = match (self.token_is_missing, self.token) {
            (true, _) => Lookup::Idle,
            (false, None) => Lookup::Done(Ok(record)),
            (false, Some(fault)) => Lookup::Done(Err(fault.into())),
        };
        let campaign = if self.campaign { Ok(Some(1)) } else { Err(Cause::new("KV is down")) };
        let mut lookups = Lookups::default();
        (lookups.token, lookups.campaign) = (token, Lookup::Done(campaign));
        if self.repeat {
            lookups.earlier = Lookup::Done(Err(Problem::NotActive.into()));
        }
        let received = Received {
            stopped: self.stopped.map(Refused::from),
            body: ParsedBody { fault: self.body.map(Refused::from), ..parsed(&head, self.shortage) },
            lookups,
            uploads: UploadedAttachments {
                attachments: Some(Vec::new()),
                failure: self.uploads.map(Refused::from),
                begun: Vec::new(),
            },
            launch_id: None,
        };
        let admitted = admit(received, &head).map_err(|refused| refused.problem)?;
        assert_eq!(admitted.request.trigger_id, 8);
        admitted.attachments.map(drop).map_err(|refused| refused.problem)
    }
}

fn parsed(head: &RequestHead, shortage: bool) -> ParsedBody {
    use crate::launch::receive::body::BodyParser;
    let memory = Reservation::new(&Budget::new(1 << 20, 1 << 20), 0);
    let mut body = BodyParser::new(head.settings.clone(), Rc::new(Normaliser::native()), memory);
    body.feed(br#"{"trigger_id":8,"data":[{"email":"a@example.com"}]}"#).unwrap();
    body.finish(None);
    ParsedBody { shortage: shortage.then_some(OUT_OF_MEMORY), ..body.into_parsed() }
}

fn case() -> Case {
    Case { campaign: true, ..Case::default() }
}

const BAD_TOKEN: Problem = Problem::TokenRequired("the token is not known");
const RATE_LIMITED: Problem = Problem::TooManyRequests(RateLimit::Token);
const NO_SCOPE: Problem = Problem::AccessDenied("launch");

fn bad_body_token() -> Problem {
    Problem::TokenRequiredInBody("the token is not known".into())
}

fn malformed() -> Problem {
    Problem::Malformed("byte 3: expected \":\"".into())
}

fn bad_field() -> Problem {
    Problem::BadField("data: is required".into())
}

fn bad_id() -> Problem {
    Problem::BadField("Request-ID: not visible ASCII".into())
}

fn bad_encoding() -> Problem {
    Problem::UnsupportedMediaType("encoding".into())
}

fn unavailable(text: &'static str) -> Problem {
    Problem::Unavailable(text.into())
}

/// Description, case, tokens of the head, expected result.
type Row<'a> = (&'a str, Case, &'a [&'a str], Result<(), Problem>);

#[test]
fn answers_the_fault_that_ranks_first() {
    let in_head: &[&str] = &["a token"];
    let in_body: &[&str] = &[];
    let too_slow = Problem::Timeout("too slow".into());
    let rows: Vec<Row<'_>> = vec![
        ("no fault", case(), in_head, Ok(())),
        ("malformed", Case { body: Some(malformed()), ..case() }, in_head, Err(malformed())),
        (
            "malformed, no valid token in the body",
            Case { body: Some(malformed()), token: Some(bad_body_token()), ..case() },
            in_body,
            Err(malformed()),
        ),
        (
            "bad field, no valid token in the body",
            Case { body: Some(bad_field()), token: Some(bad_body_token()), ..case() },
            in_body,
            Err(bad_body_token()),
        ),
        (
            "rate limit, malformed",
            Case { body: Some(malformed()), token: Some(RATE_LIMITED), ..case() },
            in_head,
            Err(RATE_LIMITED),
        ),
        (
            "encoding, rate limit",
            Case { body: Some(bad_encoding()), token: Some(RATE_LIMITED), ..case() },
            in_body,
            Err(bad_encoding()),
        ),
        (
            "bad field, no scope",
            Case { body: Some(bad_field()), token: Some(NO_SCOPE), ..case() },
            in_head,
            Err(NO_SCOPE),
        ),
        ("bad request ID", Case { head: Some(bad_id()), ..case() }, in_head, Err(bad_id())),
        (
            "bad field, bad request ID",
            Case { body: Some(bad_field()), head: Some(bad_id()), ..case() },
            in_head,
            Err(bad_field()),
        ),
        (
            "malformed, bad request ID",
            Case { body: Some(malformed()), head: Some(bad_id()), ..case() },
            in_head,
            Err(malformed()),
        ),
        (
            "KV fails",
            Case { campaign: false, ..case() },
            in_head,
            Err(unavailable("the campaign cannot be looked up now: retry later")),
        ),
        ("bad field, KV fails", Case { body: Some(bad_field()), campaign: false, ..case() }, in_head, Err(bad_field())),
        ("uploads fail", Case { uploads: Some(unavailable("R2")), ..case() }, in_head, Err(unavailable("R2"))),
        (
            "bad field, uploads fail",
            Case { body: Some(bad_field()), uploads: Some(unavailable("R2")), ..case() },
            in_head,
            Err(bad_field()),
        ),
        (
            "an earlier refusal does not hide that uploads fail",
            Case { uploads: Some(unavailable("R2")), repeat: true, ..case() },
            in_head,
            Err(unavailable("R2")),
        ),
        // Reading stopped: of the rest of the request, only a token outside of the body is known.
        (
            "body too large",
            Case { stopped: Some(Problem::BodyTooLarge), ..case() },
            in_head,
            Err(Problem::BodyTooLarge),
        ),
        (
            "body too large, bad token in the header",
            Case { stopped: Some(Problem::BodyTooLarge), token: Some(BAD_TOKEN), ..case() },
            in_head,
            Err(BAD_TOKEN),
        ),
        (
            "body too large, bad token in the body",
            Case { stopped: Some(Problem::BodyTooLarge), token: Some(bad_body_token()), ..case() },
            in_body,
            Err(Problem::BodyTooLarge),
        ),
        (
            "too slow, no scope",
            Case { stopped: Some(too_slow.clone()), token: Some(NO_SCOPE), ..case() },
            in_head,
            Err(too_slow.clone()),
        ),
        (
            "too slow, bad field",
            Case { stopped: Some(too_slow.clone()), body: Some(bad_field()), ..case() },
            in_head,
            Err(too_slow),
        ),
        (
            "evicted, bad token in the header",
            Case { stopped: Some(unavailable("evicted")), token: Some(BAD_TOKEN), ..case() },
            in_head,
            Err(unavailable("evicted")),
        ),
        // Memory ran out: the token may have arrived.
        (
            "no memory for the token",
            Case { token_is_missing: true, shortage: true, ..case() },
            in_body,
            Err(Problem::no_memory()),
        ),
        (
            "no memory for the token, malformed",
            Case { token_is_missing: true, shortage: true, body: Some(malformed()), ..case() },
            in_body,
            Err(malformed()),
        ),
        (
            "no memory for the token, bad field",
            Case { token_is_missing: true, shortage: true, body: Some(bad_field()), ..case() },
            in_body,
            Err(Problem::no_memory()),
        ),
    ];
    for (row, case, tokens, expected) in rows {
        assert_eq!(case.admit(tokens), expected, "{row}");
    }
}

#[test]
fn runs_an_admitted_request_after_everything_else_is_gone() {
    let body =
        format!(r#"{{"token":"{TOKEN}","trigger_id":8,"report":true,"data":[{{"email":"example1@example.com"}}]}}"#);
    let admitted = {
        let world = World::new();
        let head = RequestHead {
            settings: BodySettings { secrets: Rc::clone(&world.secrets), ..head(&[], None).settings },
            ..head(&[], None)
        };
        let memory = Reservation::new(&world.budget, world.now());
        let call = Call::bare(body);
        let mut chunks = call.chunks(&world);
        let mut body = PacedBody::new(&world, &mut chunks, memory.watch(), None);
        let received = run(receive(&world, &head, &mut body, memory));
        admit(received, &head).unwrap()
    };
    let later = World::new();
    later.advance(3_600_000);
    let outcome = run(run_admitted(&later, *admitted));
    let LaunchResult { launch_id, counts, repeated, .. } = outcome.result.unwrap();
    assert_eq!((counts.matched, repeated), (1, false));
    assert_eq!(later.recipients(launch_id.unwrap()), ["6606e08f10bcdd88297057a7"]);
    assert!(outcome.uploads.is_none());
}
