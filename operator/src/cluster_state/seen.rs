//! What the route table is compiled from, as it is seen.

use crate::cluster_state::PackedKey;
use llm_contract::ResourceName;
use llm_crd::{LLMModel, PassthroughModel};
use std::{net::SocketAddr, sync::Arc};

/// Something was seen that the route table may depend on.
#[derive(Clone, Debug)]
pub enum Seen {
    /// A model is there, or has changed.
    Model(ResourceName, Arc<LLMModel>),
    /// A model has gone.
    ModelGone(ResourceName),
    /// A provider is there, or has changed.
    Provider(ResourceName, Arc<PassthroughModel>),
    /// A provider has gone.
    ProviderGone(ResourceName),
    /// A key is there, or has changed.
    Key(ResourceName, Arc<PackedKey>),
    /// A key has gone.
    KeyGone(ResourceName),
    /// Other endpoints of a Service are ready now; all of them, in order. The Service has the
    /// name of its model.
    Endpoints {
        /// The Service.
        service: ResourceName,
        /// Where its ready pods listen.
        ready: Vec<SocketAddr>,
    },
    /// A Secret is there, has changed, or has gone; [`crate::cluster_state::Secrets`] reads it.
    Secret(ResourceName),
    /// Everything has been seen once.
    Synced,
}
