//! Findings, and merging them into the conditions of a status.

use super::{ConditionType, Reason};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

/// What the operator found out about a resource.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The condition it belongs to.
    pub about: ConditionType,
    /// The machine-readable reason; it implies the status.
    pub reason: Reason,
    /// The human-readable message: the state, and how to fix it.
    pub message: String,
}

/// The longest condition message, in bytes; longer ones are truncated.
pub const MESSAGE_BYTES_MAX: usize = 1024;

impl Finding {
    /// A finding for a condition.
    pub fn new(about: ConditionType, reason: Reason, message: impl Into<String>) -> Self {
        Self { about, reason, message: message.into() }
    }
}

/// Sets a condition and returns whether anything changed. `lastTransitionTime` changes only with
/// the status.
///
/// ```
/// use llm_crd::{ConditionType, Finding, Reason, set_condition};
/// let mut conditions = Vec::new();
/// let ready = Finding::new(ConditionType::ServingReady, Reason::Ready, "1 of 1 replicas ready");
/// let now = "2030-01-01T00:00:00Z".parse().unwrap();
/// assert!(set_condition(&mut conditions, ready.clone(), Some(1), now));
/// assert!(!set_condition(&mut conditions, ready, Some(1), now));
/// assert_eq!(conditions[0].status, "True");
/// ```
pub fn set_condition(
    conditions: &mut Vec<Condition>,
    finding: Finding,
    observed_generation: Option<i64>,
    now: Timestamp,
) -> bool {
    let Finding { about, reason, message } = finding;
    let mut condition = Condition {
        type_: about.as_str().into(),
        status: reason.status().into(),
        reason: reason.as_str().into(),
        message: truncate(message),
        observed_generation,
        last_transition_time: Time(now),
    };
    let Some(old) = conditions.iter_mut().find(|old| old.type_ == condition.type_) else {
        conditions.push(condition);
        return true;
    };
    if old.status == condition.status {
        condition.last_transition_time = old.last_transition_time.clone();
    }
    let changed = *old != condition;
    *old = condition;
    changed
}

/// Removes the conditions of all other types.
pub fn retain_conditions(conditions: &mut Vec<Condition>, about: &[ConditionType]) {
    conditions.retain(|it| about.iter().any(|about| about.as_str() == it.type_));
}

fn truncate(message: String) -> String {
    const ELLIPSIS: &str = "…";
    if message.len() <= MESSAGE_BYTES_MAX {
        return message;
    }
    let end = message.floor_char_boundary(MESSAGE_BYTES_MAX - ELLIPSIS.len());
    message.get(..end).unwrap_or_default().to_owned() + ELLIPSIS
}

#[cfg(test)]
mod tests;
