//! What the containers of a model's pods share.

use k8s_openapi::api::core::v1::{SecurityContext, VolumeMount};

/// The port of vLLM, by number and by name.
pub(super) const PORT: (i32, &str) = (8000, "http");
/// Where vLLM reads the weights.
pub(super) const MODEL_DIR: &str = "/model-cache";
pub(super) const ADAPTER_DIR: &str = "/adapters";
pub(super) const WEIGHTS_VOLUME: &str = "model-storage";
pub(super) const ADAPTERS_VOLUME: &str = "adapters";
pub(super) const SHARED_MEMORY_VOLUME: &str = "shm";

/// The parts of a pod template that depend on when its Deployment was created.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct PodVariant {
    /// Whether the pods are restricted as far as their images allow.
    pub(super) hardened: bool,
    pub(super) downloader_image: String,
}

impl PodVariant {
    pub(super) fn termination_message_policy(&self) -> Option<String> {
        self.hardened.then(|| "FallbackToLogsOnError".into())
    }

    /// Images that are not ours may have to run as root.
    pub(super) fn security_context(&self) -> Option<SecurityContext> {
        self.hardened.then(|| SecurityContext {
            allow_privilege_escalation: Some(false),
            ..SecurityContext::default()
        })
    }
}

/// How vLLM mounts the volume with the weights.
pub(super) struct WeightsMount {
    pub(super) sub_path: Option<&'static str>,
    pub(super) read_only: bool,
}

impl WeightsMount {
    pub(super) fn for_vllm(&self) -> VolumeMount {
        VolumeMount {
            sub_path: self.sub_path.map(str::to_owned),
            read_only: self.read_only.then_some(true),
            ..mount(WEIGHTS_VOLUME, MODEL_DIR)
        }
    }
}

pub(super) fn mount(volume: &str, path: &str) -> VolumeMount {
    VolumeMount { name: volume.into(), mount_path: path.into(), ..VolumeMount::default() }
}
