//! How many bytes of bodies are held at a time.

use crate::response::rejection::Rejection;
use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

#[derive(Clone, Copy, Debug)]
pub struct BodyLimits {
    /// Of one request.
    pub body_bytes: usize,
    /// Of all requests together.
    pub bodies_bytes: usize,
    /// How long one may take to arrive.
    pub body_wait: Duration,
}

/// The bytes that all bodies together may hold.
#[derive(Debug)]
pub struct BodyBudget {
    pub(super) limits: BodyLimits,
    held: AtomicUsize,
}

/// The bytes one request holds of the budget, until dropped.
#[derive(Debug)]
pub(super) struct BodyReservation<'a> {
    budget: &'a BodyBudget,
    bytes: usize,
}

impl BodyBudget {
    pub fn new(limits: BodyLimits) -> Self {
        Self { limits, held: AtomicUsize::new(0) }
    }

    pub(super) fn reserve(&self) -> BodyReservation<'_> {
        BodyReservation { budget: self, bytes: 0 }
    }
}

impl BodyReservation<'_> {
    pub(super) fn grow(&mut self, bytes: usize) -> Result<(), Rejection> {
        let BodyBudget { limits, held } = self.budget;
        let grow = |held: usize| held.checked_add(bytes).filter(|it| *it <= limits.bodies_bytes);
        let grown = held.fetch_update(Ordering::AcqRel, Ordering::Acquire, grow);
        grown.map_err(|_full| Rejection::Overloaded)?;
        self.bytes += bytes;
        Ok(())
    }
}

impl Drop for BodyReservation<'_> {
    fn drop(&mut self) {
        self.budget.held.fetch_sub(self.bytes, Ordering::AcqRel);
    }
}
