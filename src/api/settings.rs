//! The configuration of a deployment: the variables and secrets that the Worker reads.

use crate::{
    delivery::address::AllowedHosts,
    limits::{self, Limits},
    memory::Budget,
    profiles::key::{IndexKey, SecretTooShort},
};
use std::rc::Rc;

/// The secrets that index keys are derived from. The second one is set while the key is rotated.
pub const INDEX_KEYS: [&str; 2] = ["PROFILE_INDEX_KEY", "PROFILE_INDEX_KEY_PREVIOUS"];
/// `off` turns rate limiting off.
pub const RATE_LIMITING: &str = "RATE_LIMITING";
/// `any` allows webhooks with `http` and local receivers, for development.
pub const WEBHOOK_HOSTS: &str = "WEBHOOK_HOSTS";
/// `checksum` makes a digest of the body the ID of a request that has none.
pub const DEDUPLICATION: &str = "DEDUPLICATION";

/// The variables that set a limit.
pub static LIMIT_VARIABLES: [LimitVariable; 10] = [
    LimitVariable { name: "BODY_LIMIT", max: Some(limits::BODY_LIMIT_MAX), limit: |limits| &mut limits.body },
    LimitVariable { name: "FILES_LIMIT", max: Some(limits::FILES_LIMIT_MAX), limit: |limits| &mut limits.files },
    LimitVariable { name: "ITEMS_LIMIT", max: Some(limits::ITEMS_LIMIT_MAX), limit: |limits| &mut limits.items },
    LimitVariable { name: "CONTENT_LIMIT", max: Some(limits::CONTENT_LIMIT_MAX), limit: |limits| &mut limits.content },
    LimitVariable { name: "MEMORY_LIMIT", max: None, limit: |limits| &mut limits.memory },
    LimitVariable { name: "UNVERIFIED_LIMIT", max: None, limit: |limits| &mut limits.unverified },
    LimitVariable { name: "BUCKETS_KEPT", max: Some(limits::BUCKETS_KEPT_MAX), limit: |limits| &mut limits.kept },
    LimitVariable { name: "DEDUPLICATION_SECONDS", max: None, limit: |limits| &mut limits.deduplication_seconds },
    LimitVariable { name: "RETENTION_DAYS", max: None, limit: |limits| &mut limits.retention_days },
    LimitVariable { name: "LOG_LIMIT", max: None, limit: |limits| &mut limits.log },
];

/// A variable that sets a limit.
#[derive(Debug)]
pub struct LimitVariable {
    pub name: &'static str,
    /// Largest value that is accepted, if there is one.
    pub max: Option<u64>,
    limit: fn(&mut Limits) -> &mut u64,
}

impl LimitVariable {
    /// The limit if the variable is not set.
    pub fn default_value(&self) -> u64 {
        *(self.limit)(&mut Limits::default())
    }
}

/// The configuration, and the memory that all requests of an isolate share.
#[derive(Debug, Clone)]
pub struct Settings {
    pub limits: Limits,
    /// Keys of the profile index: the current one first.
    pub secrets: Rc<[IndexKey]>,
    pub rate_limiting: bool,
    pub webhook_hosts: AllowedHosts,
    /// Whether a digest of the body is the ID of a request that has none.
    pub checksum: bool,
    pub budget: Rc<Budget>,
}

