//! How fast it is. Nothing is asserted about time:
//! (On Linux, where the time that a thread has had can be read.)
//! `cargo test --release --lib xml::tests::speed -- --ignored --nocapture`.

use std::time::Duration;

use crate::limits::READ_BUFFER;
use crate::wire::attachment_data::AttachmentDecoder;
use crate::wire::xml::XmlFramer;
use crate::wire::{Endpoint, Field, Piece, Sink};

#[derive(Default)]
struct Counter {
    items: u64,
    decoder: Option<AttachmentDecoder>,
    out: Vec<u8>,
    decoded: u64,
    bytes: u64,
}

impl Sink for Counter {
    fn piece(&mut self, piece: Piece<'_>) {
        match piece {
            Piece::Item { raw, plain } => {
                self.items += 1;
                self.bytes += plain.map_or(raw, |(_, value)| value).len() as u64;
            }
            Piece::AttachData(run) => {
                self.bytes += run.len() as u64;
                if let Some(decoder) = &mut self.decoder {
                    decoder.push(run, &mut self.out).unwrap();
                    self.decoded += self.out.len() as u64;
                    self.out.clear();
                }
            }
            _ => {}
        }
    }

    fn reserve(&mut self, _: usize) -> bool {
        true
    }

    fn release(&mut self, _: usize) {}

    fn field_limit(&self, _: Field) -> usize {
        usize::MAX
    }
}

/// The time that this thread has had of a processor: other load does not matter much then.
fn processor_time() -> Duration {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    Duration::from_nanos(text.split(' ').next().and_then(|number| number.parse().ok()).unwrap_or(0))
}

fn measure(what: &str, body: &[u8], decode: bool) {
    let mut best = Duration::MAX;
    let mut sink = Counter::default();
    for _ in 0..7 {
        sink = Counter { decoder: decode.then(AttachmentDecoder::new), ..Counter::default() };
        let begun = processor_time();
        let mut framer = XmlFramer::new(Endpoint::Batch);
        for chunk in body.chunks(READ_BUFFER) {
            framer.feed(chunk, &mut sink).unwrap();
        }
        framer.finish(&mut sink).unwrap();
        best = best.min(processor_time() - begun);
    }
    let megabytes = body.len() as f64 / 1e6;
    let rate = megabytes / best.as_secs_f64();
    let Counter { items, decoded, bytes, .. } = sink;
    println!(
        "{what:40} {megabytes:6.1} MB {best:9.1?} {rate:7.0} MB/s ({items} items, {bytes} bytes, {decoded} decoded)"
    );
}

fn items(item: impl Fn(u32) -> String) -> Vec<u8> {
    let items: String = (0..300_000).map(item).collect();
    format!("<xml>{items}</xml>").into_bytes()
}

#[test]
#[ignore = "a measurement"]
fn speed() {
    let email = |n: u32| format!("<email>user{n:06}@example.com</email>");
    measure("items", &items(|n| format!("<data>{}</data>", email(n))), false);
    measure("items, pretty-printed", &items(|n| format!("\n  <data>\n    {}\n  </data>", email(n))), false);
    measure("items with an attribute", &items(|n| format!("<data a=''>{}</data>", email(n))), false);
    measure("items with two fields", &items(|n| format!("<data>{}<phone>+7900{n:07}</phone></data>", email(n))), false);
    let letters = |n: u32| format!("<data><field_value>Иванов-{n}</field_value></data>");
    measure("items in Cyrillic", &items(letters), false);

    let line = b"QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVphYmNkZWZnaGlqa2xtbm9wcXJzdHV2d3h5ejAxMjM0".as_slice();
    let attach = |data: &[u8]| [b"<xml><attach><data>data:a/b;base64,", data, b"</data></attach></xml>"].concat();
    let one = attach(&line.repeat(1_300_000));
    measure("attachment, framing alone", &one, false);
    measure("attachment, with base64", &one, true);
    let lines = attach(&[line, b"\r\n"].concat().repeat(1_300_000));
    measure("attachment in lines, framing alone", &lines, false);
    measure("attachment in lines, with base64", &lines, true);
    let cdata = attach(&[b"<![CDATA[", line.repeat(1_300_000).as_slice(), b"]]>"].concat());
    measure("attachment in CDATA, with base64", &cdata, true);
    let unknown = |text: &str| format!("<xml><a>{}</a></xml>", text.repeat(1_000_000)).into_bytes();
    measure("text, English", &unknown("The quick brown fox. "), false);
    measure("text, Cyrillic", &unknown("Съешь ещё этих мягких"), false);
    measure("markup", &unknown("<b><c d='e'/></b>"), false);
}
