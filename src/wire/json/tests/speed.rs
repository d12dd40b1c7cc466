//! How fast bodies are framed. Nothing is asserted about time (on Linux, where the time that a thread has had
//! can be read): `cargo test --release --lib json::tests::speed -- --ignored --nocapture`.

use crate::{
    limits::READ_BUFFER,
    wire::{Endpoint, Field, Piece, Sink, attachment_data::AttachmentDecoder, json},
};
use std::time::Duration;

/// A sink that looks at every piece, and decodes the items that are not plain, and attachments, if `decode`.
#[derive(Default)]
struct Count {
    bytes: usize,
    items: usize,
    decode: bool,
    decoder: Option<AttachmentDecoder>,
    out: Vec<u8>,
}

impl Sink for Count {
    fn piece(&mut self, piece: Piece<'_>) {
        match piece {
            Piece::Item { plain: Some((_, value)), .. } => {
                self.items += 1;
                self.bytes += value.len();
            }
            Piece::Item { raw, plain: None } => {
                self.items += 1;
                self.bytes += if self.decode { usize::from(json::item(raw).is_ok()) } else { raw.len() };
            }
            Piece::AttachData(run) => {
                self.bytes += run.len();
                if let Some(decoder) = &mut self.decoder {
                    decoder.push(run, &mut self.out).expect("the data is base64");
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

/// Frames `body` some times, and prints the best of them.
fn measure(name: &str, body: &str, decode: bool) {
    let mut best = Duration::MAX;
    let mut sink = Count::default();
    for _ in 0..7 {
        sink = Count { decode, decoder: decode.then(AttachmentDecoder::new), ..Count::default() };
        let begun = processor_time();
        let mut framer = json::JsonFramer::new(Endpoint::Batch);
        let fed = body.as_bytes().chunks(READ_BUFFER).try_for_each(|chunk| framer.feed(chunk, &mut sink));
        fed.and_then(|()| framer.finish(&mut sink)).expect("the body is well-formed");
        best = best.min(processor_time() - begun);
    }
    let speed = body.len() as f64 / best.as_secs_f64() / 1e6;
    let (length, time) = (body.len(), best.as_secs_f64() * 1e3);
    println!("{name:<34} {length:>10} bytes {time:>8.2} ms {speed:>8.0} MB/s {:>8} items", sink.items);
}

fn items(count: usize, item: impl Fn(usize) -> String) -> String {
    format!("{{\"data\":[{}]}}", (0..count).map(item).collect::<Vec<_>>().join(","))
}

#[test]
#[ignore = "a measurement"]
fn speed() {
    let plain = items(300_000, |n| format!("{{\"email\":\"user{:06}@example.com\"}}", n));
    measure("plain items", &plain, false);
    let laid_out = items(300_000, |n| format!("\n    {{\n      \"email\": \"user{n:06}@example.com\"\n    }}"));
    measure("plain items, laid out", &laid_out, false);
    let cyrillic = items(300_000, |n| format!("{{\"field_value\":\"Иван Иванович {n}\"}}"));
    measure("plain items beyond ASCII", &cyrillic, false);
    let two = items(300_000, |n| format!("{{\"email\":\"user{n:06}@example.com\",\"phone\":\"+79{n:09}\"}}"));
    measure("items of two members", &two, false);
    measure("items of two members, decoded", &two, true);
    let custom =
        |n| format!("{{\"email\":\"user{n:06}@example.com\",\"custom_data\":{{\"a\":[1,2.5,true],\"b\":\"c\"}}}}");
    measure("items with custom_data", &items(100_000, custom), false);
    measure("items with custom_data, decoded", &items(100_000, custom), true);
    measure("empty items", &items(1_000_000, |_| "{}".into()), false);
    let content = format!("{{\"content\":{{\"a\":\"{}\"}}}}", "Уважаемый Иван, ".repeat(400_000));
    measure("a long string beyond ASCII", &content, false);
    let attach = |data: &str| format!("{{\"attach\":[{{\"name\":\"a.pdf\",\"data\":\"{data}\"}}]}}");
    let base64 = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+A".repeat(1 << 20);
    measure("attachment data", &attach(&base64), false);
    measure("attachment data, decoded", &attach(&base64), true);
    measure("attachment data, PHP's slashes", &attach(&base64.replace('+', "\\/")), false);
    measure("attachment data, PHP's, decoded", &attach(&base64.replace('+', "\\/")), true);
    measure("attachment data, a line each 76", &attach(&format!("{}\\r\\n", "A".repeat(76)).repeat(800_000)), false);
}
