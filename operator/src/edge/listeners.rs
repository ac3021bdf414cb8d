//! Our two listeners among those of a Gateway that others use too.
//!
//! A Gateway's listeners are a map by name to the API server, so a server-side apply that names
//! only ours leaves every other one byte for byte, whoever writes at the same time. It would also
//! take away what we applied before and no longer name; so all of ours on one Gateway are applied
//! together. The field manager names the installation: two of them on one Gateway must not take
//! each other's listeners for their own.

use super::{
    object::{covers, list, text},
    settings::{Entry, GatewayName, Gateways, ListenerOwner, Settings},
};
use serde_json::{Value, json};

/// What becomes of a Gateway.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Merge {
    /// Our listeners are as they should be.
    Settled,
    /// This is to be applied.
    Apply(Value),
}

/// The field manager under which an installation writes Gateways.
pub(super) fn manager(settings: &Settings) -> String {
    format!("llm-operator.{}", settings.namespace)
}

/// The listener of an entry.
pub(super) fn listener(settings: &Settings, entry: Entry) -> Value {
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

/// Merges the listeners that belong on a Gateway into it. One of the same name is taken over,
/// unless another installation keeps it.
pub(super) fn merge(
    settings: &Settings,
    gateways: &Gateways,
    name: &GatewayName,
    live: &Value,
) -> Merge {
    if gateways.listeners == ListenerOwner::Administrator {
        return Merge::Settled;
    }
    let entries = Entry::ALL.into_iter().filter(|it| gateways.hop(*it).gateway == *name);
    let wanted: Vec<Value> = entries
        .filter(|entry| find(live, *entry).is_none_or(|live| !is_foreign(settings, *entry, live)))
        .map(|entry| listener(settings, entry))
        .collect();
    let settled = wanted.iter().all(|wanted| {
        let name = text(wanted, "name").unwrap_or_default();
        let same = |live: &Value| text(live, "name") == Some(name) && covers(live, wanted);
        list(live, "/spec/listeners").iter().any(same) && owns(settings, live, name)
    });
    if settled {
        return Merge::Settled;
    }
    Merge::Apply(json!({
        "metadata": {
            "name": name.name,
            "namespace": name.namespace,
            // Without it, a Gateway deleted meanwhile would be made anew.
            "uid": live.pointer("/metadata/uid"),
        },
        "spec": { "listeners": wanted },
    }))
}

/// The JSON patch that takes our listeners away again. Server-side apply would leave one that an
/// older operator had written before.
pub(super) fn removal(settings: &Settings, live: &Value) -> Option<Value> {
    let listeners = list(live, "/spec/listeners");
    let ours: Vec<usize> = (0..listeners.len())
        .filter(|index| {
            let name = listeners.get(*index).and_then(|it| text(it, "name"));
            name.is_some_and(|name| owns(settings, live, name))
        })
        .collect();
    // A Gateway without listeners is refused; who is left with ours alone must decide.
    if ours.is_empty() || ours.len() == listeners.len() {
        return None;
    }
    let version = live.pointer("/metadata/resourceVersion");
    let unchanged = json!({ "op": "test", "path": "/metadata/resourceVersion", "value": version });
    // From the last to the first, so that the places of the others stay.
    let removals = ours
        .into_iter()
        .rev()
        .map(|index| json!({ "op": "remove", "path": format!("/spec/listeners/{index}") }));
    Some(std::iter::once(unchanged).chain(removals).collect())
}

/// The listener of an entry on a Gateway.
pub(super) fn find(gateway: &Value, entry: Entry) -> Option<&Value> {
    named(list(gateway, "/spec/listeners"), entry)
}

/// What the Gateway's controller says of it.
pub(super) fn status(gateway: &Value, entry: Entry) -> Option<&Value> {
    named(list(gateway, "/status/listeners"), entry)
}

fn named(listeners: &[Value], entry: Entry) -> Option<&Value> {
    listeners.iter().find(|it| text(it, "name") == Some(entry.listener()))
}

/// Whether another installation keeps this listener: it has another host, and a certificate in
/// another namespace. Who changes the domain or the namespace still finds its own.
pub(super) fn is_foreign(settings: &Settings, entry: Entry, live: &Value) -> bool {
    let namespace = certificate(live).and_then(|it| text(it, "namespace"));
    text(live, "hostname") != Some(&settings.host(entry))
        && namespace.is_some_and(|namespace| namespace != settings.namespace)
}

/// Whether a listener shows our certificate.
pub(super) fn shows_our_certificate(settings: &Settings, live: &Value) -> bool {
    certificate(live).is_some_and(|it| {
        text(it, "name") == Some(settings.certificate_secret())
            && text(it, "namespace") == Some(&settings.namespace)
    })
}

fn certificate(listener: &Value) -> Option<&Value> {
    list(listener, "/tls/certificateRefs").first()
}

/// Whether we applied this listener.
fn owns(settings: &Settings, gateway: &Value, name: &str) -> bool {
    let manager = manager(settings);
    let key = format!("k:{}", json!({ "name": name }));
    list(gateway, "/metadata/managedFields").iter().any(|entry| {
        let fields = entry.pointer("/fieldsV1/f:spec/f:listeners");
        text(entry, "manager") == Some(&manager)
            && text(entry, "operation") == Some("Apply")
            && fields.is_some_and(|it| it.get(&key).is_some())
    })
}
