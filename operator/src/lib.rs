//! The control plane: reconciles custom resources into objects and pushes the route table.

pub mod cluster_state;
pub mod work_queue;
pub mod resources;
pub mod apply;
pub mod routes;
pub mod findings;
pub mod edge;
pub mod proxies;
pub mod leader_election;
pub mod legacy;
pub mod rbac;
pub mod context;
pub mod labels;
mod multimap;
pub mod clock;
pub mod app;
