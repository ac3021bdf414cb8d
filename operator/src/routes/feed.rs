//! Feeds watch events to the compiler, and publishes what they change in the table.

use crate::{
    cluster_state::WatchEvent,
    context::Context,
    routes::{Compiled, Compiler},
};
use llm_contract::{Chain, ResourceName, push::Change};
use std::{collections::BTreeSet, time::Duration};
use tokio::{sync::mpsc, time::MissedTickBehavior};

const BATCH_EVENTS: usize = 256;
/// The interval at which Secrets that could not be read are read again.
const SECRET_RETRY_INTERVAL: Duration = Duration::from_secs(2);
/// The first table is published without unreadable Secrets after this many retries.
const SECRET_RETRIES_MAX: u32 = 15;

/// Compiles for as long as there are events. `publish` gets every change of the route table, and
/// whether the table is complete: not before everything was listed once.
pub async fn compile(
    context: &Context,
    mut events: mpsc::Receiver<WatchEvent>,
    publish: impl Fn(Change, bool) + Send,
) {
    let mut batch = Vec::with_capacity(BATCH_EVENTS);
    let mut task = CompilerTask {
        context,
        compiler: Compiler::new(&context.settings.proxies.namespace),
        unread_secrets: BTreeSet::new(),
        secret_retries: 0,
    };
    let managed = context.cluster.managed_namespaces.as_ref();
    task.compiler.set_namespaces(managed.map(|names| names.read().clone()));
    let mut is_synced = false;
    // An interval, so that the retries go on however many events come in between.
    let mut retry = tokio::time::interval(SECRET_RETRY_INTERVAL);
    retry.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            received = events.recv_many(&mut batch, BATCH_EVENTS) => {
                if received == 0 {
                    return;
                }
            }
            _ = retry.tick(), if !task.unread_secrets.is_empty() => task.retry_secrets().await,
        }
        for event in batch.drain(..) {
            is_synced |= matches!(event, WatchEvent::Synced);
            task.handle(event).await;
        }
        let Compiled { change, statuses } = task.compiler.take_changes();
        for (kind, name, status) in statuses {
            context.findings.set_routes(kind, &name, status);
        }
        // A table that lacks a Secret only because the API server did not answer would remove a
        // provider; but one Secret does not hold up everything for ever.
        let awaits_secrets =
            !task.unread_secrets.is_empty() && task.secret_retries < SECRET_RETRIES_MAX;
        publish(change, is_synced && !awaits_secrets);
    }
}

struct CompilerTask<'a> {
    context: &'a Context,
    compiler: Compiler,
    /// Secrets that the API server did not answer for.
    unread_secrets: BTreeSet<ResourceName>,
    secret_retries: u32,
}

impl CompilerTask<'_> {
    async fn handle(&mut self, event: WatchEvent) {
        let compiler = &mut self.compiler;
        match event {
            WatchEvent::Namespaces(names) => compiler.set_namespaces(Some(names)),
            WatchEvent::Model(name, model) => compiler.set_model(&name, model),
            WatchEvent::Provider(name, provider) => {
                compiler.set_provider(&name, provider);
                for secret in compiler.secrets_of(&name) {
                    self.read_secret(secret).await;
                }
            }
            WatchEvent::Key(name, key) => compiler.set_key(&name, key),
            WatchEvent::Endpoints { service, ready } => compiler.set_endpoints(&service, ready),
            WatchEvent::Secret(name) => self.read_secret(name).await,
            WatchEvent::Synced => {}
        }
    }

    /// A Secret that cannot be read keeps its last content.
    async fn read_secret(&mut self, name: ResourceName) {
        match self.context.cluster.secrets.read(&name).await {
            Ok(data) => self.compiler.set_secret(&name, data),
            Err(error) => {
                tracing::warn!(%name, error = %Chain(&error), "secret could not be read");
                if !matches!(&error, kube::Error::Api(status) if status.is_forbidden()) {
                    self.unread_secrets.insert(name);
                }
            }
        }
    }

    async fn retry_secrets(&mut self) {
        self.secret_retries = self.secret_retries.saturating_add(1);
        for name in std::mem::take(&mut self.unread_secrets) {
            if self.compiler.needs_secret(&name) {
                self.read_secret(name).await;
            }
        }
    }
}
