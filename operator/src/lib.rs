//! The control plane: reconciles custom resources into objects and pushes the route table.

pub mod clock;
pub mod settings;
pub mod quantity;
pub mod queue;
pub mod watch;
pub mod context;
pub mod apply;
pub mod report;
mod finalizer;
mod ignored;
pub mod edge;
pub mod routes;
pub mod compile;
pub mod model;
pub mod provider;
pub mod key;
pub mod proxies;
pub mod leader;
pub mod metrics;
pub mod admin;
pub mod telemetry;
pub mod legacy;
pub mod config;
pub mod run;
pub mod rbac;
pub mod command;
pub mod cli;
