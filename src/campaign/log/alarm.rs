//! The object's alarm: a table of steps, each of which has due times of its own.
//!
//! [`ring`] is called when the alarm comes:
//!
//! 1. It pauses the steps that are due for [`ALARM_GUARD_MS`] and sets the next alarm. If the object ends while a step runs,
//!    the next alarm runs the step again.
//! 2. It starts the steps in the background and returns. The next alarm can come while a slow step runs, so the slow step
//!    does not delay other steps.
//! 3. At the end of its slice of work, a step ends its pause and sets the alarm to the earliest due time.
//!
//! Steps that need the same service run one after the other, in the order of the table. A running step is not started again
//! in the same instance of the object. After a failure, all steps of the service pause; steps of other services do not.
//! Failures of steps are reported and not thrown, because the platform drops an alarm after six failed retries.
//!
//! To add a step:
//!
//! 1. Write a module with a [`Task`] and a function that returns an [`AlarmStep`]. [`AlarmStep::run`] does one slice of the
//!    work that is due, in bounded time. It removes the rows of completed work and moves the rows of failed work to a later
//!    time. It runs again after the object has ended in the middle, so every effect has to be repeatable.
//! 2. Record the work in the transaction that creates it: `log.due().set(TASK, sequence, at)`.
//! 3. Add the step to the table. Steps of this module are in [`crate::campaign::object::steps`]. Steps of other modules are
//!    those of a [`LogFollower`](super::follower::LogFollower), so that this module does not import them.
//! 4. Test the step with [`ring`], and describe [`AlarmStep::failure`] in `docs/reference/log.md`.

use std::rc::Rc;

use futures_util::future::LocalBoxFuture;

use super::{
    due::{AlarmChange, Task},
    state::LaunchLog,
};
use crate::{
    campaign::ports::Host,
    limits::{ALARM_GUARD_MS, UNKNOWN_TASK_PAUSE_MS},
    problem::Cause,
    storage::sql::{Sql, StorageError},
};

/// The failures of a slice that are repeated later. Empty if everything succeeded.
pub type SliceResult = Result<Vec<Cause>, StorageError>;

/// Does one slice of work. The number is the current time in milliseconds since 1970.
pub type RunSlice<S> = Box<dyn Fn(Rc<LaunchLog<S>>, u64) -> LocalBoxFuture<'static, SliceResult>>;

/// A kind of work that the alarm does.
pub struct AlarmStep<S> {
    /// The name of the step's rows in the table of due times.
    pub task: Task,
    /// The service that the step needs.
    pub service: &'static str,
    /// How long all steps of the service pause after a failure, in milliseconds. Zero if the due times back off.
    pub pause_after_failure: u64,
    /// The text of the log line that reports a failure.
    pub failure: &'static str,
    pub run: RunSlice<S>,
}

/// Starts the steps that are due. Has to be called when the alarm comes.
pub async fn ring<S: Sql + 'static, H: Host>(
    log: &Rc<LaunchLog<S>>,
    host: &Rc<H>,
    steps: &Rc<[AlarmStep<S>]>,
) -> Result<(), Cause> {
    if log.find_state()?.is_none() {
        return Ok(());
    }
    log.due().forget_alarm();
    let services = pause_due_steps(log, &**host, steps)?;
    if let Err(cause) = set_alarm(log, &**host).await {
        services.iter().for_each(|(service, _)| resume(log, steps, service));
        return Err(cause);
    }
    for (service, due) in services {
        if log.due().start_service(service) {
            host.spawn(Box::pin(run_service(Rc::clone(log), Rc::clone(host), Rc::clone(steps), service, due)));
        }
    }
    Ok(())
}

/// Sets the alarm if its time has changed.
pub async fn set_alarm<S: Sql>(log: &LaunchLog<S>, host: &impl Host) -> Result<(), Cause> {
    let set = match log.due().take_change()? {
        AlarmChange::Unchanged => return Ok(()),
        AlarmChange::Set(at) => host.set_alarm(Some(at)).await,
        AlarmChange::Delete => host.set_alarm(None).await,
    };
    if set.is_err() {
        log.due().forget_alarm();
    }
    set
}

/// Returns the services that have due tasks, with these tasks. Pauses all tasks of these services, so that the next alarm is
/// set to a later time.
fn pause_due_steps<S: Sql>(
    log: &LaunchLog<S>,
    host: &impl Host,
    steps: &[AlarmStep<S>],
) -> Result<Vec<(&'static str, Vec<String>)>, StorageError> {
    let due = log.due();
    let now = host.now();
    let mut services: Vec<(&'static str, Vec<String>)> = Vec::new();
    for task in due.due_tasks(now)? {
        let Some(step) = steps.iter().find(|step| step.task.name() == task) else {
            // A later release has recorded the work.
            due.pause(&task, now.saturating_add(UNKNOWN_TASK_PAUSE_MS));
            host.report("the alarm has work that this release does not know", &Cause(format!("task {task}")));
            continue;
        };
        match services.iter_mut().find(|(service, _)| *service == step.service) {
            Some((_, tasks)) => tasks.push(task),
            None => services.push((step.service, vec![task])),
        }
    }
    for (service, _) in &services {
        for step in steps.iter().filter(|step| step.service == *service) {
            due.pause(step.task.name(), now.saturating_add(ALARM_GUARD_MS));
        }
    }
    Ok(services)
}

fn resume<S: Sql>(log: &LaunchLog<S>, steps: &[AlarmStep<S>], service: &str) {
    for step in steps.iter().filter(|step| step.service == service) {
        log.due().resume(step.task.name());
    }
}

/// Runs a slice of each step of a service that is due.
async fn run_service<S: Sql + 'static, H: Host>(
    log: Rc<LaunchLog<S>>,
    host: Rc<H>,
    steps: Rc<[AlarmStep<S>]>,
    service: &'static str,
    due: Vec<String>,
) {
    let mut pause = 0;
    for step in steps.iter().filter(|step| step.service == service && due.iter().any(|task| step.task.name() == task)) {
        let failures = (step.run)(Rc::clone(&log), host.now()).await.unwrap_or_else(|error| vec![error.into()]);
        for failure in &failures {
            host.report(step.failure, failure);
            pause = pause.max(step.pause_after_failure);
        }
    }
    log.due().end_service(service);
    resume(&log, &steps, service);
    if pause > 0 {
        let until = host.now().saturating_add(pause);
        steps.iter().filter(|step| step.service == service).for_each(|step| log.due().pause(step.task.name(), until));
    }
    log.due().recompute_alarm();
    if let Err(cause) = set_alarm(&log, &*host).await {
        host.report("a campaign's alarm was not set", &cause);
    }
}