/// Why the configuration is invalid.
#[derive(Debug, thiserror::Error, Clone, PartialEq, Eq)]
pub enum SettingsError {
    #[error("{name} is not a decimal integer")]
    NotAnInteger { name: &'static str },
    #[error("{name} is neither of {values}")]
    NotOneOf { name: &'static str, values: &'static str },
    #[error("{name} is above {max}")]
    TooLarge { name: &'static str, max: u64 },
    #[error("{name}: {reason}")]
    SecretTooShort {
        name: &'static str,
        #[source]
        reason: SecretTooShort,
    },
}

impl Settings {
    /// Reads the configuration. The functions return the value of a variable or secret, if it is set.
    pub fn read(
        variable: impl Fn(&str) -> Option<String>,
        secret: impl Fn(&str) -> Option<String>,
    ) -> Result<Self, SettingsError> {
        let mut settings = Self::default();
        for LimitVariable { name, max, limit } in &LIMIT_VARIABLES {
            let Some(value) = variable(name) else { continue };
            let value: u64 = value.parse().map_err(|_| SettingsError::NotAnInteger { name })?;
            if let Some(max) = max.filter(|max| value > *max) {
                return Err(SettingsError::TooLarge { name, max });
            }
            *limit(&mut settings.limits) = value;
        }
        let mut keys = Vec::new();
        for name in INDEX_KEYS {
            if let Some(value) = secret(name) {
                keys.push(IndexKey::new(&value).map_err(|reason| SettingsError::SecretTooShort { name, reason })?);
            }
        }
        settings.secrets = keys.into();
        settings.rate_limiting = variable(RATE_LIMITING).as_deref() != Some("off");
        settings.webhook_hosts = match variable(WEBHOOK_HOSTS).as_deref() {
            None | Some("public") => AllowedHosts::Public,
            Some("any") => AllowedHosts::Any,
            Some(_) => return Err(SettingsError::NotOneOf { name: WEBHOOK_HOSTS, values: "public and any" }),
        };
        settings.checksum = variable(DEDUPLICATION).as_deref() == Some("checksum");
        settings.budget = Budget::new(settings.limits.memory, settings.limits.unverified);
        Ok(settings)
    }
}

impl Default for Settings {
    /// The defaults, without an index key.
    fn default() -> Self {
        let limits = Limits::default();
        let budget = Budget::new(limits.memory, limits.unverified);
        Self {
            limits,
            secrets: Rc::default(),
            rate_limiting: true,
            webhook_hosts: AllowedHosts::Public,
            checksum: false,
            budget,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(variables: &[(&str, &str)], secrets: &[(&str, &str)]) -> Result<Settings, String> {
        let value = |of: &[(&str, &str)], name: &str| {
            let found = of.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| (*value).to_owned())
        };
        Settings::read(|name| value(variables, name), |name| value(secrets, name)).map_err(|error| error.to_string())
    }

    #[test]
    fn uses_the_defaults_for_variables_that_are_not_set() {
        let settings = read(&[], &[]).unwrap();
        assert_eq!(settings.limits, Limits::default());
        assert!(settings.secrets.is_empty() && settings.rate_limiting && !settings.checksum);
    }

    #[test]
    fn each_variable_sets_its_own_limit() {
        for variable in &LIMIT_VARIABLES {
            let settings = read(&[(variable.name, "7")], &[]).unwrap();
            let mut expected = Limits::default();
            *(variable.limit)(&mut expected) = 7;
            assert_eq!(settings.limits, expected, "{}", variable.name);
            assert_ne!(variable.default_value(), 7, "{}", variable.name);
            assert!(variable.max.is_none_or(|max| variable.default_value() <= max), "{}", variable.name);
        }
    }

    #[test]
    fn rejects_a_value_that_is_not_an_integer_or_above_the_maximum() {
        for value in ["", "ten", "-1", "1.5", " 1", "99999999999999999999"] {
            let error = read(&[("BODY_LIMIT", value)], &[]).unwrap_err();
            assert_eq!(error, "BODY_LIMIT is not a decimal integer", "{value}");
        }
        for (name, max) in LIMIT_VARIABLES.iter().filter_map(|variable| Some((variable.name, variable.max?))) {
            assert!(read(&[(name, &max.to_string())], &[]).is_ok());
            let error = read(&[(name, &(max + 1).to_string())], &[]).unwrap_err();
            assert_eq!(error, format!("{name} is above {max}"));
        }
    }

    #[test]
    fn reads_one_or_two_index_keys_and_rejects_a_short_one() {
        let [current, previous] = INDEX_KEYS.map(|name| (name, "0123456789abcdef0123456789abcdef"));
        assert_eq!(read(&[], &[current]).unwrap().secrets.len(), 1);
        assert_eq!(read(&[], &[current, previous]).unwrap().secrets.len(), 2);
        let error = read(&[], &[current, (INDEX_KEYS[1], "short")]).unwrap_err();
        assert!(error.starts_with("PROFILE_INDEX_KEY_PREVIOUS: "), "{error}");
        assert!(!error.contains("short\""), "{error}");
    }

    #[test]
    fn reads_the_switches() {
        assert!(!read(&[(RATE_LIMITING, "off")], &[]).unwrap().rate_limiting);
        assert!(read(&[(RATE_LIMITING, "on")], &[]).unwrap().rate_limiting);
        assert!(read(&[(DEDUPLICATION, "checksum")], &[]).unwrap().checksum);
        assert!(!read(&[(DEDUPLICATION, "")], &[]).unwrap().checksum);
        assert_eq!(read(&[(WEBHOOK_HOSTS, "public")], &[]).unwrap().webhook_hosts, AllowedHosts::Public);
        assert_eq!(read(&[(WEBHOOK_HOSTS, "any")], &[]).unwrap().webhook_hosts, AllowedHosts::Any);
        assert_eq!(read(&[(WEBHOOK_HOSTS, "all")], &[]).unwrap_err(), "WEBHOOK_HOSTS is neither of public and any");
    }

    #[test]
    fn the_budget_has_the_limits_that_are_set() {
        let settings = read(&[("MEMORY_LIMIT", "1000"), ("UNVERIFIED_LIMIT", "500")], &[]).unwrap();
        let mut reservation = crate::memory::Reservation::new(&settings.budget, 0);
        assert!(reservation.grow(501).is_err());
        assert!(reservation.grow(500).is_ok());
    }
}
