//! KV in memory, for tests.

use std::collections::BTreeMap;

use super::store::{BatchLimits, KvBinding, KvError, KvPair, KvStore};

/// Called before each write with the values of the namespace `PROFILES` and the keys that are written.
pub type OnWrite = Box<dyn FnMut(&mut BTreeMap<String, String>, &[String]) -> Result<(), KvError> + Send>;

#[derive(Default)]
pub struct FakeKv {
    pub profiles: BTreeMap<String, String>,
    pub access: BTreeMap<String, String>,
    pub on_write: Option<OnWrite>,
}

impl FakeKv {
    fn values(&mut self, binding: KvBinding) -> &mut BTreeMap<String, String> {
        match binding {
            KvBinding::Profiles => &mut self.profiles,
            KvBinding::Access => &mut self.access,
        }
    }
}

impl KvStore for FakeKv {
    fn get(&mut self, binding: KvBinding, keys: &[String]) -> Result<Vec<Option<String>>, KvError> {
        Ok(keys.iter().map(|key| self.values(binding).get(key).cloned()).collect())
    }

    fn put(&mut self, binding: KvBinding, pairs: &[KvPair]) -> Result<(), KvError> {
        if let Some(mut on_write) = self.on_write.take() {
            let keys: Vec<String> = pairs.iter().map(|(key, _)| key.clone()).collect();
            let result = on_write(&mut self.profiles, &keys);
            self.on_write = Some(on_write);
            result?;
        }
        self.values(binding).extend(pairs.iter().cloned());
        Ok(())
    }

    fn delete(&mut self, binding: KvBinding, keys: &[String]) -> Result<(), KvError> {
        for key in keys {
            self.values(binding).remove(key);
        }
        Ok(())
    }

    fn list(&mut self, binding: KvBinding, prefix: &str) -> Result<Vec<String>, KvError> {
        Ok(self.values(binding).keys().filter(|key| key.starts_with(prefix)).cloned().collect())
    }

    fn batch_limits(&self) -> BatchLimits {
        BatchLimits { pairs: 3, bytes: 10_000 }
    }
}
