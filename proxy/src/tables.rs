//! The active configuration: immutable snapshots, replaced at the cost of what changes.
//!
//! A request uses one snapshot throughout. The next one shares everything unchanged with it; state
//! that must survive a change (running requests, health of endpoints, verified keys) is retained.
//!
//! The routes of a custom resource are applied together or not at all. A model id belongs to one
//! resource among those that serve models, and to one among providers. A resource that wants an id
//! of another is rejected until the id is free, and keeps its last good routes meanwhile.

mod apply;
mod conflict;
mod entry;
mod snapshot;

pub use apply::Tables;
pub use conflict::{Conflict, RejectedRoutes};
pub use entry::RouteEntry;
pub use snapshot::Snapshot;
