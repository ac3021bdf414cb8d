//! How much of a model may be used.

use crate::{DurationText, rule};
use serde::{Deserialize, Serialize};

/// How much of a model all callers together may use, and how much each of them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Limits {
    /// Requests per minute of all callers together, at least 1. Not limited if absent. No effect
    /// yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub requests_per_minute: Option<u32>,
    /// Tokens per minute of all callers together, prompts and answers added, at least 1. Not
    /// limited if absent. No effect yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub tokens_per_minute: Option<u32>,
    /// Requests of all callers together that run at the same time, at least 1. Not limited if
    /// absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub concurrency: Option<u32>,
    /// Where requests wait while the model is busy; it is shared fairly among the callers. Without
    /// it a request beyond `concurrency` is refused at once. No effect yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub queue: Option<Queue>,
    /// How much each caller may use: one key, or one person who comes with a token. A limit of
    /// the key itself applies in addition. No effect yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub per_caller: Option<CallerLimits>,
}

/// Where requests wait while a model is busy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Queue {
    /// Requests that may wait, from 1 to 100000, for example 100. Beyond it they are refused.
    #[schemars(range(min = 1, max = 100_000))]
    pub size: u32,
    /// How long a request may wait, for example `30s`. 30 seconds if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-kubernetes-validations" = [rule::duration("1ms", "24h")]))]
    pub timeout: Option<DurationText>,
}

/// How much one caller may use.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "camelCase")]
pub struct CallerLimits {
    /// Requests per minute, at least 1. Not limited if absent. No effect yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub requests_per_minute: Option<u32>,
    /// Tokens per minute, prompts and answers added, at least 1. Not limited if absent. No effect
    /// yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub tokens_per_minute: Option<u32>,
    /// Requests that run at the same time, at least 1. Not limited if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub concurrency: Option<u32>,
}

impl Queue {
    /// How long a request may wait, in effect.
    pub fn timeout(&self) -> std::time::Duration {
        let given = self.timeout.as_ref().and_then(DurationText::parse);
        given.unwrap_or(std::time::Duration::from_secs(30))
    }
}
