//! Limits on the use of a model.

use crate::{DurationText, rule};
use serde::{Deserialize, Serialize};

/// Limits on the use of a model, for all callers together and for each caller.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ModelLimits {
    /// Requests per minute across all callers, at least 1. Unlimited if not set. Has no effect
    /// yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub requests_per_minute: Option<u32>,
    /// Prompt and completion tokens per minute across all callers, at least 1. Unlimited if not
    /// set. Has no effect yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub tokens_per_minute: Option<u32>,
    /// Concurrent requests across all callers, at least 1. Unlimited if not set.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub concurrency: Option<u32>,
    /// Queue for requests that arrive while the model is busy, shared fairly among callers.
    /// Without it, requests beyond `concurrency` are rejected immediately. Has no effect yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub queue: Option<RequestQueue>,
    /// Limits for each caller: one API key, or one person authenticated by a token. Limits of the
    /// API key itself apply as well. Has no effect yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub per_caller: Option<CallerLimits>,
}

/// Queue for requests that arrive while a model is busy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RequestQueue {
    /// Number of requests that may wait, from 1 to 100000, for example 100. Further requests are
    /// rejected.
    #[schemars(range(min = 1, max = 100_000))]
    pub size: u32,
    /// How long a request may wait, for example `30s`. Defaults to 30 seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-kubernetes-validations" = [rule::duration("1ms", "24h")]))]
    pub timeout: Option<DurationText>,
}

/// Limits for one caller.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "camelCase")]
pub struct CallerLimits {
    /// Requests per minute, at least 1. Unlimited if not set. Has no effect yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub requests_per_minute: Option<u32>,
    /// Prompt and completion tokens per minute, at least 1. Unlimited if not set. Has no effect
    /// yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub tokens_per_minute: Option<u32>,
    /// Concurrent requests, at least 1. Unlimited if not set.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub concurrency: Option<u32>,
}
