//! Reconciles models.

use super::{
    assessment::ModelView,
    check::{CheckedModel, ValidationError, check},
    observe::{ObserveError, ObservedModel, observe},
    plan::plan,
    pods::{PodState, pod_state},
    progress::{self, ContainerLogs, DownloadProgress},
    status::status,
};
use crate::{
    apply::ApplyError,
    clock,
    cluster_state::{LLM_MODEL, ModelKind},
    context::Context,
    resources::{
        controller::{Controller, report_unreadable},
        finalizer,
    },
    work_queue::Action,
};
use kube::Resource as _;
use llm_contract::{Chain, ResourceName};
use llm_crd::{ConditionType, LLMModel, Reason};
use tokio_util::sync::CancellationToken;

/// Reconciles models until told to stop. The caches must have synced.
pub async fn run(context: &Context, stop: &CancellationToken) {
    let logs = &ContainerLogs::new(context.applier.client().clone());
    let queue = &context.cluster.queues.models;
    let controller = Controller { context, kind: LLM_MODEL, queue, concurrency: 8 };
    let reconcile = |name| async move { reconcile(context, logs, &name).await };
    controller.run(context.cluster.models.names(), stop, reconcile).await;
}

#[derive(Debug, thiserror::Error)]
enum ReconcileError {
    #[error("observing the model")]
    Observe(#[from] ObserveError),
    #[error("removing the finalizer")]
    Finalizer(#[source] kube::Error),
    #[error("reporting the status")]
    Report(#[source] kube::Error),
}

async fn reconcile(
    context: &Context,
    logs: &ContainerLogs,
    name: &ResourceName,
) -> Result<Action, ReconcileError> {
    let decode_error =
        report_unreadable::<LLMModel>(context, LLM_MODEL, ConditionType::Accepted, name);
    if decode_error.await.map_err(ReconcileError::Report)? {
        return Ok(Action::AwaitChange);
    }
    let Some(model) = context.cluster.models.get(name) else { return Ok(Action::AwaitChange) };
    // Garbage collection by owner has replaced the finalizer of the first release.
    let removed = finalizer::remove(context.applier.client(), name, &*model).await;
    removed.map_err(ReconcileError::Finalizer)?;
    if model.meta().deletion_timestamp.is_some() {
        return Ok(Action::AwaitChange);
    }
    let generation = model.metadata.generation;
    let Some(route_status) = context.findings.route_status(ModelKind::Served, name, generation)
    else {
        return Ok(Action::AwaitChange);
    };
    let observed = observe(context, name, &model).await?;
    let checked = check(name, &model, &observed, &route_status);
    let errors = match &checked {
        Ok(checked) => apply(context, checked, &observed).await,
        Err(_) => Vec::new(),
    };
    let ApplyErrors { conflict, rejected } = classify_errors(name, &errors);
    let checked = match conflict {
        Some(conflict) => Err(conflict),
        None => checked,
    };
    let pods = pod_states(logs, name, &observed).await;
    let view = ModelView {
        checked: checked.as_ref(),
        observed: &observed,
        pods: &pods,
        progress: download_progress(logs, name, &pods).await,
        apply_error: rejected.as_deref(),
    };
    report_status(context, name, &model, &view).await.map_err(ReconcileError::Report)?;
    if !errors.is_empty() {
        return Ok(Action::Retry);
    }
    let is_downloading = pods.iter().any(|pod| matches!(pod, PodState::Downloading(_)));
    Ok(if is_downloading {
        Action::RequeueAfter(progress::POLL_INTERVAL)
    } else {
        Action::AwaitChange
    })
}

async fn apply(
    context: &Context,
    checked: &CheckedModel,
    observed: &ObservedModel,
) -> Vec<ApplyError> {
    context.applier.apply(&plan(checked, &context.settings, observed)).await
}

/// The errors that a user can fix; the others are transient.
#[derive(Default)]
struct ApplyErrors {
    /// An object exists that is not ours.
    conflict: Option<ValidationError>,
    /// The API server rejected an object.
    rejected: Option<String>,
}

fn classify_errors(name: &ResourceName, errors: &[ApplyError]) -> ApplyErrors {
    let mut found = ApplyErrors::default();
    for error in errors {
        match error {
            ApplyError::OwnedByOther { .. } => {
                let (reason, message) = (Reason::NameTaken, error.to_string());
                found.conflict = Some(ValidationError { reason, message });
            }
            ApplyError::Api { source: kube::Error::Api(status), .. }
                if (400..500).contains(&status.code) && ![409, 429].contains(&status.code) =>
            {
                found.rejected = Some(Chain(error).to_string());
            }
            ApplyError::Api { .. }
            | ApplyError::Terminating { .. }
            | ApplyError::Stale { .. }
            | ApplyError::OwnerDeleted { .. } => {}
        }
        tracing::warn!(model = %name, error = %Chain(error), "an object was not applied");
    }
    found
}

async fn pod_states(
    logs: &ContainerLogs,
    name: &ResourceName,
    observed: &ObservedModel,
) -> Vec<PodState> {
    let mut states: Vec<_> = observed.pods.iter().map(|pod| pod_state(pod)).collect();
    for state in &mut states {
        if let PodState::CrashLooping(failed) | PodState::DownloadFailed(failed) = state
            && failed.log_tail.is_none()
        {
            failed.log_tail = logs.tail(name.namespace(), &failed.run).await;
        }
    }
    states
}

/// The progress of the pod that is furthest: of several, one writes and the others wait.
async fn download_progress(
    logs: &ContainerLogs,
    name: &ResourceName,
    pods: &[PodState],
) -> Option<DownloadProgress> {
    let mut furthest: Option<DownloadProgress> = None;
    for pod in pods {
        if let PodState::Downloading(run) = pod
            && let Some(progress) = logs.progress(name.namespace(), run).await
            && furthest.is_none_or(|it| it.bytes < progress.bytes)
        {
            furthest = Some(progress);
        }
    }
    furthest
}

async fn report_status(
    context: &Context,
    name: &ResourceName,
    model: &LLMModel,
    view: &ModelView<'_>,
) -> Result<(), kube::Error> {
    let reported = context.findings.get(ModelKind::Served, name);
    let status = status(model, view, &reported, &context.settings, clock::wall());
    let change = (model.status.as_ref(), &status);
    context.reporter.update((name, model), change, |status| &status.conditions).await
}
