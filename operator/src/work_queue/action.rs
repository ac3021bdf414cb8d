//! What follows a reconciliation.

use std::time::Duration;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    AwaitChange,
    /// Unless the key is pushed before.
    RequeueAfter(Duration),
    /// With exponential back-off.
    Retry,
}
