//! Which pages of a campaign's launches are delivered, in progress or due.
//!
//! A launch *begins* when its first page is sent. Pages of a launch are sent in their order, and up to
//! [`DELIVERY_REQUESTS_AT_ONCE`] pages are outstanding: sent, or waiting for another attempt. So the state does not grow with
//! the number of pages, and the pages that are delivered follow from it.
//!
//! The state is stored after a slice of work. If the object ends before that, pages are sent again: every page is delivered at
//! least once, with the same ID.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use super::schedule::{AttemptAnswer, Verdict, longest_delay, retry_delay};
use crate::{
    campaign::protocol::webhook::Ordering,
    limits::{DELIVERY_ATTEMPTS_KEPT, DELIVERY_LAUNCHES_AT_ONCE, DELIVERY_REQUESTS_AT_ONCE},
};

/// A page of a launch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct PageNumber {
    pub sequence: u64,
    /// Counted from 1.
    pub page: u64,
}

/// The next thing to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NextStep {
    /// Send this page. It counts as being sent until [`DeliveryState::record`].
    Send(PageNumber),
    /// Count the pages of this launch, and call [`DeliveryState::begin`].
    Begin(u64),
    /// Nothing can be sent before this time (milliseconds since 1970), or before an answer arrives.
    WaitUntil(u64),
    /// Nothing can be sent before an answer or a new launch arrives, or an operator acts.
    Idle,
}

/// What an operator sees of a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum DeliveryStatus {
    Idle,
    Delivering,
    Retrying,
    Paused,
    Stopped,
}

/// The circumstances in which the state is read: they are stored elsewhere.
#[derive(Debug, Clone, Copy)]
pub struct Circumstances {
    /// Milliseconds since 1970.
    pub now: u64,
    /// The last sequence in the log.
    pub last: u64,
    pub ordering: Ordering,
    pub is_active: bool,
}

/// Which pages are delivered, in progress or due. Stored as JSON in one row. Pinned: a change is a migration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeliveryState {
    /// The sequence after which delivery began, at its creation or at the last replay.
    start: u64,
    /// The last launch that has begun, or was removed by retention.
    begun: u64,
    /// The launches that have begun and are not delivered, in the order of their sequences.
    launches: Vec<LaunchProgress>,
    /// Launches that retention removed before they were delivered.
    expired: u64,
    is_stopped: bool,
    /// When the first failure since the last delivered page happened.
    failing_since: Option<u64>,
    last_status: Option<u16>,
    last_error: Option<String>,
    /// The last attempts, oldest first.
    attempts: VecDeque<Attempt>,
    /// Increases when pages are sent again from an earlier launch. Answers to earlier requests then change nothing.
    epoch: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct LaunchProgress {
    sequence: u64,
    pages: u64,
    /// The last page that was sent.
    sent: u64,
    outstanding: Vec<PageProgress>,
}

/// A page that was sent and is not delivered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct PageProgress {
    page: u64,
    failures: u8,
    /// When the page is sent again, in milliseconds since 1970.
    due: u64,
    /// Whether an answer is expected. Not stored: after a restart the page is sent again.
    #[serde(skip)]
    is_in_progress: bool,
}

/// One request to the receiver.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempt {
    pub webhook_id: String,
    pub sequence: u64,
    pub page: u64,
    /// Milliseconds since 1970.
    pub at: u64,
    pub duration_ms: u64,
    pub status: Option<u16>,
    pub error: Option<String>,
}

/// A request that was sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SentPage {
    pub page: PageNumber,
    /// [`DeliveryState::epoch`] when the request was sent.
    pub epoch: u64,
}

/// Nothing is blocked: no page has failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("nothing is blocked: no page has failed")]
pub struct NothingBlocked;

impl DeliveryState {
    /// A delivery that begins with the launch after `last`.
    pub fn new(last: u64) -> Self {
        Self {
            start: last,
            begun: last,
            launches: Vec::new(),
            expired: 0,
            is_stopped: false,
            failing_since: None,
            last_status: None,
            last_error: None,
            attempts: VecDeque::new(),
            epoch: 0,
        }
    }

