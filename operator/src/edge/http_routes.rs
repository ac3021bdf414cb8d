//! One HTTPRoute for each listener. The target port tells the proxies which entry it is.

use super::{
    manifest::{condition, labels, list, text},
    settings::{EdgeSettings, Entry, GatewayName, Gateways},
};
use serde_json::{Value, json};
use std::collections::BTreeSet;

const GROUP: &str = "gateway.networking.k8s.io";

/// The route on the listener of an entry. It is named like the listener, which no route of a model
/// ever was.
pub(super) fn route(settings: &EdgeSettings, gateways: &Gateways, entry: Entry) -> Value {
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
                // Responses may stream for hours; the proxies enforce timeouts per model.
                "timeouts": { "request": "0s", "backendRequest": "0s" },
            }],
        },
    })
}

/// The Gateways that our routes are attached to. A former Gateway among them still has listeners to
/// remove.
pub(super) fn attached_to(routes: &[Value]) -> BTreeSet<GatewayName> {
    let parents = routes.iter().flat_map(|route| list(route, "/spec/parentRefs"));
    parents
        .filter_map(|parent| {
            let (name, namespace) = (text(parent, "name")?, text(parent, "namespace")?);
            Some(GatewayName { namespace: namespace.into(), name: name.into() })
        })
        .collect()
}

/// Why no controller of a Gateway serves a route; `None` if one does.
pub(super) fn route_problem(route: &Value, gateway: &GatewayName, entry: Entry) -> Option<String> {
    let ours = |status: &&Value| {
        let parent = status.get("parentRef").unwrap_or(&Value::Null);
        text(parent, "name") == Some(&gateway.name)
            && text(parent, "namespace") == Some(&gateway.namespace)
            && text(parent, "sectionName") == Some(entry.listener())
    };
    let generation = route.pointer("/metadata/generation").and_then(Value::as_i64);
    let problems = list(route, "/status/parents").iter().filter(ours).map(|status| {
        ["Accepted", "ResolvedRefs"].iter().find_map(|kind| {
            let Some(found) = condition(status, kind).filter(|it| is_current(it, generation))
            else {
                return Some(format!("no controller has reported yet whether it is {kind}"));
            };
            (text(found, "status") != Some("True")).then(|| {
                let [reason, message] =
                    ["reason", "message"].map(|field| text(found, field).unwrap_or_default());
                format!("not {kind} ({reason}): {message}")
            })
        })
    });
    // One controller that serves it is enough.
    let none = || Some("no controller has processed it yet".to_owned());
    problems.reduce(|one, other| one.and(other)).unwrap_or_else(none)
}

fn is_current(condition: &Value, generation: Option<i64>) -> bool {
    let observed = condition.get("observedGeneration").and_then(Value::as_i64);
    observed.is_none_or(|observed| generation.is_none_or(|generation| observed >= generation))
}
