//! Effective values, with defaults applied.

use super::{LLMModelSpec, Source, StorageAccessMode, StorageType, UpdateStrategy};
use std::time::Duration;

impl LLMModelSpec {
    /// The maximum request timeout of the proxies.
    pub const REQUEST_TIMEOUT_MAX: Duration = Duration::from_secs(24 * 3600);
    const REQUEST_TIMEOUT: Duration = Duration::from_secs(600);

    /// All ids of the base model, its own first.
    pub fn model_ids(&self) -> impl Iterator<Item = &str> {
        std::iter::once(self.model.name.as_str()).chain(self.aliases.iter().map(String::as_str))
    }

    /// Number of replicas without `scaling`.
    pub fn replicas(&self) -> i32 {
        let given = self.serving.as_ref().and_then(|serving| serving.replicas);
        given.unwrap_or(1).max(0)
    }

    /// Number of GPUs that each copy of the model spans.
    pub fn tensor_parallelism(&self) -> i32 {
        let given = self.serving.as_ref().and_then(|serving| serving.tensor_parallelism);
        given.unwrap_or(self.resources.gpu.count)
    }

    /// Number of copies of the model per replica.
    pub fn data_parallelism(&self) -> i32 {
        self.serving.as_ref().and_then(|serving| serving.data_parallelism).unwrap_or(1)
    }

    /// Update strategy.
    pub fn update_strategy(&self) -> UpdateStrategy {
        self.serving.as_ref().and_then(|serving| serving.update_strategy).unwrap_or_default()
    }

    /// Whether to create a PodMonitor.
    pub fn monitoring_enabled(&self) -> bool {
        let monitoring = self.serving.as_ref().and_then(|serving| serving.monitoring.as_ref());
        monitoring.and_then(|monitoring| monitoring.enabled) == Some(true)
    }

    /// Whether the model is available to callers with API keys.
    pub fn external_enabled(&self) -> bool {
        let external = self.endpoints.as_ref().and_then(|endpoints| endpoints.external.as_ref());
        external.and_then(|external| external.enabled) != Some(false)
    }

    /// Whether the model is available to callers with identity provider tokens.
    pub fn internal_enabled(&self) -> bool {
        let internal = self.endpoints.as_ref().and_then(|endpoints| endpoints.internal.as_ref());
        internal.and_then(|internal| internal.enabled) != Some(false)
    }

    /// Maximum duration of a request. `0s`, which disabled the timeout in older manifests, is the
    /// maximum.
    pub fn request_timeout(&self) -> Duration {
        let given =
            self.endpoints.as_ref().and_then(|endpoints| endpoints.request_timeout.as_ref());
        match given.and_then(|text| text.parse()) {
            None => Self::REQUEST_TIMEOUT,
            Some(Duration::ZERO) => Self::REQUEST_TIMEOUT_MAX,
            Some(given) => given.min(Self::REQUEST_TIMEOUT_MAX),
        }
    }

    /// Type of storage for the weights.
    pub fn storage_type(&self) -> StorageType {
        let given = self.model.storage.as_ref().and_then(|storage| storage.kind);
        match (self.model.source, given) {
            (Source::HuggingFace, given) => given.unwrap_or_default(),
            (Source::Oci, Some(StorageType::Image)) => StorageType::Image,
            (Source::Oci, _) => StorageType::EmptyDir,
            (Source::Pvc, _) => StorageType::Pvc,
        }
    }

    /// Access mode of the volume.
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
}
