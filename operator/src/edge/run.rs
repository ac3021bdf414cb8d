//! The control loop of the edge.

use super::{
    apply,
    certificate::check,
    debounce::{Debounce, Outcome},
    observe::observe,
    observed::{ExternalKind, InstalledKinds},
    plan::plan,
    readiness::{EdgeState, EdgeView, Readiness},
    settings::{EdgeSettings, Entry},
    watch,
};
use crate::clock;
use futures::StreamExt as _;
use kube::Client;
use llm_contract::Chain;
use std::time::{Duration, Instant};
use tokio::sync::watch::Sender;
use tokio_util::sync::CancellationToken;

/// Reconciles the edge until told to stop, and publishes its state after each reconcile.
pub async fn run(
    client: Client,
    settings: EdgeSettings,
    state: Sender<Option<EdgeState>>,
    stop: CancellationToken,
) {
    let edge = Edge { client, settings, state };
    tokio::select! {
        () = stop.cancelled() => {}
        () = edge.run() => {}
    }
}

struct Edge {
    client: Client,
    settings: EdgeSettings,
    state: Sender<Option<EdgeState>>,
}

impl Edge {
    async fn run(&self) {
        let mut definitions = watch::definitions(&self.client);
        let mut kinds = InstalledKinds::default();
        // Until each kind is known to be installed or not, it would be reported as missing.
        let mut unknown = ExternalKind::ALL.to_vec();
        while !unknown.is_empty()
            && let Some((kind, found)) = definitions.next().await
        {
            unknown.retain(|it| *it != kind);
            *kinds.get_mut(kind) = found;
        }
        let mut changes = watch::changes(&self.client, &self.settings, &kinds);
        let mut debounce = Debounce::new(clock::now());
        loop {
            tokio::select! {
                Some((kind, found)) = definitions.next() => {
                    if *kinds.get_mut(kind) != found {
                        *kinds.get_mut(kind) = found;
                        changes = watch::changes(&self.client, &self.settings, &kinds);
                        debounce.on_change(clock::now());
                    }
                }
                Some(()) = changes.next() => debounce.on_change(clock::now()),
                () = until(debounce.due()) => {
                    let (outcome, recheck) = self.reconcile(&kinds).await;
                    debounce.on_reconciled(outcome, recheck, clock::now());
                }
            }
        }
    }

    /// Reconciles everything once. Also returns when the certificate has to be checked again.
    async fn reconcile(&self, kinds: &InstalledKinds) -> (Outcome, Option<Duration>) {
        let observed = match observe(&self.client, &self.settings, kinds).await {
            Ok(observed) => observed,
            Err(error) => {
                tracing::warn!(error = %Chain(&error), "observing the edge failed; retrying");
                return (Outcome::Failed, None);
            }
        };
        let changes = plan(&self.settings, kinds, &observed);
        let errors = apply::apply(&self.client, &changes).await;
        let now = clock::wall();
        let certificate = check::check(observed.secret.as_ref(), &self.settings.hosts(), now);
        let view = EdgeView {
            settings: &self.settings,
            kinds,
            observed: &observed,
            certificate: &certificate,
            errors: &errors,
        };
        self.publish(&view.evaluate());
        let outcome = match (errors.is_empty(), changes.is_empty()) {
            (false, _) => Outcome::Failed,
            (true, false) => Outcome::Changed,
            (true, true) => Outcome::Unchanged,
        };
        (outcome, check::recheck_after(&certificate, now))
    }

    fn publish(&self, found: &EdgeState) {
        let changed = self.state.send_if_modified(|state| {
            let changed = state.as_ref() != Some(found);
            if changed {
                *state = Some(found.clone());
            }
            changed
        });
        if changed {
            for entry in Entry::ALL {
                let readiness = found.of(entry);
                let Readiness { reason, message } = readiness;
                if readiness.is_ready() {
                    tracing::info!(%entry, %reason, message, "entry is ready");
                } else {
                    tracing::warn!(%entry, %reason, message, "entry is not ready");
                }
            }
        }
    }
}

async fn until(then: Option<Instant>) {
    match then {
        Some(then) => tokio::time::sleep_until(then.into()).await,
        None => std::future::pending().await,
    }
}
