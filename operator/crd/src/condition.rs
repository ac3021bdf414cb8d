//! The conditions of the three kinds, and the reasons they give.
//!
//! A reason implies its status: `True` because of `SecretMissing` cannot be expressed.

mod vocabulary;
mod finding;

pub use finding::{Finding, MESSAGE_BYTES_MAX, retain_conditions, set_condition};
pub use vocabulary::{ConditionType, Reason};
