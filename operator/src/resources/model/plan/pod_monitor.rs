//! The PodMonitor of a model.

use super::{planner::Planner, pod::PORT};
use crate::{
    apply::Object,
    resources::model::names::{pod_monitors, selector},
};
use serde_json::json;

impl Planner<'_> {
    pub(super) fn pod_monitor(&self) -> Option<Object> {
        if !(self.observed.has_pod_monitors && self.model.spec.monitoring_enabled()) {
            return None;
        }
        let value = json!({
            "metadata": self.metadata(),
            "spec": {
                "selector": {"matchLabels": selector(self.name())},
                "podMetricsEndpoints": [{"port": PORT.1, "path": "/metrics", "interval": "30s"}],
            },
        });
        Some(Object::new(pod_monitors(), self.model.names.model.clone(), value))
    }
}
