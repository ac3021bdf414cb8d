//! Decides which legacy objects can be removed. Pure.

use super::kinds::{LegacyObject, Role};
use crate::edge::settings::Entry;
use llm_contract::ResourceName;
use std::collections::BTreeMap;

/// How far a model of the first release has been migrated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Migration {
    /// The proxies serve it.
    Served,
    /// It exists, but the proxies do not serve it yet.
    Pending,
    Deleted,
}

/// The objects that can be removed now. `is_ready` tells whether requests of an entry reach the
/// proxies.
pub(super) fn removable(
    found: &[LegacyObject],
    migration: impl Fn(&ResourceName) -> Migration,
    is_ready: impl Fn(Entry) -> bool,
) -> Vec<&LegacyObject> {
    let mut by_model: BTreeMap<&ResourceName, Vec<&LegacyObject>> = BTreeMap::new();
    for object in found {
        by_model.entry(&object.model).or_default().push(object);
    }
    let all_ready = Entry::ALL.into_iter().all(&is_ready);
    let mut removable = Vec::new();
    for (model, mut parts) in by_model {
        let is_served = match migration(model) {
            Migration::Served => true,
            Migration::Deleted => false,
            Migration::Pending => continue,
        };
        let entry_migrated = |entry| if is_served { is_ready(entry) } else { all_ready };
        let migrated = is_served || all_ready;
        parts.sort_by_key(|it| it.role);
        let is_removable = |it: &&LegacyObject| match it.role {
            Role::Route(entry) => entry_migrated(entry),
            // The controller recreates it while the route exists.
            Role::GeneratedRoute(entry) => {
                let source =
                    |it: &&LegacyObject| it.role == Role::Route(entry) && !it.is_terminating;
                entry_migrated(entry) && !parts.iter().any(source)
            }
            // A route without its policy would be open to everyone.
            Role::Policy(entry) => entry_migrated(entry) && !is_routed(&parts, entry),
            Role::Pool => migrated && !Entry::ALL.into_iter().any(|it| is_routed(&parts, it)),
            Role::Dependency => migrated && parts.iter().all(|it| it.role == Role::Dependency),
        };
        removable
            .extend(parts.iter().copied().filter(|it| !it.is_terminating).filter(is_removable));
    }
    removable
}

/// Whether a legacy route still receives the requests of an entry.
fn is_routed(parts: &[&LegacyObject], entry: Entry) -> bool {
    parts
        .iter()
        .any(|it| matches!(it.role, Role::Route(it) | Role::GeneratedRoute(it) if it == entry))
}

#[cfg(test)]
mod tests;
