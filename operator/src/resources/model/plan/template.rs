//! Which of two forms the pods of a model have.
//!
//! The first release ran its pods without restrictions and with the downloader of its time. What
//! has been added since would change the template of every Deployment, and so restart every GPU
//! pod when the operator is replaced. Therefore a Deployment that is as the first release would
//! have made it stays in that form, until something that a person wrote changes its template
//! anyhow. New Deployments have the current form.

use crate::apply::covers;
use k8s_openapi::api::core::v1::PodTemplateSpec;
use serde_json::Value;

/// What the pods of a model look like beyond what their resource says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Style {
    /// Whether the pods are restricted as far as their images allow.
    pub hardened: bool,
    /// The image that fetches the weights.
    pub downloader: String,
}

/// What a person may take out of a resource. It would be covered by what is live, but is a change.
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

/// The style of a Deployment: that of the live template if nothing but the style would change it,
/// else the current one.
pub(super) fn style(
    live: Option<&PodTemplateSpec>,
    downloader: &str,
    render: impl Fn(&Style) -> PodTemplateSpec,
) -> Style {
    let current = Style { hardened: true, downloader: downloader.into() };
    let Some(live) = live else { return current };
    let kept = downloader_of(live).unwrap_or(downloader).to_owned();
    let (Ok(live), styles) = (
        serde_json::to_value(live),
        [
            Style { hardened: true, downloader: kept.clone() },
            Style { hardened: false, downloader: kept },
        ],
    ) else {
        return current;
    };
    let same =
        |style: &Style| serde_json::to_value(render(style)).is_ok_and(|it| is_same(&live, &it));
    styles.into_iter().find(same).unwrap_or(current)
}

/// The image that fetches the weights in a template.
fn downloader_of(template: &PodTemplateSpec) -> Option<&str> {
    let containers = template.spec.as_ref()?.init_containers.as_ref()?;
    let downloader = containers.iter().find(|it| super::is_downloader(&it.name))?;
    downloader.image.as_deref()
}

fn is_same(live: &Value, rendered: &Value) -> bool {
    let size = |value: Option<&Value>| match value {
        Some(Value::Array(entries)) => entries.len(),
        Some(Value::Object(fields)) => fields.len(),
        Some(Value::Null) | None => 0,
        Some(Value::Bool(_) | Value::Number(_) | Value::String(_)) => 1,
    };
    let nothing_removed = |path: &&str| size(live.pointer(path)) <= size(rendered.pointer(path));
    covers(live, rendered) && REMOVABLE.iter().all(nothing_removed)
}
