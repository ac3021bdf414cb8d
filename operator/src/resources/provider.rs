//! `PassthroughModel`: nothing is made of it but routes, so that only its status is left to do.

mod status;

use crate::{
    clock,
    cluster_state::{ModelKind, PASSTHROUGH_MODEL},
    context::Context,
    resources::{finalizer, report},
    work_queue::Action,
};
use kube::Resource as _;
use llm_contract::{Chain, ResourceName};
use llm_crd::{ConditionType, Finding, PassthroughModel, Reason};
use status::Judgement;
use tokio_util::sync::CancellationToken;

/// How many providers are worked on at a time.
const AT_A_TIME: usize = 8;

/// Works on providers until told to stop. Everything has been seen once by then.
pub async fn run(context: &Context, stop: &CancellationToken) {
    let mut first = context.cluster.providers.names();
    first.extend(context.cluster.undecodable(PASSTHROUGH_MODEL));
    let queue = &context.cluster.queues.providers;
    queue.run(AT_A_TIME, first, stop, |name| look(context, name)).await;
}

async fn look(context: &Context, name: ResourceName) -> Action {
    match reconcile(context, &name).await {
        Ok(()) => Action::AwaitChange,
        Err(error) => {
            tracing::warn!(provider = %name, error = %Chain(&error), "a provider is tried again");
            Action::Retry
        }
    }
}

async fn reconcile(context: &Context, name: &ResourceName) -> Result<(), kube::Error> {
    let reporter = &context.reporter;
    if let Some(why) = context.cluster.decode_error(PASSTHROUGH_MODEL, name) {
        let message = format!("it cannot be read: {why}");
        let finding = Finding::new(ConditionType::Accepted, Reason::InvalidSpec, message);
        return reporter.condition::<PassthroughModel>(name, finding, clock::wall()).await;
    }
    let Some(provider) = context.cluster.providers.get(name) else { return Ok(()) };
    finalizer::remove(context.applier.client(), name, &*provider).await?;
    let generation = provider.metadata.generation;
    let verdict = context.findings.route_status(ModelKind::Provider, name, generation);
    let Some(verdict) = verdict.filter(|_| provider.meta().deletion_timestamp.is_none()) else {
        return Ok(());
    };
    let judgement = Judgement {
        verdict,
        is_managed: context.cluster.is_managed(name.namespace()),
        elsewhere: context.findings.get(ModelKind::Provider, name),
    };
    let status = status::status(&provider, &judgement, &context.settings, clock::wall());
    if provider.status.as_ref() == Some(&status) {
        return Ok(());
    }
    reporter.status::<PassthroughModel>(name, &status).await?;
    let before = provider.status.as_ref().map(|status| status.conditions.as_slice());
    let news = report::news(before.unwrap_or_default(), &status.conditions);
    reporter.publish(&provider.object_ref(&()), &news).await;
    Ok(())
}
