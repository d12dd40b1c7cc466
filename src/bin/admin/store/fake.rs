//! KV in memory, for tests.

use std::collections::BTreeMap;

use super::{Kv, Namespace, Pair};
use crate::Outcome;

/// Called before each write, with the keys.
pub type OnWrite = Box<dyn FnMut(&mut BTreeMap<String, String>, &[String]) -> Outcome + Send>;

/// KV in memory.
#[derive(Default)]
pub struct Fake {
    pub profiles: BTreeMap<String, String>,
    pub access: BTreeMap<String, String>,
    pub on_write: Option<OnWrite>,
    pub puts: usize,
}

impl Fake {
    fn of(&mut self, namespace: Namespace) -> &mut BTreeMap<String, String> {
        match namespace {
            Namespace::Profiles => &mut self.profiles,
            Namespace::Access => &mut self.access,
        }
    }
}

impl Kv for Fake {
    fn get(&mut self, namespace: Namespace, keys: &[String]) -> Outcome<Vec<Option<String>>> {
        Ok(keys.iter().map(|key| self.of(namespace).get(key).cloned()).collect())
    }

    fn put(&mut self, namespace: Namespace, pairs: &[Pair]) -> Outcome {
        self.puts += 1;
        if let Some(mut on_write) = self.on_write.take() {
            let keys: Vec<String> = pairs.iter().map(|(key, _)| key.clone()).collect();
            let result = on_write(&mut self.profiles, &keys);
            self.on_write = Some(on_write);
            result?;
        }
        self.of(namespace).extend(pairs.iter().cloned());
        Ok(())
    }

    fn delete(&mut self, namespace: Namespace, keys: &[String]) -> Outcome {
        for key in keys {
            self.of(namespace).remove(key);
        }
        Ok(())
    }

    fn list(&mut self, namespace: Namespace, prefix: &str) -> Outcome<Vec<String>> {
        Ok(self.of(namespace).keys().filter(|key| key.starts_with(prefix)).cloned().collect())
    }

    fn batch(&self) -> (usize, usize) {
        (3, 10_000)
    }
}
