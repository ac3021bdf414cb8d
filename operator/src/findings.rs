//! What parts of the operator found out about resources, for their statuses.

use crate::{
    cluster_state::{ClusterState, ModelKind},
    routes::RouteStatus,
};
use llm_contract::ResourceName;
use llm_crd::Finding;
use parking_lot::RwLock;
use std::{collections::HashMap, sync::Arc};

/// The latest findings. A resource is queued when a finding about it changes.
#[derive(Debug)]
pub struct Findings {
    cluster: Arc<ClusterState>,
    /// About the way from the Gateways to the proxies, which all resources share.
    edge: RwLock<Vec<Finding>>,
    rollout: ByResource<Finding>,
    routes: ByResource<RouteStatus>,
}

type ByResource<T> = RwLock<HashMap<(ModelKind, ResourceName), T>>;

impl Findings {
    pub(crate) fn new(cluster: Arc<ClusterState>) -> Self {
        Self {
            cluster,
            edge: RwLock::default(),
            rollout: RwLock::default(),
            routes: RwLock::default(),
        }
    }

    pub fn set_edge(&self, findings: Vec<Finding>) {
        let mut edge = self.edge.write();
        if *edge != findings {
            *edge = findings;
            drop(edge);
            self.cluster.requeue_models();
        }
    }

    /// `None` if the resource was deleted.
    pub fn set_rollout(&self, kind: ModelKind, name: &ResourceName, finding: Option<Finding>) {
        self.set(&self.rollout, kind, name, finding);
    }

    pub fn set_routes(&self, kind: ModelKind, name: &ResourceName, status: Option<RouteStatus>) {
        self.set(&self.routes, kind, name, status);
    }

    /// `None` while this generation is not compiled yet; the resource is queued once it is.
    pub fn route_status(
        &self,
        kind: ModelKind,
        name: &ResourceName,
        generation: Option<i64>,
    ) -> Option<RouteStatus> {
        let routes = self.routes.read();
        routes.get(&(kind, name.clone())).filter(|it| it.generation >= generation).cloned()
    }

    pub fn is_routed(&self, kind: ModelKind, name: &ResourceName) -> bool {
        self.routes.read().get(&(kind, name.clone())).is_some_and(|status| status.is_routed)
    }

    /// Everything found about a resource, except for its routes.
    pub fn get(&self, kind: ModelKind, name: &ResourceName) -> Vec<Finding> {
        let mut findings = self.edge.read().clone();
        findings.extend(self.rollout.read().get(&(kind, name.clone())).cloned());
        findings
    }

    fn set<T: PartialEq>(
        &self,
        values: &ByResource<T>,
        kind: ModelKind,
        name: &ResourceName,
        value: Option<T>,
    ) {
        let key = (kind, name.clone());
        let mut values = values.write();
        if values.get(&key) == value.as_ref() {
            return;
        }
        match value {
            Some(value) => values.insert(key, value),
            None => values.remove(&key),
        };
        drop(values);
        match kind {
            ModelKind::Served => self.cluster.queues.models.push(name.clone()),
            ModelKind::Provider => self.cluster.queues.providers.push(name.clone()),
        }
    }
}
