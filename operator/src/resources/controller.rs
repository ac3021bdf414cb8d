//! What the controllers of all kinds have in common.

use crate::{
    clock,
    context::Context,
    work_queue::{Action, WorkQueue},
};
use kube::{Resource, core::NamespaceResourceScope};
use llm_contract::{Chain, ResourceName};
use llm_crd::{ConditionType, Finding, Reason};
use std::error::Error;
use tokio_util::sync::CancellationToken;

/// Reconciles the resources of one kind.
pub(super) struct Controller<'a> {
    pub(super) context: &'a Context,
    pub(super) kind: &'static str,
    pub(super) queue: &'a WorkQueue<ResourceName>,
    pub(super) concurrency: usize,
}

impl Controller<'_> {
    /// Reconciles these resources and those that are queued later, until told to stop.
    pub(super) async fn run<E: Error, F: Future<Output = Result<Action, E>>>(
        &self,
        mut names: Vec<ResourceName>,
        stop: &CancellationToken,
        reconcile: impl Fn(ResourceName) -> F,
    ) {
        names.extend(self.context.cluster.undecodable(self.kind));
        let reconcile_or_retry = async |name: ResourceName| match reconcile(name.clone()).await {
            Ok(next) => next,
            Err(error) => {
                let (kind, error) = (self.kind, Chain(&error));
                tracing::warn!(kind, %name, %error, "reconciling failed; retrying");
                Action::Retry
            }
        };
        self.queue.run(self.concurrency, names, stop, reconcile_or_retry).await;
    }
}

/// Reports a resource that could not be decoded, and returns whether it is one.
pub(super) async fn report_unreadable<K>(
    context: &Context,
    kind: &str,
    about: ConditionType,
    name: &ResourceName,
) -> Result<bool, kube::Error>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
{
    let Some(error) = context.cluster.decode_error(kind, name) else { return Ok(false) };
    let message = format!("the resource cannot be decoded: {error}");
    let finding = Finding::new(about, Reason::InvalidSpec, message);
    context.reporter.condition::<K>(name, finding, clock::wall()).await?;
    Ok(true)
}
