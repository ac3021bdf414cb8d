//! A proxy.

use crate::{
    installation::{DEADLINE, Installation, ready, text},
    metrics::Metrics,
    names, operator,
    process::Process,
};
use anyhow::Context as _;
use serde_json::Value;
use std::{
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
};

const EXTERNAL_PORT: u16 = 8080;
const INTERNAL_PORT: u16 = 8081;
const ADMIN_PORT: u16 = 9090;
/// How long its requests may take to end when it is told to stop.
const DRAIN: &str = "10s";

/// A proxy.
#[derive(Debug)]
pub struct Proxy {
    /// What it calls itself.
    pub name: String,
    /// The process.
    pub process: Process,
    address: Ipv4Addr,
    program: PathBuf,
    hosts: PathBuf,
    log: PathBuf,
    arguments: Vec<String>,
}

impl Proxy {
    pub(crate) fn start(
        installation: &Installation,
        name: String,
        token: &Path,
        authorities: &Path,
    ) -> anyhow::Result<Self> {
        let address = installation.network.next();
        let (control, state) = (operator::url(), installation.path(&format!("{name}.state")));
        let [external, internal, admin] = [EXTERNAL_PORT, INTERNAL_PORT, ADMIN_PORT]
            .map(|port| SocketAddr::from((address, port)).to_string());
        let arguments = [
            ("--control", control.as_str()),
            ("--control-ca", text(authorities)),
            ("--control-token", text(token)),
            ("--name", &name),
            ("--state", text(&state)),
            ("--external", &external),
            ("--internal", &internal),
            ("--admin", &admin),
            ("--drain", DRAIN),
        ];
        let arguments = arguments.iter().flat_map(|(flag, value)| [*flag, *value]);
        // Providers are simulated on this machine.
        let serve = ["serve", "--allow-local-upstreams"];
        let arguments: Vec<_> = serve.into_iter().chain(arguments).map(str::to_owned).collect();
        let program = installation.programs.path("llm-proxy")?;
        let log = installation.path(&format!("{name}.log"));
        let hosts = installation.hosts.path().to_owned();
        let process = run(&program, &hosts, &arguments, &log)?;
        Ok(Self { name, process, address, program, hosts, log, arguments })
    }

    /// Waits until it has a table.
    ///
    /// # Errors
    /// If it has not in time; the message has its log.
    pub async fn ready(&mut self) -> anyhow::Result<()> {
        ready(&self.name, &mut self.process, (self.address, ADMIN_PORT).into()).await
    }

    /// Kills it, which it cannot notice, and starts it again with what it had written down.
    ///
    /// # Errors
    /// If it does not start.
    pub fn restart(&mut self) -> anyhow::Result<()> {
        self.process.kill();
        self.process = run(&self.program, &self.hosts, &self.arguments, &self.log)?;
        Ok(())
    }

    /// Where callers with keys connect.
    pub fn external(&self) -> SocketAddr {
        (self.address, EXTERNAL_PORT).into()
    }

    /// Where health, metrics and the table are.
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

    /// What it has in force, without secrets.
    ///
    /// # Errors
    /// If it does not answer.
    pub async fn table(&self) -> anyhow::Result<Value> {
        let url = format!("http://{}/table", self.admin());
        let answer = crate::caller::client()?.get(&url).timeout(DEADLINE).send().await;
        let answer = answer.and_then(reqwest::Response::error_for_status);
        let answer = answer.with_context(|| format!("asking {url}"))?;
        answer.json().await.with_context(|| format!("reading {url}"))
    }

    /// What it wrote.
    ///
    /// # Errors
    /// If that cannot be read.
    pub fn log(&self) -> anyhow::Result<String> {
        self.process.log()
    }
}

fn run(program: &Path, hosts: &Path, arguments: &[String], log: &Path) -> anyhow::Result<Process> {
    let before = names::seeing(hosts, program);
    let arguments = before.into_iter().chain(arguments.iter().map(String::as_str));
    Process::start(Path::new("unshare"), arguments, [], log)
}

/// Where callers with keys connect to each.
pub fn externals(proxies: &[Proxy]) -> Vec<SocketAddr> {
    proxies.iter().map(Proxy::external).collect()
}
