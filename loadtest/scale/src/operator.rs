//! A replica of the operator.

use crate::{
    installation::{DEADLINE, Installation, ready, text},
    metrics::Metrics,
    names::{self, Hosts},
    process::Process,
};
use std::{
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    sync::Arc,
};

const PUSH_PORT: u16 = 9443;
const ADMIN_PORT: u16 = 8081;

/// A replica of the operator. Its name has its address until it is dropped, or is killed.
#[derive(Debug)]
pub struct Operator {
    /// What it calls itself.
    pub name: String,
    /// The process.
    pub process: Process,
    address: Ipv4Addr,
    hosts: Arc<Hosts>,
    program: PathBuf,
    variables: Vec<(&'static str, String)>,
    log: PathBuf,
}

/// What an operator is told.
pub(crate) fn variables(
    installation: &Installation,
    kubeconfig: &Path,
    name: &str,
    address: Ipv4Addr,
) -> Vec<(&'static str, String)> {
    vec![
        ("KUBECONFIG", text(kubeconfig).into()),
        ("POD_NAMESPACE", installation.namespace.clone()),
        ("POD_NAME", name.into()),
        ("LLM_BASE_DOMAIN", "example.org".into()),
        ("LLM_OIDC_ISSUER_URL", "https://sso.example.org/realms/main".into()),
        ("LLM_EXPOSURE_MODE", "clusterIP".into()),
        ("LLM_PUSH_LISTEN", format!("{address}:{PUSH_PORT}")),
        ("LLM_PUSH_NAMES", names::OPERATORS.into()),
        ("LLM_ADMIN_LISTEN", format!("{address}:{ADMIN_PORT}")),
    ]
}

impl Operator {
    pub(crate) fn start(installation: &Installation, kubeconfig: &Path) -> anyhow::Result<Self> {
        let (name, address) = (installation.name("llm-operator"), installation.network.next());
        let program = installation.programs.path("llm-operator")?;
        let log = installation.path(&format!("{name}.log"));
        let variables = variables(installation, kubeconfig, &name, address);
        let process = Process::start(&program, ["run"], variables.clone(), &log)?;
        installation.hosts.add(address)?;
        let hosts = Arc::clone(&installation.hosts);
        Ok(Self { name, process, address, hosts, program, variables, log })
    }

    /// Kills it, which it cannot notice, and starts it again under its name, as a kubelet does with
    /// a container. Waits for nothing.
    ///
    /// # Errors
    /// If it does not start.
    pub fn restart(&mut self) -> anyhow::Result<()> {
        self.process.kill();
        self.process = Process::start(&self.program, ["run"], self.variables.clone(), &self.log)?;
        Ok(())
    }

    pub(crate) async fn ready(&mut self) -> anyhow::Result<()> {
        ready(&self.name, &mut self.process, (self.address, ADMIN_PORT).into()).await
    }

    /// Where health and metrics are.
    pub fn admin(&self) -> SocketAddr {
        (self.address, ADMIN_PORT).into()
    }

    /// What it counts.
    ///
    /// # Errors
    /// If it does not answer.
    pub async fn metrics(&self) -> anyhow::Result<Metrics> {
        Metrics::of(self.admin()).await
    }

    /// Whether it leads.
    pub async fn leads(&self) -> bool {
        self.metrics().await.is_ok_and(|metrics| metrics.get("llm_operator_leader") == 1.0)
    }

    /// Kills it, which it cannot notice. As in a cluster, its name loses its address.
    ///
    /// # Errors
    /// If the hosts file cannot be written.
    pub fn kill(mut self) -> anyhow::Result<()> {
        self.process.kill();
        self.hosts.remove(self.address)
    }

    /// Has it stop as it is meant to. As in a cluster, its name loses its address first.
    ///
    /// # Errors
    /// If it does not end in time.
    pub async fn stop(mut self) -> anyhow::Result<()> {
        self.hosts.remove(self.address)?;
        self.process.terminate()?;
        self.process.ended(DEADLINE).await.map(drop)
    }

    /// What it wrote.
    ///
    /// # Errors
    /// If that cannot be read.
    pub fn log(&self) -> anyhow::Result<String> {
        self.process.log()
    }
}

impl Drop for Operator {
    fn drop(&mut self) {
        // Nothing is left to be done about a file that cannot be written.
        drop(self.hosts.remove(self.address));
    }
}

/// The operators' address, as a proxy is told it.
pub(crate) fn url() -> String {
    format!("https://{}:{PUSH_PORT}", names::OPERATORS)
}
