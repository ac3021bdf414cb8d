//! Tells the compiler what is seen, and hands on what that changes.

use crate::{
    cluster_state::{Names, Seen},
    context::{Context, Judged},
    routes::{Compiled, Compiler, Declares},
};
use llm_contract::{Chain, ResourceName, push::Change};
use std::{
    collections::{BTreeSet, HashMap},
    time::Duration,
};
use tokio::{
    sync::{mpsc, watch},
    time::MissedTickBehavior,
};

/// How much is compiled at a time.
const BATCH_MAX: usize = 256;
/// How often Secrets that could not be read are read again.
const READ_AGAIN: Duration = Duration::from_secs(2);
/// How often, before the table is published without what it is for.
const READS_MAX: u32 = 15;

/// Compiles what is seen for as long as something is seen. `publish` gets every change of the
/// route table, and whether the table is complete: before everything has been seen once it is not.
pub async fn compile(
    context: &Context,
    mut feed: mpsc::Receiver<Seen>,
    publish: impl Fn(Change, bool) + Send,
) {
    let mut batch = Vec::with_capacity(BATCH_MAX);
    let compiler = Compiler::new(&context.settings.proxies.namespace);
    let mut follower =
        Follower { compiler, generations: HashMap::new(), unread: BTreeSet::new(), reads: 0 };
    let mut managed = context.world.managed.clone();
    if let Some(managed) = &mut managed {
        managed.mark_changed();
    }
    let mut complete = false;
    // It goes on however much comes in between.
    let mut again = tokio::time::interval(READ_AGAIN);
    again.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            seen = feed.recv_many(&mut batch, BATCH_MAX) => {
                if seen == 0 {
                    return;
                }
            }
            () = moved(&mut managed) => {}
            _ = again.tick(), if !follower.unread.is_empty() => {
                follower.read_again(context).await;
            }
        }
        // Before what was seen after: which namespaces count is known before everything is.
        follower.count(context, &mut managed);
        for seen in batch.drain(..) {
            complete |= matches!(seen, Seen::Synced);
            follower.see(context, seen).await;
        }
        let Compiled { change, verdicts } = follower.compiler.take();
        for (kind, name, verdict) in verdicts {
            let generation = follower.generations.get(&(kind, name.clone())).copied().flatten();
            context.findings.judge(kind, &name, Some(Judged { generation, verdict }));
        }
        // A table that lacks a Secret only because nobody answered would take a provider away; but
        // one Secret does not hold up all others for ever.
        let waits = !follower.unread.is_empty() && follower.reads < READS_MAX;
        publish(change, complete && !waits);
    }
}

/// Waits until other namespaces count; for ever, if all do.
async fn moved(managed: &mut Option<watch::Receiver<Names>>) {
    if let Some(managed) = managed
        && managed.changed().await.is_ok()
    {
        managed.mark_changed();
        return;
    }
    std::future::pending::<()>().await;
}

struct Follower {
    compiler: Compiler,
    /// Of the resources that the compiler knows.
    generations: HashMap<(Declares, ResourceName), Option<i64>>,
    /// Secrets that the API server did not answer for.
    unread: BTreeSet<ResourceName>,
    /// How often these were tried again.
    reads: u32,
}

impl Follower {
    /// Goes by which namespaces count now.
    fn count(&mut self, context: &Context, managed: &mut Option<watch::Receiver<Names>>) {
        if let Some(managed) = managed
            && managed.has_changed().is_ok_and(|changed| changed)
        {
            self.compiler.count(Some(managed.borrow_and_update().clone()));
            let keys = &context.world.queues.keys;
            context.world.keys.names().into_iter().for_each(|name| keys.push(name));
        }
    }

    async fn see(&mut self, context: &Context, seen: Seen) {
        match seen {
            Seen::Model(name, model) => {
                self.generations.insert((Declares::Served, name), model.metadata.generation);
                self.compiler.model(model);
            }
            Seen::ModelGone(name) => {
                self.compiler.model_gone(&name);
                self.gone(context, Declares::Served, name);
            }
            Seen::Provider(name, provider) => {
                let generation = provider.metadata.generation;
                self.generations.insert((Declares::Provider, name.clone()), generation);
                self.compiler.provider(provider);
                for secret in self.compiler.secrets_of(&name) {
                    self.read(context, &secret).await;
                }
            }
            Seen::ProviderGone(name) => {
                self.compiler.provider_gone(&name);
                self.gone(context, Declares::Provider, name);
            }
            Seen::Key(name, key) => self.compiler.key(&name, key),
            Seen::KeyGone(name) => self.compiler.key_gone(&name),
            Seen::Endpoints { service, ready } => self.compiler.endpoints(&service, ready),
            Seen::Secret(name) => self.read(context, &name).await,
            Seen::Synced => {}
        }
    }

    fn gone(&mut self, context: &Context, kind: Declares, name: ResourceName) {
        context.findings.judge(kind, &name, None);
        self.generations.remove(&(kind, name));
    }

    /// A Secret that cannot be read keeps the content that was read last.
    async fn read(&mut self, context: &Context, name: &ResourceName) {
        match context.world.secrets.read(name).await {
            Ok(data) => self.compiler.secret(name, data),
            Err(error) => {
                tracing::warn!(%name, error = %Chain(&error), "reading a Secret");
                let refused = matches!(&error, kube::Error::Api(status) if status.is_forbidden());
                if !refused {
                    self.unread.insert(name.clone());
                }
            }
        }
    }

    async fn read_again(&mut self, context: &Context) {
        self.reads = self.reads.saturating_add(1);
        for name in std::mem::take(&mut self.unread) {
            if self.compiler.wants(&name) {
                self.read(context, &name).await;
            }
        }
    }
}
