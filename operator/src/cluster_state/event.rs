//! What the watches tell the route compiler.

use crate::cluster_state::{CompactKey, NameSet};
use llm_contract::ResourceName;
use llm_crd::{LLMModel, PassthroughModel};
use std::{net::SocketAddr, sync::Arc};

/// A change the route table may depend on; an object is `None` once it is deleted.
#[derive(Clone, Debug)]
pub enum WatchEvent {
    /// The managed namespaces, if they are selected by label.
    Namespaces(NameSet),
    Model(ResourceName, Option<Arc<LLMModel>>),
    Provider(ResourceName, Option<Arc<PassthroughModel>>),
    Key(ResourceName, Option<Arc<CompactKey>>),
    /// All ready endpoints of a Service, sorted. The Service has the name of its model.
    Endpoints {
        service: ResourceName,
        ready: Vec<SocketAddr>,
    },
    /// A Secret that a provider refers to was created, changed or deleted.
    Secret(ResourceName),
    /// The initial list of every watch is complete.
    Synced,
}
