//! Starts the watches.

use crate::{
    app::settings::{Scope, Settings},
    cluster_state::{
        LiveKind, LiveObjects, Members, Names, Queues, Secrets, Seen, Sights, Store, World,
        follow::{Follower, Watched},
        kinds, names,
    },
    labels::MANAGED_BY,
};
use k8s_openapi::{
    api::{
        core::v1::{self, Namespace},
        discovery::v1::EndpointSlice,
    },
    apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
};
use kube::{
    Api, Client, Resource,
    api::{ApiResource, DynamicObject},
    core::{DeserializeGuard, NamespaceResourceScope, PartialObjectMeta},
    runtime::watcher::{self, watcher},
};
use parking_lot::RwLock;
use serde::de::DeserializeOwned;
use std::{
    collections::HashMap,
    fmt::Debug,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};
use tokio::sync::{mpsc, watch};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// The label of namespaces that may hold our resources.
const MANAGED_NAMESPACES: &str = "nebari.dev/managed=true";
/// How much may have been seen that the route table does not know yet. Then the watches wait.
pub const FEED_MAX: usize = 1024;
/// How many objects one page of a list has.
const PAGE_OBJECTS: u32 = 500;

/// Starts to watch, until told to stop. What the route table depends on arrives at the receiver,
/// which must be read. `kinds` are those of the objects we write.
pub fn start(
    client: &Client,
    settings: &Settings,
    kinds: Vec<LiveKind>,
    tasks: &TaskTracker,
    stop: &CancellationToken,
) -> (World, mpsc::Receiver<Seen>) {
    let (feed, receiver) = mpsc::channel(FEED_MAX);
    let (managed, managed_seen) = watch::channel(Names::new());
    let (synced, synced_seen) = watch::channel(false);
    let secret_versions = Store::default();
    let optional = kinds.iter().filter(|kind| kind.optional);
    let (definitions, seen): (Vec<_>, HashMap<_, _>) = optional
        .map(|kind| {
            let (name, (sender, receiver)) = (crd_of(&kind.resource), watch::channel(Names::new()));
            ((name.clone(), sender), (name, receiver))
        })
        .unzip();
    let world = World(Arc::new(Sights {
        models: Store::default(),
        providers: Store::default(),
        keys: Store::default(),
        pods: Store::default(),
        live: LiveObjects::of(kinds),
        secrets: Secrets::new(client.clone(), secret_versions.clone()),
        definitions: seen,
        managed: (settings.scope == Scope::All).then_some(managed_seen),
        synced: synced_seen,
        queues: Queues::default(),
        slices: Store::default(),
        secret_versions,
        links: RwLock::default(),
        declared: RwLock::default(),
        pods_of: RwLock::new(Members::default()),
        slices_of: RwLock::new(Members::default()),
        unreadable: RwLock::new(HashMap::new()),
    }));
    let starter = Starter {
        client: client.clone(),
        scope: settings.scope.clone(),
        world: world.clone(),
        feed,
        first: Arc::new(First { missing: AtomicUsize::new(1), synced }),
        tasks: tasks.clone(),
        stop: stop.clone(),
    };
    for (name, sender) in definitions {
        starter.definition(&name, sender);
    }
    if settings.scope == Scope::All {
        starter.managed(managed);
    }
    starter.everything();
    starter.first.done();
    starter.say_synced();
    (world, receiver)
}

struct Starter {
    client: Client,
    scope: Scope,
    world: World,
    feed: mpsc::Sender<Seen>,
    first: Arc<First>,
    tasks: TaskTracker,
    stop: CancellationToken,
}

/// How many watches have not seen their first list yet.
struct First {
    missing: AtomicUsize,
    synced: watch::Sender<bool>,
}

impl First {
    fn one_more(self: &Arc<Self>) -> impl Fn() + Send + 'static {
        self.missing.fetch_add(1, Ordering::Relaxed);
        let (first, waits) = (Arc::clone(self), std::sync::Once::new());
        move || waits.call_once(|| first.done())
    }

    fn done(&self) {
        if self.missing.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.synced.send_replace(true);
        }
    }
}

impl Starter {
    /// Watches whether a custom kind is there: the metadata of one definition.
    fn definition(&self, name: &str, names: watch::Sender<Names>) {
        let api: Api<PartialObjectMeta<CustomResourceDefinition>> = Api::all(self.client.clone());
        let synced = self.first.one_more();
        let config = config().fields(&format!("metadata.name={name}"));
        self.spawn(async move {
            let events = watcher(api, config);
            names::follow("CustomResourceDefinition", events, &names, synced).await;
        });
    }

