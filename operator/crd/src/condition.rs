//! The conditions of the three kinds, and the reasons they give.
//!
//! A reason implies its status: nobody can report `True` because of `SecretMissing`.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

mod words;

pub use words::{ConditionType, Reason};

/// What the operator found out about a resource.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What it is about.
    pub about: ConditionType,
    /// What was found; it implies the status.
    pub reason: Reason,
    /// The same for people: what is the case, and what to do next.
    pub message: String,
}

/// The longest message, in bytes; what is longer is cut.
pub const MESSAGE_BYTES_MAX: usize = 1024;

impl Finding {
    /// Puts a finding together.
    pub fn new(about: ConditionType, reason: Reason, message: impl Into<String>) -> Self {
        Self { about, reason, message: message.into() }
    }
}

/// Puts a finding in among conditions, and says whether that changed anything. The time of the
/// last transition stays when the status does.
///
/// ```
/// use llm_crd::{ConditionType, Finding, Reason, set_condition};
/// let mut conditions = Vec::new();
/// let ready = Finding::new(ConditionType::ServingReady, Reason::Ready, "1 of 1 replicas serve");
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
        message: cut(message),
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

/// Takes out the conditions that are about something else.
pub fn retain_conditions(conditions: &mut Vec<Condition>, about: &[ConditionType]) {
    conditions.retain(|it| about.iter().any(|about| about.as_str() == it.type_));
}

fn cut(message: String) -> String {
    const MARK: &str = "…";
    if message.len() <= MESSAGE_BYTES_MAX {
        return message;
    }
    let end = message.floor_char_boundary(MESSAGE_BYTES_MAX - MARK.len());
    message.get(..end).unwrap_or_default().to_owned() + MARK
}

#[cfg(test)]
mod tests;
