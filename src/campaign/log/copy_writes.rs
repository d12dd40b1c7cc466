//! The writes of KV's copy of a campaign: one at a time, so that an earlier state never overwrites a later one.

use std::cell::{Cell, RefCell};

use crate::{access::CampaignRecord, limits};

/// A write that has begun.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CopyWrite {
    record: CampaignRecord,
    number: u64,
}

impl CopyWrite {
    /// The value to write.
    pub fn record(&self) -> &CampaignRecord {
        &self.record
    }
}

/// What an instance of the object remembers about its writes.
#[derive(Debug, Default)]
pub struct CopyWrites {
    /// The copy in KV, if the last write succeeded.
    written: RefCell<Option<CampaignRecord>>,
    /// The number of the write in progress, and when it began.
    in_progress: Cell<Option<(u64, u64)>>,
    /// The number of the last write that began.
    last_number: Cell<u64>,
    /// Whether a write that had timed out has ended during the write in progress.
    is_overlapped: Cell<bool>,
    /// Failures since the last success.
    failures: Cell<u32>,
}

impl CopyWrites {
    /// Whether a write is in progress that has not timed out.
    pub fn is_in_progress(&self, now: u64) -> bool {
        let has_time = |(_, since): (u64, u64)| now.saturating_sub(since) < limits::COPY_TIMEOUT_MS;
        self.in_progress.get().is_some_and(has_time)
    }

    /// Whether KV is known to contain this copy.
    pub fn is_written(&self, record: &CampaignRecord) -> bool {
        self.written.borrow().as_ref() == Some(record)
    }

    /// Forgets what KV contains.
    pub fn forget(&self) {
        self.written.take();
    }

    /// Begins a write.
    pub fn begin(&self, record: CampaignRecord, now: u64) -> CopyWrite {
        let number = self.last_number.get().saturating_add(1);
        self.last_number.set(number);
        self.in_progress.set(Some((number, now)));
        self.forget();
        CopyWrite { record, number }
    }

    /// Ends a write. Returns the least time until the next write in milliseconds, or `None` if the write had timed out and a
    /// later one began or ended: then it is unknown which of the two KV contains.
    pub fn end(&self, write: &CopyWrite, has_succeeded: bool) -> Option<u64> {
        let in_progress = self.in_progress.get().map(|(number, _)| number);
        if in_progress != Some(write.number) {
            self.is_overlapped.set(in_progress.is_some());
            self.forget();
            return None;
        }
        self.in_progress.take();
        let is_known = !self.is_overlapped.take() && has_succeeded;
        self.written.replace(is_known.then(|| write.record.clone()));
        self.failures.set(if has_succeeded { 0 } else { self.failures.get().saturating_add(1) });
        Some(self.interval())
    }

    /// Doubles with each failure.
    fn interval(&self) -> u64 {
        let factor = 1_u64.checked_shl(self.failures.get().saturating_sub(1)).unwrap_or(u64::MAX);
        limits::COPY_INTERVAL_MS.saturating_mul(factor).min(limits::COPY_BACKOFF_MAX_MS)
    }
}
