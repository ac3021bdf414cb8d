//! Connections whose peers have not proven who they are.
//!
//! There are so many from one address and no more, so that somebody who only connects cannot take
//! the places of proxies elsewhere. A stranger who shows a token that is not accepted is shown
//! the door; one whose token is accepted is none any longer.

use parking_lot::Mutex;
use std::{
    collections::{HashMap, hash_map::Entry},
    net::IpAddr,
    sync::Arc,
};
use tokio_util::sync::CancellationToken;

/// How many strangers there are, by address; no more than there are connections.
#[derive(Clone, Debug)]
pub(crate) struct Strangers {
    counts: Arc<Mutex<HashMap<IpAddr, usize>>>,
    max: usize,
}

/// One connection's peer.
#[derive(Clone, Debug)]
pub(crate) struct Visitor {
    stranger: Arc<Mutex<Option<Stranger>>>,
    /// Cancelled when the connection is to end.
    pub(crate) refused: CancellationToken,
}

/// Counts until dropped.
#[derive(Debug)]
struct Stranger {
    strangers: Strangers,
    address: IpAddr,
}

impl Strangers {
    pub(crate) fn new(max: usize) -> Self {
        Self { counts: Arc::default(), max }
    }

    /// Lets one more in; `None` if there are too many from that address.
    pub(crate) fn enter(&self, address: IpAddr) -> Option<Visitor> {
        let mut counts = self.counts.lock();
        let count = counts.entry(address).or_default();
        if self.max <= *count {
            return None;
        }
        *count += 1;
        let stranger = Stranger { strangers: self.clone(), address };
        let stranger = Arc::new(Mutex::new(Some(stranger)));
        Some(Visitor { stranger, refused: CancellationToken::new() })
    }
}

impl Visitor {
    /// It has proven who it is.
    pub(crate) fn is_known(&self) {
        drop(self.stranger.lock().take());
    }
}

impl Drop for Stranger {
    fn drop(&mut self) {
        let mut counts = self.strangers.counts.lock();
        if let Entry::Occupied(mut count) = counts.entry(self.address) {
            *count.get_mut() -= 1;
            if *count.get() == 0 {
                count.remove();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_many_strangers_come_from_one_address_and_nobody_else_is_counted() {
        let strangers = Strangers::new(2);
        let (here, there) = (IpAddr::from([10, 0, 0, 1]), IpAddr::from([10, 0, 0, 2]));
        let first = strangers.enter(here).unwrap();
        let second = strangers.enter(here).unwrap();
        assert!(strangers.enter(here).is_none());
        assert!(strangers.enter(there).is_some());
        first.is_known();
        let third = strangers.enter(here).unwrap();
        assert!(strangers.enter(here).is_none());
        drop((first, second, third));
        assert!(strangers.counts.lock().is_empty());
    }
}