    /// Returns the next step. Call it again after each step until it returns [`NextStep::WaitUntil`] or [`NextStep::Idle`].
    pub fn next_step(&mut self, at: Circumstances) -> NextStep {
        if self.is_stopped || !at.is_active {
            return NextStep::Idle;
        }
        let in_progress = self.outstanding().filter(|page| page.is_in_progress).count();
        if in_progress >= DELIVERY_REQUESTS_AT_ONCE {
            return NextStep::Idle;
        }
        let mut wait: Option<u64> = None;
        for launch in &mut self.launches {
            let sequence = launch.sequence;
            for page in launch.outstanding.iter_mut().filter(|page| !page.is_in_progress) {
                // If the clock was set back, a page would otherwise wait for as long.
                let due = page.due.min(at.now.saturating_add(longest_delay(page.failures)));
                if due <= at.now {
                    page.is_in_progress = true;
                    return NextStep::Send(PageNumber { sequence, page: page.page });
                }
                page.due = due;
                wait = Some(wait.map_or(due, |earliest| earliest.min(due)));
            }
            if launch.sent < launch.pages && launch.outstanding.len() < DELIVERY_REQUESTS_AT_ONCE {
                launch.sent += 1;
                let page = launch.sent;
                launch.outstanding.push(PageProgress { page, failures: 0, due: 0, is_in_progress: true });
                return NextStep::Send(PageNumber { sequence, page });
            }
        }
        let next = self.begun.saturating_add(1);
        if self.may_begin(at.ordering) && next <= at.last {
            return NextStep::Begin(next);
        }
        wait.map_or(NextStep::Idle, NextStep::WaitUntil)
    }

    /// Whether a launch that is committed now would begin now.
    pub fn may_begin(&self, ordering: Ordering) -> bool {
        match ordering {
            Ordering::Strict => self.launches.is_empty(),
            Ordering::Relaxed => self.begun < self.delivered().saturating_add(DELIVERY_LAUNCHES_AT_ONCE),
        }
    }

    /// Begins the launch that [`DeliveryState::next_step`] named.
    pub fn begin(&mut self, sequence: u64, pages: u64) {
        self.begun = sequence;
        self.launches.push(LaunchProgress { sequence, pages, sent: 0, outstanding: Vec::new() });
    }

    /// The value of [`SentPage::epoch`] for requests that are sent now.
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Records the answer to a request. `attempt.at` is when the request was sent, `now` when the answer arrived.
    pub fn record(&mut self, sent: &SentPage, attempt: Attempt, answer: &AttemptAnswer, now: u64, random: u16) {
        (self.last_status, self.last_error) = (attempt.status, attempt.error.clone());
        if self.attempts.len() == DELIVERY_ATTEMPTS_KEPT {
            self.attempts.pop_front();
        }
        self.attempts.push_back(attempt);
        let PageNumber { sequence, page } = sent.page;
        if sent.epoch != self.epoch {
            return;
        }
        let Some(launch) = self.launches.iter_mut().find(|launch| launch.sequence == sequence) else { return };
        let Some(place) = launch.outstanding.iter().position(|outstanding| outstanding.page == page) else { return };
        let retry_after_ms = match answer.verdict() {
            Verdict::Delivered => {
                launch.outstanding.remove(place);
                self.failing_since = None;
                self.end_delivered_launches();
                return;
            }
            Verdict::Stop => {
                self.is_stopped = true;
                None
            }
            Verdict::Retry { retry_after_ms } => retry_after_ms,
        };
        self.failing_since.get_or_insert(now);
        let Some(outstanding) = launch.outstanding.get_mut(place) else { return };
        outstanding.is_in_progress = false;
        outstanding.failures = outstanding.failures.saturating_add(1);
        match retry_delay(outstanding.failures, retry_after_ms, random) {
            Some(delay) => outstanding.due = now.saturating_add(delay),
            None => self.is_stopped = true,
        }
    }

    fn end_delivered_launches(&mut self) {
        self.launches.retain(|launch| launch.sent < launch.pages || !launch.outstanding.is_empty());
    }

    /// Sends a page later that could not be sent now for a reason other than the receiver.
    pub fn postpone(&mut self, page: PageNumber, due: u64) {
        let launch = self.launches.iter_mut().find(|launch| launch.sequence == page.sequence);
        let outstanding = launch.and_then(|launch| launch.outstanding.iter_mut().find(|other| other.page == page.page));
        if let Some(outstanding) = outstanding {
            (outstanding.is_in_progress, outstanding.due) = (false, due);
        }
    }

    /// Retention has removed the launches up to `removed`. Returns how many of them were not delivered.
    pub fn expire(&mut self, removed: u64) -> u64 {
        let begun = self.launches.iter().filter(|launch| launch.sequence <= removed).count() as u64;
        let lost = begun.saturating_add(removed.saturating_sub(self.begun));
        self.launches.retain(|launch| launch.sequence > removed);
        self.begun = self.begun.max(removed);
        self.expired = self.expired.saturating_add(lost);
        lost
    }

