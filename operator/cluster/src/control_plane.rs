//! etcd, the API server, the controller manager and the scheduler.

use std::ops::Deref;
use std::sync::Arc;

use tokio::sync::OnceCell;

use crate::api_server::{ApiServer, Controllers};
use crate::error::ClusterError;
use crate::ports::with_free_ports;
use crate::script::Script;

/// A control plane without nodes; dereferences to its [`ApiServer`].
#[derive(Debug)]
pub struct ControlPlane {
    // Before the folder, which the script uses.
    script: Script,
    api: ApiServer,
}

impl ControlPlane {
    /// Starts a control plane with every part.
    pub async fn start() -> Result<Self, ClusterError> {
        Self::options().start().await
    }

    pub fn options() -> ControlPlaneOptions {
        ControlPlaneOptions { controllers: Controllers::Run, flags: Vec::new() }
    }

    /// The one that all tests of this process share, each in a namespace of its own.
    pub async fn shared() -> Result<Arc<Self>, ClusterError> {
        static SHARED: OnceCell<Arc<ControlPlane>> = OnceCell::const_new();
        let start = async || Self::start().await.map(Arc::new);
        SHARED.get_or_try_init(start).await.map(Arc::clone)
    }

    /// Kills the API server; everything it has answered is in etcd.
    pub async fn stop_api_server(&self) -> Result<(), ClusterError> {
        self.script.send("stop").await.map(drop)
    }

    /// Starts the API server again, on the same port and data, and waits until it is ready.
    pub async fn start_api_server(&self) -> Result<(), ClusterError> {
        self.script.send("start").await.map(drop)
    }

    /// Compacts etcd to its present revision. The API server has older ones in its cache: a watch
    /// from one of those fails once it has been restarted.
    pub async fn etcd_compact(&self) -> Result<(), ClusterError> {
        self.script.send("compact").await.map(drop)
    }
}

impl Deref for ControlPlane {
    type Target = ApiServer;

    fn deref(&self) -> &ApiServer {
        &self.api
    }
}

/// The parts and flags of a control plane.
#[derive(Clone, Debug)]
pub struct ControlPlaneOptions {
    controllers: Controllers,
    flags: Vec<String>,
}

impl ControlPlaneOptions {
    /// Only etcd and the API server: faster, and no object makes or removes another.
    #[must_use]
    pub fn without_workload_controllers(mut self) -> Self {
        self.controllers = Controllers::None;
        self
    }

    /// A flag for the API server, such as `--max-requests-inflight=10`.
    #[must_use]
    pub fn api_server_flag(mut self, flag: &str) -> Self {
        self.flags.push(flag.to_owned());
        self
    }

    pub async fn start(self) -> Result<ControlPlane, ClusterError> {
        with_free_ports(async |ports| self.start_on(ports).await).await
    }

    async fn start_on(&self, ports: [u16; 3]) -> Result<ControlPlane, ClusterError> {
        let folder = ApiServer::new_folder()?;
        let controllers = match self.controllers {
            Controllers::Run => "yes",
            Controllers::None => "no",
        };
        let script = Script::start("control-plane/up", |command| {
            command.arg(&folder).args(ports.map(|port| port.to_string())).args(&self.flags);
            command.env("CONTROLLERS", controllers);
        })
        .await?;
        let api = ApiServer::new(folder, self.controllers);
        Ok(ControlPlane { script, api })
    }
}
