//! What requests hold, counted. An isolate has 128 MB for all its concurrent requests, and a failed
//! allocation ends every one of them; so bytes are reserved before they are kept, and given back on
//! every path (a [`Reservation`] gives back what it holds when it is dropped).

use std::{cell::Cell, rc::Rc};

/// The memory that the requests of one isolate share.
#[derive(Debug)]
pub struct Budget {
    limit: u64,
    unverified_limit: u64,
    held: Cell<u64>,
    unverified: Cell<u64>,
}

/// There is no room for the bytes asked for: answered with 503 and `Retry-After`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OutOfMemory;

impl Budget {
    /// A budget of `limit` bytes, of which callers not yet verified may hold `unverified_limit` together.
    pub fn new(limit: u64, unverified_limit: u64) -> Rc<Self> {
        Rc::new(Self { limit, unverified_limit, held: Cell::new(0), unverified: Cell::new(0) })
    }

    /// Bytes held now.
    pub fn held(&self) -> u64 {
        self.held.get()
    }
}

/// What one request holds. It begins unverified.
#[derive(Debug)]
pub struct Reservation {
    budget: Rc<Budget>,
    bytes: u64,
    verified: bool,
}

impl Reservation {
    /// An empty reservation of a caller whose token is not yet verified.
    pub fn new(budget: &Rc<Budget>) -> Self {
        Self { budget: Rc::clone(budget), bytes: 0, verified: false }
    }

    /// Reserves `bytes` more.
    pub fn grow(&mut self, bytes: u64) -> Result<(), OutOfMemory> {
        let held = self.budget.held.get().checked_add(bytes).filter(|held| *held <= self.budget.limit);
        let held = held.ok_or(OutOfMemory)?;
        if !self.verified {
            let unverified = self.budget.unverified.get().saturating_add(bytes);
            if unverified > self.budget.unverified_limit {
                return Err(OutOfMemory);
            }
            self.budget.unverified.set(unverified);
        }
        self.budget.held.set(held);
        self.bytes = self.bytes.saturating_add(bytes);
        Ok(())
    }

    /// Gives `bytes` back (at most what is held).
    pub fn shrink(&mut self, bytes: u64) {
        let bytes = bytes.min(self.bytes);
        self.bytes -= bytes;
        self.budget.held.set(self.budget.held.get().saturating_sub(bytes));
        if !self.verified {
            self.budget.unverified.set(self.budget.unverified.get().saturating_sub(bytes));
        }
    }

    /// Reserves so many bytes in place of what is reserved.
    pub fn resize(&mut self, bytes: u64) -> Result<(), OutOfMemory> {
        if bytes > self.bytes {
            return self.grow(bytes - self.bytes);
        }
        self.shrink(self.bytes - bytes);
        Ok(())
    }

    /// The caller's token is good: what it holds no longer counts as unverified.
    pub fn verify(&mut self) {
        if !self.verified {
            self.budget.unverified.set(self.budget.unverified.get().saturating_sub(self.bytes));
            self.verified = true;
        }
    }

    /// Bytes held by this request.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.shrink(self.bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_given_back_on_every_path() {
        let budget = Budget::new(100, 60);
        let mut a = Reservation::new(&budget);
        let mut b = Reservation::new(&budget);
        assert_eq!(a.grow(50), Ok(()));
        assert_eq!(b.grow(11), Err(OutOfMemory), "60 for all unverified callers together");
        a.verify();
        assert_eq!(b.grow(50), Ok(()));
        assert_eq!(a.grow(1), Err(OutOfMemory));
        a.shrink(20);
        assert_eq!(a.grow(20), Ok(()));
        assert_eq!((a.resize(51), a.bytes()), (Err(OutOfMemory), 50));
        assert_eq!((a.resize(30), a.resize(50), a.bytes()), (Ok(()), Ok(()), 50));
        drop(a);
        drop(b);
        assert_eq!(budget.held(), 0);
        let mut c = Reservation::new(&budget);
        assert_eq!(c.grow(60), Ok(()), "the unverified share is given back too");
    }
}
