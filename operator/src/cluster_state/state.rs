//! Everything the operator knows of the cluster.

use crate::{
    cluster_state::{
        CompactKey, ModelKind, NameSet, OwnedObjects, SecretReader, Store, endpoints,
        key_index::KeyIndex, owned_objects::definition_of,
    },
    multimap::MultiMap,
    work_queue::WorkQueue,
};
use k8s_openapi::api::{core::v1::Pod, discovery::v1::EndpointSlice};
use kube::api::ApiResource;
use llm_contract::ResourceName;
use llm_crd::{ApiKeyResource, LLMModel, PassthroughModel};
use parking_lot::RwLock;
use std::{collections::HashMap, mem, net::SocketAddr, sync::Arc};
use tokio::sync::watch;

#[derive(Debug)]
pub struct ClusterState {
    pub models: Store<LLMModel>,
    pub providers: Store<PassthroughModel>,
    pub keys: Store<CompactKey>,
    /// Pods of models, without their spec.
    pub pods: Store<Pod>,
    pub owned: OwnedObjects,
    pub secrets: SecretReader,
    /// The labelled namespaces; `None` if the watched ones are given by name.
    pub managed_namespaces: Option<RwLock<NameSet>>,
    /// Whether the initial list of every watch is complete.
    pub synced: watch::Receiver<bool>,
    pub queues: Queues,
    /// For each optional kind, by the name of its definition: that name, once it is installed.
    pub(super) definitions: HashMap<String, watch::Sender<NameSet>>,
    pub(super) slices: Store<EndpointSlice>,
    pub(super) secret_versions: Store<()>,
    pub(super) key_index: RwLock<KeyIndex>,
    pub(super) models_by_namespace: RwLock<MultiMap<Box<str>, (ModelKind, ResourceName)>>,
    pub(super) pods_by_model: RwLock<MultiMap<ResourceName, ResourceName>>,
    pub(super) slices_by_service: RwLock<MultiMap<ResourceName, ResourceName>>,
    /// By kind and name.
    pub(super) decode_errors: RwLock<HashMap<(String, ResourceName), String>>,
}

#[derive(Debug, Default)]
pub struct Queues {
    pub models: WorkQueue<ResourceName>,
    pub providers: WorkQueue<ResourceName>,
    pub keys: WorkQueue<ResourceName>,
}

impl ClusterState {
    pub fn pods_of(&self, model: &ResourceName) -> Vec<Arc<Pod>> {
        let pods_by_model = self.pods_by_model.read();
        pods_by_model.get(model).filter_map(|name| self.pods.get(name)).collect()
    }

    /// The ready endpoints of a Service, sorted.
    pub fn ready_endpoints(&self, service: &ResourceName) -> Vec<SocketAddr> {
        let slices_by_service = self.slices_by_service.read();
        let slices = slices_by_service.get(service).filter_map(|name| self.slices.get(name));
        endpoints::ready(&slices.collect::<Vec<_>>())
    }

    pub fn replacing(&self, key: &ResourceName) -> Vec<ApiKeyResource> {
        let names = self.key_index.read().replacing(key);
        names.iter().filter_map(|name| Some(self.keys.get(name)?.key())).collect()
    }

    /// Whether a resource that declares models exists, in a managed namespace.
    pub fn has_model(&self, name: &ResourceName) -> bool {
        let exists = self.models.contains(name) || self.providers.contains(name);
        exists && self.is_managed(name.namespace())
    }

    pub fn has_models_in(&self, namespace: &str) -> bool {
        self.models_by_namespace.read().contains_key(namespace) && self.is_managed(namespace)
    }

    pub fn has_any_model(&self) -> bool {
        self.models_by_namespace.read().keys().any(|namespace| self.is_managed(namespace))
    }

    /// Whether the resources of a namespace take effect.
    pub fn is_managed(&self, namespace: &str) -> bool {
        self.managed_namespaces.as_ref().is_none_or(|names| names.read().contains(namespace))
    }

    /// Whether a kind the operator applies is installed.
    pub fn has_kind(&self, resource: &ApiResource) -> bool {
        let definition = self.definitions.get(&definition_of(resource));
        definition.is_none_or(|names| !names.borrow().is_empty())
    }

    pub fn decode_error(&self, kind: &str, name: &ResourceName) -> Option<String> {
        self.decode_errors.read().get(&(kind.to_owned(), name.clone())).cloned()
    }

    pub fn undecodable(&self, kind: &str) -> Vec<ResourceName> {
        let errors = self.decode_errors.read();
        errors.keys().filter(|(it, _)| it == kind).map(|(_, name)| name.clone()).collect()
    }

    pub(crate) fn requeue_served_models(&self) {
        self.models.names().into_iter().for_each(|name| self.queues.models.push(name));
    }

    /// Queues all resources that declare models.
    pub(crate) fn requeue_models(&self) {
        self.requeue_served_models();
        self.providers.names().into_iter().for_each(|name| self.queues.providers.push(name));
    }

    /// Returns whether they have changed; then everything is queued.
    pub(super) fn set_managed_namespaces(&self, names: &NameSet) -> bool {
        let Some(managed) = &self.managed_namespaces else { return false };
        let before = mem::replace(&mut *managed.write(), names.clone());
        if before == *names {
            return false;
        }
        self.requeue_models();
        self.keys.names().into_iter().for_each(|name| self.queues.keys.push(name));
        true
    }

    pub(super) fn record_decode_error(&self, kind: &str, name: &ResourceName, error: String) {
        self.decode_errors.write().insert((kind.to_owned(), name.clone()), error);
    }

    pub(super) fn clear_decode_error(&self, kind: &str, name: &ResourceName) {
        if !self.decode_errors.read().is_empty() {
            self.decode_errors.write().remove(&(kind.to_owned(), name.clone()));
        }
    }

    /// Waits until everything was listed once. Returns `false` if the watches ended before.
    #[must_use = "an incomplete view must not be acted on"]
    pub async fn wait_until_synced(&self) -> bool {
        self.synced.clone().wait_for(|synced| *synced).await.is_ok()
    }
}
