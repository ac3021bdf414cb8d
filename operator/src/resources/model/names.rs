//! Names of a model's objects and containers, and the labels that connect them.

use crate::labels::{INSTANCE, MANAGED_BY};
use kube::api::{ApiResource, GroupVersionKind};
use llm_contract::ResourceName;
use std::collections::BTreeMap;

/// The value of the label `app.kubernetes.io/name`.
pub(crate) const APP: &str = "llmmodel";
pub(crate) const VLLM: &str = "vllm";
/// The init container that downloads weights from a hub.
pub(crate) const DOWNLOADER: &str = "model-downloader";
/// The init container that copies weights from an image.
pub(crate) const LOADER: &str = "model-loader";
/// The init containers that download adapters from a hub; a number follows.
pub(crate) const ADAPTER_DOWNLOADER: &str = "adapter-downloader-";

/// Whether a container downloads weights or adapters from a hub.
pub(crate) fn is_downloader(container: &str) -> bool {
    container == DOWNLOADER || container.starts_with(ADAPTER_DOWNLOADER)
}

pub(crate) fn pod_monitors() -> ApiResource {
    let kind = GroupVersionKind::gvk("monitoring.coreos.com", "v1", "PodMonitor");
    ApiResource::from_gvk_with_plural(&kind, "podmonitors")
}

/// The labels of a model's objects and pods.
pub(crate) fn labels(model: &str) -> BTreeMap<String, String> {
    let (managed_by, operator) = MANAGED_BY;
    [
        (managed_by, operator),
        (INSTANCE, model),
        ("app.kubernetes.io/name", APP),
        ("llm.nebari.dev/model", model),
    ]
    .map(|(label, value)| (label.to_owned(), value.to_owned()))
    .into()
}

/// The selector of a model's pods; immutable, and that of the first release.
pub(crate) fn selector(model: &str) -> BTreeMap<String, String> {
    BTreeMap::from([(INSTANCE.to_owned(), model.to_owned())])
}

/// The names of a model's objects, all valid in Kubernetes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectNames {
    /// Of the model, its Service, its Deployment and its PodMonitor.
    pub model: ResourceName,
    pub claim: ResourceName,
    pub service_account: ResourceName,
    pub network_policy: ResourceName,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "metadata.name: rename the model; a Service name has at most {} lowercase letters, digits and \
     `-`, starts with a letter and does not end with `-`",
    ObjectNames::BYTES_MAX
)]
pub struct InvalidName;

impl ObjectNames {
    /// The limit for names of Services and values of labels.
    const BYTES_MAX: usize = 63;

    pub fn of(model: &ResourceName) -> Result<Self, InvalidName> {
        let name = model.name();
        let is_plain = |it: u8| it.is_ascii_lowercase() || it.is_ascii_digit() || it == b'-';
        let is_valid = name.len() <= Self::BYTES_MAX
            && name.bytes().all(is_plain)
            && name.starts_with(|first: char| first.is_ascii_lowercase())
            && !name.ends_with('-');
        let derived = |suffix: &str| {
            ResourceName::parse(&format!("{model}-{suffix}")).map_err(|_same| InvalidName)
        };
        if !is_valid {
            return Err(InvalidName);
        }
        Ok(Self {
            model: model.clone(),
            claim: derived("model-storage")?,
            service_account: derived("sa")?,
            network_policy: derived("deny-direct")?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_is_named_like_a_service() {
        for (name, good) in [
            ("models/qwen3", true),
            ("models/3b", false),
            ("models/qwen-", false),
            ("models/qwen3.5", false),
            (&format!("models/{}", "q".repeat(63)), true),
            (&format!("models/{}", "q".repeat(64)), false),
        ] {
            let name = ResourceName::parse(name).unwrap();
            assert_eq!(ObjectNames::of(&name).is_ok(), good, "{name}");
        }
    }
}
