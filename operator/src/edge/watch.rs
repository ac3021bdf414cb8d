//! Watches what triggers a reconcile of the edge: external kinds and objects.
//!
//! Only metadata is watched, because each reconcile reads the objects anew. Of a kind that is not
//! installed, only the definition is watched.

use super::{
    certificate,
    manifest::selector,
    observed::{ExternalKind, InstalledKinds},
    settings::{EdgeSettings, Entry},
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

/// The part of a custom resource definition that tells which versions are served, without the large
/// schemas.
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

/// The supported versions, in order of preference. All have the fields that we write.
const VERSIONS: [&str; 2] = ["v1", "v1beta1"];

impl Definition {
    /// The resource to use, if the API server serves a supported version.
    fn resource(&self) -> Option<ApiResource> {
        let established =
            |it: &DefinitionCondition| it.kind == "Established" && it.status == "True";
        if !self.status.conditions.iter().any(established) || self.is_terminating() {
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

    fn is_terminating(&self) -> bool {
        self.metadata.deletion_timestamp.is_some()
    }
}

/// Yields each kind with its resource if installed, initially and on changes.
pub(super) fn definitions(
    client: &Client,
) -> SelectAll<BoxStream<'static, (ExternalKind, Option<ApiResource>)>> {
    stream::select_all(ExternalKind::ALL.map(|kind| {
        let api: Api<Definition> = Api::all(client.clone());
        let found = watch_object(api, kind.definition()).default_backoff();
        let found = found.filter_map(move |found| {
            let found = found.inspect_err(|error| log_interruption(kind.definition(), error)).ok();
            future::ready(found.map(|found| (kind, found.and_then(|it| it.resource()))))
        });
        found.boxed()
    }))
}

/// Yields whenever an object that the edge depends on changes.
pub(super) fn changes(
    client: &Client,
    settings: &EdgeSettings,
    kinds: &InstalledKinds,
) -> SelectAll<BoxStream<'static, ()>> {
    let namespace = &settings.namespace;
    let objects = |namespace: &str, api: &ApiResource| -> Api<PartialObjectMeta<DynamicObject>> {
        Api::namespaced_with(client.clone(), namespace, api)
    };
    let named = |name: &str| watcher::Config::default().fields(&format!("metadata.name={name}"));
    let ours = watcher::Config::default().labels(&selector());

    let secrets: Api<PartialObjectMeta<Secret>> = Api::namespaced(client.clone(), namespace);
    let mut watches = SelectAll::new();
    watches.push(changes_of("Secret", secrets, named(settings.certificate_secret())));
    if let Some(api) = &kinds.certificate {
        watches.push(changes_of(&api.kind, objects(namespace, api), named(certificate::NAME)));
    }
    let Some(gateways) = settings.gateways() else {
        return watches;
    };
    for api in [&kinds.reference_grant, &kinds.http_route].into_iter().flatten() {
        watches.push(changes_of(&api.kind, objects(namespace, api), ours.clone()));
    }
    if let Some(api) = &kinds.gateway {
        let gateways = BTreeSet::from(Entry::ALL.map(|entry| &gateways.hop(entry).gateway));
        for gateway in gateways {
            let api = objects(&gateway.namespace, api);
            watches.push(changes_of("Gateway", api, named(&gateway.name)));
        }
    }
    watches
}

fn changes_of<K>(kind: &str, api: Api<K>, config: watcher::Config) -> BoxStream<'static, ()>
where
    K: kube::Resource + Clone + DeserializeOwned + Debug + Send + 'static,
{
    let kind = kind.to_owned();
    let events = watcher(api, config).default_backoff();
    events
        .filter_map(move |event| {
            let event = event.inspect_err(|error| log_interruption(&kind, error)).ok();
            // `InitDone` counts as a change: an object that was deleted unseen is not in the list.
            future::ready(event.filter(|it| !matches!(it, watcher::Event::Init)).map(drop))
        })
        .boxed()
}

fn log_interruption(kind: &str, error: &watcher::Error) {
    tracing::warn!(%error, kind, "a watch was interrupted; restarting it");
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
            let served = definition(&versions, established).resource();
            assert_eq!(served.map(|it| it.api_version).as_deref(), used, "{versions}");
        }
    }
}
