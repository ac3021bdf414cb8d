//! Leader election with a Lease, like client-go's.
//!
//! The times in the Lease, written by other machines, are never compared with our clock: a holder
//! has expired when its record has not changed for a whole lease duration while we observed it.
//! A leader that cannot renew in time drops its work before another replica may lead.

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

/// After this time without a change of the Lease another replica may lead.
const LEASE_DURATION: Duration = Duration::from_secs(15);
/// After this time without a renewal a leader asks its work to end.
const RENEW_DEADLINE: Duration = Duration::from_secs(10);
/// After this time without a renewal the work is dropped. Shorter than [`LEASE_DURATION`], so that
/// no request is sent any more when another replica begins, even on a busy machine.
const DROP_DEADLINE: Duration = Duration::from_secs(13);
/// The interval at which a leader renews, and others try to acquire.
const RETRY_PERIOD: Duration = Duration::from_secs(3);
const REQUEST_TIMEOUT: Duration = Duration::from_secs(3);

pub struct LeaderElector {
    leases: Api<Lease>,
    name: String,
    identity: String,
    observed: Option<ObservedLease>,
}

struct ObservedLease {
    lease: Lease,
    since: Instant,
}

impl LeaderElector {
    /// The identity must be unique to this process, such as the name of its pod.
    pub fn new(client: Client, namespace: &str, name: &str, identity: &str) -> Self {
        Self {
            leases: Api::namespaced(client, namespace),
            name: name.into(),
            identity: identity.into(),
            observed: None,
        }
    }

    /// Runs the work whenever this replica leads, until stopped. The work's token is cancelled
    /// when it has to end; if it has not ended when the lease is about to expire, it is dropped.
    pub async fn run<F: Future<Output = ()>>(
        mut self,
        stop: &CancellationToken,
        work: impl Fn(CancellationToken) -> F,
    ) {
        while !stop.is_cancelled() {
            // Others observe a renewal no sooner than this.
            let requested = clock::now();
            if self.try_acquire_or_renew().await {
                tracing::info!(identity = self.identity, "became leader");
                self.run_while_leader(requested, stop, &work).await;
                tracing::info!(identity = self.identity, "stopped leading");
            }
            tokio::select! {
                () = stop.cancelled() => {}
                () = tokio::time::sleep(RETRY_PERIOD) => {}
            }
        }
    }

    async fn run_while_leader<F: Future<Output = ()>>(
        &mut self,
        mut renewed: Instant,
        stop: &CancellationToken,
        work: impl Fn(CancellationToken) -> F,
    ) {
        let ended = stop.child_token();
        let mut work = pin!(work(ended.clone()).fuse());
        let mut ticks = tokio::time::interval(RETRY_PERIOD);
        ticks.tick().await;
        loop {
            let deadline = renewed + RENEW_DEADLINE;
            let renew = async {
                ticks.tick().await;
                let requested = clock::now();
                (self.try_acquire_or_renew().await, requested)
            };
            let (is_renewed, requested) = tokio::select! {
                () = &mut work => break,
                () = stop.cancelled() => break,
                () = tokio::time::sleep_until(deadline.into()) => {
                    tracing::error!("lease not renewed before the deadline, another replica may lead");
                    break;
                }
                renewed = renew => renewed,
            };
            if is_renewed {
                renewed = requested;
            } else if !self.is_held() {
                tracing::error!("lease taken by another replica");
                break;
            }
        }
        ended.cancel();
        if !work.is_terminated() {
            let _ = tokio::time::timeout_at((renewed + DROP_DEADLINE).into(), &mut work).await;
            // Releasing the lease may take longer than it lasts.
            work.set(Fuse::terminated());
        }
        if self.is_held() {
            self.release().await;
        }
    }

    async fn try_acquire_or_renew(&mut self) -> bool {
        match tokio::time::timeout(REQUEST_TIMEOUT, self.acquire_or_renew()).await {
            Ok(Ok(is_held)) => is_held,
            Ok(Err(kube::Error::Api(status))) if status.is_conflict() => false,
            Ok(Err(error)) => {
                tracing::warn!(%error, lease = self.name, "lease could not be read or written");
                false
            }
            Err(_elapsed) => false,
        }
    }

