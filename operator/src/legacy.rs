//! Removes what the first release of the pack left in the cluster. It routed with Envoy, and much
//! of what it created for that stays when it is replaced. Nothing else in the operator depends on
//! this module, so that it can be deleted one day.
//!
//! Its routes take precedence over ours while they exist. So a model's old routes are removed once
//! ours serve it, and what they depend on after them: a policy never before the route it protects,
//! an endpoint picker never before its pool. API keys are never touched.

mod settings;
mod cleanup;
mod find;
mod kinds;
mod removable;

pub use cleanup::run;
pub use kinds::resources;
pub use settings::{LegacySettings, Mode};
