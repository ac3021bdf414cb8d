//! Does what was planned.

use super::{
    plan::{Act, Step},
    readiness::Failure,
};
use kube::{
    Api, Client, Error,
    api::{DeleteParams, DynamicObject, Patch, PatchParams, Preconditions},
};
use serde_json::Value;

/// Takes all steps, also those after one that failed; gives what could not be done.
pub(super) async fn act(client: &Client, steps: &[Step]) -> Vec<Failure> {
    let mut failures = Vec::new();
    for step in steps {
        let Step { api, namespace, name, .. } = step;
        match take(client, step).await {
            Ok(()) => {
                let verb = verb(&step.act);
                tracing::info!(verb, kind = api.kind, namespace, name, "the edge was changed");
            }
            Err(error) => {
                let message =
                    format!("{} {} {namespace}/{name}: {error}", verb(&step.act), api.kind);
                tracing::warn!(error = message, "the edge could not be changed");
                failures.push(Failure { entries: step.entries.clone(), message });
            }
        }
    }
    failures
}

async fn take(client: &Client, step: &Step) -> Result<(), Error> {
    let Step { api: resource, namespace, name, act, .. } = step;
    let api: Api<DynamicObject> = Api::namespaced_with(client.clone(), namespace, resource);
    match act {
        Act::Apply { manager, object } => {
            let mut object = object.clone();
            if let Value::Object(fields) = &mut object {
                fields.insert("apiVersion".into(), resource.api_version.as_str().into());
                fields.insert("kind".into(), resource.kind.as_str().into());
            }
            let params = PatchParams::apply(manager).force();
            api.patch(name, &params, &Patch::Apply(&object)).await?;
        }
        Act::Trim(patch) => {
            let patch = serde_json::from_value(patch.clone()).map_err(Error::SerdeError)?;
            api.patch(name, &PatchParams::default(), &Patch::<()>::Json(patch)).await?;
        }
        Act::Delete { uid } => {
            let seen = Preconditions { uid: Some(uid.clone()), resource_version: None };
            match api.delete(name, &DeleteParams::default().preconditions(seen)).await {
                // It is gone, or another one has its name.
                Err(Error::Api(status)) if matches!(status.code, 404 | 409) => {}
                other => drop(other?),
            }
        }
    }
    Ok(())
}

fn verb(act: &Act) -> &'static str {
    match act {
        Act::Apply { .. } => "apply",
        Act::Trim(_) => "patch",
        Act::Delete { .. } => "delete",
    }
}
