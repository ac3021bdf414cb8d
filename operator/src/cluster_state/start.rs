//! Starts the watches.

use crate::{
    app::settings::{OperatorSettings, WatchScope},
    cluster_state::{
        ClusterState, NameSet, OwnedKind, OwnedObject, OwnedObjects, Queues, SecretReader, Store,
        WatchEvent,
        informer::{Informer, ResourceHandler},
        name_watch::name_sets,
        owned_objects::definition_of,
        resources,
    },
    labels::MANAGED_BY,
};
use futures::StreamExt as _;
use k8s_openapi::{
    api::core::v1::Namespace,
    apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
};
use kube::{
    Api, Client, Resource,
    api::DynamicObject,
    core::{NamespaceResourceScope, PartialObjectMeta},
    runtime::watcher::{self, watcher},
};
use parking_lot::RwLock;
use serde::de::DeserializeOwned;
use std::{convert::Infallible, fmt::Debug, pin::pin, sync::Arc};
use tokio::sync::{mpsc, watch};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// The label of namespaces whose resources take effect.
const MANAGED_NAMESPACES: &str = "nebari.dev/managed=true";
/// Events that wait for the route compiler; when it is so far behind, the watches wait.
const EVENTS_MAX: usize = 1024;
const PAGE_OBJECTS: u32 = 500;

/// Starts all watches; they run until `stop` is cancelled. The events must be received. `kinds`
/// are those of the objects the operator applies.
pub fn start(
    client: &Client,
    settings: &OperatorSettings,
    kinds: Vec<OwnedKind>,
    tasks: &TaskTracker,
    stop: &CancellationToken,
) -> (Arc<ClusterState>, mpsc::Receiver<WatchEvent>) {
    let (events, receiver) = mpsc::channel(EVENTS_MAX);
    let (synced_sender, synced) = watch::channel(false);
    let (unsynced, mut all_synced) = mpsc::channel(1);
    let secret_versions = Store::default();
    let optional = kinds.iter().filter(|kind| kind.optional);
    let definitions =
        optional.map(|kind| (definition_of(&kind.resource), watch::Sender::default()));
    let definitions = definitions.collect();
    let cluster = Arc::new(ClusterState {
        models: Store::default(),
        providers: Store::default(),
        keys: Store::default(),
        pods: Store::default(),
        owned: OwnedObjects::of(kinds),
        secrets: SecretReader::new(client.clone(), secret_versions.clone()),
        managed_namespaces: (settings.scope == WatchScope::Labelled).then(RwLock::default),
        synced,
        queues: Queues::default(),
        definitions,
        slices: Store::default(),
        secret_versions,
        key_index: RwLock::default(),
        models_by_namespace: RwLock::default(),
        pods_by_model: RwLock::default(),
        slices_by_service: RwLock::default(),
        decode_errors: RwLock::default(),
    });
    let starter = Starter {
        client: client.clone(),
        scope: settings.scope.clone(),
        cluster: Arc::clone(&cluster),
        events,
        unsynced,
        tasks: tasks.clone(),
        stop: stop.clone(),
    };
    cluster.definitions.keys().for_each(|name| starter.watch_definition(name.clone()));
    if settings.scope == WatchScope::Labelled {
        starter.watch_managed_namespaces();
    }
    starter.watch_objects();
    let events = starter.events.clone();
    starter.spawn(async move {
        // No message is ever sent: this ends when all watches have dropped their sender.
        let _ = all_synced.recv().await;
        synced_sender.send_replace(true);
        // Without a receiver the program is about to end.
        let _ = events.send(WatchEvent::Synced).await;
    });
    (cluster, receiver)
}

struct Starter {
    client: Client,
    scope: WatchScope,
    cluster: Arc<ClusterState>,
    events: mpsc::Sender<WatchEvent>,
    /// Each watch holds a clone until its initial list is complete.
    unsynced: mpsc::Sender<Infallible>,
    tasks: TaskTracker,
    stop: CancellationToken,
}

impl Starter {
    /// Watches the metadata of one custom resource definition.
    fn watch_definition(&self, name: String) {
        let api: Api<PartialObjectMeta<CustomResourceDefinition>> = Api::all(self.client.clone());
        let events = watcher(api, config().fields(&format!("metadata.name={name}")));
        let (cluster, mut synced) = (Arc::clone(&self.cluster), self.on_synced());
        self.spawn(async move {
            let mut sets = pin!(name_sets("CustomResourceDefinition", events));
            while let Some(names) = sets.next().await {
                if let Some(definition) = cluster.definitions.get(&name) {
                    definition.send_replace(names);
                }
                synced();
            }
        });
    }

