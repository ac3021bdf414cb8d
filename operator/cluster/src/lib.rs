//! Real Kubernetes clusters and installations of the gateway on them, for tests and measurements.
//!
//! [`ControlPlane`] is etcd, the API server, the controller manager and the scheduler: objects are
//! stored, defaulted, validated, owned, collected and turned into Pods, which nothing runs.
//! [`Node`] adds a kubelet, containerd, cluster DNS and NetworkPolicy: Pods run. Both dereference
//! to an [`ApiServer`].
//!
//! The programs are built once into the user's cache by `.ci/real/kubernetes.sh` and `node.sh`; the
//! first use takes about ten minutes, every other one seconds. Two scripts run them,
//! `control-plane/up` and `node/up`. Each lives as long as its standard input, which is a pipe from
//! here: so a cluster and its folder are gone when its value is dropped, and also when the test
//! process dies.
//!
//! An [`Installation`] runs operators and proxies as processes against a control plane. Each has an
//! address of its own on loopback, as each Pod has one in a cluster; the proxies see a hosts file in
//! which the operators' name has the addresses of those that run. [`GatewayClient`] sends requests
//! through the proxies, [`LoadGenerator`] does so all the time, and [`wait_for_status`] measures how
//! long a change takes to reach every proxy.

mod api_server;
mod audit;
mod client;
pub mod clock;
mod command;
mod control_plane;
mod error;
mod node;
mod ports;
pub mod resources;
pub mod soak;
mod script;
mod stack;
mod wait;

pub use api_server::ApiServer;
pub use audit::AuditedRequest;
pub use client::{
    Durations, GatewayClient, LoadGenerator, LoadReport, Metrics, StreamReport, wait_for_status,
};
pub use control_plane::{ControlPlane, ControlPlaneOptions};
pub use error::ClusterError;
pub use node::{Node, NodeProcess};
pub use stack::{
    DEADLINE, Installation, Operator, PROXY_SERVICE_ACCOUNT, Process, Programs, Proxy,
    TOKEN_AUDIENCE, external_addresses,
};
pub use wait::{wait_for, wait_for_some};