    fn managed(&self, names: watch::Sender<Names>) {
        let api: Api<PartialObjectMeta<Namespace>> = Api::all(self.client.clone());
        let synced = self.first.one_more();
        self.spawn(async move {
            let events = watcher(api, config().labels(MANAGED_NAMESPACES));
            names::follow("Namespace", events, &names, synced).await;
        });
        let world = self.world.clone();
        self.spawn(async move {
            let Some(mut managed) = world.managed.clone() else { return };
            while managed.changed().await.is_ok() {
                world.look_at_everything();
            }
        });
    }

    fn say_synced(&self) {
        let (world, feed) = (self.world.clone(), self.feed.clone());
        self.spawn(async move {
            if world.synced().await {
                // Without a receiver we are about to end.
                let _ = feed.send(Seen::Synced).await;
            }
        });
    }

    fn everything(&self) {
        for namespace in self.namespaces() {
            let here = namespace.as_deref();
            let synced = self.first.one_more();
            let api: Api<DeserializeGuard<llm_crd::LLMModel>> = self.api(here);
            self.follow(kinds::Models, here, watcher(api, config()), synced);
            let synced = self.first.one_more();
            let api: Api<DeserializeGuard<llm_crd::PassthroughModel>> = self.api(here);
            self.follow(kinds::Providers, here, watcher(api, config()), synced);
            let synced = self.first.one_more();
            let api: Api<DeserializeGuard<llm_crd::ApiKeyResource>> = self.api(here);
            self.follow(kinds::Keys, here, watcher(api, config()), synced);
            let synced = self.first.one_more();
            let api: Api<v1::Pod> = self.api(here);
            self.follow(kinds::Pods, here, watcher(api, ours()), synced);
            let synced = self.first.one_more();
            let api: Api<EndpointSlice> = self.api(here);
            self.follow(kinds::Slices, here, watcher(api, ours()), synced);
            let synced = self.first.one_more();
            let api: Api<PartialObjectMeta<v1::Secret>> = self.api(here);
            self.follow(kinds::Secrets, here, watcher(api, config()), synced);
            for (place, kind) in self.world.live.kinds().enumerate() {
                self.written(place, kind, namespace.clone());
            }
        }
    }

    /// Watches a kind that we write; if it may be absent, only while it is there.
    fn written(&self, place: usize, kind: &LiveKind, namespace: Option<String>) {
        let LiveKind { resource, optional } = kind;
        let api: Api<DynamicObject> = match &namespace {
            Some(namespace) => Api::namespaced_with(self.client.clone(), namespace, resource),
            None => Api::all_with(self.client.clone(), resource),
        };
        let watched = kinds::Written { kind: place, name: resource.kind.clone() };
        if !optional {
            self.follow(watched, namespace.as_deref(), watcher(api, ours()), self.first.one_more());
            return;
        }
        let follower = self.follower(watched, namespace);
        let Some(mut definition) = self.world.definitions.get(&crd_of(resource)).cloned() else {
            return;
        };
        self.spawn(async move {
            while definition.wait_for(|names| !names.is_empty()).await.is_ok() {
                follower.world.look_at_models();
                tokio::select! {
                    () = follower.follow(watcher(api.clone(), ours()), || ()) => {}
                    _ = definition.wait_for(Names::is_empty) => {}
                }
                follower.clear().await;
            }
        });
    }

    fn follow<W: Watched>(
        &self,
        watched: W,
        namespace: Option<&str>,
        events: impl futures::Stream<Item = watcher::Result<watcher::Event<W::Object>>> + Send + 'static,
        synced: impl Fn() + Send + 'static,
    ) {
        let follower = self.follower(watched, namespace.map(str::to_owned));
        self.spawn(async move { follower.follow(events, synced).await });
    }

    fn follower<W: Watched>(&self, watched: W, namespace: Option<String>) -> Follower<W> {
        Follower { watched, namespace, world: self.world.clone(), feed: self.feed.clone() }
    }

    fn api<K>(&self, namespace: Option<&str>) -> Api<K>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + DeserializeOwned + Debug,
    {
        match namespace {
            Some(namespace) => Api::namespaced(self.client.clone(), namespace),
            None => Api::all(self.client.clone()),
        }
    }

    fn namespaces(&self) -> Vec<Option<String>> {
        match &self.scope {
            Scope::All => vec![None],
            Scope::Namespaces(names) => names.iter().cloned().map(Some).collect(),
        }
    }

    fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        let stop = self.stop.clone();
        self.tasks.spawn(async move { stop.run_until_cancelled(work).await });
    }
}

/// The name of the definition of a custom kind.
pub(crate) fn crd_of(resource: &ApiResource) -> String {
    format!("{}.{}", resource.plural, resource.group)
}

fn config() -> watcher::Config {
    watcher::Config::default().page_size(PAGE_OBJECTS)
}

fn ours() -> watcher::Config {
    let (label, value) = MANAGED_BY;
    config().labels(&format!("{label}={value}"))
}
