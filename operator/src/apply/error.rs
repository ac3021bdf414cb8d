//! Why an object was not applied.

use kube::api::ApiResource;
use llm_contract::ResourceName;
use std::fmt;

#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    #[error(
        "{object} already exists and belongs to {owner}: rename this resource or delete that object"
    )]
    OwnedByOther { object: ObjectRef, owner: String },
    #[error("{object} is still being deleted")]
    Terminating { object: ObjectRef },
    /// The object was deleted or replaced, and the watch has not reported that yet.
    #[error("{object} has changed since it was observed")]
    Stale { object: ObjectRef, source: kube::Error },
    /// The owner was deleted, and the watch has not reported that yet.
    #[error("{object} is not created: {owner} was deleted")]
    OwnerDeleted { object: ObjectRef, owner: String },
    #[error("{action} {object}")]
    Api { action: &'static str, object: ObjectRef, source: kube::Error },
}

/// Kind and name of an object, for messages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectRef {
    kind: String,
    name: ResourceName,
}

impl ObjectRef {
    pub(super) fn new(resource: &ApiResource, name: &ResourceName) -> Self {
        Self { kind: resource.kind.clone(), name: name.clone() }
    }
}

impl fmt::Display for ObjectRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind, self.name)
    }
}

/// For `map_err`: the API server rejected a request, or did not answer.
pub(super) fn api_error(
    action: &'static str,
    resource: &ApiResource,
    name: &ResourceName,
) -> impl FnOnce(kube::Error) -> ApplyError {
    move |source| ApplyError::Api { action, object: ObjectRef::new(resource, name), source }
}

/// For `map_err` of a patch with the uid of the object that was `observed`, if any.
pub(super) fn write_error(
    observed: bool,
    resource: &ApiResource,
    name: &ResourceName,
) -> impl FnOnce(kube::Error) -> ApplyError {
    move |source| {
        if observed && is_stale(&source) {
            return ApplyError::Stale { object: ObjectRef::new(resource, name), source };
        }
        api_error("writing", resource, name)(source)
    }
}

/// Whether no object has the uid of a patch. If the object is gone the API server reports a
/// conflict or not found, if another one has its name an invalid field.
fn is_stale(error: &kube::Error) -> bool {
    let kube::Error::Api(status) = error else { return false };
    let causes = status.details.iter().flat_map(|details| &details.causes);
    [404, 409].contains(&status.code)
        || causes.into_iter().any(|cause| cause.field == "metadata.uid")
}
