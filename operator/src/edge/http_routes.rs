//! One HTTPRoute for each listener. By the port it goes to, the proxies know the entry.

use super::{
    object::{condition, labels, list, text},
    settings::{Entry, GatewayName, Gateways, Settings},
};
use serde_json::{Value, json};
use std::collections::BTreeSet;

const GROUP: &str = "gateway.networking.k8s.io";

/// The route on the listener of an entry. It is named as the listener is, which no route of a
/// model ever was.
pub(super) fn route(settings: &Settings, gateways: &Gateways, entry: Entry) -> Value {
    let hop = gateways.hop(entry);
    json!({
        "metadata": {
            "name": entry.listener(),
            "namespace": settings.namespace,
            "labels": labels(),
        },
        "spec": {
            "parentRefs": [{
                "group": GROUP,
                "kind": "Gateway",
                "name": hop.gateway.name,
                "namespace": hop.gateway.namespace,
                "sectionName": entry.listener(),
            }],
            "hostnames": [settings.host(entry)],
            "rules": [{
                "backendRefs": [{
                    "group": "",
                    "kind": "Service",
                    "name": gateways.service,
                    "port": hop.port,
                }],
                // An answer may stream for hours. The proxies have the timeouts, for each model.
                "timeouts": { "request": "0s", "backendRequest": "0s" },
            }],
        },
    })
}

/// The Gateways that our routes are attached to. While they still name one that is no longer
/// ours, it is known where listeners are left to be removed.
pub(super) fn attached_to(routes: &[Value]) -> BTreeSet<GatewayName> {
    let parents = routes.iter().flat_map(|route| list(route, "/spec/parentRefs"));
    parents
        .filter_map(|parent| {
            let (name, namespace) = (text(parent, "name")?, text(parent, "namespace")?);
            Some(GatewayName { namespace: namespace.into(), name: name.into() })
        })
        .collect()
}

/// What a Gateway's controller has against a route; `None` means that it serves it.
pub(super) fn objection(route: &Value, gateway: &GatewayName, entry: Entry) -> Option<String> {
    let ours = |status: &&Value| {
        let parent = status.get("parentRef").unwrap_or(&Value::Null);
        text(parent, "name") == Some(&gateway.name)
            && text(parent, "namespace") == Some(&gateway.namespace)
            && text(parent, "sectionName") == Some(entry.listener())
    };
    let generation = route.pointer("/metadata/generation").and_then(Value::as_i64);
    let verdicts = list(route, "/status/parents").iter().filter(ours).map(|status| {
        ["Accepted", "ResolvedRefs"].iter().find_map(|kind| {
            let Some(found) = condition(status, kind).filter(|it| is_current(it, generation))
            else {
                return Some(format!("no controller has said yet whether it is {kind}"));
            };
            (text(found, "status") != Some("True")).then(|| {
                let [reason, message] =
                    ["reason", "message"].map(|field| text(found, field).unwrap_or_default());
                format!("it is not {kind} ({reason}): {message}")
            })
        })
    });
    // One controller that serves it is enough.
    let none = || Some("no controller has looked at it yet".to_owned());
    verdicts.reduce(|one, other| one.and(other)).unwrap_or_else(none)
}

fn is_current(condition: &Value, generation: Option<i64>) -> bool {
    let observed = condition.get("observedGeneration").and_then(Value::as_i64);
    observed.is_none_or(|observed| generation.is_none_or(|generation| observed >= generation))
}
