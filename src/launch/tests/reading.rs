//! Reads a [`World`]: the launch log, as senders read it, and the files of launches.

use sha2::{Digest as _, Sha256};

use super::world::{CAMPAIGN, World};
use crate::campaign::{
    log::{state::LogError, uploads},
    protocol::{
        commands::{AttachmentFile, Command, PageRequest},
        id::LaunchId,
    },
    tests::{
        database::{read, unlimited},
        faults::run,
        hex,
    },
};

impl World {
    /// Sends a command to a campaign's object.
    pub fn ask(&self, id: u64, command: &Command) -> Result<String, LogError> {
        let log = self.object(id);
        run(uploads::complete_requested(&log, &self.bucket, &unlimited(command), self.now()))?;
        read(&log, command, self.now())
    }

    /// The launches of [`CAMPAIGN`], oldest first.
    pub fn launches(&self) -> Vec<serde_json::Value> {
        self.list("launches", &Command::Launches(PageRequest { after: None, limit: 1000 }))
    }

    /// The profile IDs of a launch's recipients.
    pub fn recipients(&self, launch_id: LaunchId) -> Vec<String> {
        let page = PageRequest { after: None, limit: 50_000 };
        let recipients = self.list("recipients", &Command::Recipients(launch_id, page));
        recipients.iter().map(|recipient| recipient["profile_id"].as_str().unwrap().to_owned()).collect()
    }

    fn list(&self, name: &str, command: &Command) -> Vec<serde_json::Value> {
        let page: serde_json::Value = serde_json::from_str(&self.ask(CAMPAIGN, command).unwrap()).unwrap();
        page[name].as_array().unwrap().clone()
    }

    /// A file of a launch.
    pub fn fetch(&self, launch_id: LaunchId, number: usize) -> Vec<u8> {
        let reply = self.ask(CAMPAIGN, &Command::Attachment(launch_id, number)).unwrap();
        let file: AttachmentFile = serde_json::from_str(&reply).unwrap();
        let bytes = self.bucket.get(&file.key).expect("every file in the log is readable");
        assert_eq!(file.size, bytes.len() as u64);
        assert_eq!(file.sha256, hex(&Sha256::digest(&bytes)));
        bytes
    }
}

/// The ID of a launch in a page of the log.
pub fn launch_id(launch: &serde_json::Value) -> LaunchId {
    LaunchId::parse(launch["launch_id"].as_str().unwrap()).unwrap()
}
