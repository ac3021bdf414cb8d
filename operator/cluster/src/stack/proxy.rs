//! A proxy.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde_json::Value;

use super::environment::Environment;
use super::network::unshare_arguments;
use super::operator;
use super::process::{Process, utf8};
use crate::client::{Metrics, http_client};

const EXTERNAL_PORT: u16 = 8080;
const INTERNAL_PORT: u16 = 8081;
const ADMIN_PORT: u16 = 9090;
/// How long requests may take to end after SIGTERM.
const DRAIN: &str = "10s";

/// A proxy that follows the operators.
#[derive(Debug)]
pub struct Proxy {
    pub name: String,
    pub process: Process,
    address: Ipv4Addr,
    program: PathBuf,
    hosts: PathBuf,
    log: PathBuf,
    arguments: Vec<String>,
}

impl Proxy {
    pub(crate) fn start(
        environment: &Environment,
        name: String,
        token: &Path,
        authorities: &Path,
    ) -> anyhow::Result<Self> {
        let address = environment.network.allocate();
        let (control, state) = (operator::url(), environment.path(&format!("{name}.state")));
        let [external, internal, admin] = [EXTERNAL_PORT, INTERNAL_PORT, ADMIN_PORT]
            .map(|port| SocketAddr::from((address, port)).to_string());
        let arguments = [
            ("--control", control.as_str()),
            ("--control-ca", utf8(authorities)),
            ("--control-token", utf8(token)),
            ("--name", &name),
            ("--state", utf8(&state)),
            ("--external", &external),
            ("--internal", &internal),
            ("--admin", &admin),
            ("--drain", DRAIN),
        ];
        let arguments = arguments.iter().flat_map(|(flag, value)| [*flag, *value]);
        // Providers are simulated on this machine.
        let serve = ["serve", "--allow-local-upstreams"];
        let arguments: Vec<_> = serve.into_iter().chain(arguments).map(str::to_owned).collect();
        let program = environment.programs.path("llm-proxy")?;
        let log = environment.path(&format!("{name}.log"));
        let hosts = environment.hosts.path().to_owned();
        let process = spawn(&program, &hosts, &arguments, &log)?;
        Ok(Self { name, process, address, program, hosts, log, arguments })
    }

    /// Waits until it has a table; the error has the end of its log.
    pub async fn wait_until_ready(&mut self) -> anyhow::Result<()> {
        self.process.wait_until_ready(self.admin_address()).await
    }

    /// Kills it and starts it again with the state it has on disk.
    pub fn restart(&mut self) -> anyhow::Result<()> {
        self.process.kill();
        self.process = spawn(&self.program, &self.hosts, &self.arguments, &self.log)?;
        Ok(())
    }

    /// The entry for clients with keys.
    pub fn external_address(&self) -> SocketAddr {
        (self.address, EXTERNAL_PORT).into()
    }

    fn admin_address(&self) -> SocketAddr {
        (self.address, ADMIN_PORT).into()
    }

    pub async fn metrics(&self) -> anyhow::Result<Metrics> {
        Metrics::fetch(self.admin_address()).await
    }

    /// The table in force, without secrets.
    pub async fn table(&self) -> anyhow::Result<Value> {
        let url = format!("http://{}/table", self.admin_address());
        let response = http_client()?.get(&url).send().await;
        let response = response.and_then(reqwest::Response::error_for_status);
        let response = response.with_context(|| format!("fetching {url}"))?;
        response.json().await.with_context(|| format!("reading {url}"))
    }

    pub fn log(&self) -> anyhow::Result<String> {
        self.process.log()
    }
}

fn spawn(
    program: &Path,
    hosts: &Path,
    arguments: &[String],
    log: &Path,
) -> anyhow::Result<Process> {
    let unshare = unshare_arguments(hosts, program);
    let arguments = unshare.into_iter().chain(arguments.iter().map(String::as_str));
    Process::start(Path::new("unshare"), arguments, [], log)
}

/// The external address of each proxy.
pub fn external_addresses(proxies: &[Proxy]) -> Vec<SocketAddr> {
    proxies.iter().map(Proxy::external_address).collect()
}
