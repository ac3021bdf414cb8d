//! etcd, the API server, the controller manager and the scheduler.

use std::ops::Deref;
use std::sync::Arc;

use tokio::sync::OnceCell;

use crate::api::{Api, Controllers};
use crate::error::ClusterError;
use crate::ports::with_free_ports;
use crate::script::Script;

/// A control plane without nodes; dereferences to its [`Api`].
#[derive(Debug)]
pub struct ControlPlane {
    // Before the folder, which the script uses.
    script: Script,
    api: Api,
}

impl ControlPlane {
    /// Starts a control plane with everything.
    ///
    /// # Errors
    /// When a part cannot be built or does not come up.
    pub async fn start() -> Result<Self, ClusterError> {
        Self::options().start().await
    }

    /// Says what shall be different.
    #[must_use]
    pub fn options() -> Options {
        Options { controllers: Controllers::Run, flags: Vec::new() }
    }

    /// The one that all tests of this process share, each in a namespace of its own.
    ///
    /// # Errors
    /// When a part cannot be built or does not come up.
    pub async fn shared() -> Result<Arc<Self>, ClusterError> {
        static SHARED: OnceCell<Arc<ControlPlane>> = OnceCell::const_new();
        let start = async || Self::start().await.map(Arc::new);
        SHARED.get_or_try_init(start).await.map(Arc::clone)
    }

    /// Kills the API server; what it has answered is in etcd.
    ///
    /// # Errors
    /// When the script that runs it has ended.
    pub async fn stop_api_server(&self) -> Result<(), ClusterError> {
        self.script.ask("stop").await.map(drop)
    }

    /// Starts the API server again, on the same port and data, and waits until it is ready.
    ///
    /// # Errors
    /// When it does not come up.
    pub async fn start_api_server(&self) -> Result<(), ClusterError> {
        self.script.ask("start").await.map(drop)
    }

    /// Makes etcd forget all revisions but the present one. The API server still knows those that it
    /// has seen itself: a watch from an older one fails once it has been started again.
    ///
    /// # Errors
    /// When etcd refuses.
    pub async fn etcd_compact(&self) -> Result<(), ClusterError> {
        self.script.ask("compact").await.map(drop)
    }
}

impl Deref for ControlPlane {
    type Target = Api;

    fn deref(&self) -> &Api {
        &self.api
    }
}

/// How a control plane shall be.
#[derive(Clone, Debug)]
pub struct Options {
    controllers: Controllers,
    flags: Vec<String>,
}

impl Options {
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

    /// Starts it.
    ///
    /// # Errors
    /// When a part cannot be built or does not come up.
    pub async fn start(self) -> Result<ControlPlane, ClusterError> {
        with_free_ports(async |ports| self.start_on(ports).await).await
    }

    async fn start_on(&self, ports: [u16; 3]) -> Result<ControlPlane, ClusterError> {
        let folder = Api::new_folder()?;
        let controllers = match self.controllers {
            Controllers::Run => "yes",
            Controllers::None => "no",
        };
        let script = Script::start("control-plane/up", |command| {
            command.arg(&folder).args(ports.map(|port| port.to_string())).args(&self.flags);
            command.env("CONTROLLERS", controllers);
        })
        .await?;
        let api = Api::new(folder, self.controllers);
        Ok(ControlPlane { script, api })
    }
}
