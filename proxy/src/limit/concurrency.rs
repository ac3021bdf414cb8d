//! How many requests run at a time.

use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering},
};

/// Counts the requests that run on behalf of something: a key, a model, an endpoint.
#[derive(Clone, Debug, Default)]
pub struct Gauge(Arc<AtomicU32>);

/// One running request; ends when dropped, however the request ended.
#[derive(Debug)]
pub struct Running(Gauge);

impl Gauge {
    /// Takes a place, or says how many there are when all are taken.
    pub fn enter(&self, max: Option<u32>) -> Result<Running, u32> {
        let max = max.unwrap_or(u32::MAX);
        let take = |running| (running < max).then_some(running + 1);
        match self.0.fetch_update(Ordering::AcqRel, Ordering::Acquire, take) {
            Ok(_before) => Ok(Running(self.clone())),
            Err(_full) => Err(max),
        }
    }

    /// How many run now.
    pub fn running(&self) -> u32 {
        self.0.load(Ordering::Acquire)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_free_again_when_its_request_ends() {
        let gauge = Gauge::default();
        let first = gauge.enter(Some(1)).unwrap();
        assert_eq!(gauge.enter(Some(1)).unwrap_err(), 1);
        drop(first);
        assert!(gauge.enter(Some(1)).is_ok());
        assert_eq!(gauge.running(), 0);
    }

    #[test]
    fn many_threads_never_exceed_the_limit() {
        let gauge = Gauge::default();
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..1000 {
                        let running = gauge.enter(Some(3));
                        assert!(gauge.running() <= 3);
                        drop(running);
                    }
                });
            }
        });
        assert_eq!(gauge.running(), 0);
    }
}
