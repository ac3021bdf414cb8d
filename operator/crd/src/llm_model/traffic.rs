//! How many replicas run, and which of them serves a request.

use crate::{
    DurationText,
    rule::{self, rule},
};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// How many replicas run, by demand.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [
    rule(
        "!has(self.minReplicas) || self.minReplicas <= self.maxReplicas",
        "`minReplicas` must not be greater than `maxReplicas`",
    ),
    rule(
        "!has(self.idleAfter) || has(self.minReplicas) && self.minReplicas == 0",
        "`idleAfter` needs `minReplicas: 0`: only then is the model ever stopped",
    ),
]))]
pub struct Scaling {
    /// How many replicas run at least, from 0 to 1000. 1 if absent. With 0 the model is stopped
    /// while nobody uses it, and started again by the next request, which waits for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 1000))]
    pub min_replicas: Option<i32>,
    /// How many replicas run at most, from 1 to 1000, and at least `minReplicas`.
    #[schemars(range(min = 1, max = 1000))]
    pub max_replicas: i32,
    /// How long nobody may have used a model before it is stopped, for example `30m`. 15 minutes
    /// if absent. Only with `minReplicas: 0`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-kubernetes-validations" = [rule::duration("1s", "720h")]))]
    pub idle_after: Option<DurationText>,
    /// How many requests may wait in the queue of each replica before another replica is started,
    /// from 1 to 10000. 4 if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 10_000))]
    pub target_queue_depth: Option<i32>,
}

/// Which replica serves a request, and what happens when none can.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Routing {
    /// Which replica serves a request: `prefix` (the one that has seen the beginning of the prompt
    /// before, unless it is busy), `leastLoad` (the one with the least to do), or `roundRobin`
    /// (each in turn). `prefix` if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "RoutingPolicy")]
    pub policy: Option<RoutingPolicy>,
    /// The ids of models that serve a request instead, in this order, when this one cannot. For
    /// example `["gpt-5-mini"]`. A caller who may not use such a model is not sent to it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "rule::model_ids", extend("maxItems" = 8))]
    pub fallback: Vec<String>,
}

/// Which replica serves a request.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "camelCase")]
pub enum RoutingPolicy {
    /// The one that has seen the beginning of the prompt before.
    #[default]
    Prefix,
    /// The one with the least to do.
    LeastLoad,
    /// Each in turn.
    RoundRobin,
}

impl Scaling {
    /// How many replicas run at least and at most, in effect.
    pub fn bounds(&self) -> (i32, i32) {
        let max = self.max_replicas.max(1);
        (self.min_replicas.unwrap_or(1).clamp(0, max), max)
    }

    /// After how long without a request the model is stopped; `None` if never.
    pub fn idle_after(&self) -> Option<Duration> {
        let given = self.idle_after.as_ref().and_then(DurationText::parse);
        let (min, _) = self.bounds();
        (min == 0).then_some(given.unwrap_or(Duration::from_secs(15 * 60)))
    }

    /// How many requests may wait for each replica, in effect.
    pub fn target_queue_depth(&self) -> i32 {
        self.target_queue_depth.unwrap_or(4).max(1)
    }
}
