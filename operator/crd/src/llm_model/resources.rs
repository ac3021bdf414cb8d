//! What each replica gets.

use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What each replica gets.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Resources {
    /// The GPUs of each replica.
    pub gpu: Gpu,
    /// What the scheduler reserves for each replica, for example `{cpu: "4", memory: 32Gi}`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub requests: BTreeMap<String, Quantity>,
    /// What each replica may use at most, for example `{memory: 64Gi}`. The GPUs are added. The
    /// memory also bounds the shared memory in `/dev/shm`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub limits: BTreeMap<String, Quantity>,
}

/// The GPUs of a replica.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("required" = ["count", "type"]))]
pub struct Gpu {
    /// How many GPUs each replica gets, from 0 to 64. It is also the degree of tensor parallelism
    /// unless `spec.serving.tensorParallelism` says another.
    #[schemars(range(min = 0, max = 64))]
    pub count: i32,
    /// Whose GPUs: `nvidia`, `amd`, `intel`, or `none`. It chooses the extended resource
    /// (`nvidia.com/gpu`, `amd.com/gpu`, `gpu.intel.com/i915`) and the toleration. Another value
    /// counts as `nvidia`, and the condition `Ignored` names it.
    #[serde(rename = "type", default = "Gpu::default_kind")]
    pub kind: String,
}

/// Whose GPUs a replica gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Accelerator {
    /// NVIDIA's.
    Nvidia,
    /// AMD's.
    Amd,
    /// Intel's.
    Intel,
    /// None at all.
    None,
}

impl Gpu {
    fn default_kind() -> String {
        "nvidia".into()
    }

    /// Whose GPUs, in effect.
    pub fn accelerator(&self) -> Accelerator {
        self.known().unwrap_or(Accelerator::Nvidia)
    }

    /// Whose GPUs, if the text says one that is known.
    pub(crate) fn known(&self) -> Option<Accelerator> {
        match self.kind.as_str() {
            "nvidia" => Some(Accelerator::Nvidia),
            "amd" => Some(Accelerator::Amd),
            "intel" => Some(Accelerator::Intel),
            "none" => Some(Accelerator::None),
            _ => None,
        }
    }

    /// The GPUs of each replica, in effect: none if the count makes no sense.
    pub fn count(&self) -> u32 {
        match self.accelerator() {
            Accelerator::None => 0,
            Accelerator::Nvidia | Accelerator::Amd | Accelerator::Intel => {
                u32::try_from(self.count).unwrap_or(0)
            }
        }
    }
}

impl Accelerator {
    /// The extended resource of such a GPU, which is also the key of the taint its nodes have.
    pub fn resource(self) -> Option<&'static str> {
        match self {
            Self::Nvidia => Some("nvidia.com/gpu"),
            Self::Amd => Some("amd.com/gpu"),
            Self::Intel => Some("gpu.intel.com/i915"),
            Self::None => None,
        }
    }
}
