//! Lets Prometheus read the metrics of a model.

use super::{Planner, selector, vllm::PORT};
use crate::apply::Object;
use kube::api::{ApiResource, GroupVersionKind};
use serde_json::json;

pub(super) fn resource() -> ApiResource {
    let kind = GroupVersionKind::gvk("monitoring.coreos.com", "v1", "PodMonitor");
    ApiResource::from_gvk_with_plural(&kind, "podmonitors")
}

impl Planner<'_> {
    pub(super) fn pod_monitor(&self) -> Option<Object> {
        if !(self.present.pod_monitors && self.model.spec.monitoring_enabled()) {
            return None;
        }
        let value = json!({
            "metadata": self.metadata(),
            "spec": {
                "selector": {"matchLabels": selector(self.name())},
                "podMetricsEndpoints": [{"port": PORT.1, "path": "/metrics", "interval": "30s"}],
            },
        });
        Some(Object::new(resource(), self.model.names.model.clone(), value))
    }
}
