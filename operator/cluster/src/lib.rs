//! A real Kubernetes control plane and a real node, for tests.
//!
//! [`ControlPlane`] is etcd, the API server, the controller manager and the scheduler: objects are
//! stored, defaulted, validated, owned, collected and turned into Pods, which nothing runs.
//! [`Node`] is all that with a kubelet, containerd, cluster DNS and NetworkPolicy: Pods run. Both
//! are an [`Api`].
//!
//! The programs are built once into the user's cache by `.ci/real/kubernetes.sh` and `node.sh`; the
//! first use takes about ten minutes, every other one seconds. Two scripts run them, `control-plane/up`
//! and `node/up`. Each lives as long as its standard input, which is a pipe from here: so a cluster
//! and its folder are gone when its value is dropped, and also when the test process dies.

mod api;
mod control_plane;
mod error;
mod node;
mod ports;
mod request;
mod script;
mod wait;

pub use api::Api;
pub use control_plane::{ControlPlane, Options};
pub use error::ClusterError;
pub use node::{Node, OnNode};
pub use request::Request;
pub use wait::{wait_for, wait_for_some};
