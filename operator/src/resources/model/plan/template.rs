//! Chooses the variant of a pod template.
//!
//! The first release ran its pods without restrictions and with an older downloader. Changing the
//! template of every Deployment would restart every GPU pod when the operator is upgraded. So a
//! Deployment that matches an older variant keeps it until a user's change alters its template
//! anyway. New Deployments get the current variant.

use super::pod::PodVariant;
use crate::{apply::covers, resources::model::names::is_downloader};
use k8s_openapi::api::core::v1::PodTemplateSpec;
use serde_json::Value;

/// Fields that a user may remove from a resource. The live template would still cover the planned
/// one, but it is a change.
const REMOVABLE: &[&str] = &[
    "/spec/nodeSelector",
    "/spec/affinity",
    "/spec/tolerations",
    "/spec/imagePullSecrets",
    "/spec/runtimeClassName",
    "/spec/priorityClassName",
    "/spec/initContainers",
    "/spec/containers/0/env",
    "/spec/containers/0/resources/requests",
    "/spec/containers/0/resources/limits",
];

/// The variant of the live template if only the variant would change it, else the current one.
pub(super) fn choose_variant(
    live: Option<&PodTemplateSpec>,
    downloader: &str,
    render: impl Fn(&PodVariant) -> PodTemplateSpec,
) -> PodVariant {
    let variant = |hardened, image: &str| PodVariant { hardened, downloader_image: image.into() };
    let current = variant(true, downloader);
    let Some(live) = live else { return current };
    let live_downloader = downloader_image(live).unwrap_or(downloader);
    let candidates = [variant(true, live_downloader), variant(false, live_downloader)];
    let Ok(live) = serde_json::to_value(live) else { return current };
    let matches_live = |variant: &PodVariant| {
        serde_json::to_value(render(variant)).is_ok_and(|rendered| is_same(&live, &rendered))
    };
    candidates.into_iter().find(matches_live).unwrap_or(current)
}

fn downloader_image(template: &PodTemplateSpec) -> Option<&str> {
    let containers = template.spec.as_ref()?.init_containers.as_ref()?;
    let downloader = containers.iter().find(|it| is_downloader(&it.name))?;
    downloader.image.as_deref()
}

fn is_same(live: &Value, rendered: &Value) -> bool {
    let size = |value: Option<&Value>| match value {
        Some(Value::Array(entries)) => entries.len(),
        Some(Value::Object(fields)) => fields.len(),
        Some(Value::Null) | None => 0,
        Some(Value::Bool(_) | Value::Number(_) | Value::String(_)) => 1,
    };
    let is_kept = |path: &&str| size(live.pointer(path)) <= size(rendered.pointer(path));
    covers(live, rendered) && REMOVABLE.iter().all(is_kept)
}
