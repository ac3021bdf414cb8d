//! `LLMModel`: observe, check, plan, apply, report.

pub mod names;
pub mod observe;
pub mod check;
pub mod plan;
pub mod pods;
pub mod progress;
pub mod phase;
pub mod status;

use crate::{
    apply::ApplyError,
    clock,
    cluster_state::{LLM_MODEL, ModelKind},
    context::Context,
    resources::{finalizer, report},
    work_queue::Action,
};
use check::{Checked, Refusal, check};
use kube::Resource as _;
use llm_contract::{Chain, ResourceName};
use llm_crd::{LLMModel, Reason};
use observe::{ObserveError, Observed, observe};
use phase::Seen;
use plan::{Present, plan};
use pods::{PodState, state};
use progress::{Logs, Progress};
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

/// How many models are worked on at a time.
const AT_A_TIME: usize = 8;

/// Works on models until told to stop. Everything has been seen once by then.
pub async fn run(context: &Context, stop: &CancellationToken) {
    let logs = Logs::new(context.applier.client().clone());
    let mut first = context.cluster.models.names();
    first.extend(context.cluster.undecodable(LLM_MODEL));
    let queue = &context.cluster.queues.models;
    queue.run(AT_A_TIME, first, stop, |name| look(context, &logs, name)).await;
}

/// Why a model was not looked at to the end.
#[derive(Debug, thiserror::Error)]
enum LookError {
    #[error("looking at what there is")]
    Observe(#[from] ObserveError),
    #[error("releasing the model")]
    Release(#[source] kube::Error),
    #[error("reporting")]
    Report(#[source] kube::Error),
}

async fn look(context: &Context, logs: &Logs, name: ResourceName) -> Action {
    match reconcile(context, logs, &name).await {
        Ok(next) => next,
        Err(error) => {
            tracing::warn!(model = %name, error = %Chain(&error), "a model is tried again");
            Action::Retry
        }
    }
}

async fn reconcile(
    context: &Context,
    logs: &Logs,
    name: &ResourceName,
) -> Result<Action, LookError> {
    if let Some(why) = context.cluster.decode_error(LLM_MODEL, name) {
        return unreadable(context, name, &why).await;
    }
    let Some(model) = context.cluster.models.get(name) else { return Ok(Action::AwaitChange) };
    // What an earlier release asked to be told of is no longer needed: the cluster collects what
    // we made, by its owner.
    finalizer::remove(context.applier.client(), name, &*model).await.map_err(LookError::Release)?;
    if model.meta().deletion_timestamp.is_some() {
        return Ok(Action::AwaitChange);
    }
    let generation = model.metadata.generation;
    let Some(verdict) = context.findings.route_status(ModelKind::Served, name, generation) else {
        return Ok(Action::AwaitChange);
    };
    let observed = observe(context, name, &model).await?;
    let checked = check(name, &model, &observed, &verdict);
    let errors = match &checked {
        Ok(checked) => apply(context, checked, &observed).await,
        Err(_) => Vec::new(),
    };
    let pods = pod_states(logs, name, &observed).await;
    let progress = download_progress(logs, name, &pods).await;
    let (foreign, refused) = sort(name, &errors);
    let checked = match foreign {
        Some(refusal) => Err(refusal),
        None => checked,
    };
    let seen = Seen {
        checked: checked.as_ref(),
        observed: &observed,
        pods: &pods,
        progress,
        refused: refused.as_deref(),
    };
    tell(context, name, &model, &seen).await?;
    if !errors.is_empty() {
        return Ok(Action::Retry);
    }
    let downloads = pods.iter().any(|pod| matches!(pod, PodState::Downloads(_)));
    Ok(if downloads { Action::RequeueAfter(progress::EVERY) } else { Action::AwaitChange })
}

async fn apply(context: &Context, checked: &Checked, observed: &Observed) -> Vec<ApplyError> {
    let present = Present {
        deployment: observed.deployment.as_ref(),
        claim: observed.claim.as_ref(),
        pod_monitors: observed.pod_monitors,
    };
    context.applier.apply(&plan(checked, &context.settings, present)).await
}

/// What of some errors a person can do something about: an object of somebody else, and what the
/// cluster refuses. The rest passes.
fn sort(name: &ResourceName, errors: &[ApplyError]) -> (Option<Refusal>, Option<String>) {
    let (mut foreign, mut refused) = (None, None);
    for error in errors {
        match error {
            ApplyError::Foreign { .. } => {
                foreign = Some(Refusal { reason: Reason::NameTaken, message: error.to_string() });
            }
            ApplyError::Api { source: kube::Error::Api(status), .. }
                if (400..500).contains(&status.code) && ![409, 429].contains(&status.code) =>
            {
                refused = Some(Chain(error).to_string());
            }
            ApplyError::Api { .. }
            | ApplyError::Leaving { .. }
            | ApplyError::Outdated { .. }
            | ApplyError::OwnerGone { .. } => {}
        }
        tracing::warn!(model = %name, error = %Chain(error), "an object was not written");
    }
    (foreign, refused)
}

async fn pod_states(logs: &Logs, name: &ResourceName, observed: &Observed) -> Vec<PodState> {
    let mut states: Vec<_> = observed.pods.iter().map(|pod| state(pod)).collect();
    for state in &mut states {
        if let PodState::Crashes(ended) | PodState::DownloadFailed(ended) = state
            && ended.last_words.is_none()
        {
            ended.last_words = logs.last_words(name.namespace(), &ended.run).await;
        }
    }
    states
}

/// Of several pods that fetch, one writes and the others wait.
async fn download_progress(
    logs: &Logs,
    name: &ResourceName,
    pods: &[PodState],
) -> Option<Progress> {
    let mut furthest: Option<Progress> = None;
    for pod in pods {
        if let PodState::Downloads(run) = pod
            && let Some(progress) = logs.progress(name.namespace(), run).await
            && furthest.is_none_or(|it| it.bytes < progress.bytes)
        {
            furthest = Some(progress);
        }
    }
    furthest
}

async fn tell(
    context: &Context,
    name: &ResourceName,
    model: &Arc<LLMModel>,
    seen: &Seen<'_>,
) -> Result<(), LookError> {
    let elsewhere = context.findings.get(ModelKind::Served, name);
    let status = status::status(model, seen, &elsewhere, &context.settings, clock::wall());
    if model.status.as_ref() == Some(&status) {
        return Ok(());
    }
    context.reporter.status::<LLMModel>(name, &status).await.map_err(LookError::Report)?;
    let before = model.status.as_ref().map(|status| status.conditions.as_slice());
    let news = report::news(before.unwrap_or_default(), &status.conditions);
    context.reporter.publish(&model.object_ref(&()), &news).await;
    Ok(())
}

async fn unreadable(
    context: &Context,
    name: &ResourceName,
    why: &str,
) -> Result<Action, LookError> {
    let refusal =
        Refusal { reason: Reason::InvalidSpec, message: format!("it cannot be read: {why}") };
    let reported =
        context.reporter.condition::<LLMModel>(name, refusal.finding(), clock::wall()).await;
    reported.map_err(LookError::Report)?;
    Ok(Action::AwaitChange)
}
