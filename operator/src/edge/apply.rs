//! Applies planned changes.

use super::{
    plan::{Change, Write},
    settings::Entry,
};
use crate::apply::{delete, force_apply};
use kube::{
    Api, Client, Error,
    api::{DynamicObject, Patch, PatchParams},
};
use serde_json::Value;

/// A change that failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct WriteError {
    /// The entries that need the change.
    pub(super) entries: Vec<Entry>,
    pub(super) message: String,
}

/// Applies all changes, also after errors, and returns those.
pub(super) async fn apply(client: &Client, changes: &[Change]) -> Vec<WriteError> {
    let mut errors = Vec::new();
    for change in changes {
        let Change { resource, namespace, name, write, entries } = change;
        let (verb, kind) = (write.verb(), &resource.kind);
        match request(client, change).await {
            Ok(()) => tracing::info!(verb, kind, namespace, name, "changed the edge"),
            Err(error) => {
                let message = format!("failed to {verb} {kind} {namespace}/{name}: {error}");
                tracing::warn!(error = message, "changing the edge failed");
                errors.push(WriteError { entries: entries.clone(), message });
            }
        }
    }
    errors
}

async fn request(client: &Client, change: &Change) -> Result<(), Error> {
    let Change { resource, namespace, name, write, .. } = change;
    let api: Api<DynamicObject> = Api::namespaced_with(client.clone(), namespace, resource);
    match write {
        Write::Apply { manager, object } => {
            let mut object = object.clone();
            if let Value::Object(fields) = &mut object {
                fields.insert("apiVersion".into(), resource.api_version.as_str().into());
                fields.insert("kind".into(), resource.kind.as_str().into());
            }
            force_apply(&api, name, manager, &object).await?;
        }
        Write::JsonPatch(patch) => {
            let patch = serde_json::from_value(patch.clone()).map_err(Error::SerdeError)?;
            api.patch(name, &PatchParams::default(), &Patch::<()>::Json(patch)).await?;
        }
        Write::Delete { uid } => {
            delete(&api, name, uid).await?;
        }
    }
    Ok(())
}
