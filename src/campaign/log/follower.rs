//! What the object tells the module that delivers launches. That module is above this one, so it is a trait here.

use std::rc::Rc;

use futures_util::future::LocalBoxFuture;

use super::{
    alarm::AlarmStep,
    state::{LaunchLog, LogError},
};
use crate::{campaign::protocol::webhook::WebhookCommand, storage::sql::StorageError};

/// A module that acts on changes of the log. No method waits for a receiver, except [`LogFollower::command`].
pub trait LogFollower<S> {
    /// Steps of the alarm, besides those of the campaign itself.
    fn steps(&self) -> Vec<AlarmStep<S>>;
    /// The object has started. The campaign may not be defined.
    fn started(&self, log: &Rc<LaunchLog<S>>) -> Result<(), StorageError>;
    /// A launch is in the log. It is called in the turn of the commit, so due times that it sets are stored together with the
    /// launch.
    fn committed(&self, log: &Rc<LaunchLog<S>>);
    /// Retention has removed launches.
    fn removed(&self, log: &Rc<LaunchLog<S>>) -> Result<(), StorageError>;
    /// Carries out a command and returns the JSON of the reply. The sender may use the campaign.
    fn command<'a>(
        &'a self,
        log: &'a Rc<LaunchLog<S>>,
        command: WebhookCommand,
    ) -> LocalBoxFuture<'a, Result<Vec<u8>, LogError>>;
}
