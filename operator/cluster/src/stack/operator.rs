//! A replica of the operator.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::environment::Environment;
use super::network::{HostsFile, OPERATOR_HOST};
use super::process::{Process, utf8};
use crate::client::Metrics;

const PUSH_PORT: u16 = 9443;
const ADMIN_PORT: u16 = 8081;

/// A replica of the operator; its host name has its address until it is killed or dropped.
#[derive(Debug)]
pub struct Operator {
    pub name: String,
    pub process: Process,
    address: Ipv4Addr,
    hosts: Arc<HostsFile>,
    program: PathBuf,
    variables: Vec<(&'static str, String)>,
    log: PathBuf,
}

/// The environment variables of an operator.
pub(crate) fn variables(
    namespace: &str,
    kubeconfig: &Path,
    name: &str,
    address: Ipv4Addr,
) -> Vec<(&'static str, String)> {
    vec![
        ("KUBECONFIG", utf8(kubeconfig).into()),
        ("POD_NAMESPACE", namespace.into()),
        ("POD_NAME", name.into()),
        ("LLM_BASE_DOMAIN", "example.org".into()),
        ("LLM_OIDC_ISSUER_URL", "https://sso.example.org/realms/main".into()),
        ("LLM_EXPOSURE_MODE", "clusterIP".into()),
        ("LLM_PUSH_LISTEN", format!("{address}:{PUSH_PORT}")),
        ("LLM_PUSH_NAMES", OPERATOR_HOST.into()),
        ("LLM_ADMIN_LISTEN", format!("{address}:{ADMIN_PORT}")),
    ]
}

/// The operators' address, as a proxy is configured with it.
pub(crate) fn url() -> String {
    format!("https://{OPERATOR_HOST}:{PUSH_PORT}")
}

impl Operator {
    pub(crate) fn start(
        environment: &Environment,
        namespace: &str,
        kubeconfig: &Path,
    ) -> anyhow::Result<Self> {
        let name = environment.unique_name("llm-operator");
        let address = environment.network.allocate();
        let program = environment.programs.path("llm-operator")?;
        let log = environment.path(&format!("{name}.log"));
        let variables = variables(namespace, kubeconfig, &name, address);
        let process = Process::start(&program, ["run"], variables.clone(), &log)?;
        environment.hosts.add(address)?;
        let hosts = Arc::clone(&environment.hosts);
        Ok(Self { name, process, address, hosts, program, variables, log })
    }

    /// Kills it and starts it again under its name, as a kubelet does with a container.
    pub fn restart(&mut self) -> anyhow::Result<()> {
        self.process.kill();
        self.process = Process::start(&self.program, ["run"], self.variables.clone(), &self.log)?;
        Ok(())
    }

    pub(crate) async fn wait_until_ready(&mut self) -> anyhow::Result<()> {
        self.process.wait_until_ready(self.admin_address()).await
    }

    fn admin_address(&self) -> SocketAddr {
        (self.address, ADMIN_PORT).into()
    }

    pub async fn metrics(&self) -> anyhow::Result<Metrics> {
        Metrics::fetch(self.admin_address()).await
    }

    pub async fn is_leader(&self) -> bool {
        self.metrics().await.is_ok_and(|metrics| metrics.get("llm_operator_leader") == 1.0)
    }

    /// Kills it. As in a cluster, its name loses its address.
    pub fn kill(mut self) -> anyhow::Result<()> {
        self.process.kill();
        self.hosts.remove(self.address)
    }

    /// Shuts it down gracefully. As in a cluster, its name loses its address first.
    pub async fn stop(mut self) -> anyhow::Result<()> {
        self.hosts.remove(self.address)?;
        self.process.terminate()?;
        self.process.wait().await.map(drop)
    }

    pub fn log(&self) -> anyhow::Result<String> {
        self.process.log()
    }
}

impl Drop for Operator {
    fn drop(&mut self) {
        // Nothing can be done about a file that cannot be written.
        drop(self.hosts.remove(self.address));
    }
}
