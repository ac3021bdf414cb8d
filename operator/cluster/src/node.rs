//! A control plane with a node that runs Pods.

use std::fs::File;
use std::net::SocketAddr;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use tokio::sync::OnceCell;

use crate::api_server::{ApiServer, Controllers};
use crate::command::output;
use crate::error::ClusterError;
use crate::ports::with_free_ports;
use crate::script::{HOME, Script};

/// A node with its control plane; dereferences to its [`ApiServer`]. Needs root.
///
/// It has no network beyond itself, and the machine reaches only its API server and what is
/// forwarded. A program that needs Service addresses runs on the node; the kubeconfigs are valid
/// there, too.
#[derive(Debug)]
pub struct Node {
    // Before the folder, which the script uses.
    script: Script,
    api: ApiServer,
    /// Numbers the files of images and processes.
    next_file: AtomicU32,
}

impl Node {
    /// Starts a node and waits until it and the cluster's DNS are ready.
    pub async fn start() -> Result<Self, ClusterError> {
        with_free_ports(Self::start_on).await
    }

    async fn start_on([port]: [u16; 1]) -> Result<Self, ClusterError> {
        let folder = ApiServer::new_folder()?;
        let script = Script::start("node/up", |command| {
            command.arg(&folder).arg(port.to_string());
        })
        .await?;
        let api = ApiServer::new(folder, Controllers::Run);
        Ok(Self { script, api, next_file: AtomicU32::new(0) })
    }

    /// The one that all tests of this process share, each in a namespace of its own.
    pub async fn shared() -> Result<Arc<Self>, ClusterError> {
        static SHARED: OnceCell<Arc<Node>> = OnceCell::const_new();
        let start = async || Self::start().await.map(Arc::new);
        SHARED.get_or_try_init(start).await.map(Arc::clone)
    }

    /// Builds an image of programs of this machine with the libraries they load, and imports it.
    /// Each file is a path here and one in the image; the first is the entry point. `name` has a
    /// tag; Pods use it with `imagePullPolicy: Never`.
    pub async fn load_image(
        &self,
        name: &str,
        user: u32,
        files: &[(&Path, &str)],
    ) -> Result<(), ClusterError> {
        let archive = self.api.folder().join(format!("image-{}.tar", self.next_number()));
        let mut make = tokio::process::Command::new(Path::new(HOME).join("node/image"));
        make.arg(&archive).arg(name).arg(format!("--user={user}"));
        for (here, there) in files {
            make.arg(format!("{}:{there}", here.display()));
        }
        output(make).await?;
        let import = ["ctr", "images", "import", "--local", &archive.to_string_lossy()];
        let imported = self.run(&import).await;
        std::fs::remove_file(&archive)
            .map_err(|source| ClusterError::File { path: archive.clone(), source })?;
        imported.map(drop)
    }

    /// Runs a program of this machine on the node, where Services and their names can be reached,
    /// and returns its standard output.
    pub async fn run(&self, command: &[&str]) -> Result<String, ClusterError> {
        let mut on = tokio::process::Command::new(Path::new(HOME).join("node/on"));
        on.arg(self.api.folder()).args(command);
        output(on).await
    }

    /// Starts a program of this machine on the node.
    pub fn spawn(&self, command: &[&str]) -> Result<NodeProcess, ClusterError> {
        let log = self.api.folder().join(format!("program-{}.log", self.next_number()));
        let file = |source| ClusterError::File { path: log.clone(), source };
        let output = File::create(&log).map_err(file)?;
        let program = Path::new(HOME).join("node/on");
        let child = Command::new(&program)
            .arg(self.api.folder())
            .args(command)
            .stdin(Stdio::null())
            .stdout(output.try_clone().map_err(file)?)
            .stderr(output)
            .spawn()
            .map_err(|source| ClusterError::Run { program, source })?;
        Ok(NodeProcess { child, log })
    }

    /// An address of this machine that leads to one of the node, such as that of a Service.
    pub async fn forward(&self, target: SocketAddr) -> Result<SocketAddr, ClusterError> {
        let answer = self.script.send(&format!("forward {target}")).await?;
        answer.parse().map_err(|_invalid| ClusterError::Missing { what: "an address" })
    }

    fn next_number(&self) -> u32 {
        self.next_file.fetch_add(1, Ordering::Relaxed)
    }
}

impl Deref for Node {
    type Target = ApiServer;

    fn deref(&self) -> &ApiServer {
        &self.api
    }
}

/// A program that runs on a node; killed when dropped.
#[derive(Debug)]
pub struct NodeProcess {
    child: Child,
    log: PathBuf,
}

impl NodeProcess {
    /// Both streams so far.
    pub fn log(&self) -> Result<String, ClusterError> {
        std::fs::read_to_string(&self.log)
            .map_err(|source| ClusterError::File { path: self.log.clone(), source })
    }

    pub fn has_ended(&mut self) -> bool {
        self.child.try_wait().is_ok_and(|status| status.is_some())
    }
}

impl Drop for NodeProcess {
    fn drop(&mut self) {
        // It may have ended by itself.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
