//! Takes the finalizer of an earlier release off a resource.

use kube::{
    Api, Client, Error, Resource, ResourceExt as _,
    api::{Patch, PatchParams},
    core::NamespaceResourceScope,
};
use llm_contract::ResourceName;
use serde::de::DeserializeOwned;
use serde_json::json;
use std::fmt::Debug;

/// What an earlier release put on its resources. Nobody waits for it any more, and a resource
/// that carries it could never be deleted.
pub(crate) const OLDER: &str = "llm.nebari.dev/cleanup";

/// Takes it off, if it is there.
///
/// # Errors
/// If the API server does not take it; a resource that has changed meanwhile is tried again.
pub(crate) async fn remove<K>(
    client: &Client,
    name: &ResourceName,
    resource: &K,
) -> Result<(), Error>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
        + DeserializeOwned
        + Clone
        + Debug,
{
    let finalizers = resource.finalizers();
    if !finalizers.iter().any(|it| it == OLDER) {
        return Ok(());
    }
    let others: Vec<_> = finalizers.iter().filter(|it| *it != OLDER).collect();
    let patch = json!({"metadata": {
        "finalizers": others,
        "resourceVersion": resource.resource_version(),
    }});
    let api: Api<K> = Api::namespaced(client.clone(), name.namespace());
    match api.patch_metadata(name.name(), &PatchParams::default(), &Patch::Merge(&patch)).await {
        Ok(_) => Ok(()),
        Err(Error::Api(status)) if status.code == 404 => Ok(()),
        Err(error) => Err(error),
    }
}
