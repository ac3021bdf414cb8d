//! Reports for each resource on which proxies its routes are in force.

use crate::{cluster_state::ModelKind, context::Context};
use llm_contract::{
    ResourceName,
    push::{Kind, Name},
};
use llm_crd::{ConditionType, Finding, Reason};
use llm_push::{ChangedDocuments, Programmed, Push, TooLarge};
use parking_lot::Mutex;
use std::{collections::BTreeSet, sync::Arc, time::Duration};
use tokio::sync::Notify;

/// Proxies that a message names; of the others it gives the number.
const NAMED_MAX: usize = 3;
/// The debounce: of a hundred models that change at once each is reported once, and a proxy that
/// acknowledges sooner is never reported as lagging.
const DEBOUNCE: Duration = Duration::from_millis(100);

/// Resources whose routes have changed in the table since they were reported.
#[derive(Debug, Default)]
pub struct PendingReports {
    names: Mutex<BTreeSet<ResourceName>>,
    added: Notify,
}

impl PendingReports {
    pub fn extend(&self, names: impl IntoIterator<Item = ResourceName>) {
        self.names.lock().extend(names);
        self.added.notify_one();
    }

    fn take(&self) -> BTreeSet<ResourceName> {
        std::mem::take(&mut self.names.lock())
    }
}

/// Reports whenever the table, or what proxies have in force, changes.
pub async fn report(context: &Context, push: &Push, pending: &PendingReports) {
    loop {
        let mut names = BTreeSet::new();
        let everything = tokio::select! {
            changed = push.proxies().changed() => collect(changed, &mut names),
            () = pending.added.notified() => false,
        };
        tokio::time::sleep(DEBOUNCE).await;
        names.append(&mut pending.take());
        if everything {
            names.extend(context.cluster.models.names());
            names.extend(context.cluster.providers.names());
        }
        for name in names {
            report_one(context, push, &name);
        }
    }
}

/// Returns whether everything may have changed.
fn collect(changed: ChangedDocuments, names: &mut BTreeSet<ResourceName>) -> bool {
    match changed {
        ChangedDocuments::All => true,
        ChangedDocuments::Names(changed) => {
            let routes = changed.iter().filter(|it| it.kind == Kind::Routes);
            names.extend(routes.filter_map(|it| ResourceName::parse(&it.name).ok()));
            false
        }
    }
}

fn report_one(context: &Context, push: &Push, name: &ResourceName) {
    let document = Name::new(Kind::Routes, name.as_str());
    let (hash, too_large) = (push.table().hash(&document), push.table().too_large(&document));
    for kind in [ModelKind::Served, ModelKind::Provider] {
        let exists = match kind {
            ModelKind::Served => context.cluster.models.contains(name),
            ModelKind::Provider => context.cluster.providers.contains(name),
        };
        let is_routed = context.findings.is_routed(kind, name);
        let finding = match (&too_large, hash) {
            (Some(too_large), _) if is_routed => oversized(too_large, hash.is_some()),
            (None, Some(hash)) if is_routed => finding(push.proxies().programmed(name, Some(hash))),
            (Some(_) | None, _) => Finding::new(
                ConditionType::RouteProgrammed,
                Reason::NotDesired,
                "this resource has no routes in the table; see the Accepted condition",
            ),
        };
        context.findings.set_rollout(kind, name, exists.then_some(finding));
    }
}

fn oversized(too_large: &TooLarge, has_former: bool) -> Finding {
    let former = if has_former { "; its former routes stay in force until then" } else { "" };
    let message = format!("{too_large}{former}");
    Finding::new(ConditionType::RouteProgrammed, Reason::TooLarge, message)
}

fn finding(programmed: Programmed) -> Finding {
    let (reason, message) = match programmed {
        Programmed::Everywhere { proxies } => {
            (Reason::Programmed, format!("in force on all proxies ({proxies})"))
        }
        Programmed::Lagging(proxies) => {
            (Reason::Waiting, format!("not yet in force on {}", list(&proxies)))
        }
        Programmed::Rejected(refused) => {
            let by: Vec<_> = refused.iter().map(|it| Arc::clone(&it.proxy)).collect();
            let why = refused.first().map(|it| Arc::clone(&it.reason)).unwrap_or_default();
            (Reason::Refused, format!("refused by {}: {why}", list(&by)))
        }
        Programmed::NoProxies => {
            (Reason::NoProxy, "no proxy is connected to the operator".to_owned())
        }
    };
    Finding::new(ConditionType::RouteProgrammed, reason, message)
}

fn list(proxies: &[Arc<str>]) -> String {
    let named = proxies.iter().take(NAMED_MAX).map(AsRef::as_ref).collect::<Vec<_>>().join(", ");
    match proxies.len().saturating_sub(NAMED_MAX) {
        0 => named,
        more => format!("{named} and {more} more"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_names_the_proxies_that_lag_and_why_one_refused() {
        let names = ["a", "b", "c", "d", "e"].map(Arc::from).to_vec();
        let lagging = finding(Programmed::Lagging(names));
        assert_eq!(lagging.message, "not yet in force on a, b, c and 2 more");
        let refused =
            vec![llm_push::RejectedBy { proxy: "a".into(), reason: "model `m` is taken".into() }];
        let refused = finding(Programmed::Rejected(refused));
        assert_eq!(refused.message, "refused by a: model `m` is taken");
        assert_eq!(refused.reason, Reason::Refused);
    }

    #[test]
    fn the_message_of_an_oversized_document_names_size_limit_and_what_is_in_force() {
        let name = Name::new(Kind::Routes, "llm/many");
        let too_large = TooLarge::Document { name, bytes: 4_000_000 };
        let finding = oversized(&too_large, true);
        assert_eq!(
            finding.message,
            "routes llm/many has 4000000 bytes, of at most 3145728; declare fewer models in it; \
             its former routes stay in force until then"
        );
        assert_eq!((finding.reason.as_str(), finding.reason.status()), ("TooLarge", "False"));
        assert!(oversized(&too_large, false).message.ends_with("declare fewer models in it"));
    }
}
