//! The values in effect where a manifest says nothing.

use super::{LLMModelSpec, RoutingPolicy, Source, StorageAccessMode, StorageType, UpdateStrategy};
use std::time::Duration;

/// A field that is set and has no effect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ignored {
    /// Its path, for example `spec.endpoints.external.subdomain`.
    pub path: &'static str,
    /// Why it has none, as the rest of a sentence that begins with the path.
    pub why: &'static str,
}

impl LLMModelSpec {
    /// The most a request may take: what the proxies wait at most.
    pub const REQUEST_TIMEOUT_MAX: Duration = Duration::from_secs(24 * 3600);
    const REQUEST_TIMEOUT: Duration = Duration::from_secs(600);

    /// All ids by which clients may ask for the base model: its own first.
    pub fn model_ids(&self) -> impl Iterator<Item = &str> {
        std::iter::once(self.model.name.as_str()).chain(self.aliases.iter().map(String::as_str))
    }

    /// How many replicas run without `scaling`.
    pub fn replicas(&self) -> i32 {
        let given = self.serving.as_ref().and_then(|serving| serving.replicas);
        given.unwrap_or(1).max(0)
    }

    /// Over how many GPUs one copy of the model is spread.
    pub fn tensor_parallelism(&self) -> i32 {
        let given = self.serving.as_ref().and_then(|serving| serving.tensor_parallelism);
        given.unwrap_or(self.resources.gpu.count)
    }

    /// How many copies of the model one replica runs.
    pub fn data_parallelism(&self) -> i32 {
        self.serving.as_ref().and_then(|serving| serving.data_parallelism).unwrap_or(1)
    }

    /// How a new version replaces the old.
    pub fn update_strategy(&self) -> UpdateStrategy {
        self.serving.as_ref().and_then(|serving| serving.update_strategy).unwrap_or_default()
    }

    /// Whether Prometheus reads vLLM's metrics.
    pub fn monitoring_enabled(&self) -> bool {
        let monitoring = self.serving.as_ref().and_then(|serving| serving.monitoring.as_ref());
        monitoring.and_then(|monitoring| monitoring.enabled) == Some(true)
    }

    /// Whether callers with API keys reach the model.
    pub fn external_enabled(&self) -> bool {
        let external = self.endpoints.as_ref().and_then(|endpoints| endpoints.external.as_ref());
        external.and_then(|external| external.enabled) != Some(false)
    }

    /// Whether callers with tokens reach the model.
    pub fn internal_enabled(&self) -> bool {
        let internal = self.endpoints.as_ref().and_then(|endpoints| endpoints.internal.as_ref());
        internal.and_then(|internal| internal.enabled) != Some(false)
    }

    /// How long a whole request may take. `0s`, with which older manifests switched the limit
    /// off, is the longest there is.
    pub fn request_timeout(&self) -> Duration {
        let given =
            self.endpoints.as_ref().and_then(|endpoints| endpoints.request_timeout.as_ref());
        match given.and_then(|text| text.parse()) {
            None => Self::REQUEST_TIMEOUT,
            Some(Duration::ZERO) => Self::REQUEST_TIMEOUT_MAX,
            Some(given) => given.min(Self::REQUEST_TIMEOUT_MAX),
        }
    }

    /// How the weights are kept.
    pub fn storage_type(&self) -> StorageType {
        let given = self.model.storage.as_ref().and_then(|storage| storage.kind);
        match (self.model.source, given) {
            (Source::HuggingFace, given) => given.unwrap_or_default(),
            (Source::Oci, Some(StorageType::Image)) => StorageType::Image,
            (Source::Oci, _) => StorageType::EmptyDir,
            (Source::Pvc, _) => StorageType::Pvc,
        }
    }

    /// How many nodes may use the volume.
    pub fn storage_access_mode(&self) -> StorageAccessMode {
        self.model.storage.as_ref().and_then(|storage| storage.access_mode).unwrap_or_default()
    }

    /// Whether an init container fetches the weights.
    pub fn fetches_weights(&self) -> bool {
        match self.model.source {
            Source::HuggingFace => self.model.preload != Some(false),
            Source::Oci => self.storage_type() != StorageType::Image,
            Source::Pvc => false,
        }
    }

    /// Which replica serves a request.
    pub fn routing_policy(&self) -> RoutingPolicy {
        self.routing.as_ref().and_then(|routing| routing.policy).unwrap_or_default()
    }

    /// What is set and has no effect.
    pub fn ignored(&self) -> Vec<Ignored> {
        const NO_HUB: &str = "has no effect: the weights do not come from a hub";
        let external = self.endpoints.as_ref().and_then(|endpoints| endpoints.external.as_ref());
        let pool = self.advanced.as_ref().and_then(|advanced| advanced.inference_pool.as_ref());
        let replicas = self.serving.as_ref().and_then(|serving| serving.replicas);
        let not_from_hub = self.model.source != Source::HuggingFace;
        let given = |text: &Option<String>| text.as_ref().is_some_and(|text| !text.is_empty());
        let rows = [
            (
                external.is_some_and(|external| given(&external.subdomain)),
                "spec.endpoints.external.subdomain",
                "has no effect: all models share one host name",
            ),
            (
                pool.is_some_and(|pool| pool.scheduler_config.is_some()),
                "spec.advanced.inferencePool.schedulerConfig",
                "has no effect: the gateway chooses replicas itself, see spec.routing.policy",
            ),
            (
                self.resources.gpu.known().is_none(),
                "spec.resources.gpu.type",
                "is none of nvidia, amd, intel and none, and counts as nvidia",
            ),
            (
                self.scaling.is_some() && replicas.is_some_and(|replicas| replicas != 1),
                "spec.serving.replicas",
                "has no effect beside spec.scaling",
            ),
            (not_from_hub && given(&self.model.revision), "spec.model.revision", NO_HUB),
            (
                not_from_hub && given(&self.model.auth_secret_name),
                "spec.model.authSecretName",
                NO_HUB,
            ),
            (not_from_hub && self.model.preload.is_some(), "spec.model.preload", NO_HUB),
            (not_from_hub && self.model.files.is_some(), "spec.model.files", NO_HUB),
            (not_from_hub && given(&self.model.endpoint), "spec.model.endpoint", NO_HUB),
            (
                self.model.source != Source::Oci && given(&self.model.image),
                "spec.model.image",
                "has no effect: the weights do not come from an image",
            ),
        ];
        let set = rows.into_iter().filter(|(set, ..)| *set);
        set.map(|(_, path, why)| Ignored { path, why }).collect()
    }
}
