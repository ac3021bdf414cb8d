//! Wires the parts together and runs them.
//!
//! Every replica watches, compiles the table and serves proxies; the leader also writes to the
//! cluster.

use crate::{
    app::{
        admin::{self, Admin},
        config::Config,
        metrics::Metrics,
    },
    clock, cluster_state,
    context::Context,
    edge,
    leader_election::LeaderElector,
    legacy,
    proxies::{self, AuthorityStore, PendingReports, TokenReviewer},
    resources::{key, model, provider},
    routes::feed,
};
use kube::Client;
use llm_contract::{
    ResourceName,
    push::{Change, Documents, Kind, Name},
};
use llm_push::{IssueError, PublishOutcome, Push, PushLimits, TooLarge};
use parking_lot::Mutex;
use std::{io, net::SocketAddr, sync::Arc, time::Duration};
use tokio::{net::TcpListener, sync::watch};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

pub const LEASE: &str = "llm-operator";
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(15);

#[derive(Debug, thiserror::Error)]
pub enum RunError {
    #[error("listening on {address} ({purpose}): choose another with {option}")]
    Port { purpose: &'static str, address: SocketAddr, option: &'static str, source: io::Error },
    #[error("issuing a certificate for {names:?}")]
    Certificate { names: Vec<String>, source: IssueError },
    #[error("serving proxies")]
    Serve(#[source] rustls::Error),
}

struct Operator {
    config: Config,
    client: Client,
    context: Context,
    push: Push,
    authority: AuthorityStore,
    metrics: Arc<Metrics>,
    /// The documents compiled before the table is complete; `None` from then on.
    initial_table: Mutex<Option<Documents>>,
    pending_reports: PendingReports,
    edge: watch::Sender<Option<edge::EdgeState>>,
}

/// Runs until stopped.
pub async fn run(config: Config, client: Client, stop: CancellationToken) -> Result<(), RunError> {
    let listen = |purpose, address, option| async move {
        let error = |source| RunError::Port { purpose, address, option, source };
        TcpListener::bind(address).await.map_err(error)
    };
    let admin = listen("health and metrics", config.admin, "--admin-listen").await?;
    let listener = listen("proxies", config.push.listen, "--push-listen").await?;
    let tasks = TaskTracker::new();
    let (cluster, events) =
        cluster_state::start(&client, &config.settings, model::plan::kinds(), &tasks, &stop);
    let (namespace, name) = &config.push.proxies;
    let tokens = TokenReviewer::new(client.clone(), &config.push.audience, (namespace, name));
    let push = Push::new(tokens, PushLimits::default());
    let metrics = Arc::new(Metrics::new(Arc::clone(&cluster), push.clone()));
    let identity = Some(config.identity.clone());
    let operator = Arc::new(Operator {
        context: Context::new(&client, config.settings.clone(), Arc::clone(&cluster), identity),
        authority: AuthorityStore::new(client.clone(), &config.namespace),
        push: push.clone(),
        metrics: Arc::clone(&metrics),
        initial_table: Mutex::new(Some(config.fixed_documents())),
        pending_reports: PendingReports::default(),
        edge: watch::Sender::new(None),
        client,
        config,
    });
    let router = admin::router(Admin { metrics, cluster, push: push.clone() });
    let serving = axum::serve(admin, router).with_graceful_shutdown(stop.clone().cancelled_owned());
    tasks.spawn(serving.into_future());
    tasks.spawn({
        let operator = Arc::clone(&operator);
        async move {
            let publish = |change, complete| operator.publish(change, complete);
            feed::compile(&operator.context, events, publish).await;
        }
    });
    tasks.spawn({
        let (operator, stop) = (Arc::clone(&operator), stop.clone());
        async move {
            let Operator { context, push, pending_reports, .. } = &*operator;
            stop.run_until_cancelled(proxies::report(context, push, pending_reports)).await;
        }
    });
    tasks.spawn(Arc::clone(&operator).run_elections(stop.clone()));
    let served = operator.serve(listener, &stop).await;
    stop.cancel();
    tasks.close();
    let _ = tokio::time::timeout(SHUTDOWN_TIMEOUT, tasks.wait()).await;
    served
}

impl Operator {
    /// Nothing is published before the table is complete: an incomplete one would remove routes
    /// from the proxies.
    fn publish(&self, change: Change, is_complete: bool) {
        let mut initial = self.initial_table.lock();
        let change = match (&mut *initial, is_complete) {
            (Some(documents), false) => return documents.apply(change),
            (Some(documents), true) => {
                documents.apply(change);
                let table = documents.since(&Documents::default());
                *initial = None;
                table
            }
            (None, _) => change,
        };
        drop(initial);
        let upserts = change.upserts.iter().map(|(name, _)| name);
        let is_routes = |name: &&Name| name.kind == Kind::Routes;
        let changed = upserts.chain(&change.removals).filter(is_routes).cloned();
        let mut routes: Vec<_> = changed.collect();
        let PublishOutcome { too_large, fits_now } =
            self.push.table().publish(change, clock::now());
        for too_large in &too_large {
            tracing::error!(error = %too_large, "document not pushed");
        }
        for name in &fits_now {
            tracing::info!(document = %name, "formerly oversized document pushed");
        }
        let others = too_large.iter().map(TooLarge::name);
        key::requeue(&self.context, others.chain(&fits_now));
        routes.extend(fits_now.into_iter().filter(|name| is_routes(&name)));
        self.pending_reports
            .extend(routes.iter().filter_map(|it| ResourceName::parse(&it.name).ok()));
    }

