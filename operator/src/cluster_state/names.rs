//! Names of objects.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use llm_contract::ResourceName;
use std::collections::BTreeSet;

/// Names of cluster-scoped objects.
pub type NameSet = BTreeSet<String>;

/// `None` if Kubernetes could not have such an object.
pub(crate) fn resource_name(namespace: &str, name: &str) -> Option<ResourceName> {
    ResourceName::parse(&format!("{namespace}/{name}")).ok()
}

/// `None` for a cluster-scoped object.
pub(crate) fn name_of(metadata: &ObjectMeta) -> Option<ResourceName> {
    resource_name(metadata.namespace.as_deref()?, metadata.name.as_deref()?)
}
