//! What the older pack left in the cluster: it routed with Envoy, and much of what it made for
//! that stays behind when it is replaced. Nothing else in the operator knows of it, so that this
//! can be deleted one day.
//!
//! An old route wins over ours as long as it is there. So the routes of a model go once ours
//! serves it, and what they needed goes after them: a policy must not go before the route it
//! protects, nor a pool's picker before the pool. Keys are never touched.

mod known;
mod order;
mod find;

use crate::{
    context::Context,
    edge::{EdgeState, settings::Entry},
    resources::report::News,
};
use find::Finder;
use known::Leftover;
use kube::{
    Api, Resource as _,
    api::{DeleteParams, DynamicObject, Preconditions, PropagationPolicy},
};
use llm_contract::ResourceName;
use llm_crd::{ConditionType, Reason};
use order::{Fate, may_go};
use std::{collections::BTreeMap, time::Duration};
use tokio::{sync::watch, time::sleep};
use tokio_util::sync::CancellationToken;

/// How often it is looked, in memory alone, whether something may go by now.
const LOOK_AGAIN: Duration = Duration::from_secs(2);
/// From a removal to the next look into the cluster; it doubles while nothing goes.
const WAIT: Duration = Duration::from_millis(500);
/// The longest it becomes.
const WAIT_MAX: Duration = Duration::from_secs(5 * 60);

/// What is done about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Whether it goes.
    pub mode: Mode,
    /// Another namespace in which the first releases kept keys, with grants for them.
    pub keys_namespace: Option<String>,
}

/// Whether what the older pack left goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Mode {
    /// Leave them alone.
    Keep,
    /// Log what would be removed.
    DryRun,
    /// Remove each once nothing needs it any more.
    Remove,
}

/// What this needs to be allowed, for [`crate::rbac`]: groups, and resources in the plural.
pub fn rights() -> impl Iterator<Item = (&'static str, String)> {
    known::KNOWN.iter().chain([&known::GRANT]).map(|known| {
        let kind = known.kind.to_ascii_lowercase();
        let plural = match kind.strip_suffix('y') {
            Some(stem) => format!("{stem}ies"),
            None => format!("{kind}s"),
        };
        (known.group, plural)
    })
}

/// Does what the settings say; ends when nothing is left to be done.
pub async fn run(
    context: &Context,
    settings: Settings,
    edge: watch::Receiver<Option<EdgeState>>,
    stop: &CancellationToken,
) {
    if settings.mode == Mode::Keep {
        return;
    }
    let finder = Finder::new(context, settings.keys_namespace);
    let sweeper = Sweeper { context, finder, mode: settings.mode };
    tokio::select! {
        () = stop.cancelled() => {}
        () = sweeper.sweep(edge) => {}
    }
}

struct Sweeper<'a> {
    context: &'a Context,
    finder: Finder<'a>,
    mode: Mode,
}

