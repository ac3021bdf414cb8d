//! Our two listeners on Gateways that others use too.
//!
//! The API server treats a Gateway's listeners as a map by name, so that server-side apply leaves
//! all other listeners byte for byte, even with concurrent writers. It also removes listeners that
//! we applied before and no longer include, so all of ours on one Gateway are applied together. The
//! field manager names the installation: two installations on one Gateway must not take each
//! other's listeners for their own.

use super::{
    manifest::{list, text},
    settings::{EdgeSettings, Entry, GatewayName, Gateways, ListenerOwner},
};
use crate::apply::covers;
use serde_json::{Value, json};

/// The field manager of this installation for Gateways.
pub(super) fn manager(settings: &EdgeSettings) -> String {
    format!("llm-operator.{}", settings.namespace)
}

/// The listener of an entry.
pub(super) fn listener(settings: &EdgeSettings, entry: Entry) -> Value {
    json!({
        "name": entry.listener(),
        "protocol": "HTTPS",
        "port": 443,
        "hostname": settings.host(entry),
        "tls": {
            "mode": "Terminate",
            "certificateRefs": [{
                "group": "",
                "kind": "Secret",
                "name": settings.certificate_secret(),
                "namespace": settings.namespace,
            }],
        },
        "allowedRoutes": { "namespaces": { "from": "All" } },
    })
}

/// The Gateway to apply, unless our listeners on it are up to date. Existing listeners with our
/// names are taken over, unless another installation owns them.
pub(super) fn planned_gateway(
    settings: &EdgeSettings,
    gateways: &Gateways,
    name: &GatewayName,
    live: &Value,
) -> Option<Value> {
    if gateways.listeners == ListenerOwner::Administrator {
        return None;
    }
    let entries = Entry::ALL.into_iter().filter(|it| gateways.hop(*it).gateway == *name);
    let wanted: Vec<Value> = entries
        .filter(|entry| {
            find(live, *entry).is_none_or(|live| !is_other_installation(settings, *entry, live))
        })
        .map(|entry| listener(settings, entry))
        .collect();
    let is_current = wanted.iter().all(|wanted| {
        let name = text(wanted, "name").unwrap_or_default();
        let same = |live: &Value| text(live, "name") == Some(name) && covers(live, wanted);
        list(live, "/spec/listeners").iter().any(same) && owns(settings, live, name)
    });
    if is_current {
        return None;
    }
    Some(json!({
        "metadata": {
            "name": name.name,
            "namespace": name.namespace,
            // So that a Gateway deleted meanwhile is not recreated.
            "uid": live.pointer("/metadata/uid"),
        },
        "spec": { "listeners": wanted },
    }))
}

/// The JSON patch that removes our listeners. Server-side apply would leave those that the first
/// release wrote too.
pub(super) fn removal(settings: &EdgeSettings, live: &Value) -> Option<Value> {
    let listeners = list(live, "/spec/listeners");
    let ours: Vec<usize> = (0..listeners.len())
        .filter(|index| {
            let name = listeners.get(*index).and_then(|it| text(it, "name"));
            name.is_some_and(|name| owns(settings, live, name))
        })
        .collect();
    // A Gateway without listeners is invalid; its administrators have to decide.
    if ours.is_empty() || ours.len() == listeners.len() {
        return None;
    }
    let version = live.pointer("/metadata/resourceVersion");
    let unchanged = json!({ "op": "test", "path": "/metadata/resourceVersion", "value": version });
    // From the last to the first, so that the other indices stay valid.
    let removals = ours
        .into_iter()
        .rev()
        .map(|index| json!({ "op": "remove", "path": format!("/spec/listeners/{index}") }));
    Some(std::iter::once(unchanged).chain(removals).collect())
}

pub(super) fn find(gateway: &Value, entry: Entry) -> Option<&Value> {
    named(list(gateway, "/spec/listeners"), entry)
}

/// The status of an entry's listener.
pub(super) fn status(gateway: &Value, entry: Entry) -> Option<&Value> {
    named(list(gateway, "/status/listeners"), entry)
}

fn named(listeners: &[Value], entry: Entry) -> Option<&Value> {
    listeners.iter().find(|it| text(it, "name") == Some(entry.listener()))
}

/// Whether another installation owns a listener: it has both another host and a certificate in
/// another namespace. Either alone may be a change of ours.
pub(super) fn is_other_installation(settings: &EdgeSettings, entry: Entry, live: &Value) -> bool {
    let namespace = certificate(live).and_then(|it| text(it, "namespace"));
    text(live, "hostname") != Some(&settings.host(entry))
        && namespace.is_some_and(|namespace| namespace != settings.namespace)
}

pub(super) fn uses_our_certificate(settings: &EdgeSettings, live: &Value) -> bool {
    certificate(live).is_some_and(|it| {
        text(it, "name") == Some(settings.certificate_secret())
            && text(it, "namespace") == Some(&settings.namespace)
    })
}

fn certificate(listener: &Value) -> Option<&Value> {
    list(listener, "/tls/certificateRefs").first()
}

/// Whether we applied a listener.
fn owns(settings: &EdgeSettings, gateway: &Value, name: &str) -> bool {
    let manager = manager(settings);
    let key = format!("k:{}", json!({ "name": name }));
    list(gateway, "/metadata/managedFields").iter().any(|entry| {
        let fields = entry.pointer("/fieldsV1/f:spec/f:listeners");
        text(entry, "manager") == Some(&manager)
            && text(entry, "operation") == Some("Apply")
            && fields.is_some_and(|it| it.get(&key).is_some())
    })
}
