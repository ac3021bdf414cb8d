//! What wakes the edge: the kinds it needs come and go, and its objects change.
//!
//! Only metadata is watched, because every look reads anew. A kind that is not there is not
//! watched; that its definition appears is.

use super::{
    Served, certificate,
    object::selector,
    settings::{Entry, Settings},
};
use futures::{
    StreamExt as _, future,
    stream::{self, BoxStream, SelectAll},
};
use k8s_openapi::{
    api::core::v1::Secret,
    apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};
use kube::{
    Api, Client,
    api::{ApiResource, DynamicObject, PartialObjectMeta},
    runtime::{WatchStreamExt as _, watcher, watcher::watch_object},
};
use serde::{Deserialize, de::DeserializeOwned};
use std::{collections::BTreeSet, fmt::Debug};

/// A kind of somebody else that the edge uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Foreign {
    /// Of the Gateway API.
    Gateway,
    /// Of the Gateway API.
    HttpRoute,
    /// Of the Gateway API.
    ReferenceGrant,
    /// Of cert-manager.
    Certificate,
}

/// As much of a custom resource definition as says which versions are served; the schemas are
/// large.
#[derive(Clone, Debug, Deserialize, kube::Resource)]
#[resource(inherit = CustomResourceDefinition)]
struct Definition {
    metadata: ObjectMeta,
    spec: DefinitionSpec,
    #[serde(default)]
    status: DefinitionStatus,
}

#[derive(Clone, Debug, Deserialize)]
struct DefinitionSpec {
    group: String,
    names: DefinitionNames,
    versions: Vec<DefinitionVersion>,
}

#[derive(Clone, Debug, Deserialize)]
struct DefinitionNames {
    kind: String,
    plural: String,
}

#[derive(Clone, Debug, Deserialize)]
struct DefinitionVersion {
    name: String,
    served: bool,
}

#[derive(Clone, Debug, Default, Deserialize)]
struct DefinitionStatus {
    #[serde(default)]
    conditions: Vec<DefinitionCondition>,
}

#[derive(Clone, Debug, Deserialize)]
struct DefinitionCondition {
    #[serde(rename = "type")]
    kind: String,
    status: String,
}

impl Foreign {
    /// All of them.
    pub(super) const ALL: [Self; 4] =
        [Self::Gateway, Self::HttpRoute, Self::ReferenceGrant, Self::Certificate];

    /// The name of its definition.
    const fn definition(self) -> &'static str {
        match self {
            Self::Gateway => "gateways.gateway.networking.k8s.io",
            Self::HttpRoute => "httproutes.gateway.networking.k8s.io",
            Self::ReferenceGrant => "referencegrants.gateway.networking.k8s.io",
            Self::Certificate => "certificates.cert-manager.io",
        }
    }
}

/// The versions we can write, the best first. All of them hold the fields that we write.
const VERSIONS: [&str; 2] = ["v1", "v1beta1"];

impl Definition {
    /// How the kind is used, if the API server serves it in a version that we can write.
    fn serves(&self) -> Option<ApiResource> {
        let established =
            |it: &DefinitionCondition| it.kind == "Established" && it.status == "True";
        if !self.status.conditions.iter().any(established) || self.is_going() {
            return None;
        }
        let DefinitionSpec { group, names, versions } = &self.spec;
        let served = |name: &&&str| versions.iter().any(|it| it.served && it.name == **name);
        let version = (*VERSIONS.iter().find(served)?).to_owned();
        Some(ApiResource {
            group: group.clone(),
            api_version: format!("{group}/{version}"),
            version,
            kind: names.kind.clone(),
            plural: names.plural.clone(),
        })
    }

    fn is_going(&self) -> bool {
        self.metadata.deletion_timestamp.is_some()
    }
}