impl Sweeper<'_> {
    async fn sweep(&self, mut edge: watch::Receiver<Option<EdgeState>>) {
        let (mut wait, mut before) = (WAIT, usize::MAX);
        loop {
            match self.finder.find().await {
                Ok(found) if found.is_empty() => {
                    tracing::info!("nothing is left of the older pack");
                    return;
                }
                Ok(found) if self.mode == Mode::DryRun => return self.tell(&found).await,
                Ok(found) => {
                    if found.len() < before {
                        (wait, before) = (WAIT, found.len());
                    }
                    let free = self.once_free(&found, &mut edge).await;
                    self.remove(&free).await;
                }
                Err(error) => {
                    let source = std::error::Error::source(&error).map(ToString::to_string);
                    tracing::warn!(%error, source, "what the older pack left cannot be looked for");
                }
            }
            sleep(wait).await;
            wait = (wait * 2).min(WAIT_MAX);
        }
    }

    /// Waits until something may go, or has been asked to and may be gone by now.
    async fn once_free<'a>(
        &self,
        found: &'a [Leftover],
        edge: &mut watch::Receiver<Option<EdgeState>>,
    ) -> Vec<&'a Leftover> {
        loop {
            let free = {
                let state = edge.borrow_and_update();
                let ready = |entry: Entry| state.as_ref().is_some_and(|it| it.of(entry).is_ready());
                may_go(found, |model| self.fate(model), ready)
            };
            if !free.is_empty() || found.iter().any(|it| it.leaving) {
                return free;
            }
            sleep(LOOK_AGAIN).await;
        }
    }

    /// What became of the model that something was made for.
    fn fate(&self, model: &ResourceName) -> Fate {
        let cluster = &self.context.cluster;
        let programmed = |conditions: &[_]| {
            conditions.iter().any(
                |it: &k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition| {
                    it.type_ == ConditionType::RouteProgrammed.as_str()
                        && it.reason == Reason::Programmed.as_str()
                },
            )
        };
        let serves = |served| if served { Fate::Served } else { Fate::Waiting };
        let status = cluster.models.get(model).map(|it| it.status.clone().unwrap_or_default());
        if let Some(status) = status {
            return serves(programmed(&status.conditions));
        }
        let status = cluster.providers.get(model).map(|it| it.status.clone().unwrap_or_default());
        if let Some(status) = status {
            return serves(programmed(&status.conditions));
        }
        let unreadable = ["LLMModel", "PassthroughModel"]
            .iter()
            .any(|kind| cluster.decode_error(kind, model).is_some());
        if unreadable { Fate::Waiting } else { Fate::Gone }
    }

    async fn remove(&self, free: &[&Leftover]) {
        for leftover in free {
            match self.delete(leftover).await {
                Ok(()) => tracing::info!(%leftover, "removed what the older pack left"),
                Err(error) => tracing::warn!(%leftover, %error, "what the older pack left stays"),
            }
        }
        for (model, names) in by_model(free.iter().copied()) {
            let note = format!("removed what the older pack left: {}", names.join(", "));
            self.publish(model, News { is_warning: false, reason: "LegacyRemoved".into(), note })
                .await;
        }
    }

    async fn delete(&self, leftover: &Leftover) -> Result<(), kube::Error> {
        let Leftover { resource, name, uid, .. } = leftover;
        let client = self.context.applier.client().clone();
        let api: Api<DynamicObject> = Api::namespaced_with(client, name.namespace(), resource);
        let seen = Preconditions { uid: Some(uid.clone()), resource_version: None };
        let params = DeleteParams {
            propagation_policy: Some(PropagationPolicy::Background),
            preconditions: Some(seen),
            ..DeleteParams::default()
        };
        match api.delete(name.name(), &params).await {
            // It is gone, or another one has its name.
            Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => Ok(()),
            other => other.map(drop),
        }
    }

    /// Says what would go.
    async fn tell(&self, found: &[Leftover]) {
        for (model, names) in by_model(found) {
            let fate = self.fate(model);
            let names = names.join(", ");
            tracing::info!(%model, ?fate, would_go = names, "the older pack left something");
            let note =
                format!("left by the older pack, and removed if LLM_LEGACY is remove: {names}");
            self.publish(model, News { is_warning: false, reason: "LegacyFound".into(), note })
                .await;
        }
        tracing::info!(
            objects = found.len(),
            "what the older pack left stays for now; to have it removed, set LLM_LEGACY to remove"
        );
    }

    async fn publish(&self, model: &ResourceName, news: News) {
        let cluster = &self.context.cluster;
        let about = cluster.models.get(model).map(|it| it.object_ref(&()));
        let about = about.or_else(|| cluster.providers.get(model).map(|it| it.object_ref(&())));
        if let Some(about) = about {
            self.context.reporter.publish(&about, &[news]).await;
        }
    }
}

/// What there is of each model, as text.
fn by_model<'a>(
    found: impl IntoIterator<Item = &'a Leftover>,
) -> BTreeMap<&'a ResourceName, Vec<String>> {
    let mut by_model: BTreeMap<_, Vec<String>> = BTreeMap::new();
    for leftover in found {
        by_model.entry(&leftover.model).or_default().push(leftover.to_string());
    }
    by_model
}
