//! Starts the watches.

use crate::{
    app::settings::{OperatorSettings, WatchScope},
    cluster_state::{
        ClusterState, NameSet, OwnedKind, OwnedObject, OwnedObjects, Queues, SecretReader, Store,
        WatchEvent,
        informer::{Informer, ResourceHandler},
        name_watch::name_sets,
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
    api::{ApiResource, DynamicObject},
    core::{NamespaceResourceScope, PartialObjectMeta},
    runtime::watcher::{self, watcher},
};
use parking_lot::RwLock;
use serde::de::DeserializeOwned;
use std::{collections::HashMap, convert::Infallible, fmt::Debug, pin::pin, sync::Arc};
use tokio::sync::{mpsc, watch};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// The label of namespaces whose resources take effect.
const MANAGED_NAMESPACES: &str = "nebari.dev/managed=true";
/// Events that wait for the route compiler; when it is so far behind, the watches wait.
pub const EVENTS_MAX: usize = 1024;
/// Objects per page of a list.
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
    let (managed, managed_namespaces) = watch::channel(NameSet::new());
    let (synced_sender, synced) = watch::channel(false);
    let (unsynced, all_synced) = mpsc::channel(1);
    let secret_versions = Store::default();
    let optional = kinds.iter().filter(|kind| kind.optional).map(|kind| crd_of(&kind.resource));
    let (installed, definitions): (Vec<_>, HashMap<_, _>) = optional
        .map(|name| {
            let (sender, receiver) = watch::channel(NameSet::new());
            ((name.clone(), sender), (name, receiver))
        })
        .unzip();
    let cluster = Arc::new(ClusterState {
        models: Store::default(),
        providers: Store::default(),
        keys: Store::default(),
        pods: Store::default(),
        owned: OwnedObjects::of(kinds),
        secrets: SecretReader::new(client.clone(), secret_versions.clone()),
        managed_namespaces: (settings.scope == WatchScope::Labelled).then_some(managed_namespaces),
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
    for (name, sender) in installed {
        starter.watch_definition(&name, sender);
    }
    if settings.scope == WatchScope::Labelled {
        starter.watch_managed_namespaces(managed);
    }
    starter.watch_objects();
    starter.announce_sync(all_synced, synced_sender);
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
    fn watch_definition(&self, name: &str, installed: watch::Sender<NameSet>) {
        let api: Api<PartialObjectMeta<CustomResourceDefinition>> = Api::all(self.client.clone());
        let events = watcher(api, config().fields(&format!("metadata.name={name}")));
        let mut synced = self.on_synced();
        self.spawn(async move {
            let mut sets = pin!(name_sets("CustomResourceDefinition", events));
            while let Some(names) = sets.next().await {
                installed.send_replace(names);
                synced();
            }
        });
    }

    fn watch_managed_namespaces(&self, managed: watch::Sender<NameSet>) {
        let api: Api<PartialObjectMeta<Namespace>> = Api::all(self.client.clone());
        let events = watcher(api, config().labels(MANAGED_NAMESPACES));
        let mut synced = self.on_synced();
        let (cluster, sender) = (Arc::clone(&self.cluster), self.events.clone());
        self.spawn(async move {
            let mut sets = pin!(name_sets("Namespace", events));
            while let Some(names) = sets.next().await {
                if *managed.borrow() != names {
                    managed.send_replace(names.clone());
                    cluster.requeue_all();
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
        let Some(mut definition) = self.cluster.definitions.get(&crd_of(resource)).cloned() else {
            return;
        };
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

    fn announce_sync(
        self,
        mut all_synced: mpsc::Receiver<Infallible>,
        synced: watch::Sender<bool>,
    ) {
        let events = self.events.clone();
        self.spawn(async move {
            // No message is ever sent: this ends when all watches have dropped their sender.
            let _ = all_synced.recv().await;
            synced.send_replace(true);
            // Without a receiver the program is about to end.
            let _ = events.send(WatchEvent::Synced).await;
        });
    }

    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let stop = self.stop.clone();
        self.tasks.spawn(async move { stop.run_until_cancelled(task).await });
    }
}

/// The name of the definition of a custom kind.
pub(super) fn crd_of(resource: &ApiResource) -> String {
    format!("{}.{}", resource.plural, resource.group)
}

fn config() -> watcher::Config {
    watcher::Config::default().page_size(PAGE_OBJECTS)
}

fn config_of_managed() -> watcher::Config {
    let (label, value) = MANAGED_BY;
    config().labels(&format!("{label}={value}"))
}
