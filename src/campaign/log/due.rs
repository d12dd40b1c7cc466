//! The table of due times, and the time of the object's only alarm.
//!
//! A row of `due` records that a task has work, and when the work is due. Rows are written in the transaction that creates
//! the work, so a restart does not lose work. The alarm is set to the earliest due time. Setting an alarm is billed as a row,
//! so an alarm that comes early enough is not set again. A task whose due time follows from other rows keeps it in memory only.

use std::cell::{Cell, RefCell};

use crate::{
    storage::sql::{Sql, SqlParameter, StorageError},
    vec_map::VecMap,
};

/// A kind of work, by the name that it has in the table. The name is stored, so it never changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Task(&'static str);

impl Task {
    pub const fn new(name: &'static str) -> Self {
        Self(name)
    }

    pub fn name(self) -> &'static str {
        self.0
    }

    /// The name, as a parameter of a statement.
    pub fn parameter(self) -> SqlParameter<'static> {
        SqlParameter::Text(self.0)
    }
}

/// What the caller has to do with the alarm.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AlarmChange {
    Unchanged,
    /// Milliseconds since 1970.
    Set(u64),
    Delete,
}

/// What an instance of the object remembers about its alarm.
#[derive(Debug, Default)]
pub struct AlarmState {
    /// Whether the alarm may have to be set to another time.
    is_changed: Cell<bool>,
    /// The time of the alarm, if it is known.
    set_to: Cell<Option<u64>>,
    /// The earliest times at which paused tasks run, regardless of their due times.
    pauses: RefCell<VecMap<String, u64>>,
    /// Due times of tasks without rows.
    in_memory: RefCell<VecMap<&'static str, u64>>,
    /// Services whose steps are running.
    running: RefCell<Vec<&'static str>>,
}

/// Access to the table of due times.
#[derive(Debug)]
pub struct DueTimes<'a, S> {
    sql: &'a S,
    state: &'a AlarmState,
}

impl<'a, S: Sql> DueTimes<'a, S> {
    pub fn new(sql: &'a S, state: &'a AlarmState) -> Self {
        Self { sql, state }
    }

    /// Returns when a task is due, or `None` if it has no such row.
    pub fn at(&self, task: Task, sequence: u64) -> Result<Option<u64>, StorageError> {
        let parameters = [task.parameter(), sequence.into()];
        let row = self.sql.exec("SELECT at FROM due WHERE task = ? AND sequence = ?", &parameters)?.pop();
        row.map(|mut row| row.number()).transpose()
    }

    /// Records when a task is due. `sequence` is 0 if the work does not belong to one launch.
    pub fn set(&self, task: Task, sequence: u64, at: u64) -> Result<(), StorageError> {
        if self.at(task, sequence)? != Some(at) {
            let parameters = [task.parameter(), sequence.into(), at.into()];
            self.sql.exec("INSERT OR REPLACE INTO due VALUES (?, ?, ?)", &parameters)?;
        }
        if self.state.set_to.get().is_none_or(|set_to| at < set_to) {
            self.state.is_changed.set(true);
        }
        Ok(())
    }

    /// Records when a task without rows is due, or that it has no work. Only this instance of the object remembers it: the
    /// module that has the task finds the time again when the object starts. An alarm that comes too early is not moved.
    pub fn set_in_memory(&self, task: Task, at: Option<u64>) {
        let mut due = self.state.in_memory.borrow_mut();
        match at {
            Some(at) => {
                due.insert(task.0, at);
                if self.state.set_to.get().is_none_or(|set_to| at < set_to) {
                    self.state.is_changed.set(true);
                }
            }
            None => {
                due.remove(task.0);
            }
        }
    }

    /// Moves a due time if the row still exists.
    pub fn postpone(&self, task: Task, sequence: u64, at: u64) -> Result<(), StorageError> {
        let parameters = [at.into(), task.parameter(), sequence.into()];
        self.sql.exec("UPDATE due SET at = ? WHERE task = ? AND sequence = ?", &parameters).map(drop)
    }

    /// Records that a task is done.
    pub fn remove(&self, task: Task, sequence: u64) -> Result<(), StorageError> {
        let parameters = [task.parameter(), sequence.into()];
        self.sql.exec("DELETE FROM due WHERE task = ? AND sequence = ?", &parameters).map(drop)
    }

    /// Marks the time of the alarm as unknown: the alarm has come, the object has started, or setting the alarm has failed.
    pub fn forget_alarm(&self) {
        self.state.set_to.set(None);
        self.state.is_changed.set(true);
    }

    /// Makes the next [`DueTimes::take_change`] compute the alarm's time again.
    pub fn recompute_alarm(&self) {
        self.state.is_changed.set(true);
    }

    /// Returns how the alarm has to change since the last call. The caller must not await anything before it changes the
    /// alarm.
    pub fn take_change(&self) -> Result<AlarmChange, StorageError> {
        if !self.state.is_changed.get() {
            return Ok(AlarmChange::Unchanged);
        }
        let pauses = self.state.pauses.borrow();
        let mut earliest: Option<u64> = None;
        for (task, at) in self.earliest_by_task()? {
            let at = pauses.get(&task).map_or(at, |until| at.max(*until));
            earliest = Some(earliest.map_or(at, |known| known.min(at)));
        }
        self.state.is_changed.set(false);
        let before = self.state.set_to.replace(earliest);
        Ok(match earliest {
            _ if before == earliest => AlarmChange::Unchanged,
            Some(at) => AlarmChange::Set(at),
            None => AlarmChange::Delete,
        })
    }

    /// Returns the names of the tasks that have work due at `now` and are not paused.
    pub fn due_tasks(&self, now: u64) -> Result<Vec<String>, StorageError> {
        let pauses = self.state.pauses.borrow();
        let is_due = |(task, at): (String, u64)| {
            let is_paused = pauses.get(&task).is_some_and(|until| *until > now);
            (at <= now && !is_paused).then_some(task)
        };
        Ok(self.earliest_by_task()?.into_iter().filter_map(is_due).collect())
    }

    fn earliest_by_task(&self) -> Result<Vec<(String, u64)>, StorageError> {
        let rows = self.sql.exec("SELECT task, min(at) FROM due GROUP BY task", &[])?;
        let in_memory = self.state.in_memory.borrow();
        let in_memory = in_memory.iter().map(|(task, at)| Ok(((*task).to_owned(), *at)));
        rows.into_iter().map(|mut row| Ok((row.text()?, row.number()?))).chain(in_memory).collect()
    }

    /// Lets a task run no earlier than `until`. Only this instance of the object remembers the pause.
    pub fn pause(&self, task: &str, until: u64) {
        self.state.pauses.borrow_mut().insert(task.to_owned(), until);
    }

    /// Ends the pause of a task.
    pub fn resume(&self, task: &str) {
        self.state.pauses.borrow_mut().remove(task);
    }

    /// Marks a service as running. Returns false if it already is.
    pub fn start_service(&self, service: &'static str) -> bool {
        let mut running = self.state.running.borrow_mut();
        let is_new = !running.contains(&service);
        if is_new {
            running.push(service);
        }
        is_new
    }

    pub fn end_service(&self, service: &'static str) {
        self.state.running.borrow_mut().retain(|running| *running != service);
    }
}
