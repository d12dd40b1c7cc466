//! The actions of an operator in a [`World`]: adds tokens, defines campaigns, imports profiles.

use super::world::World;
use crate::{
    access::{Scope, TokenRecord, token_key},
    campaign::{log::listing, protocol::commands::Definition, tests::faults::run},
    profiles::{
        import::{ImportError, Importer, ReadOptions},
        manifest::{ClassIndex, FORMAT_VERSION, Generation, Manifest, manifest_key},
    },
};

impl World {
    /// Adds a token.
    pub fn grant(&self, token: &str, name: &str, scopes: &[Scope], databases: &[u64]) {
        let record = TokenRecord {
            name: name.to_owned(),
            scopes: scopes.to_vec(),
            databases: databases.to_vec(),
            created: self.now(),
            revoked: None,
        };
        self.kv.borrow_mut().insert(token_key(token), serde_json::to_string(&record).unwrap());
    }

    /// Defines an active campaign, and writes KV's copy.
    pub fn define(&self, id: u64, database: u64) {
        let name = format!("campaign {id}");
        let definition = Definition { id, name: Some(name), database: Some(database), active: Some(true) };
        self.put(&definition);
    }

    /// Pauses a campaign.
    pub fn pause_campaign(&self, id: u64) {
        self.put(&Definition { id, active: Some(false), ..Definition::default() });
    }

    /// Defines or changes a campaign, as its object does for a `PUT`.
    fn put(&self, definition: &Definition) {
        let log = self.object(definition.id);
        let (_, begun) = run(listing::define(&log, self, definition, &[], || self.now())).unwrap();
        self.set_alarm(definition.id, &log);
        self.write_copy(&log, begun);
    }

    /// Imports profiles, as the operator's command line does: buckets first, the manifest last.
    pub fn import(&self, database: u64, csv: &str) {
        let mut importer = Importer::new(self.secrets[0].clone(), 1000);
        let report = importer.read(csv.as_bytes(), &ReadOptions::default()).unwrap();
        assert_eq!(report.reasons, []);
        let mut buckets = Vec::new();
        let sink = |index: &ClassIndex, number: u32, text: String| {
            buckets.push((index.clone(), number, text));
            Ok::<_, ImportError>(())
        };
        let built = importer.plan().unwrap().build(sink).unwrap();
        self.imports.set(self.imports.get() + 1);
        let name = format!("g{}", self.imports.get());
        let current =
            Generation { classes: built.classes, ..Generation::new(&name, self.secrets[0].check(), self.now()) };
        let mut kv = self.kv.borrow_mut();
        for (index, number, text) in buckets {
            kv.insert(current.bucket_key(database, &index, number), text);
        }
        let previous = kv.get(&manifest_key(database)).map(|text| Manifest::parse(Some(text)).unwrap().current);
        let manifest = Manifest { format: FORMAT_VERSION, current, previous, retired: Vec::new(), live: false };
        kv.insert(manifest_key(database), manifest.to_json());
    }
}
