//! Limits the connections of one address that have not been authenticated.
//!
//! A client that merely connects cannot use up the connections of proxies elsewhere. A connection
//! whose token is rejected is closed; one whose token is accepted no longer counts.

use dashmap::DashMap;
use parking_lot::Mutex;
use std::{net::IpAddr, sync::Arc};
use tokio_util::sync::CancellationToken;

/// Counts unauthenticated connections by address; at most as many as there are connections.
#[derive(Debug)]
pub(crate) struct PreAuthLimit {
    counts: Arc<DashMap<IpAddr, usize>>,
    max: usize,
}

/// A connection, counted until it is authenticated or dropped.
#[derive(Clone, Debug)]
pub(crate) struct PreAuthConnection {
    slot: Arc<Mutex<Option<Slot>>>,
    /// Cancelled when the connection has to close.
    pub(crate) rejected: CancellationToken,
}

#[derive(Debug)]
struct Slot {
    counts: Arc<DashMap<IpAddr, usize>>,
    address: IpAddr,
}

impl PreAuthLimit {
    pub(crate) fn new(max: usize) -> Self {
        Self { counts: Arc::default(), max }
    }

    /// `None` if the address has too many connections.
    pub(crate) fn try_acquire(&self, address: IpAddr) -> Option<PreAuthConnection> {
        let mut count = self.counts.entry(address).or_default();
        if self.max <= *count {
            return None;
        }
        *count += 1;
        let slot = Slot { counts: Arc::clone(&self.counts), address };
        let slot = Arc::new(Mutex::new(Some(slot)));
        Some(PreAuthConnection { slot, rejected: CancellationToken::new() })
    }
}

impl PreAuthConnection {
    pub(crate) fn mark_authenticated(&self) {
        drop(self.slot.lock().take());
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.counts.remove_if_mut(&self.address, |_, count| {
            *count -= 1;
            *count == 0
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_unauthenticated_connections_of_one_address_are_limited() {
        let limit = PreAuthLimit::new(2);
        let (here, there) = (IpAddr::from([10, 0, 0, 1]), IpAddr::from([10, 0, 0, 2]));
        let first = limit.try_acquire(here).unwrap();
        let second = limit.try_acquire(here).unwrap();
        assert!(limit.try_acquire(here).is_none());
        assert!(limit.try_acquire(there).is_some());
        first.mark_authenticated();
        let third = limit.try_acquire(here).unwrap();
        assert!(limit.try_acquire(here).is_none());
        drop((first, second, third));
        assert!(limit.counts.is_empty());
    }
}