    fn watch_managed_namespaces(&self) {
        let api: Api<PartialObjectMeta<Namespace>> = Api::all(self.client.clone());
        let events = watcher(api, config().labels(MANAGED_NAMESPACES));
        let mut synced = self.on_synced();
        let (cluster, sender) = (Arc::clone(&self.cluster), self.events.clone());
        self.spawn(async move {
            let mut sets = pin!(name_sets("Namespace", events));
            while let Some(names) = sets.next().await {
                if cluster.set_managed_namespaces(&names) {
                    // Without a receiver the program is about to end.
                    let _ = sender.send(WatchEvent::Namespaces(names)).await;
                }
                synced();
            }
        });
    }

    fn watch_objects(&self) {
        let namespaces = match &self.scope {
            WatchScope::Labelled => vec![None],
            WatchScope::Namespaces(names) => names.iter().map(|name| Some(name.as_str())).collect(),
        };
        for namespace in namespaces {
            let state = &self.cluster;
            self.watch(resources::Models, &state.models, namespace, config());
            self.watch(resources::Providers, &state.providers, namespace, config());
            self.watch(resources::Keys, &state.keys, namespace, config());
            self.watch(resources::Pods, &state.pods, namespace, config_of_managed());
            self.watch(resources::EndpointSlices, &state.slices, namespace, config_of_managed());
            self.watch(resources::Secrets, &state.secret_versions, namespace, config());
            for (index, (kind, store)) in state.owned.kinds().iter().enumerate() {
                self.watch_owned(index, kind, store, namespace);
            }
        }
    }

    /// Watches a kind the operator applies; an optional one only while it is installed.
    fn watch_owned(
        &self,
        index: usize,
        OwnedKind { resource, optional }: &OwnedKind,
        store: &Store<OwnedObject>,
        namespace: Option<&str>,
    ) {
        let api: Api<DynamicObject> = match namespace {
            Some(namespace) => Api::namespaced_with(self.client.clone(), namespace, resource),
            None => Api::all_with(self.client.clone(), resource),
        };
        let informer = self.informer(resources::Owned(index), &resource.kind, store, namespace);
        if !optional {
            let synced = self.on_synced();
            let events = watcher(api, config_of_managed());
            self.spawn(async move { informer.run(events, synced).await });
            return;
        }
        let Some(definition) = self.cluster.definitions.get(&definition_of(resource)) else {
            return;
        };
        let mut definition = definition.subscribe();
        self.spawn(async move {
            while definition.wait_for(|names| !names.is_empty()).await.is_ok() {
                informer.cluster.requeue_served_models();
                tokio::select! {
                    () = informer.run(watcher(api.clone(), config_of_managed()), || ()) => {}
                    _ = definition.wait_for(NameSet::is_empty) => {}
                }
                informer.clear().await;
            }
        });
    }

    fn watch<H: ResourceHandler>(
        &self,
        handler: H,
        store: &Store<H::Stored>,
        namespace: Option<&str>,
        config: watcher::Config,
    ) where
        H::Object: Resource<DynamicType = (), Scope = NamespaceResourceScope>
            + Clone
            + DeserializeOwned
            + Debug,
    {
        let api = match namespace {
            Some(namespace) => Api::namespaced(self.client.clone(), namespace),
            None => Api::all(self.client.clone()),
        };
        let informer = self.informer(handler, &H::Object::kind(&()), store, namespace);
        let synced = self.on_synced();
        self.spawn(async move { informer.run(watcher(api, config), synced).await });
    }

    fn informer<H: ResourceHandler>(
        &self,
        handler: H,
        kind: &str,
        store: &Store<H::Stored>,
        namespace: Option<&str>,
    ) -> Informer<H> {
        Informer {
            handler,
            kind: kind.to_owned(),
            store: store.clone(),
            namespace: namespace.map(str::to_owned),
            cluster: Arc::clone(&self.cluster),
            events: self.events.clone(),
        }
    }

    /// What a watch calls when a list is complete.
    fn on_synced(&self) -> impl FnMut() + Send + 'static {
        let mut unsynced = Some(self.unsynced.clone());
        move || drop(unsynced.take())
    }

    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let stop = self.stop.clone();
        self.tasks.spawn(async move { stop.run_until_cancelled(task).await });
    }
}

fn config() -> watcher::Config {
    watcher::Config::default().page_size(PAGE_OBJECTS)
}

fn config_of_managed() -> watcher::Config {
    let (label, value) = MANAGED_BY;
    config().labels(&format!("{label}={value}"))
}
