//! Reconciles providers.

use super::status::{ProviderView, status};
use crate::{
    clock,
    cluster_state::{ModelKind, PASSTHROUGH_MODEL},
    context::Context,
    resources::{
        controller::{Controller, report_unreadable},
        finalizer,
    },
    work_queue::Action,
};
use kube::Resource as _;
use llm_contract::ResourceName;
use llm_crd::{ConditionType, PassthroughModel};
use tokio_util::sync::CancellationToken;

/// Reconciles providers until told to stop. The caches must have synced.
pub async fn run(context: &Context, stop: &CancellationToken) {
    let queue = &context.cluster.queues.providers;
    let controller = Controller { context, kind: PASSTHROUGH_MODEL, queue, concurrency: 8 };
    let reconcile =
        |name| async move { reconcile(context, &name).await.map(|()| Action::AwaitChange) };
    controller.run(context.cluster.providers.names(), stop, reconcile).await;
}

async fn reconcile(context: &Context, name: &ResourceName) -> Result<(), kube::Error> {
    let about = ConditionType::Accepted;
    if report_unreadable::<PassthroughModel>(context, PASSTHROUGH_MODEL, about, name).await? {
        return Ok(());
    }
    let Some(provider) = context.cluster.providers.get(name) else { return Ok(()) };
    finalizer::remove(context.applier.client(), name, &*provider).await?;
    let generation = provider.metadata.generation;
    let route_status = context.findings.route_status(ModelKind::Provider, name, generation);
    let Some(route_status) = route_status.filter(|_| provider.meta().deletion_timestamp.is_none())
    else {
        return Ok(());
    };
    let view = ProviderView {
        route_status,
        is_managed_namespace: context.cluster.is_managed(name.namespace()),
        reported: context.findings.get(ModelKind::Provider, name),
    };
    let status = status(&provider, &view, &context.settings, clock::wall());
    let change = (provider.status.as_ref(), &status);
    context.reporter.update((name, &*provider), change, |status| &status.conditions).await
}
