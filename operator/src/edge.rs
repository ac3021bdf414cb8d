//! How callers get in: the certificate for both host names, and with a Gateway of the platform
//! its listeners, the grants they need, and one route from each to the proxies.
//!
//! It is one thing for the whole installation, kept by the replica that leads. It observes,
//! plans, acts, and says what came of it; whoever reports on models adds that to their status.
//! What belongs to others is left byte for byte: other listeners of a Gateway, fields somebody
//! added to an object of ours. A cluster may lack cert-manager or the Gateway API, or get them
//! later.

pub mod settings;
mod object;
mod certificate;
mod grants;
mod listeners;
mod http_routes;
mod plan;
mod readiness;
mod observe;
mod act;
mod watch;
mod pace;

pub use readiness::{EdgeState, Readiness};

use crate::clock;
use certificate::check::{self, TlsSecret};
use futures::StreamExt as _;
use kube::{Client, api::ApiResource};
use pace::{Outcome, Pace};
use readiness::Evidence;
use serde_json::Value;
use settings::{GatewayName, Settings};
use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};
use tokio::sync::watch::Sender;
use tokio_util::sync::CancellationToken;
use watch::Foreign;

/// Which of the kinds it needs the cluster has, and in which version.
#[derive(Clone, Debug, Default, PartialEq)]
struct Served {
    gateway: Option<ApiResource>,
    http_route: Option<ApiResource>,
    reference_grant: Option<ApiResource>,
    certificate: Option<ApiResource>,
}

/// What there is.
#[derive(Debug, Default)]
struct Observed {
    /// The Certificate that cert-manager is asked for.
    certificate: Option<Value>,
    /// The Secret with the certificate.
    secret: Option<TlsSecret>,
    /// The Gateways in use, and those that were.
    gateways: BTreeMap<GatewayName, Value>,
    /// The ReferenceGrants we made.
    grants: Vec<Value>,
    /// The HTTPRoutes we made.
    routes: Vec<Value>,
}

/// Keeps the edge until told to stop, and says what is known of it; nothing before the first look.
pub async fn run(
    client: Client,
    settings: Settings,
    state: Sender<Option<EdgeState>>,
    stop: CancellationToken,
) {
    let edge = Edge { client, settings, state };
    tokio::select! {
        () = stop.cancelled() => {}
        () = edge.keep() => {}
    }
}

struct Edge {
    client: Client,
    settings: Settings,
    state: Sender<Option<EdgeState>>,
}

impl Edge {
    async fn keep(&self) {
        let mut definitions = watch::definitions(&self.client);
        let mut served = Served::default();
        // Before all have answered, a kind that is there would be reported as missing.
        let mut unanswered = Foreign::ALL.to_vec();
        while !unanswered.is_empty()
            && let Some((kind, found)) = definitions.next().await
        {
            unanswered.retain(|it| *it != kind);
            *served.of(kind) = found;
        }
        let mut changes = watch::changes(&self.client, &self.settings, &served);
        let mut pace = Pace::new(clock::now());
        loop {
            tokio::select! {
                Some((kind, found)) = definitions.next() => {
                    if *served.of(kind) != found {
                        *served.of(kind) = found;
                        changes = watch::changes(&self.client, &self.settings, &served);
                        pace.changed(clock::now());
                    }
                }
                Some(()) = changes.next() => pace.changed(clock::now()),
                () = until(pace.due()) => {
                    let (outcome, again) = self.look(&served).await;
                    pace.looked(outcome, again, clock::now());
                }
            }
        }
    }

    /// Looks at everything once, and does what is to be done.
    async fn look(&self, served: &Served) -> (Outcome, Option<Duration>) {
        let observed = match observe::observe(&self.client, &self.settings, served).await {
            Ok(observed) => observed,
            Err(error) => {
                let source = std::error::Error::source(&error).map(ToString::to_string);
                tracing::warn!(%error, source, "the edge could not be looked at");
                return (Outcome::Failed, None);
            }
        };
        let steps = plan::plan(&self.settings, served, &observed);
        let failures = act::act(&self.client, &steps).await;
        let now = clock::wall();
        let certificate = check::check(observed.secret.as_ref(), &self.settings.hosts(), now);
        let evidence = Evidence {
            settings: &self.settings,
            served,
            observed: &observed,
            certificate: &certificate,
            failures: &failures,
        };
        self.say(&evidence.judge());
        let outcome = match (failures.is_empty(), steps.is_empty()) {
            (false, _) => Outcome::Failed,
            (true, false) => Outcome::Wrote,
            (true, true) => Outcome::Quiet,
        };
        (outcome, check::look_again(&certificate, now))
    }

    fn say(&self, found: &EdgeState) {
        let changed = self.state.send_if_modified(|state| {
            let changed = state.as_ref() != Some(found);
            if changed {
                *state = Some(found.clone());
            }
            changed
        });
        if changed {
            for entry in settings::Entry::ALL {
                let readiness = found.of(entry);
                let Readiness { reason, message } = readiness;
                if readiness.is_ready() {
                    tracing::info!(%entry, %reason, message, "an entry is ready");
                } else {
                    tracing::warn!(%entry, %reason, message, "an entry is not ready");
                }
            }
        }
    }
}

impl Served {
    fn of(&mut self, kind: Foreign) -> &mut Option<ApiResource> {
        match kind {
            Foreign::Gateway => &mut self.gateway,
            Foreign::HttpRoute => &mut self.http_route,
            Foreign::ReferenceGrant => &mut self.reference_grant,
            Foreign::Certificate => &mut self.certificate,
        }
    }
}

/// Waits until then, or for ever.
async fn until(then: Option<Instant>) {
    match then {
        Some(then) => tokio::time::sleep_until(then.into()).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests;
