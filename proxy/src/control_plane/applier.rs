//! Applies the operator's updates, and keeps a copy of the table on disk.

use super::{
    cache::{CacheDir, CachedTable, TableCache},
    metrics::ControlMetrics,
    reassembly::{InvalidUpdate, TableUpdate},
    replica::{Changes, RejectedDocument, TableReplica, UpdateOutcome},
};
use crate::{auth::oidc::IssuerConfig, gateway::Gateway};
use llm_contract::{
    Chain,
    push::{Kind, Name, RedactedTable, Resource, wire},
};
use parking_lot::Mutex;
use std::{io, path::Path, sync::Arc};
use tokio::runtime::Handle;

/// Rejected documents in one set of log lines.
const LOGGED_MAX: usize = 16;

pub struct TableApplier {
    pub(super) gateway: Arc<Gateway>,
    state: Mutex<ApplierState>,
    pub(super) metrics: ControlMetrics,
}

struct ApplierState {
    replica: TableReplica,
    cache: Option<TableCache>,
}

impl TableApplier {
    pub fn new(gateway: Arc<Gateway>, bytes_max: usize) -> Arc<Self> {
        let metrics = ControlMetrics::default();
        gateway.metrics.extend(|registry| metrics.register(registry));
        let state = ApplierState { replica: TableReplica::new(bytes_max), cache: None };
        Arc::new(Self { gateway, state: Mutex::new(state), metrics })
    }

    /// Applies the table cached in this folder, and caches it there from now on. An unusable copy
    /// is kept until the next table replaces it.
    pub fn enable_cache(&self, folder: &Path) -> io::Result<()> {
        let dir = CacheDir::open(folder)?;
        match dir.read() {
            Ok(None) => {}
            Ok(Some(cached)) => self.restore(cached),
            Err(error) => {
                self.metrics.cache_failures.inc();
                let error = Chain(&error);
                tracing::error!(%error, "the cached table is unusable; waiting for the operator's");
            }
        }
        let cache =
            TableCache::start(dir, &self.gateway.background, self.metrics.cache_failures.clone());
        self.state.lock().cache = Some(cache);
        Ok(())
    }

    fn restore(&self, CachedTable { updates, written }: CachedTable) {
        for update in updates {
            if let Err(invalid) = self.update_table(update) {
                self.on_invalid_update(&invalid);
            }
        }
        self.metrics.last_message(written);
        let state = self.state.lock();
        let (documents, digest) = (state.replica.documents().len(), state.replica.digest());
        tracing::info!(documents, %digest, %written, "applied the cached table");
        log_rejected(state.replica.rejected());
    }

    /// Returns the acknowledgement; an error changes nothing.
    pub fn apply_update(&self, update: TableUpdate) -> Result<wire::Applied, InvalidUpdate> {
        let is_snapshot = update.from.is_none();
        let outcome = self.update_table(update)?;
        self.log_outcome(&outcome, is_snapshot);
        Ok(outcome.report)
    }

    fn update_table(&self, update: TableUpdate) -> Result<UpdateOutcome, InvalidUpdate> {
        let ApplierState { replica, cache } = &mut *self.state.lock();
        let outcome = replica.update(update, |changes| self.apply(changes))?;
        if let Some(cache) = cache {
            cache.record(replica, &outcome.update);
        }
        let snapshot = self.gateway.tables.snapshot();
        for (kind, count) in [
            (Kind::Routes, snapshot.resources()),
            (Kind::Key, snapshot.keys.len()),
            (Kind::Issuers, replica.is_applied(&Name::new(Kind::Issuers, "")).into()),
            (Kind::Settings, replica.is_applied(&Name::new(Kind::Settings, "")).into()),
        ] {
            self.metrics.set_resources(kind, count);
        }
        self.metrics.set_rejected(replica.rejected().len());
        Ok(outcome)
    }

    /// Returns the resources that are rejected.
    fn apply(&self, changes: Changes) -> Vec<RejectedDocument> {
        let issuers = changes.iter().rfind(|(name, _)| name.kind == Kind::Issuers);
        let failed = issuers.and_then(|(name, resource)| {
            let issuers = match resource {
                Some(Resource::Issuers(issuers)) => issuers.as_slice(),
                Some(_) | None => &[],
            };
            let issuers = issuers.iter().map(IssuerConfig::from).collect();
            let updated = self.gateway.authenticator.issuers.update(issuers, &Handle::current());
            let reason = Chain(&updated.err()?).to_string();
            Some(RejectedDocument { name: name.clone(), reason, keeps_last: true })
        });
        let rejected = self.gateway.tables.apply(changes).into_iter().map(RejectedDocument::from);
        rejected.chain(failed).collect()
    }

    fn log_outcome(&self, outcome: &UpdateOutcome, is_snapshot: bool) {
        let UpdateOutcome { update, rejected, .. } = outcome;
        let TableUpdate { sequence, digest, change, .. } = update;
        if !is_snapshot && change.is_empty() {
            tracing::debug!(sequence, %digest, "heartbeat");
            return;
        }
        self.metrics.updates.inc();
        tracing::info!(
            sequence,
            is_snapshot,
            upserts = change.upserts.len(),
            removals = change.removals.len(),
            rejected = rejected.len(),
            %digest,
            "table applied"
        );
        log_rejected(rejected.iter().map(|(name, reason)| (name, reason)));
    }

    pub(super) fn full_report(&self) -> wire::Applied {
        self.state.lock().replica.full_report()
    }

    pub(super) fn redacted(&self) -> RedactedTable {
        let state = self.state.lock();
        let digest = state.replica.digest();
        let applied: Vec<_> = state.replica.applied().collect();
        let rejected = state.replica.rejected();
        let rejected: Vec<_> =
            rejected.map(|(name, why)| (name.clone(), why.to_string())).collect();
        drop(state);
        RedactedTable::of(digest, applied.iter().map(|(name, text)| (name, text)))
            .and_refused(rejected)
    }

    pub(super) fn on_invalid_update(&self, invalid: &InvalidUpdate) {
        self.metrics.updates_rejected.inc();
        let error = Chain(invalid);
        tracing::error!(%error, "an update was rejected; the last good table stays in force");
    }
}

fn log_rejected<'a>(rejected: impl Iterator<Item = (&'a Name, &'a Arc<str>)>) {
    for (name, reason) in rejected.take(LOGGED_MAX) {
        tracing::warn!(resource = %name, %reason, "a document was rejected");
    }
}
