//! What the operator pushes: received, put in force, kept on disk, and shown.

pub mod address;
pub mod control;
mod link;
pub mod parts;
pub mod received;
pub mod disk;
pub mod journal;
mod meters;
mod shown;

pub use shown::router;

use crate::{
    auth::{key_usage::KeyUsage, oidc::IssuerConfig},
    gateway::Shared,
};
use disk::{Disk, Kept, NotKept, Place};
use jiff::Timestamp;
use llm_contract::{
    Chain,
    push::{Kind, Name, Resource, wire},
};
use meters::Meters;
use parking_lot::Mutex;
use parts::{InvalidUpdate, Update};
use received::{Changes, NotApplied, Outcome, Received};
use std::{io, path::Path, sync::Arc};
use tokio::runtime::Handle;

/// Refused documents that are named in the log at a time.
const NAMED_MAX: usize = 16;

/// Puts in force what the operator pushes.
pub struct Feed {
    shared: Arc<Shared>,
    held: Mutex<Held>,
    meters: Meters,
}

struct Held {
    received: Received,
    disk: Option<Disk>,
}

impl Feed {
    /// Nothing received yet; a table has at most so many bytes.
    pub fn new(shared: Arc<Shared>, bytes_max: usize) -> Arc<Self> {
        let meters = Meters::default();
        shared.metrics.extend(|registry| meters.register(registry));
        let held = Held { received: Received::new(bytes_max), disk: None };
        Arc::new(Self { shared, held: Mutex::new(held), meters })
    }

    /// Which keys were used.
    fn uses(&self) -> &KeyUsage {
        &self.shared.authenticator.key_verifier.usage
    }

    /// Keeps a copy of the table in this folder from now on, and puts in force what was kept
    /// there. What cannot be used is left alone until there is a table to replace it with.
    ///
    /// # Errors
    /// If the folder cannot be used.
    pub fn keep_in(&self, folder: &Path) -> io::Result<()> {
        let place = Place::open(folder)?;
        match place.read() {
            Ok(None) => {}
            Ok(Some(kept)) => self.restore(kept),
            Err(damaged) => self.unusable(&damaged),
        }
        let disk = place.keep(&self.shared.background, self.meters.copy_failures.clone());
        self.held.lock().disk = Some(disk);
        Ok(())
    }

    fn restore(&self, kept: Kept) {
        let Kept { updates, written } = kept;
        for update in updates {
            if let Err(invalid) = self.put(update) {
                // Each was looked at when it was read.
                self.refused(&invalid);
            }
        }
        self.meters.heard(written);
        let held = self.held.lock();
        let (documents, digest) = (held.received.len(), held.received.digest());
        tracing::info!(documents, %digest, %written, "the copy of the table on disk is in force");
        warn(held.received.refused());
    }

    fn unusable(&self, damaged: &NotKept) {
        self.meters.copy_failures.inc();
        let error = Chain(damaged);
        tracing::error!(%error, "the copy of the table is not used; the operator has to send one");
    }

    /// Puts an update in force; what to report of it.
    ///
    /// # Errors
    /// [`InvalidUpdate`]; then nothing changes.
    pub fn take(&self, update: Update) -> Result<wire::InForce, InvalidUpdate> {
        let is_whole = update.from.is_none();
        let outcome = self.put(update)?;
        self.tell(&outcome, is_whole);
        Ok(outcome.report)
    }

    fn put(&self, update: Update) -> Result<Outcome, InvalidUpdate> {
        let mut held = self.held.lock();
        let Held { received, disk } = &mut *held;
        let outcome = received.take(update, |changes| self.apply(changes))?;
        if let Some(disk) = disk {
            disk.record(received, &outcome.update);
        }
        self.count(received);
        Ok(outcome)
    }

    /// Puts resources in force, and says which are not.
    fn apply(&self, changes: Changes) -> Vec<NotApplied> {
        let issuers = changes.iter().rfind(|(name, _)| name.kind == Kind::Issuers);
        let failed = issuers.and_then(|(name, resource)| {
            let issuers = match resource {
                Some(Resource::Issuers(issuers)) => issuers.as_slice(),
                Some(_) | None => &[],
            };
            let issuers = issuers.iter().map(IssuerConfig::from).collect();
            let updated = self.shared.authenticator.issuers.update(issuers, &Handle::current());
            let reason = Chain(&updated.err()?).to_string();
            Some(NotApplied { name: name.clone(), reason, keeps_last: true })
        });
        let refused = self.shared.tables.apply(changes).into_iter().map(|it| NotApplied {
            name: it.name,
            reason: it.conflict.to_string(),
            keeps_last: it.keeps_last,
        });
        refused.chain(failed).collect()
    }

    fn count(&self, received: &Received) {
        let snapshot = self.shared.tables.snapshot();
        let has = |kind| usize::from(received.is_in_force(&Name::new(kind, "")));
        self.meters.resources(Kind::Routes, snapshot.resources());
        self.meters.resources(Kind::Key, snapshot.keys.len());
        self.meters.resources(Kind::Issuers, has(Kind::Issuers));
        self.meters.resources(Kind::Settings, has(Kind::Settings));
        let refused = i64::try_from(received.refused().len()).unwrap_or(i64::MAX);
        self.meters.resources_refused.set(refused);
    }

    fn tell(&self, outcome: &Outcome, is_whole: bool) {
        let Outcome { update, refused, .. } = outcome;
        let (upserts, removals) = (update.change.upserts.len(), update.change.removals.len());
        if !is_whole && update.change.is_empty() {
            tracing::debug!(sequence = update.sequence, digest = %update.digest, "nothing changed");
            return;
        }
        self.meters.updates.inc();
        tracing::info!(
            sequence = update.sequence,
            is_whole,
            upserts,
            removals,
            refused = refused.len(),
            digest = %update.digest,
            "table in force"
        );
        warn(refused.iter().map(|(name, reason)| (name, reason)));
    }

    /// Everything that is in force: what is reported first on a stream.
    fn everything(&self) -> wire::InForce {
        self.held.lock().received.everything()
    }

    /// The operator said something.
    fn heard(&self, now: Timestamp) {
        self.meters.connected.set(1);
        self.meters.heard(now);
    }

    /// An update was refused whole.
    fn refused(&self, invalid: &InvalidUpdate) {
        self.meters.updates_refused.inc();
        tracing::error!(error = %Chain(invalid), "the last good table stays in force");
    }
}

fn warn<'a>(refused: impl Iterator<Item = (&'a Name, &'a Arc<str>)>) {
    for (name, reason) in refused.take(NAMED_MAX) {
        tracing::warn!(resource = %name, %reason, "a document is refused");
    }
}
