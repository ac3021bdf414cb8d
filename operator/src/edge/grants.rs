//! ReferenceGrants, which let Gateways in other namespaces read the certificate.

use super::{
    certificate,
    manifest::{labels, name},
    settings::{EdgeSettings, Entry, Gateways},
};
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// One grant for each other namespace with a Gateway.
pub(super) fn grants(settings: &EdgeSettings, gateways: &Gateways) -> Vec<Value> {
    let namespaces: BTreeSet<&str> =
        Entry::ALL.iter().map(|entry| gateways.hop(*entry).gateway.namespace.as_str()).collect();
    namespaces
        .into_iter()
        .filter(|namespace| *namespace != settings.namespace)
        .map(|namespace| grant(settings, namespace))
        .collect()
}

/// Our grants that are no longer needed.
pub(super) fn stale<'a>(ours: &'a [Value], wanted: &[Value]) -> impl Iterator<Item = &'a Value> {
    let wanted: BTreeSet<String> = wanted.iter().map(|it| name(it).to_owned()).collect();
    ours.iter().filter(move |it| {
        name(it).strip_prefix(certificate::NAME).is_some_and(|rest| rest.starts_with(FROM))
            && !wanted.contains(name(it))
    })
}

const FROM: &str = "-from-";

fn grant(settings: &EdgeSettings, namespace: &str) -> Value {
    json!({
        "metadata": {
            "name": format!("{}{FROM}{namespace}", certificate::NAME),
            "namespace": settings.namespace,
            "labels": labels(),
        },
        "spec": {
            "from": [{ "group": "gateway.networking.k8s.io", "kind": "Gateway", "namespace": namespace }],
            "to": [{ "group": "", "kind": "Secret", "name": settings.certificate_secret() }],
        },
    })
}
