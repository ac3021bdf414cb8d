//! Finds legacy objects in the watched namespaces.

use super::kinds::{GRANT, KINDS, LegacyKind, LegacyObject, recognize_grant};
use crate::{app::settings::WatchScope, context::Context, labels::MANAGED_BY};
use k8s_openapi::{
    api::{
        apps::v1::Deployment,
        core::v1::{ConfigMap, Service, ServiceAccount},
        rbac::v1::{Role, RoleBinding},
    },
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};
use kube::{
    Api,
    api::{ApiResource, DynamicObject, ListParams, PartialObjectMeta},
    discovery::Discovery,
};
use std::collections::BTreeSet;

const PAGE_OBJECTS: u32 = 500;

#[derive(Debug, thiserror::Error)]
pub(super) enum FindError {
    #[error("discovering the installed kinds")]
    Kinds(#[source] kube::Error),
    #[error("listing {kind} in {place}")]
    List { kind: String, place: String, source: kube::Error },
}

pub(super) struct Finder<'a> {
    context: &'a Context,
    keys_namespace: Option<String>,
}

impl<'a> Finder<'a> {
    pub(super) fn new(context: &'a Context, keys_namespace: Option<String>) -> Self {
        Self { context, keys_namespace: keys_namespace.filter(|it| !it.is_empty()) }
    }

    /// All legacy objects. Fails if any kind cannot be listed, because others may have to wait for
    /// its objects.
    pub(super) async fn find(&self) -> Result<Vec<LegacyObject>, FindError> {
        let kinds = self.kinds().await?;
        let mut found: Vec<LegacyObject> = Vec::new();
        for known in KINDS {
            let Some(resource) = kinds.of(known) else { continue };
            for object in self.list(&resource, Some(&managed_by())).await? {
                found.extend(known.recognize(&resource, &object));
            }
            if known.kind == "HTTPRoute" {
                let new = |it: &LegacyObject| !found.iter().any(|known| known.uid == it.uid);
                let generated = self.list(&resource, None).await?;
                let generated = generated.iter().filter_map(|object| {
                    known.recognize_generated(&resource, object, &found).filter(new)
                });
                let generated: Vec<LegacyObject> = generated.collect();
                found.extend(generated);
            }
        }
        if let Some(resource) = kinds.of(&GRANT) {
            let grants = self.list_grants(&resource).await?;
            let grants = grants.iter().filter_map(|object| recognize_grant(&resource, object));
            found.extend(grants.filter(|it| self.watches(it.model.namespace())));
        }
        Ok(found)
    }

    async fn kinds(&self) -> Result<Kinds, FindError> {
        let groups: BTreeSet<&str> = KINDS.iter().map(|known| known.group).collect();
        let groups: Vec<&str> = groups.into_iter().filter(|it| !is_built_in(it)).collect();
        let discovery = Discovery::new(self.context.applier.client().clone()).filter(&groups);
        Ok(Kinds(discovery.run().await.map_err(FindError::Kinds)?))
    }

    /// The objects of a kind in the watched namespaces.
    async fn list(
        &self,
        resource: &ApiResource,
        labels: Option<&str>,
    ) -> Result<Vec<ObjectMeta>, FindError> {
        let mut found = Vec::new();
        match &self.context.settings.scope {
            WatchScope::Labelled => found.extend(self.list_in(None, resource, labels).await?),
            WatchScope::Namespaces(namespaces) => {
                for namespace in namespaces {
                    found.extend(self.list_in(Some(namespace), resource, labels).await?);
                }
            }
        }
        found.retain(|it| it.namespace.as_deref().is_some_and(|it| self.watches(it)));
        Ok(found)
    }

    /// Grants in the watched namespaces and in that of keys.
    async fn list_grants(&self, resource: &ApiResource) -> Result<Vec<ObjectMeta>, FindError> {
        let mut found = self.list(resource, Some(&managed_by())).await?;
        if let Some(namespace) = self.keys_namespace.as_deref().filter(|it| !self.watches(it)) {
            found.extend(self.list_in(Some(namespace), resource, Some(&managed_by())).await?);
        }
        Ok(found)
    }

    async fn list_in(
        &self,
        namespace: Option<&str>,
        resource: &ApiResource,
        labels: Option<&str>,
    ) -> Result<Vec<ObjectMeta>, FindError> {
        let client = self.context.applier.client().clone();
        let api: Api<PartialObjectMeta<DynamicObject>> = match namespace {
            Some(namespace) => Api::namespaced_with(client, namespace, resource),
            None => Api::all_with(client, resource),
        };
        let mut params = ListParams::default().limit(PAGE_OBJECTS);
        params.label_selector = labels.map(Into::into);
        let mut found = Vec::new();
        loop {
            let page = api.list(&params).await.map_err(|source| FindError::List {
                kind: resource.kind.clone(),
                place: namespace.map_or("all namespaces".into(), |it| format!("namespace {it}")),
                source,
            })?;
            found.extend(page.items.into_iter().map(|object| object.metadata));
            match page.metadata.continue_.filter(|it| !it.is_empty()) {
                Some(next) => params.continue_token = Some(next),
                None => return Ok(found),
            }
        }
    }

    /// Whether we manage the models of a namespace.
    fn watches(&self, namespace: &str) -> bool {
        match &self.context.settings.scope {
            WatchScope::Labelled => self.context.cluster.is_managed(namespace),
            WatchScope::Namespaces(namespaces) => namespaces.contains(namespace),
        }
    }
}

/// The installed kinds.
struct Kinds(Discovery);

impl Kinds {
    fn of(&self, known: &LegacyKind) -> Option<ApiResource> {
        match (known.group, known.kind) {
            ("apps", "Deployment") => Some(ApiResource::erase::<Deployment>(&())),
            ("", "Service") => Some(ApiResource::erase::<Service>(&())),
            ("", "ConfigMap") => Some(ApiResource::erase::<ConfigMap>(&())),
            ("", "ServiceAccount") => Some(ApiResource::erase::<ServiceAccount>(&())),
            (_, "RoleBinding") => Some(ApiResource::erase::<RoleBinding>(&())),
            (_, "Role") => Some(ApiResource::erase::<Role>(&())),
            (group, kind) => {
                let group = self.0.get(group)?;
                let mut kinds = group.versions().flat_map(|it| group.versioned_resources(it));
                kinds.find(|(resource, _)| resource.kind == kind).map(|(resource, _)| resource)
            }
        }
    }
}

fn is_built_in(group: &str) -> bool {
    matches!(group, "" | "apps" | "rbac.authorization.k8s.io")
}

fn managed_by() -> String {
    format!("{}={}", MANAGED_BY.0, MANAGED_BY.1)
}
