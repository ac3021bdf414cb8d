//! Resources of each replica.

use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Resources of each replica.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Resources {
    /// GPUs of each replica.
    pub gpu: Gpu,
    /// Resource requests of each replica, for example `{cpu: "4", memory: 32Gi}`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub requests: BTreeMap<String, Quantity>,
    /// Resource limits of each replica, for example `{memory: 64Gi}`. GPUs are added
    /// automatically. The memory limit also applies to shared memory in `/dev/shm`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub limits: BTreeMap<String, Quantity>,
}

/// GPUs of a replica.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("required" = ["count", "type"]))]
pub struct Gpu {
    /// Number of GPUs per replica, from 0 to 64. Also the degree of tensor parallelism unless
    /// `spec.serving.tensorParallelism` is set.
    #[schemars(range(min = 0, max = 64))]
    pub count: i32,
    /// GPU vendor: `nvidia`, `amd`, `intel`, or `none`. Determines the extended resource
    /// (`nvidia.com/gpu`, `amd.com/gpu`, `gpu.intel.com/i915`) and the toleration. Any other value
    /// is treated as `nvidia` and reported in the `Ignored` condition.
    #[serde(rename = "type", default = "Gpu::default_kind")]
    pub kind: String,
}

/// GPU vendor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Accelerator {
    /// NVIDIA.
    Nvidia,
    /// AMD.
    Amd,
    /// Intel.
    Intel,
    /// No GPU.
    None,
}

impl Gpu {
    fn default_kind() -> String {
        "nvidia".into()
    }

    /// The GPU vendor in effect.
    pub fn accelerator(&self) -> Accelerator {
        self.known_accelerator().unwrap_or(Accelerator::Nvidia)
    }

    /// The GPU vendor; `None` if the type is unknown.
    pub fn known_accelerator(&self) -> Option<Accelerator> {
        match self.kind.as_str() {
            "nvidia" => Some(Accelerator::Nvidia),
            "amd" => Some(Accelerator::Amd),
            "intel" => Some(Accelerator::Intel),
            "none" => Some(Accelerator::None),
            _ => None,
        }
    }

    /// The number of GPUs per replica in effect; 0 if the count is negative.
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
    /// The extended resource, which is also the taint key of its nodes.
    pub fn resource(self) -> Option<&'static str> {
        match self {
            Self::Nvidia => Some("nvidia.com/gpu"),
            Self::Amd => Some("amd.com/gpu"),
            Self::Intel => Some("gpu.intel.com/i915"),
            Self::None => None,
        }
    }
}
