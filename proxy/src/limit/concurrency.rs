//! How many requests run at a time.

use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering},
};

/// Counts the requests in flight of a key, a model or an endpoint.
#[derive(Clone, Debug, Default)]
pub struct ConcurrencyLimit(Arc<AtomicU32>);

/// One request in flight, until dropped.
#[derive(Debug)]
pub struct ConcurrencyPermit(ConcurrencyLimit);

impl ConcurrencyLimit {
    /// Counts one more request, or returns the limit if it is reached.
    pub fn try_acquire(&self, max: Option<u32>) -> Result<ConcurrencyPermit, u32> {
        let Some(max) = max else { return Ok(self.acquire()) };
        let take = |running| (running < max).then_some(running + 1);
        match self.0.fetch_update(Ordering::AcqRel, Ordering::Acquire, take) {
            Ok(_before) => Ok(ConcurrencyPermit(self.clone())),
            Err(_full) => Err(max),
        }
    }

    /// Counts one more request, without a limit.
    pub fn acquire(&self) -> ConcurrencyPermit {
        self.0.fetch_add(1, Ordering::AcqRel);
        ConcurrencyPermit(self.clone())
    }

    pub fn in_flight(&self) -> u32 {
        self.0.load(Ordering::Acquire)
    }
}

impl Drop for ConcurrencyPermit {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_permit_is_returned_when_its_request_ends() {
        let limit = ConcurrencyLimit::default();
        let first = limit.try_acquire(Some(1)).unwrap();
        assert_eq!(limit.try_acquire(Some(1)).unwrap_err(), 1);
        drop(first);
        assert!(limit.try_acquire(Some(1)).is_ok());
        assert_eq!(limit.in_flight(), 0);
    }

    #[test]
    fn many_threads_never_exceed_the_limit() {
        let limit = ConcurrencyLimit::default();
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..1000 {
                        let permit = limit.try_acquire(Some(3));
                        assert!(limit.in_flight() <= 3);
                        drop(permit);
                    }
                });
            }
        });
        assert_eq!(limit.in_flight(), 0);
    }
}
