//! Any launch has the same result from JSON and XML, in any chunks.

use crate::{
    fields::Endpoint,
    launch::{
        matching::Matching,
        receive::{
            body::BodyParser,
            items::{ItemState, Keying},
        },
        request::{BodySettings, LaunchRequest},
    },
    limits::Limits,
    memory::{Budget, Reservation},
    profiles::{key::IndexKey, normal::Normaliser},
    wire::{Format, Item, Scalar},
};
use proptest::prelude::*;
use std::{borrow::Cow, rc::Rc};

/// A launch, independent of its format.
#[derive(Debug, Clone)]
struct GeneratedLaunch {
    token: String,
    trigger_id: u64,
    matching: Option<Matching>,
    field_name: String,
    skip_triggers: bool,
    content: Vec<(String, String)>,
    items: Vec<Vec<(&'static str, String)>>,
    /// A number that determines the order of the root fields.
    order: u64,
    chunk: usize,
}

/// Text that both formats can contain. It has no control characters that XML forbids or normalises.
fn text() -> impl Strategy<Value = String> {
    "[ -~äß€😀\t\n<&\"'\\\\]{0,24}"
}

fn launch() -> impl Strategy<Value = GeneratedLaunch> {
    let member = prop_oneof![
        Just("email"),
        Just("phone"),
        Just("profile_id"),
        Just("field_value"),
        Just("provider"),
        Just("subscription_id"),
        Just("other")
    ];
    let item = prop::collection::btree_map(member, text(), 0..4).prop_map(|map| map.into_iter().collect());
    let content = prop::collection::btree_map("[a-z]{1,6}", text(), 0..4).prop_map(|map| map.into_iter().collect());
    let mode = prop::option::of(prop::sample::select(Matching::ALL.map(|(mode, _)| mode).to_vec()));
    (
        ("[a-zA-Z0-9]{20,30}", 1_u64..=(1 << 53) - 1, mode, "[A-Za-z_]{1,12}", any::<bool>()),
        (content, prop::collection::vec(item, 1..20), any::<u64>(), 1_usize..300),
    )
        .prop_map(|((token, trigger_id, matching, field_name, skip_triggers), (content, items, order, chunk))| {
            GeneratedLaunch { token, trigger_id, matching, field_name, skip_triggers, content, items, order, chunk }
        })
}

impl GeneratedLaunch {
    /// The root fields in the order that `self.order` determines.
    fn fields(&self, values: [(&str, String); 7]) -> Vec<String> {
        let mut fields: Vec<_> = values.into_iter().filter(|(_, text)| !text.is_empty()).collect();
        let mut order = self.order;
        for at in (1..fields.len()).rev() {
            fields.swap(at, (order % (at as u64 + 1)) as usize);
            order /= 7;
        }
        fields.into_iter().map(|(_, text)| text).collect()
    }

    fn json(&self) -> String {
        let quote = |text: &str| serde_json::to_string(text).unwrap();
        let object = |members: &[(String, String)]| {
            let members: Vec<_> =
                members.iter().map(|(name, text)| format!("{}: {}", quote(name), quote(text))).collect();
            format!("{{{}}}", members.join(" ,"))
        };
        let items = self.items.iter().map(|item| {
            object(&item.iter().map(|(name, text)| ((*name).to_owned(), text.clone())).collect::<Vec<_>>())
        });
        let mode = self.matching.map(|mode| format!("\"matching\":{}", quote(mode.name()))).unwrap_or_default();
        let fields = self.fields([
            ("token", format!("\"token\":{}", quote(&self.token))),
            ("trigger_id", format!("\"trigger_id\": {}", self.trigger_id)),
            ("matching", mode),
            ("field_name", format!("\"field_name\":{}", quote(&self.field_name))),
            ("skip_triggers", format!("\"skip_triggers\":{}", self.skip_triggers)),
            ("content", format!("\"content\":{}", object(&self.content))),
            ("data", format!("\"data\":[{}]", items.collect::<Vec<_>>().join(",\n"))),
        ]);
        format!("{{{}}}", fields.join(","))
    }

