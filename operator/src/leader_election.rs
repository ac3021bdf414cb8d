//! One replica at a time writes to the cluster: the one that holds a Lease.
//!
//! As in Kubernetes' own components, times of other machines are never compared with ours: a
//! holder is gone when its record has not changed for a whole lease by our own clock. A leader
//! that could not renew in time stops before anyone else may start.

use crate::clock;
use futures::{
    FutureExt as _,
    future::{Fuse, FusedFuture as _},
};
use k8s_openapi::{
    api::coordination::v1::{Lease, LeaseSpec},
    apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta},
};
use kube::{Api, Client, api::PostParams};
use std::{
    pin::pin,
    time::{Duration, Instant},
};
use tokio_util::sync::CancellationToken;

/// How long a leader may be silent before it counts as gone.
const LEASE: Duration = Duration::from_secs(15);
/// How long a leader goes on without having renewed.
const RENEW_WITHIN: Duration = Duration::from_secs(10);
/// How long after the last renewal writes that are under way may end. Shorter than [`LEASE`], so
/// that nothing is sent any more when another's work begins, also on a busy machine.
const END_WITHIN: Duration = Duration::from_secs(13);
/// How often a leader renews, and others look.
const INTERVAL: Duration = Duration::from_secs(3);
/// How long one request may take.
const REQUEST_WAIT: Duration = Duration::from_secs(3);

/// Takes part in electing a leader.
pub struct Election {
    leases: Api<Lease>,
    name: String,
    identity: String,
    seen: Option<Seen>,
}

/// What was last seen of the lease, and since when it has been so.
struct Seen {
    lease: Lease,
    since: Instant,
}

/// What to do about the lease.
#[derive(Debug, PartialEq)]
enum Step {
    /// Write this. It takes effect only if nobody else has written in between.
    Write(Box<Lease>),
    /// Somebody else leads.
    Follow,
}

impl Election {
    /// A candidate. The identity is this process's alone, such as its pod's name.
    pub fn new(client: Client, namespace: &str, name: &str, identity: &str) -> Self {
        Self {
            leases: Api::namespaced(client, namespace),
            name: name.into(),
            identity: identity.into(),
            seen: None,
        }
    }

    /// Does the work whenever this replica leads, until told to stop. The work is told when it has
    /// to end, and dropped if it has not when the lease is about to run out.
    pub async fn lead<F: Future<Output = ()>>(
        mut self,
        stop: &CancellationToken,
        work: impl Fn(CancellationToken) -> F,
    ) {
        while !stop.is_cancelled() {
            // Others count from when they see what is written, which is no sooner than this.
            let asked = clock::now();
            if self.turn().await {
                tracing::info!(identity = self.identity, "leading");
                self.hold(asked, stop, &work).await;
                tracing::info!(identity = self.identity, "leading no longer");
            }
            tokio::select! {
                () = stop.cancelled() => {}
                () = tokio::time::sleep(INTERVAL) => {}
            }
        }
    }

    async fn hold<F: Future<Output = ()>>(
        &mut self,
        mut renewed: Instant,
        stop: &CancellationToken,
        work: impl Fn(CancellationToken) -> F,
    ) {
        let over = stop.child_token();
        let mut working = pin!(work(over.clone()).fuse());
        let mut ticks = tokio::time::interval(INTERVAL);
        ticks.tick().await;
        loop {
            let lost = renewed + RENEW_WITHIN;
            let renew = async {
                ticks.tick().await;
                let asked = clock::now();
                (self.turn().await, asked)
            };
            let (holds, asked) = tokio::select! {
                () = &mut working => break,
                () = stop.cancelled() => break,
                () = tokio::time::sleep_until(lost.into()) => {
                    tracing::error!("the lease could not be renewed; another replica may lead");
                    break;
                }
                renewed = renew => renewed,
            };
            if holds {
                renewed = asked;
            } else if !self.is_mine() {
                tracing::error!("another replica has taken the lease");
                break;
            }
        }
        over.cancel();
        if !working.is_terminated() {
            let _ = tokio::time::timeout_at((renewed + END_WITHIN).into(), &mut working).await;
            // Giving the lease back may take longer than it lasts.
            working.set(Fuse::terminated());
        }
        if self.is_mine() {
            self.release().await;
        }
    }

    /// Looks at the lease, and takes or renews it if it may. Says whether that succeeded.
    async fn turn(&mut self) -> bool {
        match tokio::time::timeout(REQUEST_WAIT, self.try_turn()).await {
            Ok(Ok(holds)) => holds,
            Ok(Err(kube::Error::Api(status))) if status.is_conflict() => false,
            Ok(Err(error)) => {
                tracing::warn!(%error, lease = self.name, "the lease cannot be read or written");
                false
            }
            Err(_elapsed) => false,
        }
    }

