//! `LLMModel`: a model served by the cluster itself.

mod spec;
mod model;
mod resources;
mod serving;
mod endpoints;
mod traffic;
mod advanced;
mod status;
mod effective;

pub use advanced::{Advanced, AdvancedVllm, InferencePool};
pub use endpoints::{Endpoints, ExternalEndpoint, InternalEndpoint};
pub use model::{Files, Model, Source, Storage, StorageAccessMode, StorageType};
pub use resources::{Accelerator, Gpu, Resources};
pub use serving::{Adapter, KvCacheOffload, Monitoring, Serving, UpdateStrategy};
pub use spec::{LLMModel, LLMModelSpec};
pub use status::{Download, LLMModelStatus, Phase, ReplicaCounts};
pub use traffic::{Routing, RoutingPolicy, Scaling};

#[cfg(test)]
mod tests;