    async fn serve(&self, listener: TcpListener, stop: &CancellationToken) -> Result<(), RunError> {
        let names = self.config.push.names.clone();
        let issued = tokio::select! {
            issued = proxies::serving_certificate(&self.authority, names.clone()) => issued,
            () = stop.cancelled() => return Ok(()),
        };
        let (certificate, renewal) =
            issued.map_err(|source| RunError::Certificate { names, source })?;
        if !self.context.cluster.wait_until_synced().await {
            return Ok(());
        }
        tracing::info!(address = %self.config.push.listen, "serving proxies");
        tokio::select! {
            served = self.push.serve(listener, certificate, stop.clone()) => {
                served.map_err(RunError::Serve)
            }
            () = renewal => Ok(()),
        }
    }

    async fn run_elections(self: Arc<Self>, stop: CancellationToken) {
        let Config { namespace, identity, .. } = &self.config;
        let elector = LeaderElector::new(self.client.clone(), namespace, LEASE, identity);
        Box::pin(elector.run(&stop, |stop| Arc::clone(&self).lead(stop))).await;
    }

    /// Runs everything that writes to the cluster.
    async fn lead(self: Arc<Self>, stop: CancellationToken) {
        let _leader = LeaderGauge::set(&self.metrics);
        let Self { config, client, context, push, .. } = &*self;
        let edge = edge::run(client.clone(), config.edge.clone(), self.edge.clone(), stop.clone());
        let report_edge = async {
            let mut states = self.edge.subscribe();
            while states.changed().await.is_ok() {
                let findings = states.borrow_and_update().as_ref().map(edge::EdgeState::findings);
                context.findings.set_edge(findings.unwrap_or_default());
            }
        };
        let work = async {
            if !context.cluster.wait_until_synced().await {
                return;
            }
            tokio::join!(
                model::run(context, &stop),
                provider::run(context, &stop),
                key::run(context, push.table(), &stop),
                edge,
                legacy::run(context, config.legacy.clone(), self.edge.subscribe(), &stop),
                proxies::maintain(&self.authority, &stop),
                stop.run_until_cancelled(proxies::record_last_used(context, push)),
            );
        };
        tokio::select! {
            () = work => {}
            () = report_edge => {}
        }
    }
}

/// Sets the gauge for as long as it lives, because the leader's work may be dropped.
struct LeaderGauge(Arc<Metrics>);

impl LeaderGauge {
    fn set(metrics: &Arc<Metrics>) -> Self {
        metrics.leader.set(1);
        Self(Arc::clone(metrics))
    }
}

impl Drop for LeaderGauge {
    fn drop(&mut self) {
        self.0.leader.set(0);
    }
}
