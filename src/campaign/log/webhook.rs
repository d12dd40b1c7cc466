//! The row of the campaign's webhook. Its contents belong to the module that delivers launches.

use super::state::LaunchLog;
use crate::storage::sql::{Sql, SqlParameter, StorageError};

/// The stored webhook, as JSON.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredWebhook {
    pub config: String,
    pub state: String,
}

impl<S: Sql> LaunchLog<S> {
    /// Reads the webhook. The campaign has to be defined.
    pub fn webhook(&self) -> Result<Option<StoredWebhook>, StorageError> {
        let row = self.sql.exec("SELECT config, state FROM webhook", &[])?.pop();
        row.map(|mut row| Ok(StoredWebhook { config: row.text()?, state: row.text()? })).transpose()
    }

    pub fn write_webhook(&self, webhook: &StoredWebhook) -> Result<(), StorageError> {
        let parameters = [SqlParameter::Text(&webhook.config), SqlParameter::Text(&webhook.state)];
        self.sql.exec("INSERT OR REPLACE INTO webhook VALUES (1, ?, ?)", &parameters).map(drop)
    }

    /// Replaces the state if the webhook still exists.
    pub fn write_webhook_state(&self, state: &str) -> Result<(), StorageError> {
        self.sql.exec("UPDATE webhook SET state = ?", &[SqlParameter::Text(state)]).map(drop)
    }

    pub fn remove_webhook(&self) -> Result<(), StorageError> {
        self.sql.exec("DELETE FROM webhook", &[]).map(drop)
    }
}