    async fn try_turn(&mut self) -> kube::Result<bool> {
        let lease = self.leases.get_opt(&self.name).await?;
        self.see(lease.clone(), clock::now());
        match self.step(lease, clock::now()) {
            Step::Follow => Ok(false),
            Step::Write(lease) => {
                let written = self.write(&lease).await?;
                self.see(Some(written), clock::now());
                Ok(true)
            }
        }
    }

    async fn write(&self, lease: &Lease) -> kube::Result<Lease> {
        let params = PostParams::default();
        if lease.metadata.resource_version.is_some() {
            self.leases.replace(&self.name, &params, lease).await
        } else {
            self.leases.create(&params, lease).await
        }
    }

    fn see(&mut self, lease: Option<Lease>, now: Instant) {
        let same = |seen: &Seen| lease.as_ref().is_some_and(|lease| seen.lease.spec == lease.spec);
        if self.seen.as_ref().is_some_and(same) {
            return;
        }
        self.seen = lease.map(|lease| Seen { lease, since: now });
    }

    fn step(&self, lease: Option<Lease>, now: Instant) -> Step {
        let Some(lease) = lease else {
            let metadata = ObjectMeta { name: Some(self.name.clone()), ..ObjectMeta::default() };
            return Step::Write(Box::new(self.mine(metadata, None)));
        };
        let spec = lease.spec.unwrap_or_default();
        let holder = spec.holder_identity.as_deref().unwrap_or_default();
        let silent = self.seen.as_ref().map(|seen| now.saturating_duration_since(seen.since));
        let seconds = spec.lease_duration_seconds.and_then(|it| u64::try_from(it).ok());
        let lasts = seconds.map_or(LEASE, Duration::from_secs);
        let free = holder.is_empty() || silent.is_some_and(|silent| lasts < silent);
        if holder == self.identity || free {
            Step::Write(Box::new(self.mine(lease.metadata, Some(&spec))))
        } else {
            Step::Follow
        }
    }

    fn mine(&self, metadata: ObjectMeta, before: Option<&LeaseSpec>) -> Lease {
        let now = MicroTime(clock::wall());
        let holder = before.and_then(|spec| spec.holder_identity.as_deref());
        let renews = holder == Some(self.identity.as_str());
        let before = before.cloned().unwrap_or_default();
        let transitions = before.lease_transitions.unwrap_or_default();
        let spec = LeaseSpec {
            holder_identity: Some(self.identity.clone()),
            lease_duration_seconds: i32::try_from(LEASE.as_secs()).ok(),
            acquire_time: before.acquire_time.filter(|_| renews).or(Some(now.clone())),
            renew_time: Some(now),
            lease_transitions: Some(transitions + i32::from(!renews)),
            ..LeaseSpec::default()
        };
        let metadata = ObjectMeta { managed_fields: None, ..metadata };
        Lease { metadata, spec: Some(spec) }
    }

    fn is_mine(&self) -> bool {
        let spec = self.seen.as_ref().and_then(|seen| seen.lease.spec.as_ref());
        spec.and_then(|spec| spec.holder_identity.as_deref()) == Some(&self.identity)
    }

    /// Gives the lease back, so that another replica need not wait for it to run out.
    async fn release(&mut self) {
        let released = tokio::time::timeout(REQUEST_WAIT, async {
            loop {
                match self.try_release().await {
                    // A renewal whose answer nobody waited for has arrived meanwhile.
                    Err(kube::Error::Api(status)) if status.is_conflict() => {}
                    released => break released,
                }
            }
        });
        match released.await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, "the lease was not given back; it runs out"),
            Err(_elapsed) => tracing::warn!("the lease was not given back in time; it runs out"),
        }
        self.seen = None;
    }

    async fn try_release(&self) -> kube::Result<()> {
        let Some(mut lease) = self.leases.get_opt(&self.name).await? else { return Ok(()) };
        let Some(spec) = &mut lease.spec else { return Ok(()) };
        if spec.holder_identity.as_deref() != Some(&self.identity) {
            return Ok(());
        }
        spec.holder_identity = Some(String::new());
        spec.lease_duration_seconds = Some(1);
        spec.renew_time = Some(MicroTime(clock::wall()));
        lease.metadata.managed_fields = None;
        self.write(&lease).await.map(drop)
    }
}

#[cfg(test)]
mod tests;
