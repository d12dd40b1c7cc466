//! What the object of a database knows besides its pending changes.

use serde::{Deserialize, Serialize};

use crate::profiles::manifest::{Generation, Manifest};

/// The settings of a database, as stored in JSON. Pinned: a change is a migration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LiveSettings {
    pub manifest: Manifest,
    pub live: bool,
    /// When changes are accepted, in milliseconds since 1970.
    pub live_since: u64,
    /// The current generation contains the changes up to this version.
    pub folded: u64,
    /// The time of the last change that was folded into a generation.
    pub folded_at: u64,
    /// Generations before the current one that launches may still search, oldest first. All of them differ from the current
    /// one by changes alone, so that the same profiles are found in each of them.
    #[serde(default)]
    pub kept: Vec<KeptGeneration>,
}

/// A generation that was replaced by a compaction, and whose missing changes are kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptGeneration {
    pub generation: Generation,
    /// The generation contains the changes up to this version.
    pub folded: u64,
    /// When the object forgets the generation, in milliseconds since 1970.
    pub until: u64,
}

impl LiveSettings {
    /// Returns the version up to which a generation contains the changes. `None` if launches must not search the generation.
    pub fn folded_in(&self, generation: &str) -> Option<u64> {
        if self.manifest.current.name == generation {
            return Some(self.folded);
        }
        self.kept.iter().find(|kept| kept.generation.name == generation).map(|kept| kept.folded)
    }

    /// Returns the generations that launches may search, the current one first.
    pub fn searchable(&self) -> Vec<&Generation> {
        let kept = self.kept.iter().rev().map(|kept| &kept.generation);
        std::iter::once(&self.manifest.current).chain(kept).collect()
    }

    /// Returns the version of the oldest change that some searchable generation lacks, minus one.
    pub fn folded_in_all(&self) -> u64 {
        self.kept.iter().map(|kept| kept.folded).min().unwrap_or(self.folded).min(self.folded)
    }
}
