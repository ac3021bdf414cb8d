//! Tells the compiler what is seen, and hands on what that changes.

use crate::{
    context::{Context, Judged},
    routes::{Compiled, Compiler, Declares},
    watch::Seen,
};
use llm_contract::{ResourceName, push::Change};
use std::collections::HashMap;
use tokio::sync::mpsc;

/// How much is compiled at a time.
const BATCH_MAX: usize = 256;

/// Compiles what is seen for as long as something is seen. `publish` gets every change of the
/// route table, and whether the table is complete: before everything has been seen once it is not.
pub async fn compile(
    context: &Context,
    mut feed: mpsc::Receiver<Seen>,
    publish: impl Fn(Change, bool) + Send,
) {
    let mut batch = Vec::with_capacity(BATCH_MAX);
    let mut follower = Follower::default();
    let mut complete = false;
    while feed.recv_many(&mut batch, BATCH_MAX).await > 0 {
        for seen in batch.drain(..) {
            complete |= matches!(seen, Seen::Synced);
            follower.see(context, seen).await;
        }
        let Compiled { change, verdicts } = follower.compiler.take();
        for (kind, name, verdict) in verdicts {
            let generation = follower.generations.get(&(kind, name.clone())).copied().flatten();
            context.findings.judge(kind, &name, Some(Judged { generation, verdict }));
        }
        publish(change, complete);
    }
}

#[derive(Default)]
struct Follower {
    compiler: Compiler,
    /// Of the resources that the compiler knows.
    generations: HashMap<(Declares, ResourceName), Option<i64>>,
}

impl Follower {
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
            Seen::Key(_, key) => self.compiler.key(key),
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
                tracing::warn!(%name, error = &error as &dyn std::error::Error, "reading a Secret");
            }
        }
    }
}
