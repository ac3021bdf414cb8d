//! Puts the parts together.
//!
//! Every replica watches, compiles the table and serves proxies; the one that leads also writes to
//! the cluster.

use crate::{
    app::{
        admin::{self, Admin},
        config::Config,
        metrics::Metrics,
    },
    clock, cluster_state,
    context::{Context, Part},
    edge, leader_election, legacy,
    proxies::{self, Tokens, Unsaid},
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
use std::{io, sync::Arc, time::Duration};
use tokio::{net::TcpListener, sync::watch as value};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// The Lease that the leader holds.
pub const LEASE: &str = "llm-operator";
/// How long everything may take to end.
const END_WAIT: Duration = Duration::from_secs(15);

/// Why the operator does not run.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// Somebody else has the port.
    #[error("listening on {address} ({what}): choose another with {option}")]
    Port {
        /// What for.
        what: &'static str,
        /// Where.
        address: std::net::SocketAddr,
        /// The option that says so.
        option: &'static str,
        /// What failed.
        source: io::Error,
    },
    /// See the source.
    #[error("making a certificate for {names:?}")]
    Certificate {
        /// For these names.
        names: Vec<String>,
        /// What failed.
        source: IssueError,
    },
    /// See the source.
    #[error("serving proxies")]
    Serve(#[source] rustls::Error),
}

/// What runs.
struct Operator {
    config: Config,
    client: Client,
    context: Context,
    push: Push,
    published: proxies::Published,
    metrics: Arc<Metrics>,
    /// What is gathered until everything has been seen.
    early: Mutex<Option<Documents>>,
    unsaid: Unsaid,
    edge: value::Sender<Option<edge::EdgeState>>,
}

/// Runs until told to stop.
///
/// # Errors
/// [`Failure`]; nothing was served then.
pub async fn run(config: Config, client: Client, stop: CancellationToken) -> Result<(), Failure> {
    let listen = |what, address, option| async move {
        let failed = |source| Failure::Port { what, address, option, source };
        TcpListener::bind(address).await.map_err(failed)
    };
    let admin = listen("health and metrics", config.admin, "--admin-listen").await?;
    let listener = listen("the push", config.push.listen, "--push-listen").await?;
    let tasks = TaskTracker::new();
    let (world, feed) =
        cluster_state::start(&client, &config.settings, model::plan::kinds(), &tasks, &stop);
    let (namespace, name) = &config.push.proxies;
    let tokens = Tokens::new(client.clone(), &config.push.audience, (namespace, name));
    let push = Push::new(tokens, PushLimits::default());
    let metrics = Arc::new(Metrics::new(world.clone(), push.clone()));
    let identity = Some(config.identity.clone());
    let operator = Arc::new(Operator {
        context: Context::new(&client, config.settings.clone(), world.clone(), identity),
        published: proxies::Published::new(client.clone(), &config.namespace),
        push: push.clone(),
        metrics: Arc::clone(&metrics),
        early: Mutex::new(Some(config.fixed_documents())),
        unsaid: Unsaid::default(),
        edge: value::Sender::new(None),
        client,
        config,
    });
    let router = admin::router(Admin { metrics, world, push: push.clone() });
    let serving = axum::serve(admin, router).with_graceful_shutdown(stop.clone().cancelled_owned());
    tasks.spawn(serving.into_future());
    tasks.spawn({
        let operator = Arc::clone(&operator);
        async move {
            let publish = |change, complete| operator.publish(change, complete);
            feed::compile(&operator.context, feed, publish).await;
        }
    });
    tasks.spawn({
        let (operator, stop) = (Arc::clone(&operator), stop.clone());
        async move {
            let Operator { context, push, unsaid, .. } = &*operator;
            tokio::select! {
                () = stop.cancelled() => {}
                () = proxies::report(context, push, unsaid) => {}
            }
        }
    });
    tasks.spawn(Arc::clone(&operator).lead(stop.clone()));
    let served = operator.serve(listener, &stop).await;
    stop.cancel();
    tasks.close();
    let _ = tokio::time::timeout(END_WAIT, tasks.wait()).await;
    served
}

impl Operator {
    /// Nothing is pushed before everything has been seen: a table that lacks what was not seen yet
    /// would take it from the proxies.
    fn publish(&self, change: Change, complete: bool) {
        let mut early = self.early.lock();
        let change = match (&mut *early, complete) {
            (Some(gathered), false) => return gathered.apply(change),
            (Some(gathered), true) => {
                gathered.apply(change);
                let whole = gathered.since(&Documents::default());
                *early = None;
                whole
            }
            (None, _) => change,
        };
        drop(early);
        let upserts = change.upserts.iter().map(|(name, _)| name);
        let is_routes = |name: &&Name| name.kind == Kind::Routes;
        let changed = upserts.chain(&change.removals).filter(is_routes).cloned();
        let mut routes: Vec<_> = changed.collect();
        let PublishOutcome { too_large, fits_now } =
            self.push.table().publish(change, clock::now());
        for too_large in &too_large {
            tracing::error!(error = %too_large, "a document is not pushed");
        }
        for name in &fits_now {
            tracing::info!(document = %name, "a document that was too large is pushed");
        }
        let others = too_large.iter().map(TooLarge::name);
        key::look_again(&self.context, others.chain(&fits_now));
        routes.extend(fits_now.into_iter().filter(|name| is_routes(&name)));
        self.unsaid.extend(routes.iter().filter_map(|it| ResourceName::parse(&it.name).ok()));
    }

    async fn serve(&self, listener: TcpListener, stop: &CancellationToken) -> Result<(), Failure> {
        let names = self.config.push.names.clone();
        let issued = tokio::select! {
            issued = proxies::serving(&self.published, names.clone()) => issued,
            () = stop.cancelled() => return Ok(()),
        };
        let (certificate, renewing) =
            issued.map_err(|source| Failure::Certificate { names, source })?;
        if !self.context.world.synced().await {
            return Ok(());
        }
        tracing::info!(address = %self.config.push.listen, "serving proxies");
        tokio::select! {
            served = self.push.serve(listener, certificate, stop.clone()) => {
                served.map_err(Failure::Serve)
            }
            () = renewing => Ok(()),
        }
    }

    async fn lead(self: Arc<Self>, stop: CancellationToken) {
        let election = leader_election::Election::new(
            self.client.clone(),
            &self.config.namespace,
            LEASE,
            &self.config.identity,
        );
        Box::pin(election.lead(&stop, |over| Arc::clone(&self).reconcile(over))).await;
    }

    /// Everything that writes to the cluster.
    async fn reconcile(self: Arc<Self>, over: CancellationToken) {
        let _leads = Leads::say(&self.metrics);
        let context = &self.context;
        let edge = edge::run(
            self.client.clone(),
            self.config.edge.clone(),
            self.edge.clone(),
            over.clone(),
        );
        let tell_edge = async {
            let mut states = self.edge.subscribe();
            while states.changed().await.is_ok() {
                let findings = states.borrow_and_update().as_ref().map(edge::EdgeState::findings);
                context.findings.about_all(Part::Edge, findings.unwrap_or_default());
            }
        };
        let work = async {
            if !context.world.synced().await {
                return;
            }
            tokio::join!(
                model::run(context, &over),
                provider::run(context, &over),
                key::run(context, self.push.table(), &over),
                edge,
                legacy::run(context, self.config.legacy.clone(), self.edge.subscribe(), &over),
                proxies::keep(&self.published, &over),
                proxies::note_uses(context, &self.push, &over),
            );
        };
        tokio::select! {
            () = work => {}
            () = tell_edge => {}
        }
    }
}

/// That this replica leads, as long as it is there: its work may be cut off.
struct Leads(Arc<Metrics>);

impl Leads {
    fn say(metrics: &Arc<Metrics>) -> Self {
        metrics.leads.set(1);
        Self(Arc::clone(metrics))
    }
}

impl Drop for Leads {
    fn drop(&mut self) {
        self.0.leads.set(0);
    }
}