    /// Continues a delivery that has stopped, and sends failed pages at once.
    pub fn resume(&mut self) {
        self.is_stopped = false;
        self.failing_since = None;
        self.reset_schedule();
    }

    /// Sends failed pages at once, with all attempts before the delivery stops.
    pub fn reset_schedule(&mut self) {
        for page in self.launches.iter_mut().flat_map(|launch| &mut launch.outstanding) {
            (page.failures, page.due) = (0, 0);
        }
    }

    /// Delivers all launches after `after` again. Launches that are not delivered yet are never skipped, even if `after` is later.
    pub fn replay(&mut self, after: u64) {
        let after = after.min(self.delivered());
        self.epoch = self.epoch.wrapping_add(1);
        self.launches.clear();
        (self.start, self.begun) = (after, after);
        self.resume();
    }

    /// Marks the first page that has failed as delivered.
    pub fn skip(&mut self) -> Result<PageNumber, NothingBlocked> {
        let has_failed = |page: &PageProgress| page.failures > 0;
        let launch = self.launches.iter_mut().find(|launch| launch.outstanding.iter().any(has_failed));
        let launch = launch.ok_or(NothingBlocked)?;
        let failed = launch.outstanding.iter().filter(|page| has_failed(page)).map(|page| page.page);
        let page = failed.min().ok_or(NothingBlocked)?;
        launch.outstanding.retain(|outstanding| outstanding.page != page);
        let skipped = PageNumber { sequence: launch.sequence, page };
        self.end_delivered_launches();
        if !self.outstanding().any(has_failed) {
            self.failing_since = None;
        }
        Ok(skipped)
    }

    /// The object has restarted: answers to requests of before will not arrive.
    pub fn forget_requests(&mut self) {
        for page in self.launches.iter_mut().flat_map(|launch| &mut launch.outstanding) {
            page.is_in_progress = false;
        }
    }

    pub fn status(&self, at: Circumstances) -> DeliveryStatus {
        if self.is_stopped {
            DeliveryStatus::Stopped
        } else if !at.is_active {
            DeliveryStatus::Paused
        } else if self.outstanding().any(|page| page.failures > 0) {
            DeliveryStatus::Retrying
        } else if self.delivered() < at.last {
            DeliveryStatus::Delivering
        } else {
            DeliveryStatus::Idle
        }
    }

    /// The sequence up to which all launches are delivered or expired. `None`: no launch has been delivered since the delivery
    /// was created or replayed.
    pub fn delivered_through(&self) -> Option<u64> {
        Some(self.delivered()).filter(|delivered| *delivered > self.start)
    }

    /// When a page is sent again, if pages have failed, in milliseconds since 1970.
    pub fn next_attempt_at(&self) -> Option<u64> {
        let failed = self.outstanding().filter(|page| page.failures > 0 && !page.is_in_progress);
        failed.map(|page| page.due).min().filter(|_| !self.is_stopped)
    }

    pub fn expired(&self) -> u64 {
        self.expired
    }

    pub fn is_stopped(&self) -> bool {
        self.is_stopped
    }

    pub fn failing_since(&self) -> Option<u64> {
        self.failing_since
    }

    /// The status and the error of the last attempt.
    pub fn last_result(&self) -> (Option<u16>, Option<&str>) {
        (self.last_status, self.last_error.as_deref())
    }

    /// Returns at most `limit` of the last attempts, newest first.
    pub fn attempts(&self, limit: usize) -> impl Iterator<Item = &Attempt> {
        self.attempts.iter().rev().take(limit)
    }

    /// Whether the launch has begun and is not delivered.
    pub fn is_in_progress(&self, sequence: u64) -> bool {
        self.launches.iter().any(|launch| launch.sequence == sequence)
    }

    /// The pages that have failed and are not delivered, in their order.
    #[cfg(test)]
    pub fn failed_pages(&self) -> Vec<PageNumber> {
        let of = |launch: &LaunchProgress| {
            let failed = launch.outstanding.iter().filter(|page| page.failures > 0);
            let sequence = launch.sequence;
            failed.map(move |page| PageNumber { sequence, page: page.page }).collect::<Vec<_>>()
        };
        let mut pages: Vec<PageNumber> = self.launches.iter().flat_map(of).collect();
        pages.sort();
        pages
    }

    fn delivered(&self) -> u64 {
        self.launches.first().map_or(self.begun, |launch| launch.sequence.saturating_sub(1))
    }

    fn outstanding(&self) -> impl Iterator<Item = &PageProgress> {
        self.launches.iter().flat_map(|launch| &launch.outstanding)
    }
}

#[cfg(test)]
mod tests;
