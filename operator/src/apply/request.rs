//! Requests that every writer of objects makes alike.

use kube::{
    Api, Error, Result,
    api::{DeleteParams, DynamicObject, Patch, PatchParams, Preconditions, PropagationPolicy},
};
use serde_json::Value;

/// Applies an object server-side, taking over fields from other managers.
pub(crate) async fn force_apply(
    api: &Api<DynamicObject>,
    name: &str,
    manager: &str,
    object: &Value,
) -> Result<DynamicObject> {
    api.patch(name, &PatchParams::apply(manager).force(), &Patch::Apply(object)).await
}

/// Deletes the object with this uid, and returns whether it still existed.
pub(crate) async fn delete(api: &Api<DynamicObject>, name: &str, uid: &str) -> Result<bool> {
    let params = DeleteParams {
        propagation_policy: Some(PropagationPolicy::Background),
        preconditions: Some(Preconditions { uid: Some(uid.to_owned()), resource_version: None }),
        ..DeleteParams::default()
    };
    match api.delete(name, &params).await {
        Ok(_) => Ok(true),
        // It is gone, or another object has its name.
        Err(Error::Api(status)) if matches!(status.code, 404 | 409) => Ok(false),
        Err(error) => Err(error),
    }
}
