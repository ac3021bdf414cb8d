//! Scaling, and routing of requests to replicas.

use crate::{
    DurationText,
    rule::{self, rule},
};
use serde::{Deserialize, Serialize};

/// Demand-based scaling.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [
    rule(
        "!has(self.minReplicas) || self.minReplicas <= self.maxReplicas",
        "`minReplicas` must not be greater than `maxReplicas`",
    ),
    rule(
        "!has(self.idleAfter) || has(self.minReplicas) && self.minReplicas == 0",
        "`idleAfter` requires `minReplicas: 0`",
    ),
]))]
pub struct Scaling {
    /// Minimum number of replicas, from 0 to 1000. Defaults to 1. With 0, an idle model is stopped
    /// and started again by the next request, which waits for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 1000))]
    pub min_replicas: Option<i32>,
    /// Maximum number of replicas, from 1 to 1000; at least `minReplicas`.
    #[schemars(range(min = 1, max = 1000))]
    pub max_replicas: i32,
    /// Idle time after which the model is stopped, for example `30m`. Defaults to 15 minutes. Only
    /// with `minReplicas: 0`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-kubernetes-validations" = [rule::duration("1s", "720h")]))]
    pub idle_after: Option<DurationText>,
    /// Number of queued requests per replica above which another replica is started, from 1 to
    /// 10000. Defaults to 4.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 10_000))]
    pub target_queue_depth: Option<i32>,
}

/// How a replica is chosen for a request, and fallbacks if none is available.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Routing {
    /// Load balancing policy: `prefix` (the replica that has processed the beginning of the prompt
    /// before, unless it is busy), `leastLoad` (the least busy replica), or `roundRobin` (each
    /// replica in turn). Defaults to `prefix`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "RoutingPolicy")]
    pub policy: Option<RoutingPolicy>,
    /// Ids of models to try in this order when this one is unavailable, for example
    /// `["gpt-5-mini"]`. Models that the caller has no access to are skipped.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "rule::model_ids", extend("maxItems" = 8))]
    pub fallback: Vec<String>,
}

/// Load balancing policy.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "camelCase")]
pub enum RoutingPolicy {
    /// The replica that has processed the beginning of the prompt before.
    #[default]
    Prefix,
    /// The least busy replica.
    LeastLoad,
    /// Each replica in turn.
    RoundRobin,
}
