//! What may go, and what must wait. No client.

use super::known::{Leftover, Part};
use crate::edge::settings::Entry;
use llm_contract::ResourceName;
use std::collections::BTreeMap;

/// What became of a model that the older pack served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// The proxies serve it.
    Served,
    /// It is there, and they do not serve it yet.
    Waiting,
    /// It was deleted.
    Gone,
}

/// What may go now. `ready` says whether requests of an entry reach the proxies.
pub(super) fn may_go(
    found: &[Leftover],
    fate: impl Fn(&ResourceName) -> Fate,
    ready: impl Fn(Entry) -> bool,
) -> Vec<&Leftover> {
    let mut by_model: BTreeMap<&ResourceName, Vec<&Leftover>> = BTreeMap::new();
    for leftover in found {
        by_model.entry(&leftover.model).or_default().push(leftover);
    }
    let all_ready = Entry::ALL.into_iter().all(&ready);
    let mut free = Vec::new();
    for (model, mut parts) in by_model {
        let may = |entry: Entry| match fate(model) {
            Fate::Served => ready(entry),
            Fate::Gone => all_ready,
            Fate::Waiting => false,
        };
        let may_rest = match fate(model) {
            Fate::Served => true,
            Fate::Gone => all_ready,
            Fate::Waiting => false,
        };
        parts.sort_by_key(|it| it.part);
        let is_free = |it: &&Leftover| match it.part {
            Part::Route(entry) => may(entry),
            // What a controller makes from a route comes back as long as the route is there.
            Part::Generated(entry) => {
                let source = |it: &&Leftover| it.part == Part::Route(entry) && !it.leaving;
                may(entry) && !parts.iter().any(source)
            }
            // Without its policy a route would be open to everybody.
            Part::Policy(entry) => may(entry) && !is_routed(&parts, entry),
            Part::Pool => may_rest && !Entry::ALL.into_iter().any(|it| is_routed(&parts, it)),
            Part::Rest => may_rest && parts.iter().all(|it| it.part == Part::Rest),
        };
        free.extend(parts.iter().copied().filter(|it| !it.leaving).filter(is_free));
    }
    free
}

/// Whether an old route still takes the requests of an entry.
fn is_routed(parts: &[&Leftover], entry: Entry) -> bool {
    parts.iter().any(|it| matches!(it.part, Part::Route(it) | Part::Generated(it) if it == entry))
}

#[cfg(test)]
mod tests;
