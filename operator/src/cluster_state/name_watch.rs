//! Watches the names of cluster-scoped objects: custom resource definitions and namespaces.

use crate::cluster_state::{NameSet, informer::log_watch_error};
use futures::{Stream, StreamExt as _, future};
use kube::{
    Resource, ResourceExt as _,
    runtime::{WatchStreamExt as _, reflector, watcher},
};

/// The names once they are listed, and after each event; none if we may not list them.
pub(super) fn name_sets<K>(
    kind: &'static str,
    events: impl Stream<Item = watcher::Result<watcher::Event<K>>> + Send,
) -> impl Stream<Item = NameSet> + Send
where
    K: Resource<DynamicType = ()> + Clone + Send + Sync + 'static,
{
    let (store, writer) = reflector::store();
    let mut is_failing = false;
    events.default_backoff().reflect(writer).filter_map(move |event| {
        let is_current = match event {
            Ok(watcher::Event::Init | watcher::Event::InitApply(_)) => false,
            Ok(watcher::Event::InitDone | watcher::Event::Apply(_) | watcher::Event::Delete(_)) => {
                is_failing = false;
                true
            }
            Err(error) => {
                log_watch_error(kind, None, &error, is_failing);
                is_failing = true;
                is_forbidden(&error)
            }
        };
        let names = || store.state().iter().map(|object| object.name_any()).collect();
        future::ready(is_current.then(names))
    })
}

fn is_forbidden(error: &watcher::Error) -> bool {
    let (watcher::Error::InitialListFailed(error) | watcher::Error::WatchStartFailed(error)) =
        error
    else {
        return false;
    };
    matches!(error, kube::Error::Api(status) if status.is_forbidden())
}