    fn xml(&self) -> String {
        let escape = |text: &str| quick_xml::escape::escape(text).into_owned();
        let element = |name: &str, inner: &str| format!("<{name}>{inner}</{name}>");
        let content: String = self.content.iter().map(|(name, text)| element(name, &escape(text))).collect();
        let items: String = self
            .items
            .iter()
            .map(|item| {
                let members: String = item.iter().map(|(name, text)| element(name, &escape(text))).collect();
                element("data", &members)
            })
            .collect();
        let mode = self.matching.map(|mode| element("matching", mode.name())).unwrap_or_default();
        let fields = self.fields([
            ("token", element("token", &self.token)),
            ("trigger_id", element("trigger_id", &format!("\n {} ", self.trigger_id))),
            ("matching", mode),
            ("field_name", element("field_name", &self.field_name)),
            ("skip_triggers", element("skip_triggers", if self.skip_triggers { "1" } else { "false" })),
            ("content", element("content", &content)),
            ("data", items),
        ]);
        element("xml", &fields.join("\n"))
    }

    /// The expected keys of each item.
    fn expected_keys(&self, secret: &IndexKey) -> Vec<String> {
        let matching = self.matching.unwrap_or_default();
        let value = |item: &[(&str, String)], name: &str| {
            let found = item.iter().find(|(expected_keys, _)| *expected_keys == name);
            found.map_or(Scalar::Absent, |(_, text)| Scalar::Text(Cow::Owned(text.clone())))
        };
        let keys = self.items.iter().map(|item| {
            let item = Item {
                email: value(item, "email"),
                phone: value(item, "phone"),
                profile_id: value(item, "profile_id"),
                field_value: value(item, "field_value"),
                provider: value(item, "provider"),
                subscription_id: value(item, "subscription_id"),
                ..Item::default()
            };
            match matching.hash_keys(&item, &self.field_name, secret, &Normaliser::native()) {
                Ok([first, second]) => format!("{first:?} {second:?}"),
                Err(reason) => format!("{reason:?}"),
            }
        });
        keys.collect()
    }
}

fn secret() -> IndexKey {
    IndexKey::new("a key of the tests, longer than 32 characters").unwrap()
}

fn parse(body: &str, format: Format, chunk: usize) -> LaunchRequest {
    let settings = BodySettings {
        endpoint: Endpoint::StartBatch,
        format: Some(format),
        limits: Limits::default(),
        secrets: [secret()].into(),
        digest_is_id: false,
    };
    let budget = Budget::new(1 << 30, 1 << 30);
    let mut parser = BodyParser::new(settings, Rc::new(Normaliser::native()), Reservation::new(&budget, 0));
    for chunk in body.as_bytes().chunks(chunk) {
        parser.feed(chunk).unwrap();
    }
    parser.finish(Some(body.len() as u64));
    parser.into_parsed().into_request().map(|(request, _)| request).unwrap()
}

/// The keys of each item as parsed.
fn parsed_keys(request: &LaunchRequest) -> Vec<String> {
    let searches = request.keying.matching.searches().len();
    let item = |(at, expected_keys): (u32, ItemState)| match expected_keys {
        ItemState::Invalid(reason) => format!("{reason:?}"),
        ItemState::Keys { first, second } => {
            let key = |there: bool, search: usize| there.then(|| request.items.hash(at, 0, search));
            format!("{:?} {:?}", key(first, 0), if searches > 1 { key(second, 1) } else { None })
        }
    };
    (0..).zip(request.items.states()).map(item).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn parses_any_launch_from_json_and_xml_to_the_same_request(launch in launch()) {
        for (format, body) in [(Format::Json, launch.json()), (Format::Xml, launch.xml())] {
            let request = parse(&body, format, launch.chunk);
            prop_assert_eq!(request.trigger_id, launch.trigger_id);
            prop_assert_eq!(request.root.token.as_deref(), Some(launch.token.as_str()));
            prop_assert_eq!(request.root.skip_triggers, launch.skip_triggers);
            let Keying { matching, .. } = request.keying;
            prop_assert_eq!(matching, launch.matching.unwrap_or_default());
            let content: serde_json::Value = serde_json::from_str(request.root.content.as_deref().unwrap()).unwrap();
            let expected: serde_json::Map<_, _> =
                launch.content.iter().map(|(name, text)| (name.clone(), text.clone().into())).collect();
            prop_assert_eq!(content, serde_json::Value::Object(expected));
            prop_assert_eq!(parsed_keys(&request), launch.expected_keys(&secret()), "{}", body);
        }
    }
}
