//! Says of each resource on which proxies its routes are in force.

use crate::{
    context::{Context, Part},
    routes::Declares,
};
use llm_contract::{
    ResourceName,
    push::{Kind, Name},
};
use llm_crd::{ConditionType, Finding, Reason};
use llm_push::{ChangedDocuments, Programmed, Push, TooLarge};
use parking_lot::Mutex;
use std::{collections::BTreeSet, sync::Arc, time::Duration};
use tokio::sync::Notify;

/// Proxies that a message names; of more it gives the number.
const NAMED_MAX: usize = 3;
/// Changes are gathered for as long: of a hundred models that change at once each is looked at
/// once, and a proxy that answers sooner was never behind for anyone to see.
const GATHER: Duration = Duration::from_millis(100);

/// Resources whose routes have changed in the table, and of which it has not been said yet where
/// they are in force. No more than there are resources.
#[derive(Debug, Default)]
pub struct Unsaid {
    names: Mutex<BTreeSet<ResourceName>>,
    more: Notify,
}

impl Unsaid {
    /// Has it said where these are in force.
    pub fn extend(&self, names: impl IntoIterator<Item = ResourceName>) {
        self.names.lock().extend(names);
        self.more.notify_one();
    }

    fn take(&self) -> BTreeSet<ResourceName> {
        std::mem::take(&mut self.names.lock())
    }
}

/// Reports what proxies have in force, as it changes.
pub async fn report(context: &Context, push: &Push, unsaid: &Unsaid) {
    loop {
        let mut names = BTreeSet::new();
        let everything = tokio::select! {
            changed = push.proxies().changed() => gather(changed, &mut names),
            () = unsaid.more.notified() => false,
        };
        tokio::time::sleep(GATHER).await;
        names.append(&mut unsaid.take());
        if everything {
            names.extend(context.world.models.names());
            names.extend(context.world.providers.names());
        }
        for name in names {
            say(context, push, &name);
        }
    }
}

/// Says whether everything may have changed.
fn gather(changed: ChangedDocuments, names: &mut BTreeSet<ResourceName>) -> bool {
    match changed {
        ChangedDocuments::All => true,
        ChangedDocuments::Names(changed) => {
            let routes = changed.iter().filter(|it| it.kind == Kind::Routes);
            names.extend(routes.filter_map(|it| ResourceName::parse(&it.name).ok()));
            false
        }
    }
}

fn say(context: &Context, push: &Push, name: &ResourceName) {
    let document = Name::new(Kind::Routes, name.as_str());
    let (hash, too_large) = (push.table().hash(&document), push.table().too_large(&document));
    for kind in [Declares::Served, Declares::Provider] {
        let there = match kind {
            Declares::Served => context.world.models.get(name).is_some(),
            Declares::Provider => context.world.providers.get(name).is_some(),
        };
        let routed = context.findings.is_routed(kind, name);
        let finding = match (&too_large, hash) {
            (Some(too_large), _) if routed => held_back(too_large, hash.is_some()),
            (None, Some(hash)) if routed => finding(push.proxies().programmed(name, Some(hash))),
            (Some(_) | None, _) => Finding::new(
                ConditionType::RouteProgrammed,
                Reason::NotDesired,
                "nothing of this resource is in the route table; see the condition Accepted",
            ),
        };
        let findings = if there { vec![finding] } else { Vec::new() };
        context.findings.about(Part::Proxies, kind, name, findings);
    }
}

/// What was pushed of it before goes on being in force.
fn held_back(too_large: &TooLarge, has_former: bool) -> Finding {
    let until_then = if has_former { "; until then its former routes stay in force" } else { "" };
    let message = format!("{too_large}{until_then}");
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
        let said = finding(Programmed::Lagging(names));
        assert_eq!(said.message, "not yet in force on a, b, c and 2 more");
        let refused =
            vec![llm_push::RejectedBy { proxy: "a".into(), reason: "model `m` is taken".into() }];
        let said = finding(Programmed::Rejected(refused));
        assert_eq!(said.message, "refused by a: model `m` is taken");
        assert_eq!(said.reason, Reason::Refused);
    }

    #[test]
    fn what_is_too_large_says_its_size_the_limit_and_what_is_in_force() {
        let name = Name::new(Kind::Routes, "llm/many");
        let too_large = TooLarge::Document { name, bytes: 4_000_000 };
        let said = held_back(&too_large, true);
        assert_eq!(
            said.message,
            "routes llm/many has 4000000 bytes, of at most 3145728; declare fewer models in it; \
             until then its former routes stay in force"
        );
        assert_eq!((said.reason.as_str(), said.reason.status()), ("TooLarge", "False"));
        assert!(held_back(&too_large, false).message.ends_with("declare fewer models in it"));
    }
}
