//! Follows the objects of one kind in one scope.

use crate::cluster_state::{Seen, Store, World};
use futures::{Stream, StreamExt as _};
use kube::{
    Resource, ResourceExt as _,
    runtime::{WatchStreamExt as _, watcher},
};
use llm_contract::ResourceName;
use std::{collections::HashSet, pin::pin, sync::Arc};
use tokio::sync::mpsc;

/// A kind of objects, and what is done about a change of one.
pub(super) trait Watched: Send + Sync + 'static {
    /// What the API server sends.
    type Object: Resource + Send + 'static;
    /// What is kept of it.
    type Kept: Send + Sync + 'static;

    /// For logs.
    fn kind(&self) -> &str;
    /// Where they are kept.
    fn store<'a>(&self, world: &'a World) -> Option<&'a Store<Self::Kept>>;
    /// What is kept of an object; `None` if it cannot be read, so that the last good one stays.
    fn keep(&self, world: &World, name: &ResourceName, object: Self::Object) -> Option<Self::Kept>;
    /// Tells those who want to know. There is an old or a new one.
    fn changed(
        &self,
        world: &World,
        name: &ResourceName,
        old: Option<&Arc<Self::Kept>>,
        new: Option<&Arc<Self::Kept>>,
    ) -> Option<Seen>;
}

/// One watch: of a kind, in a namespace or everywhere.
pub(super) struct Follower<W> {
    pub(super) watched: W,
    pub(super) namespace: Option<String>,
    pub(super) world: World,
    pub(super) feed: mpsc::Sender<Seen>,
}

impl<W: Watched> Follower<W> {
    /// Follows a stream of events for as long as it lasts. `synced` is called whenever a list is
    /// complete.
    pub(super) async fn follow(
        &self,
        events: impl Stream<Item = watcher::Result<watcher::Event<W::Object>>> + Send,
        synced: impl Fn() + Send,
    ) {
        let mut events = pin!(events.default_backoff());
        let mut listed = HashSet::new();
        let mut failing = false;
        while let Some(event) = events.next().await {
            match event {
                Ok(event) => {
                    if failing && matches!(event, watcher::Event::Init | watcher::Event::Apply(_)) {
                        tracing::info!(kind = self.watched.kind(), "watching again");
                        failing = false;
                    }
                    match event {
                        watcher::Event::Init => listed.clear(),
                        watcher::Event::InitApply(object) => {
                            listed.extend(self.put(object).await);
                        }
                        watcher::Event::InitDone => {
                            self.retain(&std::mem::take(&mut listed)).await;
                            synced();
                        }
                        watcher::Event::Apply(object) => {
                            self.put(object).await;
                        }
                        watcher::Event::Delete(object) => {
                            if let Some(name) = name_of(&object) {
                                self.remove(&name).await;
                            }
                        }
                    }
                }
                Err(error) => {
                    self.log(&error, failing);
                    failing = true;
                }
            }
        }
    }

    /// Takes out everything in scope: the kind itself has gone.
    pub(super) async fn clear(&self) {
        self.retain(&HashSet::new()).await;
    }

    async fn put(&self, object: W::Object) -> Option<ResourceName> {
        let name = name_of(&object)?;
        let version = object.resource_version().unwrap_or_default();
        let store = self.watched.store(&self.world)?;
        // A list that is read anew brings what is known already.
        if store.version(&name).as_deref() == Some(version.as_str()) {
            return Some(name);
        }
        if let Some(kept) = self.watched.keep(&self.world, &name, object) {
            let new = Arc::new(kept);
            let old = store.put(name.clone(), &version, Arc::clone(&new));
            let seen = self.watched.changed(&self.world, &name, old.as_ref(), Some(&new));
            self.tell(seen).await;
        }
        Some(name)
    }

    async fn remove(&self, name: &ResourceName) {
        let old = self.watched.store(&self.world).and_then(|store| store.remove(name));
        self.world.forget_unreadable(self.watched.kind(), name);
        if let Some(old) = old {
            let seen = self.watched.changed(&self.world, name, Some(&old), None);
            self.tell(seen).await;
        }
    }

    /// A list is complete: what is not in it has gone while nobody watched.
    async fn retain(&self, listed: &HashSet<ResourceName>) {
        let Some(store) = self.watched.store(&self.world) else { return };
        for name in store.others(self.namespace.as_deref(), listed) {
            self.remove(&name).await;
        }
    }

    /// Waits while the receiver is busy. If there is none any more we are about to end.
    async fn tell(&self, seen: Option<Seen>) {
        if let Some(seen) = seen {
            let _ = self.feed.send(seen).await;
        }
    }

    fn log(&self, error: &watcher::Error, known: bool) {
        let (kind, namespace) = (self.watched.kind(), self.namespace.as_deref());
        if known {
            tracing::debug!(kind, namespace, %error, "watching still fails");
            return;
        }
        match error {
            // The place in history is gone; the list is read anew.
            watcher::Error::WatchError(status) if status.code == 410 => {
                tracing::debug!(kind, namespace, "reading the list anew");
            }
            watcher::Error::InitialListFailed(kube::Error::Api(status)) if status.code == 404 => {
                tracing::warn!(
                    kind,
                    namespace,
                    "the cluster has no such kind, so that nothing is done yet: apply the custom \
                     resource definitions of this release"
                );
            }
            watcher::Error::InitialListFailed(_)
            | watcher::Error::WatchStartFailed(_)
            | watcher::Error::WatchError(_)
            | watcher::Error::WatchFailed(_)
            | watcher::Error::NoResourceVersion => {
                tracing::warn!(kind, namespace, %error, "watching failed; it is tried again");
            }
        }
    }
}

fn name_of(object: &impl Resource) -> Option<ResourceName> {
    let metadata = object.meta();
    let (namespace, name) = (metadata.namespace.as_deref()?, metadata.name.as_deref()?);
    ResourceName::parse(&format!("{namespace}/{name}")).ok()
}

#[cfg(test)]
mod tests;
