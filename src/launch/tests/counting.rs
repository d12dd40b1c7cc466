//! The bytes that count against `BODY_LIMIT` do not depend on where chunks end.

use std::rc::Rc;

use crate::{
    fields::Endpoint,
    launch::{receive::body::BodyParser, request::BodySettings},
    limits::Limits,
    memory::{Budget, Reservation},
    problem::Problem,
    profiles::{key::IndexKey, normal::Normaliser},
};

/// Parses a body in two chunks with a limit.
fn parse(body: &[u8], limit: u64, cut: usize) -> Result<(), Problem> {
    let secrets = [IndexKey::new("a key of the tests, longer than 32 characters").unwrap()].into();
    let limits = Limits { body: limit, ..Limits::default() };
    let settings = BodySettings { endpoint: Endpoint::StartBatch, format: None, limits, secrets, digest_is_id: false };
    let memory = Reservation::new(&Budget::new(1 << 30, 1 << 30), 0);
    let mut parser = BodyParser::new(settings, Rc::new(Normaliser::native()), memory);
    let (head, tail) = body.split_at(cut);
    [head, tail].into_iter().try_for_each(|chunk| parser.feed(chunk)).map_err(|refused| refused.problem)?;
    parser.finish(Some(body.len() as u64));
    parser.into_parsed().into_request().map(|_| ()).map_err(|refused| refused.problem)
}

#[test]
fn reports_the_same_fault_in_an_attachment_for_all_chunks_and_limits() {
    for body in [
        "<xml><attach><data>QUJDRA==</dat\u{e9}><name>a</name></attach><token>t</token><data/></xml>",
        "<xml><attach><data>QUJD<!-- QUJD <> -- QUJD --></data></attach></xml>",
        "<xml><attach><data>QUJD<![CDATA[QUJD<>]]><b c='<'/>QUJD</data></attach></xml>",
        "<xml><attach><data>QU]]JD<![CDATA[QU]]JD]]]>QUJD\u{1}</data></attach></xml>",
        "<xml><attach><data><![CDATA[QU]]\u{1}</data></attach></xml>",
        "<xml><attach><data>QUJD&amp;QUJD&x;QUJD</data></attach></xml>",
        "<xml><attach><name>a</name><data>QUJD&#00000000065;===&#65</data></attach><trigger_id>8</trigger_id></xml>",
        "<xml><attach><data>QUJD</data></attach><trigger_id>8</trigger_id><data/></xml>",
        r#"{"attach":[{"data":"QUJD\"QUJD\x","name":"a"}]}"#,
        r#"{"attach":[{"data":"QUJD\u0041","name":"a"}],"trigger_id":8,"data":[{}]}"#,
    ] {
        let body = body.as_bytes();
        for limit in 1..body.len() as u64 + 1 {
            let whole = parse(body, limit, 0);
            for cut in 1..body.len() {
                assert_eq!(parse(body, limit, cut), whole, "{} within {limit}, cut at {cut}", body.escape_ascii());
            }
        }
    }
}
