//! What the operator sees of the cluster.
//!
//! Every replica watches, so that every replica can compile the route table; only the leader
//! works on the queues. Nothing is asked for twice and nothing is polled: while nothing changes,
//! there is nothing but watches that are renewed.

mod store;
mod follow;
mod names;
mod seen;
mod links;
mod packed;
mod declared;
mod endpoints;
mod secrets;
pub mod live;
mod kinds;
mod start;

pub use kinds::{API_KEY, LLM_MODEL, PASSTHROUGH_MODEL};
pub use live::{Live, LiveKind, LiveObjects, Place};
pub use names::Names;
pub use packed::PackedKey;
pub use secrets::Secrets;
pub use seen::Seen;
pub use start::{FEED_MAX, start};
pub use store::Store;

use crate::work_queue::Queue;
use declared::Declared;
use k8s_openapi::api::{core::v1::Pod, discovery::v1::EndpointSlice};
use kube::api::ApiResource;
use links::KeyLinks;
use llm_contract::ResourceName;
use llm_crd::{ApiKeyResource, LLMModel, PassthroughModel};
use parking_lot::RwLock;
use std::{
    collections::{BTreeSet, HashMap},
    net::SocketAddr,
    ops::Deref,
    sync::Arc,
};
use tokio::sync::watch;

/// What the operator sees of the cluster. Cheap to clone.
#[derive(Clone, Debug)]
pub struct World(Arc<Sights>);

/// See [`World`].
#[derive(Debug)]
pub struct Sights {
    /// Models served here.
    pub models: Store<LLMModel>,
    /// Models of providers.
    pub providers: Store<PassthroughModel>,
    /// Keys.
    pub keys: Store<PackedKey>,
    /// Pods of models, without their spec.
    pub pods: Store<Pod>,
    /// The objects we wrote.
    pub live: LiveObjects,
    /// Reads Secrets.
    pub secrets: Secrets,
    /// The namespaces that may hold our resources; all of those that are watched if `None`.
    pub managed: Option<watch::Receiver<Names>>,
    /// Whether everything has been seen once.
    pub synced: watch::Receiver<bool>,
    /// What is to be looked at.
    pub queues: Queues,
    /// Of the kinds that may be absent: its name, if it is there.
    definitions: HashMap<String, watch::Receiver<Names>>,
    slices: Store<EndpointSlice>,
    secret_versions: Store<()>,
    links: RwLock<KeyLinks>,
    declared: RwLock<Declared>,
    pods_of: RwLock<Members>,
    slices_of: RwLock<Members>,
    unreadable: RwLock<HashMap<(String, ResourceName), String>>,
}

/// What is to be looked at, by kind of resource.
#[derive(Debug, Default)]
pub struct Queues {
    /// Models.
    pub models: Queue<ResourceName>,
    /// Providers.
    pub providers: Queue<ResourceName>,
    /// Keys.
    pub keys: Queue<ResourceName>,
}

/// Which objects belong to which.
#[derive(Debug, Default)]
struct Members(HashMap<ResourceName, BTreeSet<ResourceName>>);

impl Members {
    fn moved(&mut self, of: &ResourceName, name: &ResourceName, there: bool) {
        if there {
            self.0.entry(of.clone()).or_default().insert(name.clone());
        } else if let Some(members) = self.0.get_mut(of) {
            members.remove(name);
            if members.is_empty() {
                self.0.remove(of);
            }
        }
    }

    fn of(&self, of: &ResourceName) -> Vec<ResourceName> {
        self.0.get(of).into_iter().flatten().cloned().collect()
    }
}

impl World {
    /// The pods of a model.
    pub fn pods_of(&self, model: &ResourceName) -> Vec<Arc<Pod>> {
        let names = self.pods_of.read().of(model);
        names.iter().filter_map(|name| self.pods.get(name)).collect()
    }

    /// Where the ready pods of a Service listen, in order.
    pub fn endpoints(&self, service: &ResourceName) -> Vec<SocketAddr> {
        let names = self.slices_of.read().of(service);
        let slices: Vec<_> = names.iter().filter_map(|name| self.slices.get(name)).collect();
        endpoints::ready(&slices)
    }

    /// The keys that replace one.
    pub fn replacing(&self, key: &ResourceName) -> Vec<ApiKeyResource> {
        let names = self.links.read().replacing(key);
        names.iter().filter_map(|name| Some(self.keys.get(name)?.key())).collect()
    }

    /// Whether a resource that declares models is there, and counts.
    pub fn declares(&self, name: &ResourceName) -> bool {
        let is_there = self.models.contains(name) || self.providers.contains(name);
        is_there && self.is_managed(name.namespace())
    }

    /// Whether there is one in a namespace.
    pub fn declares_in(&self, namespace: &str) -> bool {
        self.declared.read().is_in(namespace) && self.is_managed(namespace)
    }

    /// Whether there is one anywhere.
    pub fn declares_any(&self) -> bool {
        self.declared.read().namespaces().any(|namespace| self.is_managed(namespace))
    }

    /// Whether the resources of a namespace count.
    pub fn is_managed(&self, namespace: &str) -> bool {
        self.managed.as_ref().is_none_or(|managed| managed.borrow().contains(namespace))
    }

    /// Whether the cluster has a kind that we write.
    pub fn has_kind(&self, resource: &ApiResource) -> bool {
        let definition = self.definitions.get(&start::crd_of(resource));
        definition.is_none_or(|names| !names.borrow().is_empty())
    }

    /// Why a resource cannot be read, if it cannot.
    pub fn unreadable(&self, kind: &str, name: &ResourceName) -> Option<String> {
        self.unreadable.read().get(&(kind.to_owned(), name.clone())).cloned()
    }

    /// The resources of a kind that cannot be read.
    pub fn all_unreadable(&self, kind: &str) -> Vec<ResourceName> {
        let unreadable = self.unreadable.read();
        let of_kind = unreadable.keys().filter(|(it, _)| it == kind);
        of_kind.map(|(_, name)| name.clone()).collect()
    }

    /// Has all models looked at.
    pub(crate) fn look_at_models(&self) {
        self.models.names().into_iter().for_each(|name| self.queues.models.push(name));
    }

    /// Has all resources that declare models looked at.
    pub(crate) fn look_at_everything(&self) {
        self.look_at_models();
        self.providers.names().into_iter().for_each(|name| self.queues.providers.push(name));
    }

    fn note_unreadable(&self, kind: &str, name: &ResourceName, why: String) {
        self.unreadable.write().insert((kind.to_owned(), name.clone()), why);
    }

    fn forget_unreadable(&self, kind: &str, name: &ResourceName) {
        if !self.unreadable.read().is_empty() {
            self.unreadable.write().remove(&(kind.to_owned(), name.clone()));
        }
    }

    /// Waits until everything has been seen once. Says no if the watches were told to end before.
    #[must_use = "what is not known yet must not be acted on"]
    pub async fn synced(&self) -> bool {
        // The sender lives as long as the watches.
        self.synced.clone().wait_for(|synced| *synced).await.is_ok()
    }
}

impl Deref for World {
    type Target = Sights;
    fn deref(&self) -> &Sights {
        &self.0
    }
}
