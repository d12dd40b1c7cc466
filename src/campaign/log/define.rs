//! Defining and changing the campaign.

use super::{
    listing::record,
    state::{LaunchLog, LogError},
};
use crate::{
    access::allows_database,
    campaign::protocol::commands::{Campaign, Definition, Refusal, Resource},
    storage::sql::{Sql, SqlParameter},
};

impl<S: Sql> LaunchLog<S> {
    /// Defines or changes the campaign for a token of `databases`. If KV's copy has to change, records that in the same
    /// transaction.
    pub fn define(&self, definition: &Definition, databases: &[u64], now: u64) -> Result<Campaign, LogError> {
        definition.check()?;
        let Some(state) = self.find_state()? else {
            return self.create(first_definition(definition, databases)?, now);
        };
        let campaign = state.campaign;
        if !allows_database(databases, campaign.database) {
            return Err(Refusal::NotFound(Resource::Campaign).into());
        }
        if campaign.id != definition.id {
            return Err(LogError::WrongCampaign { own: campaign.id, other: definition.id });
        }
        if definition.database.is_some_and(|database| database != campaign.database) {
            return Err(Refusal::DatabaseFixed.into());
        }
        let mut changed = campaign.clone();
        changed.active = definition.active.unwrap_or(campaign.active);
        if let Some(name) = &definition.name {
            changed.name.clone_from(name);
        }
        if changed == campaign {
            self.retry_copy_soon(now)?;
            return Ok(changed);
        }
        self.sql.transaction(&mut || {
            let parameters = [SqlParameter::Text(&changed.name), u64::from(changed.active).into()];
            self.sql.exec("UPDATE campaign SET name = ?, active = ?", &parameters)?;
            if record(&changed) == record(&campaign) { self.retry_copy_soon(now) } else { self.schedule_copy(now) }
        })?;
        Ok(changed)
    }

    fn create(&self, campaign: Campaign, now: u64) -> Result<Campaign, LogError> {
        self.sql.transaction(&mut || {
            self.schema().create(&self.sql)?;
            let parameters = [
                campaign.id.into(),
                self.schema().version().into(),
                SqlParameter::Text(&campaign.name),
                campaign.database.into(),
                u64::from(campaign.active).into(),
            ];
            self.sql.exec("INSERT INTO campaign VALUES (?, ?, ?, ?, ?, 0, 0, 0, 0, 0)", &parameters)?;
            self.schedule_copy(now)
        })?;
        Ok(campaign)
    }
}

/// Returns the campaign that a first definition creates. A token that is limited to some databases creates campaigns in these
/// databases only. For an incomplete definition, and for another database, it gets the same answer as for a campaign that it
/// may not use.
fn first_definition(definition: &Definition, databases: &[u64]) -> Result<Campaign, Refusal> {
    let campaign = complete_definition(definition);
    if databases.is_empty() {
        return campaign;
    }
    let allowed = campaign.ok().filter(|campaign| allows_database(databases, campaign.database));
    allowed.ok_or(Refusal::NotFound(Resource::Campaign))
}

fn complete_definition(definition: &Definition) -> Result<Campaign, Refusal> {
    let missing = |field| Refusal::BadField(format!("{field}: required to define a campaign"));
    Ok(Campaign {
        id: definition.id,
        name: definition.name.clone().ok_or_else(|| missing("name"))?,
        database: definition.database.ok_or_else(|| missing("database"))?,
        active: definition.active.ok_or_else(|| missing("active"))?,
        launches: 0,
        recipients: 0,
    })
}
