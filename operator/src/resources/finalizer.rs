//! Removes the finalizer of the first release from a resource.

use kube::{
    Api, Client, Error, Resource, ResourceExt as _,
    api::{Patch, PatchParams},
    core::NamespaceResourceScope,
};
use llm_contract::ResourceName;
use serde::de::DeserializeOwned;
use serde_json::json;
use std::fmt::Debug;

/// No controller handles it any more: a resource that has it could never be deleted.
const LEGACY_FINALIZER: &str = "llm.nebari.dev/cleanup";

/// Removes the finalizer, if present. Fails if the resource has changed meanwhile; the caller
/// retries.
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
    let others: Vec<_> = finalizers.iter().filter(|it| *it != LEGACY_FINALIZER).collect();
    if others.len() == finalizers.len() {
        return Ok(());
    }
    let patch = json!({"metadata": {
        "finalizers": others,
        "resourceVersion": resource.resource_version(),
    }});
    let api: Api<K> = Api::namespaced(client.clone(), name.namespace());
    match api.patch_metadata(name.name(), &PatchParams::default(), &Patch::Merge(&patch)).await {
        Err(Error::Api(status)) if status.code == 404 => Ok(()),
        patched => patched.map(drop),
    }
}
