//! Follows what has only a name: custom resource definitions, and namespaces.

use futures::{Stream, StreamExt as _};
use kube::{
    Resource, ResourceExt as _,
    runtime::{WatchStreamExt as _, watcher},
};
use std::{collections::BTreeSet, pin::pin};
use tokio::sync::watch;

/// Names that are there now.
pub type Names = BTreeSet<String>;

/// Keeps a set of names current for as long as the events last. `synced` is called whenever a
/// list is complete, and when we may not list at all: then nothing is known to be there.
pub(super) async fn follow<K: Resource + Send + 'static>(
    what: &'static str,
    events: impl Stream<Item = watcher::Result<watcher::Event<K>>> + Send,
    names: &watch::Sender<Names>,
    synced: impl Fn() + Send,
) {
    let mut events = pin!(events.default_backoff());
    let mut listed = Names::new();
    let mut failing = false;
    while let Some(event) = events.next().await {
        match event {
            Ok(watcher::Event::Init) => listed.clear(),
            Ok(watcher::Event::InitApply(object)) => {
                listed.insert(object.name_any());
            }
            Ok(watcher::Event::InitDone) => {
                let listed = std::mem::take(&mut listed);
                names.send_if_modified(|names| {
                    let changed = *names != listed;
                    *names = listed;
                    changed
                });
                failing = false;
                synced();
            }
            Ok(watcher::Event::Apply(object)) => {
                names.send_if_modified(|names| names.insert(object.name_any()));
            }
            Ok(watcher::Event::Delete(object)) => {
                names.send_if_modified(|names| names.remove(&object.name_any()));
            }
            Err(error) => {
                if !std::mem::replace(&mut failing, true) {
                    tracing::warn!(what, %error, "watching failed; it is tried again");
                }
                if is_forbidden(&error) {
                    synced();
                }
            }
        }
    }
}

fn is_forbidden(error: &watcher::Error) -> bool {
    let (watcher::Error::InitialListFailed(error) | watcher::Error::WatchStartFailed(error)) =
        error
    else {
        return false;
    };
    matches!(error, kube::Error::Api(status) if status.is_forbidden())
}