/// Says of each kind whether it is there, first, and whenever that changes.
pub(super) fn definitions(
    client: &Client,
) -> SelectAll<BoxStream<'static, (Foreign, Option<ApiResource>)>> {
    stream::select_all(Foreign::ALL.map(|kind| {
        let api: Api<Definition> = Api::all(client.clone());
        let found = watch_object(api, kind.definition()).default_backoff();
        let found = found.filter_map(move |found| {
            let found = found.inspect_err(|error| interrupted(kind.definition(), error)).ok();
            future::ready(found.map(|found| (kind, found.and_then(|it| it.serves()))))
        });
        found.boxed()
    }))
}

/// Says whenever something that the edge depends on changed.
pub(super) fn changes(
    client: &Client,
    settings: &Settings,
    served: &Served,
) -> SelectAll<BoxStream<'static, ()>> {
    let namespace = &settings.namespace;
    let objects = |namespace: &str, api: &ApiResource| -> Api<PartialObjectMeta<DynamicObject>> {
        Api::namespaced_with(client.clone(), namespace, api)
    };
    let named = |name: &str| watcher::Config::default().fields(&format!("metadata.name={name}"));
    let ours = watcher::Config::default().labels(&selector());

    let secrets: Api<PartialObjectMeta<Secret>> = Api::namespaced(client.clone(), namespace);
    let mut watches = SelectAll::new();
    watches.push(wakes("Secret", secrets, named(settings.certificate_secret())));
    if let Some(api) = &served.certificate {
        watches.push(wakes(&api.kind, objects(namespace, api), named(certificate::NAME)));
    }
    let Some(gateways) = settings.gateways() else {
        return watches;
    };
    for api in [&served.reference_grant, &served.http_route].into_iter().flatten() {
        watches.push(wakes(&api.kind, objects(namespace, api), ours.clone()));
    }
    if let Some(api) = &served.gateway {
        let gateways = BTreeSet::from(Entry::ALL.map(|entry| &gateways.hop(entry).gateway));
        for gateway in gateways {
            let api = objects(&gateway.namespace, api);
            watches.push(wakes("Gateway", api, named(&gateway.name)));
        }
    }
    watches
}

fn wakes<K>(kind: &str, api: Api<K>, config: watcher::Config) -> BoxStream<'static, ()>
where
    K: kube::Resource + Clone + DeserializeOwned + Debug + Send + 'static,
{
    let kind = kind.to_owned();
    let events = watcher(api, config).default_backoff();
    events
        .filter_map(move |event| {
            let event = event.inspect_err(|error| interrupted(&kind, error)).ok();
            // The markers around a list say nothing; an object that went unseen is not in it.
            future::ready(event.filter(|it| !matches!(it, watcher::Event::Init)).map(drop))
        })
        .boxed()
}

fn interrupted(kind: &str, error: &watcher::Error) {
    tracing::warn!(%error, kind, "a watch is interrupted, and starts again");
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn definition(versions: &Value, established: &str) -> Definition {
        let definition = json!({
            "metadata": { "name": "certificates.cert-manager.io" },
            "spec": {
                "group": "cert-manager.io",
                "names": { "kind": "Certificate", "plural": "certificates" },
                "versions": versions,
            },
            "status": { "conditions": [{ "type": "Established", "status": established }] },
        });
        serde_json::from_value(definition).unwrap()
    }

    #[test]
    fn a_kind_is_used_in_the_best_version_that_is_served() {
        let version = |name: &str, served| json!({ "name": name, "served": served, "schema": {} });
        for (versions, established, used) in [
            (
                json!([version("v1beta1", true), version("v1", true)]),
                "True",
                Some("cert-manager.io/v1"),
            ),
            (
                json!([version("v1beta1", true), version("v1", false)]),
                "True",
                Some("cert-manager.io/v1beta1"),
            ),
            (json!([version("v1alpha2", true)]), "True", None),
            (json!([version("v1", true)]), "False", None),
        ] {
            let served = definition(&versions, established).serves();
            assert_eq!(served.map(|it| it.api_version).as_deref(), used, "{versions}");
        }
    }
}
