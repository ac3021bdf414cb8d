//! Plans the changes to the edge, in order. Pure, and cannot fail.

use super::{
    certificate::certificate,
    grants,
    http_routes::{attached_to, route},
    listeners::{self, planned_gateway, removal},
    manifest::{is_ours, name},
    observed::{InstalledKinds, ObservedEdge},
    settings::{EdgeSettings, Entry, GatewayName},
};
use crate::{apply::covers, labels::FIELD_MANAGER};
use kube::api::ApiResource;
use serde_json::Value;
use std::collections::BTreeSet;

/// A change to one object.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Change {
    pub(super) resource: ApiResource,
    pub(super) namespace: String,
    pub(super) name: String,
    pub(super) write: Write,
    /// The entries that need the change.
    pub(super) entries: Vec<Entry>,
}

/// How an object is changed.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Write {
    Apply {
        manager: String,
        object: Value,
    },
    JsonPatch(Value),
    /// Only the object with this uid.
    Delete {
        uid: String,
    },
}

impl Write {
    pub(super) fn verb(&self) -> &'static str {
        match self {
            Self::Apply { .. } => "apply",
            Self::JsonPatch(_) => "patch",
            Self::Delete { .. } => "delete",
        }
    }
}

/// Dependencies of a Gateway come before it, new objects before old ones, and the routes that
/// remember a former Gateway last.
pub(super) fn plan(
    settings: &EdgeSettings,
    kinds: &InstalledKinds,
    observed: &ObservedEdge,
) -> Vec<Change> {
    let mut changes = Vec::new();
    if let Some(resource) = &kinds.certificate {
        changes.extend(plan_certificate(settings, resource, observed));
    }
    let (wanted_grants, wanted_routes) = settings.gateways().map_or_else(Default::default, |to| {
        (grants::grants(settings, to), Entry::ALL.map(|entry| route(settings, to, entry)).to_vec())
    });
    let both = &Entry::ALL[..];
    if let Some(resource) = &kinds.reference_grant {
        changes.extend(
            differing(&wanted_grants, &observed.grants).map(|it| apply(resource, it, both)),
        );
    }
    if let Some(resource) = &kinds.gateway {
        changes.extend(plan_listeners(settings, resource, observed));
    }
    if let Some(resource) = &kinds.http_route {
        let entry = |route: &Value| {
            let entry = Entry::ALL.into_iter().find(|entry| entry.listener() == name(route));
            entry.as_slice().to_vec()
        };
        changes.extend(
            differing(&wanted_routes, &observed.routes).map(|it| apply(resource, it, &entry(it))),
        );
        let unwanted = |live: &&Value| !wanted_routes.iter().any(|it| name(it) == name(live));
        changes.extend(observed.routes.iter().filter(unwanted).map(|it| delete(resource, it)));
    }
    if let Some(resource) = &kinds.reference_grant {
        let stale = grants::stale(&observed.grants, &wanted_grants);
        changes.extend(stale.map(|it| delete(resource, it)));
    }
    changes
}

fn plan_certificate(
    settings: &EdgeSettings,
    resource: &ApiResource,
    observed: &ObservedEdge,
) -> Option<Change> {
    let live = observed.certificate.as_ref();
    match (certificate(settings), live) {
        (Some(wanted), Some(live)) if covers(live, &wanted) => None,
        (Some(wanted), _) => Some(apply(resource, &wanted, &Entry::ALL)),
        (None, Some(live)) if is_ours(live) => Some(delete(resource, live)),
        (None, _) => None,
    }
}

fn plan_listeners(
    settings: &EdgeSettings,
    resource: &ApiResource,
    observed: &ObservedEdge,
) -> Vec<Change> {
    let gateways = settings.gateways();
    let wanted: BTreeSet<GatewayName> = gateways.map_or_else(BTreeSet::new, |gateways| {
        Entry::ALL.map(|entry| gateways.hop(entry).gateway.clone()).into()
    });
    let change = |name: &GatewayName, write, entries| Change {
        resource: resource.clone(),
        namespace: name.namespace.clone(),
        name: name.name.clone(),
        write,
        entries,
    };
    let mut changes = Vec::new();
    for (name, live) in &observed.gateways {
        if let Some(gateways) = gateways.filter(|_| wanted.contains(name))
            && let Some(object) = planned_gateway(settings, gateways, name, live)
        {
            let write = Write::Apply { manager: listeners::manager(settings), object };
            let here = |entry: &Entry| gateways.hop(*entry).gateway == *name;
            changes.push(change(name, write, Entry::ALL.into_iter().filter(here).collect()));
        }
    }
    for former in attached_to(&observed.routes).difference(&wanted) {
        let live = observed.gateways.get(former);
        if let Some(patch) = live.and_then(|live| removal(settings, live)) {
            changes.push(change(former, Write::JsonPatch(patch), Vec::new()));
        }
    }
    changes
}

/// Wanted objects that are missing or different.
fn differing<'a>(wanted: &'a [Value], live: &'a [Value]) -> impl Iterator<Item = &'a Value> {
    wanted.iter().filter(|wanted| {
        !live.iter().any(|live| name(live) == name(wanted) && covers(live, wanted))
    })
}

fn apply(resource: &ApiResource, object: &Value, entries: &[Entry]) -> Change {
    let write = Write::Apply { manager: FIELD_MANAGER.into(), object: object.clone() };
    change(resource, object, write, entries)
}

fn delete(resource: &ApiResource, live: &Value) -> Change {
    let uid = live.pointer("/metadata/uid").and_then(Value::as_str).unwrap_or_default();
    change(resource, live, Write::Delete { uid: uid.into() }, &[])
}

fn change(resource: &ApiResource, object: &Value, write: Write, entries: &[Entry]) -> Change {
    let namespace = object.pointer("/metadata/namespace").and_then(Value::as_str);
    Change {
        resource: resource.clone(),
        namespace: namespace.unwrap_or_default().into(),
        name: name(object).into(),
        write,
        entries: entries.to_vec(),
    }
}
