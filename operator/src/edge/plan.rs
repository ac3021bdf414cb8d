//! From what is there to what is to be done, in order. No client, no clock, no failure.

use super::{
    Observed, Served,
    certificate::certificate,
    grants,
    http_routes::{attached_to, route},
    listeners::{self, Merge, merge, removal},
    object::{covers, is_ours, name},
    settings::{Entry, GatewayName, Settings},
};
use kube::api::ApiResource;
use serde_json::Value;
use std::collections::BTreeSet;

/// Something to be done.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Step {
    /// The kind of the object.
    pub(super) api: ApiResource,
    /// Its namespace.
    pub(super) namespace: String,
    /// Its name.
    pub(super) name: String,
    /// What is done to it.
    pub(super) act: Act,
    /// The entries that do not work before.
    pub(super) entries: Vec<Entry>,
}

/// What is done to an object.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Act {
    /// It is applied on the server's side, under this field manager.
    Apply {
        /// The field manager.
        manager: String,
        /// What it should say.
        object: Value,
    },
    /// Parts of it are removed, by a JSON patch.
    Trim(Value),
    /// It is deleted, if it still is the one that was seen.
    Delete {
        /// The one that was seen.
        uid: String,
    },
}

/// The field manager of objects that are ours alone.
const MANAGER: &str = "llm-operator";

/// What is to be done, in order: what a Gateway needs before the Gateway, new before old, and the
/// memory of what is old last.
pub(super) fn plan(settings: &Settings, served: &Served, observed: &Observed) -> Vec<Step> {
    let mut steps = Vec::new();
    if let Some(api) = &served.certificate {
        steps.extend(plan_certificate(settings, api, observed));
    }
    let (wanted_grants, wanted_routes) = settings.gateways().map_or_else(Default::default, |to| {
        (grants::grants(settings, to), Entry::ALL.map(|entry| route(settings, to, entry)).to_vec())
    });
    let both = &Entry::ALL[..];
    if let Some(api) = &served.reference_grant {
        steps.extend(differing(&wanted_grants, &observed.grants).map(|it| apply(api, it, both)));
    }
    if let Some(api) = &served.gateway {
        steps.extend(plan_listeners(settings, api, observed));
    }
    if let Some(api) = &served.http_route {
        let entry = |route: &Value| {
            let entry = Entry::ALL.into_iter().find(|entry| entry.listener() == name(route));
            entry.as_slice().to_vec()
        };
        steps.extend(
            differing(&wanted_routes, &observed.routes).map(|it| apply(api, it, &entry(it))),
        );
        let unwanted = |live: &&Value| !wanted_routes.iter().any(|it| name(it) == name(live));
        steps.extend(observed.routes.iter().filter(unwanted).map(|it| delete(api, it)));
    }
    if let Some(api) = &served.reference_grant {
        let stale = grants::stale(&observed.grants, &wanted_grants);
        steps.extend(stale.map(|it| delete(api, it)));
    }
    steps
}

fn plan_certificate(settings: &Settings, api: &ApiResource, observed: &Observed) -> Option<Step> {
    let live = observed.certificate.as_ref();
    match (certificate(settings), live) {
        (Some(wanted), Some(live)) if covers(live, &wanted) => None,
        (Some(wanted), _) => Some(apply(api, &wanted, &Entry::ALL)),
        (None, Some(live)) if is_ours(live) => Some(delete(api, live)),
        (None, _) => None,
    }
}

fn plan_listeners(settings: &Settings, api: &ApiResource, observed: &Observed) -> Vec<Step> {
    let gateways = settings.gateways();
    let wanted: BTreeSet<GatewayName> = gateways.map_or_else(BTreeSet::new, |gateways| {
        Entry::ALL.map(|entry| gateways.hop(entry).gateway.clone()).into()
    });
    let step = |name: &GatewayName, act, entries| Step {
        api: api.clone(),
        namespace: name.namespace.clone(),
        name: name.name.clone(),
        act,
        entries,
    };
    let mut steps = Vec::new();
    for (name, live) in &observed.gateways {
        if let Some(gateways) = gateways.filter(|_| wanted.contains(name))
            && let Merge::Apply(object) = merge(settings, gateways, name, live)
        {
            let act = Act::Apply { manager: listeners::manager(settings), object };
            let here = |entry: &Entry| gateways.hop(*entry).gateway == *name;
            steps.push(step(name, act, Entry::ALL.into_iter().filter(here).collect()));
        }
    }
    for former in attached_to(&observed.routes).difference(&wanted) {
        let live = observed.gateways.get(former);
        if let Some(patch) = live.and_then(|live| removal(settings, live)) {
            steps.push(step(former, Act::Trim(patch), Vec::new()));
        }
    }
    steps
}

/// Those that are not there as they should be.
fn differing<'a>(wanted: &'a [Value], live: &'a [Value]) -> impl Iterator<Item = &'a Value> {
    wanted.iter().filter(|wanted| {
        !live.iter().any(|live| name(live) == name(wanted) && covers(live, wanted))
    })
}

fn apply(api: &ApiResource, object: &Value, entries: &[Entry]) -> Step {
    let act = Act::Apply { manager: MANAGER.into(), object: object.clone() };
    step(api, object, act, entries)
}

fn delete(api: &ApiResource, live: &Value) -> Step {
    let uid = live.pointer("/metadata/uid").and_then(Value::as_str).unwrap_or_default();
    step(api, live, Act::Delete { uid: uid.into() }, &[])
}

fn step(api: &ApiResource, object: &Value, act: Act, entries: &[Entry]) -> Step {
    let namespace = object.pointer("/metadata/namespace").and_then(Value::as_str);
    Step {
        api: api.clone(),
        namespace: namespace.unwrap_or_default().into(),
        name: name(object).into(),
        act,
        entries: entries.to_vec(),
    }
}
