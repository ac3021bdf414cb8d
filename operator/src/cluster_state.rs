//! The operator's view of the cluster: caches filled by watches, and queues of what changed.
//!
//! Every replica watches, so that every replica can compile the route table; only the leader
//! works on the queues. Nothing is polled or read twice: while nothing changes, there are only
//! watches that are renewed.

mod names;
mod model_kind;
mod event;
mod store;
mod compact_key;
mod key_index;
mod owned_objects;
mod endpoints;
mod secrets;
mod state;
mod informer;
mod name_watch;
mod resources;
mod start;

pub use compact_key::CompactKey;
pub use event::WatchEvent;
pub use model_kind::{API_KEY, LLM_MODEL, ModelKind, PASSTHROUGH_MODEL};
pub use names::NameSet;
pub use owned_objects::{OwnedKind, OwnedObject, OwnedObjectRef, OwnedObjects};
pub use secrets::{SecretData, SecretReader};
pub use start::start;
pub use state::{ClusterState, Queues};
pub use store::Store;

pub(crate) use names::resource_name;
pub(crate) use owned_objects::is_legacy_manager;
