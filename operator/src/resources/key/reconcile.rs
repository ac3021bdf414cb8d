//! Reconciles keys.

use super::evaluate::{evaluate, with_size_limit, with_unreachable};
use crate::{
    clock,
    cluster_state::{API_KEY, ClusterState},
    context::Context,
    resources::{
        conditions::with_findings,
        controller::{Controller, report_unreadable},
        ignored,
    },
    routes::key::is_scope_allowed,
    work_queue::Action,
};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use llm_contract::{
    ResourceName,
    push::{Kind, Name},
};
use llm_crd::{ApiKeyResource, ConditionType, Finding, Reason, retain_conditions};
use llm_push::DocumentStore;
use serde::Serialize;
use std::{collections::HashSet, time::Duration};
use tokio_util::sync::CancellationToken;

/// Reconciles keys until told to stop, once the table is published and knows its free space. The
/// caches must have synced.
pub async fn run(context: &Context, table: &DocumentStore, stop: &CancellationToken) {
    let mut published = table.watch();
    if stop.run_until_cancelled(published.wait_for(Option::is_some)).await.is_none() {
        return;
    }
    let queue = &context.cluster.queues.keys;
    let controller = Controller { context, kind: API_KEY, queue, concurrency: 16 };
    let reconcile = |name| async move { reconcile(context, table, &name).await };
    controller.run(context.cluster.keys.names(), stop, reconcile).await;
}

/// Requeues keys whose documents in the table have changed.
pub fn requeue<'a>(context: &Context, changed: impl Iterator<Item = &'a Name>) {
    let ids: HashSet<&str> =
        changed.filter(|it| it.kind == Kind::Key).map(|it| &*it.name).collect();
    if ids.is_empty() {
        return;
    }
    for name in context.cluster.keys.names() {
        if ids.contains(name.name()) {
            context.cluster.queues.keys.push(name);
        }
    }
}

/// The operator's part of the status; the rest is the key manager's.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct StatusPatch {
    conditions: Vec<Condition>,
    observed_generation: Option<i64>,
}

async fn reconcile(
    context: &Context,
    table: &DocumentStore,
    name: &ResourceName,
) -> Result<Action, kube::Error> {
    let about = ConditionType::Active;
    if report_unreadable::<ApiKeyResource>(context, API_KEY, about, name).await? {
        return Ok(Action::AwaitChange);
    }
    let now = clock::wall();
    let Some(key) = context.cluster.keys.get(name).map(|it| it.key()) else {
        return Ok(Action::AwaitChange);
    };
    let (finding, next) = active(context, table, name, &key, now);
    let mut findings = vec![finding];
    // There are many keys, so this condition exists only if it says something.
    let ignored = ignored::of_key(&key.spec);
    findings.extend((!ignored.is_empty()).then(|| ignored::finding(&ignored)));
    let types: Vec<_> = findings.iter().map(|finding| finding.about).collect();

    let status = key.status.unwrap_or_default();
    let mut before = status.conditions;
    retain_conditions(&mut before, ConditionType::API_KEY);
    let generation = key.metadata.generation;
    let conditions = with_findings(before.clone(), &types, findings, generation, now);
    if conditions != before || status.observed_generation != generation {
        let status = StatusPatch { conditions, observed_generation: generation };
        context.reporter.status::<ApiKeyResource>(name, &status).await?;
    }
    Ok(next.map_or(Action::AwaitChange, |then| Action::RequeueAfter(until(then, now))))
}

/// The finding on whether a key is active, and when that changes by itself.
fn active(
    context: &Context,
    table: &DocumentStore,
    name: &ResourceName,
    key: &ApiKeyResource,
    now: Timestamp,
) -> (Finding, Option<Timestamp>) {
    let (cluster, home) = (&context.cluster, &context.settings.proxies.namespace);
    let namespace = name.namespace();
    if !cluster.is_managed(namespace) {
        let message = format!(
            "namespace {namespace} lacks the label nebari.dev/managed=true: label it or create the \
             key in {home}"
        );
        let finding = Finding::new(ConditionType::Active, Reason::NamespaceNotWatched, message);
        return (finding, None);
    }
    let replacements = cluster.replacing(name);
    let replacements = replacements.iter().map(|it| &it.spec);
    let exists =
        |scope: &str| is_scope_allowed(scope, namespace, home) && scope_exists(cluster, scope);
    let (finding, next) = evaluate(name.name(), &key.spec, replacements, exists, now);
    let finding = with_unreachable(finding, namespace, &key.spec, home);
    let too_large = table.too_large(&Name::new(Kind::Key, name.name()));
    (with_size_limit(finding, too_large.as_ref()), next)
}

/// Whether any model matches a scope of a key.
fn scope_exists(cluster: &ClusterState, scope: &str) -> bool {
    if scope == "*" {
        return cluster.has_any_model();
    }
    match scope.strip_suffix("/*") {
        Some(namespace) => cluster.has_models_in(namespace),
        None => ResourceName::parse(scope).is_ok_and(|name| cluster.has_model(&name)),
    }
}

/// Rounded up, so that the change has happened by then.
fn until(then: Timestamp, now: Timestamp) -> Duration {
    let wait = then.duration_since(now).saturating_add(SignedDuration::from_millis(1));
    wait.try_into().unwrap_or_default()
}
