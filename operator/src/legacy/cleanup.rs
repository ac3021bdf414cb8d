//! Removes legacy objects as they become removable.

use super::{
    LegacySettings, Mode,
    find::Finder,
    kinds::LegacyObject,
    removable::{Migration, removable},
};
use crate::{
    apply,
    context::Context,
    edge::{EdgeState, settings::Entry},
    resources::report::event,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{
    Api, Resource as _,
    api::DynamicObject,
    runtime::events::{Event, EventType},
};
use llm_contract::{Chain, ResourceName};
use llm_crd::{ConditionType, Reason};
use std::{collections::BTreeMap, time::Duration};
use tokio::{sync::watch, time::sleep};
use tokio_util::sync::CancellationToken;

/// How often it is checked, in memory, whether objects have become removable.
const CHECK_INTERVAL: Duration = Duration::from_secs(2);
/// From a removal to the next search of the cluster; doubles while nothing is removed.
const SEARCH_WAIT: Duration = Duration::from_millis(500);
const SEARCH_WAIT_MAX: Duration = Duration::from_secs(5 * 60);

/// Removes legacy objects as configured; returns when none are left.
pub async fn run(
    context: &Context,
    settings: LegacySettings,
    edge: watch::Receiver<Option<EdgeState>>,
    stop: &CancellationToken,
) {
    let LegacySettings { mode, keys_namespace } = settings;
    if mode == Mode::Keep {
        return;
    }
    let cleanup = Cleanup { context, finder: Finder::new(context, keys_namespace), mode };
    tokio::select! {
        () = stop.cancelled() => {}
        () = cleanup.run(edge) => {}
    }
}

struct Cleanup<'a> {
    context: &'a Context,
    finder: Finder<'a>,
    mode: Mode,
}

impl Cleanup<'_> {
    async fn run(&self, mut edge: watch::Receiver<Option<EdgeState>>) {
        let (mut wait, mut before) = (SEARCH_WAIT, usize::MAX);
        loop {
            match self.finder.find().await {
                Ok(found) if found.is_empty() => {
                    tracing::info!("no objects of the first release are left");
                    return;
                }
                Ok(found) if self.mode == Mode::DryRun => return self.report(&found).await,
                Ok(found) => {
                    if found.len() < before {
                        (wait, before) = (SEARCH_WAIT, found.len());
                    }
                    let removable = self.wait_until_removable(&found, &mut edge).await;
                    self.remove(&removable).await;
                }
                Err(error) => {
                    let error = Chain(&error);
                    tracing::warn!(%error, "searching for objects of the first release failed");
                }
            }
            sleep(wait).await;
            wait = (wait * 2).min(SEARCH_WAIT_MAX);
        }
    }

    /// Waits until objects are removable, or are terminating and may be gone by now.
    async fn wait_until_removable<'a>(
        &self,
        found: &'a [LegacyObject],
        edge: &mut watch::Receiver<Option<EdgeState>>,
    ) -> Vec<&'a LegacyObject> {
        loop {
            let removable = {
                let state = edge.borrow_and_update();
                let ready = |entry: Entry| state.as_ref().is_some_and(|it| it.of(entry).is_ready());
                removable(found, |model| self.migration(model), ready)
            };
            if !removable.is_empty() || found.iter().any(|it| it.is_terminating) {
                return removable;
            }
            sleep(CHECK_INTERVAL).await;
        }
    }

    fn migration(&self, model: &ResourceName) -> Migration {
        let cluster = &self.context.cluster;
        let is_programmed = |it: &Condition| {
            it.type_ == ConditionType::RouteProgrammed.as_str()
                && it.reason == Reason::Programmed.as_str()
        };
        let model_conditions = cluster.models.get(model);
        let model_conditions =
            model_conditions.map(|it| it.status.clone().unwrap_or_default().conditions);
        let conditions = model_conditions.or_else(|| {
            let provider = cluster.providers.get(model)?;
            Some(provider.status.clone().unwrap_or_default().conditions)
        });
        if let Some(conditions) = conditions {
            let is_served = conditions.iter().any(is_programmed);
            return if is_served { Migration::Served } else { Migration::Pending };
        }
        let mut kinds = ["LLMModel", "PassthroughModel"].iter();
        let exists = kinds.any(|kind| cluster.decode_error(kind, model).is_some());
        if exists { Migration::Pending } else { Migration::Deleted }
    }

    async fn remove(&self, removable: &[&LegacyObject]) {
        for object in removable {
            let LegacyObject { resource, name, uid, .. } = object;
            let client = self.context.applier.client().clone();
            let api: Api<DynamicObject> = Api::namespaced_with(client, name.namespace(), resource);
            match apply::delete(&api, name.name(), uid).await {
                Ok(_) => tracing::info!(%object, "removed an object of the first release"),
                Err(error) => {
                    tracing::warn!(%object, %error, "an object of the first release was not removed");
                }
            }
        }
        for (model, objects) in by_model(removable.iter().copied()) {
            let note = format!("removed objects of the first release: {}", objects.join(", "));
            self.publish(model, event(EventType::Normal, "LegacyRemoved", &note)).await;
        }
    }

    /// Reports what would be removed.
    async fn report(&self, found: &[LegacyObject]) {
        for (model, objects) in by_model(found) {
            let migration = self.migration(model);
            let objects = objects.join(", ");
            tracing::info!(%model, ?migration, objects, "found objects of the first release");
            let note = format!(
                "objects of the first release that are removed if LLM_LEGACY is remove: {objects}"
            );
            self.publish(model, event(EventType::Normal, "LegacyFound", &note)).await;
        }
        tracing::info!(
            objects = found.len(),
            "objects of the first release are kept; to remove them, set LLM_LEGACY to remove"
        );
    }

    async fn publish(&self, model: &ResourceName, event: Event) {
        let cluster = &self.context.cluster;
        let about = cluster.models.get(model).map(|it| it.object_ref(&()));
        let about = about.or_else(|| cluster.providers.get(model).map(|it| it.object_ref(&())));
        if let Some(about) = about {
            self.context.reporter.publish(&about, &[event]).await;
        }
    }
}

/// The objects of each model, as text.
fn by_model<'a>(
    found: impl IntoIterator<Item = &'a LegacyObject>,
) -> BTreeMap<&'a ResourceName, Vec<String>> {
    let mut by_model: BTreeMap<_, Vec<String>> = BTreeMap::new();
    for object in found {
        by_model.entry(&object.model).or_default().push(object.to_string());
    }
    by_model
}
