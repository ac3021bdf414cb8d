//! Watches the objects of one kind, and tells what changed.
//!
//! Unlike `kube::runtime::reflector` it knows the old version of a changed object, and the objects
//! that a new list no longer holds.

use crate::{
    cluster_state::{ClusterState, Store, WatchEvent, names::name_of},
    work_queue::WorkQueue,
};
use futures::{Stream, StreamExt as _};
use kube::{
    Resource, ResourceExt as _,
    runtime::{WatchStreamExt as _, watcher},
};
use llm_contract::ResourceName;
use std::{collections::HashSet, pin::pin, sync::Arc};
use tokio::sync::mpsc;

/// What is stored of the objects of a kind, and what depends on them.
pub(super) trait ResourceHandler: Send + Sync + 'static {
    /// What the API server sends.
    type Object: Resource + Send + 'static;
    type Stored: Send + Sync + 'static;

    fn convert(object: Self::Object) -> Result<Self::Stored, String>;

    /// The queue of this kind, if the operator reconciles it.
    fn queue(_: &ClusterState) -> Option<&WorkQueue<ResourceName>> {
        None
    }

    /// Updates indexes, and queues what depends on the object.
    fn on_change(&self, change: &ObjectChange<'_, Self::Stored>) -> Option<WatchEvent>;
}

/// A change of one object; at least one version is there.
pub(super) struct ObjectChange<'a, T> {
    pub(super) cluster: &'a ClusterState,
    pub(super) name: &'a ResourceName,
    pub(super) old: Option<&'a Arc<T>>,
    pub(super) new: Option<&'a Arc<T>>,
}

/// One watch: of a kind, in a namespace or in all of them.
pub(super) struct Informer<H: ResourceHandler> {
    pub(super) handler: H,
    pub(super) kind: String,
    pub(super) store: Store<H::Stored>,
    pub(super) namespace: Option<String>,
    pub(super) cluster: Arc<ClusterState>,
    pub(super) events: mpsc::Sender<WatchEvent>,
}

impl<H: ResourceHandler> Informer<H> {
    /// Runs for as long as the stream of events lasts. `synced` is called whenever a list is
    /// complete.
    pub(super) async fn run(
        &self,
        events: impl Stream<Item = watcher::Result<watcher::Event<H::Object>>> + Send,
        mut synced: impl FnMut() + Send,
    ) {
        let mut events = pin!(events.default_backoff());
        let mut listed = HashSet::new();
        let mut is_failing = false;
        while let Some(event) = events.next().await {
            if is_failing && matches!(event, Ok(watcher::Event::Init | watcher::Event::Apply(_))) {
                tracing::info!(kind = self.kind, "watch recovered");
                is_failing = false;
            }
            match event {
                Ok(watcher::Event::Init) => listed.clear(),
                Ok(watcher::Event::InitApply(object)) => listed.extend(self.upsert(object).await),
                Ok(watcher::Event::InitDone) => {
                    self.retain(&std::mem::take(&mut listed)).await;
                    synced();
                }
                Ok(watcher::Event::Apply(object)) => {
                    self.upsert(object).await;
                }
                Ok(watcher::Event::Delete(object)) => {
                    if let Some(name) = name_of(object.meta()) {
                        self.remove(&name).await;
                    }
                }
                Err(error) => {
                    let namespace = self.namespace.as_deref();
                    log_watch_error(&self.kind, namespace, &error, is_failing);
                    is_failing = true;
                }
            }
        }
    }

    /// Removes everything in scope, because the kind itself was removed.
    pub(super) async fn clear(&self) {
        self.retain(&HashSet::new()).await;
    }

    async fn upsert(&self, object: H::Object) -> Option<ResourceName> {
        let name = name_of(object.meta())?;
        let version = object.resource_version().unwrap_or_default();
        // A new list also holds what has not changed.
        if self.store.version(&name).as_deref() == Some(version.as_str()) {
            return Some(name);
        }
        match H::convert(object) {
            Ok(stored) => {
                self.cluster.clear_decode_error(&self.kind, &name);
                let new = Arc::new(stored);
                let old = self.store.insert(name.clone(), &version, Arc::clone(&new));
                self.notify(&name, old.as_ref(), Some(&new)).await;
            }
            // The last good version stays; the error is reported in the status.
            Err(error) => {
                tracing::warn!(kind = self.kind, %name, error, "resource not decoded");
                self.cluster.record_decode_error(&self.kind, &name, error);
                self.requeue(&name);
            }
        }
        Some(name)
    }

    async fn remove(&self, name: &ResourceName) {
        self.cluster.clear_decode_error(&self.kind, name);
        if let Some(old) = self.store.remove(name) {
            self.notify(name, Some(&old), None).await;
        }
    }

    /// Removes what a complete list does not hold: it was deleted while the watch was down.
    async fn retain(&self, listed: &HashSet<ResourceName>) {
        for name in self.store.names_except(self.namespace.as_deref(), listed) {
            self.remove(&name).await;
        }
    }

    /// Waits while the receiver is busy; without a receiver the program is about to end.
    async fn notify(
        &self,
        name: &ResourceName,
        old: Option<&Arc<H::Stored>>,
        new: Option<&Arc<H::Stored>>,
    ) {
        let event =
            self.handler.on_change(&ObjectChange { cluster: &self.cluster, name, old, new });
        self.requeue(name);
        if let Some(event) = event {
            let _ = self.events.send(event).await;
        }
    }

    fn requeue(&self, name: &ResourceName) {
        if let Some(queue) = H::queue(&self.cluster) {
            queue.push(name.clone());
        }
    }
}

/// Logs the first of consecutive errors of a watch as a warning.
pub(super) fn log_watch_error(
    kind: &str,
    namespace: Option<&str>,
    error: &watcher::Error,
    is_failing: bool,
) {
    if is_failing {
        tracing::debug!(kind, namespace, %error, "watch still failing");
        return;
    }
    match error {
        // The resource version has expired.
        watcher::Error::WatchError(status) if status.code == 410 => {
            tracing::debug!(kind, namespace, "relisting");
        }
        watcher::Error::InitialListFailed(kube::Error::Api(status)) if status.code == 404 => {
            tracing::warn!(
                kind,
                namespace,
                "kind is not installed: apply the custom resource definitions of this release"
            );
        }
        watcher::Error::InitialListFailed(_)
        | watcher::Error::WatchStartFailed(_)
        | watcher::Error::WatchError(_)
        | watcher::Error::WatchFailed(_)
        | watcher::Error::NoResourceVersion => {
            tracing::warn!(kind, namespace, %error, "watch failed, retrying");
        }
    }
}

#[cfg(test)]
mod tests;
