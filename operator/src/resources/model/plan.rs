//! Plans the objects that serve a checked model. Pure, and cannot fail.
//!
//! Names, labels, selectors, containers, arguments and probes are those of the first release of the
//! pack, so that its Deployments are taken over without restarting their pods.

mod planner;
mod pod;
mod deployment;
mod template;
mod vllm;
mod init_container;
mod service;
mod storage;
mod network_policy;
mod pod_monitor;

pub use planner::{kinds, plan};

#[cfg(test)]
mod tests;
