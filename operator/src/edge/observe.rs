//! Reads the live objects. They are read anew for each reconcile, which is rare, so that no decision
//! depends on a stale cache.

use super::{
    certificate::{NAME, check::TlsSecret},
    http_routes::attached_to,
    manifest::selector,
    observed::{InstalledKinds, ObservedEdge},
    settings::{EdgeSettings, Entry, GatewayName},
};
use k8s_openapi::api::core::v1::Secret;
use kube::{
    Api, Client,
    api::{ApiResource, DynamicObject, ListParams},
};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// More than there are objects of ours.
const LIST_MAX: u32 = 500;

#[derive(Debug, thiserror::Error)]
#[error("reading {kind} {name} in namespace {namespace}")]
pub(super) struct ObserveError {
    kind: String,
    name: String,
    namespace: String,
    source: Box<kube::Error>,
}

pub(super) async fn observe(
    client: &Client,
    settings: &EdgeSettings,
    kinds: &InstalledKinds,
) -> Result<ObservedEdge, ObserveError> {
    let reader = Reader { client, namespace: &settings.namespace };
    let certificate = reader.get(kinds.certificate.as_ref(), NAME).await?;
    let secret = reader.secret(settings.certificate_secret()).await?;
    let uses_gateways = settings.gateways().is_some();
    let grants = reader.ours(kinds.reference_grant.as_ref()).await;
    let grants = needed_if(uses_gateways, grants)?.unwrap_or_default();
    let routes = reader.ours(kinds.http_route.as_ref()).await;
    let routes = needed_if(uses_gateways, routes)?.unwrap_or_default();

    let wanted: BTreeSet<GatewayName> = settings
        .gateways()
        .into_iter()
        .flat_map(|gateways| Entry::ALL.map(|entry| gateways.hop(entry).gateway.clone()))
        .collect();
    let mut gateways = BTreeMap::new();
    for name in attached_to(&routes).union(&wanted) {
        let there = Reader { client, namespace: &name.namespace };
        let found = there.get(kinds.gateway.as_ref(), &name.name).await;
        if let Some(found) = needed_if(wanted.contains(name), found)?.flatten() {
            gateways.insert(name.clone(), found);
        }
    }
    Ok(ObservedEdge { certificate, secret, gateways, grants, routes })
}

/// Permissions for mere cleanup may have been revoked before there was time for it.
fn needed_if<T>(needed: bool, found: Result<T, ObserveError>) -> Result<Option<T>, ObserveError> {
    match found {
        Err(ObserveError { source, kind, name, namespace }) if !needed && is_forbidden(&source) => {
            tracing::warn!(kind, name, namespace, "objects that remain there cannot be removed");
            Ok(None)
        }
        found => found.map(Some),
    }
}

fn is_forbidden(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.code == 403)
}

struct Reader<'a> {
    client: &'a Client,
    namespace: &'a str,
}

impl Reader<'_> {
    async fn get(
        &self,
        api: Option<&ApiResource>,
        name: &str,
    ) -> Result<Option<Value>, ObserveError> {
        let Some(resource) = api else {
            return Ok(None);
        };
        let found = self.api(resource).get_opt(name).await;
        let found = found.map_err(|source| self.error(&resource.kind, name, source))?;
        Ok(found.map(to_value))
    }

    async fn ours(&self, api: Option<&ApiResource>) -> Result<Vec<Value>, ObserveError> {
        let Some(resource) = api else {
            return Ok(Vec::new());
        };
        let params = ListParams::default().labels(&selector()).limit(LIST_MAX);
        let found = self.api(resource).list(&params).await;
        let found = found.map_err(|source| self.error(&resource.kind, "*", source))?;
        Ok(found.items.into_iter().map(to_value).collect())
    }

    async fn secret(&self, name: &str) -> Result<Option<TlsSecret>, ObserveError> {
        let api: Api<Secret> = Api::namespaced(self.client.clone(), self.namespace);
        let found = api.get_opt(name).await;
        let found = found.map_err(|source| self.error("Secret", name, source))?;
        Ok(found.map(TlsSecret::from))
    }

    fn api(&self, resource: &ApiResource) -> Api<DynamicObject> {
        Api::namespaced_with(self.client.clone(), self.namespace, resource)
    }

    fn error(&self, kind: &str, name: &str, source: kube::Error) -> ObserveError {
        ObserveError {
            kind: kind.into(),
            name: name.into(),
            namespace: self.namespace.into(),
            source: Box::new(source),
        }
    }
}

/// An object that was read from JSON always serializes.
fn to_value(object: DynamicObject) -> Value {
    serde_json::to_value(object).unwrap_or_default()
}