    async fn acquire_or_renew(&mut self) -> kube::Result<bool> {
        let lease = self.leases.get_opt(&self.name).await?;
        self.observe(lease.clone(), clock::now());
        let Some(lease) = self.next_lease(lease, clock::now()) else { return Ok(false) };
        let written = self.write(&lease).await?;
        self.observe(Some(written), clock::now());
        Ok(true)
    }

    /// Fails with a conflict if another replica has written in between.
    async fn write(&self, lease: &Lease) -> kube::Result<Lease> {
        let params = PostParams::default();
        if lease.metadata.resource_version.is_some() {
            self.leases.replace(&self.name, &params, lease).await
        } else {
            self.leases.create(&params, lease).await
        }
    }

    fn observe(&mut self, lease: Option<Lease>, now: Instant) {
        let before = self.observed.as_ref().map(|observed| &observed.lease.spec);
        if before != lease.as_ref().map(|lease| &lease.spec) {
            self.observed = lease.map(|lease| ObservedLease { lease, since: now });
        }
    }

    /// The Lease to write to acquire or renew it; `None` while another replica leads.
    fn next_lease(&self, lease: Option<Lease>, now: Instant) -> Option<Lease> {
        let Some(lease) = lease else {
            let metadata = ObjectMeta { name: Some(self.name.clone()), ..ObjectMeta::default() };
            return Some(self.lease_of(metadata, None));
        };
        let spec = lease.spec.unwrap_or_default();
        let holder = spec.holder_identity.as_deref().unwrap_or_default();
        let unchanged =
            self.observed.as_ref().map(|observed| now.saturating_duration_since(observed.since));
        let seconds = spec.lease_duration_seconds.and_then(|it| u64::try_from(it).ok());
        let duration = seconds.map_or(LEASE_DURATION, Duration::from_secs);
        let is_expired = unchanged.is_some_and(|unchanged| duration < unchanged);
        (holder.is_empty() || holder == self.identity || is_expired)
            .then(|| self.lease_of(lease.metadata, Some(&spec)))
    }

    /// The Lease as held by this replica.
    fn lease_of(&self, metadata: ObjectMeta, before: Option<&LeaseSpec>) -> Lease {
        let now = MicroTime(clock::wall());
        let holder = before.and_then(|spec| spec.holder_identity.as_deref());
        let is_renewal = holder == Some(self.identity.as_str());
        let before = before.cloned().unwrap_or_default();
        let transitions = before.lease_transitions.unwrap_or_default();
        let spec = LeaseSpec {
            holder_identity: Some(self.identity.clone()),
            lease_duration_seconds: i32::try_from(LEASE_DURATION.as_secs()).ok(),
            acquire_time: before.acquire_time.filter(|_| is_renewal).or(Some(now.clone())),
            renew_time: Some(now),
            lease_transitions: Some(transitions + i32::from(!is_renewal)),
            ..LeaseSpec::default()
        };
        let metadata = ObjectMeta { managed_fields: None, ..metadata };
        Lease { metadata, spec: Some(spec) }
    }

    fn is_held(&self) -> bool {
        let spec = self.observed.as_ref().and_then(|observed| observed.lease.spec.as_ref());
        spec.and_then(|spec| spec.holder_identity.as_deref()) == Some(&self.identity)
    }

    /// Releases the lease, so that another replica need not wait until it expires.
    async fn release(&mut self) {
        let released = tokio::time::timeout(REQUEST_TIMEOUT, async {
            loop {
                match self.try_release().await {
                    // A renewal whose reply was not awaited has arrived in between.
                    Err(kube::Error::Api(status)) if status.is_conflict() => {}
                    released => break released,
                }
            }
        });
        match released.await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, "lease not released, it expires"),
            Err(_elapsed) => tracing::warn!("lease not released in time, it expires"),
        }
        self.observed = None;
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
