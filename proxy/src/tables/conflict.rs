//! Routes that cannot be applied.

use llm_contract::push::Name;
use std::sync::Arc;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RejectedRoutes {
    /// The custom resource.
    pub name: Name,
    pub conflict: Conflict,
    /// Whether its last good routes stay applied.
    pub keeps_last: bool,
}

/// The model is an id, an alias, or `*`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Conflict {
    #[error("the model {model:?} is taken by {owner}")]
    Taken { model: String, owner: Arc<str> },
    #[error("the model {model:?} is declared twice")]
    Duplicate { model: String },
}
