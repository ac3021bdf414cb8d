//! An installation: a namespace of a control plane, and what its programs need in it.

use crate::{
    clock,
    names::{Hosts, Network},
    operator::{self, Operator},
    process::Process,
    programs::Programs,
    proxy::Proxy,
};
use anyhow::{Context as _, bail};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::{Api, Client};
use llm_cluster::{ControlPlane, wait_for_some};
use secrecy::{ExposeSecret as _, SecretString};
use std::{
    collections::BTreeMap,
    fs,
    io::Write as _,
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicU16, Ordering},
    },
    time::Duration,
};
use tempfile::{NamedTempFile, TempDir};

/// How long anything may take on a busy machine.
pub const DEADLINE: Duration = Duration::from_secs(60);
/// Whom the proxies' tokens are for.
pub const AUDIENCE: &str = "llm-operator";
/// The service account of the proxies.
pub const PROXIES: &str = "llm-proxy";
/// The service account of the operators.
pub const OPERATORS: &str = "llm-operator";
/// What holds the authorities of the operators' certificates.
const AUTHORITIES: (&str, &str) = ("llm-operator-ca", "ca.crt");
const TOKEN_LIFE: Duration = Duration::from_secs(24 * 3600);
const CRDS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../charts/nebari-llm-serving/crds");

/// A namespace of a control plane with what the programs need, and a folder for them.
pub struct Installation {
    /// Where it is.
    pub plane: Arc<ControlPlane>,
    /// Its namespace, in which custom resources are looked for too.
    pub namespace: String,
    /// A client that may do everything.
    pub client: Client,
    pub(crate) programs: Programs,
    pub(crate) network: Network,
    pub(crate) hosts: Arc<Hosts>,
    /// How the operators reach the API server.
    pub kubeconfig: PathBuf,
    folder: TempDir,
    named: AtomicU16,
}

impl Installation {
    /// Makes a namespace, and in it two service accounts: the operators' with the rights that
    /// `llm-operator rbac` says and no other.
    ///
    /// # Errors
    /// If the control plane refuses something, or the operator was not built.
    pub async fn on(plane: Arc<ControlPlane>) -> anyhow::Result<Self> {
        plane.apply(&definitions()?).await.context("installing the kinds")?;
        plane.until_kinds_are_served().await.context("waiting for the kinds")?;
        let namespace = plane.namespace().await?;
        let folder = tempfile::tempdir().context("making a folder")?;
        let mut installation = Self {
            client: plane.client().await?,
            plane,
            namespace,
            programs: Programs::beside_this()?,
            network: Network::new(),
            hosts: Arc::new(Hosts::new(folder.path().join("hosts"))?),
            kubeconfig: PathBuf::new(),
            folder,
            named: AtomicU16::new(0),
        };
        installation.make_accounts().await.context("making the service accounts")?;
        let Self { plane, namespace, .. } = &installation;
        installation.kubeconfig = plane.kubeconfig_for(namespace, OPERATORS).await?;
        Ok(installation)
    }

    async fn make_accounts(&self) -> anyhow::Result<()> {
        let namespace = &self.namespace;
        let account = |name| {
            format!(
                "---\napiVersion: v1\nkind: ServiceAccount\nmetadata: {{name: {name}, namespace: {namespace}}}\n"
            )
        };
        let rights = self.rights()?;
        self.plane.apply(&format!("{}{}{rights}", account(OPERATORS), account(PROXIES))).await?;
        Ok(())
    }

    /// What an operator says it must be allowed to do.
    fn rights(&self) -> anyhow::Result<String> {
        let program = self.programs.path("llm-operator")?;
        let variables =
            operator::variables(self, &self.kubeconfig, "llm-operator-0", Ipv4Addr::LOCALHOST);
        let mut command = Command::new(&program);
        command.arg("rbac").env_clear().envs(variables);
        let ran = command.output().with_context(|| format!("running {}", program.display()))?;
        if !ran.status.success() {
            bail!("llm-operator rbac: {}", String::from_utf8_lossy(&ran.stderr));
        }
        String::from_utf8(ran.stdout).context("llm-operator rbac wrote no text")
    }

    /// The user that the API server knows the operators as.
    pub fn operators_user(&self) -> String {
        format!("system:serviceaccount:{}:{OPERATORS}", self.namespace)
    }

    /// A file or folder of the installation's own.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A name that no other program of the installation has.
    pub(crate) fn name(&self, of: &str) -> String {
        format!("{of}-{}", self.named.fetch_add(1, Ordering::Relaxed))
    }

    /// Starts an operator, and waits until it has seen the cluster.
    ///
    /// # Errors
    /// If it does not start in time; the message has its log.
    pub async fn operator(&self) -> anyhow::Result<Operator> {
        self.operator_with(&self.kubeconfig).await
    }

    /// Starts an operator that reaches the API server as this kubeconfig says.
    ///
    /// # Errors
    /// As [`Self::operator`].
    pub async fn operator_with(&self, kubeconfig: &Path) -> anyhow::Result<Operator> {
        let mut operator = Operator::start(self, kubeconfig)?;
        operator.ready().await?;
        Ok(operator)
    }

    /// Starts a proxy with a good token, and waits until it has a table.
    ///
    /// # Errors
    /// If it does not in time; the message has its log.
    pub async fn proxy(&self) -> anyhow::Result<Proxy> {
        let Self { plane, namespace, .. } = self;
        let token = plane.token(namespace, PROXIES, AUDIENCE, TOKEN_LIFE).await?;
        let mut proxy = self.proxy_with(&token).await?;
        proxy.ready().await?;
        Ok(proxy)
    }

    /// Starts so many proxies.
    ///
    /// # Errors
    /// As [`Self::proxy`].
    pub async fn proxies(&self, count: usize) -> anyhow::Result<Vec<Proxy>> {
        futures::future::try_join_all((0..count).map(|_| self.proxy())).await
    }

    /// Starts a proxy with this token, and waits for nothing.
    ///
    /// # Errors
    /// If there is no operator with an authority.
    pub async fn proxy_with(&self, token: &SecretString) -> anyhow::Result<Proxy> {
        let authorities = self.authorities().await?;
        let name = self.name("llm-proxy");
        let file = self.path(&format!("{name}.token"));
        fs::write(&file, token.expose_secret())
            .with_context(|| format!("writing {}", file.display()))?;
        Proxy::start(self, name, &file, &authorities)
    }

    /// The file with what a proxy trusts, as the operators publish it.
    async fn authorities(&self) -> anyhow::Result<PathBuf> {
        let path = self.path("authorities.pem");
        let (map, entry) = AUTHORITIES;
        let maps: Api<ConfigMap> = Api::namespaced(self.client.clone(), &self.namespace);
        let published = async || maps.get_opt(map).await.ok()??.data?.remove(entry);
        let what = "the operators' authority is published";
        let bundle = wait_for_some(what, DEADLINE, published).await?;
        // Proxies that run already read it.
        let folder = path.parent().unwrap_or(Path::new("."));
        let written = NamedTempFile::new_in(folder).and_then(|mut file| {
            file.write_all(bundle.as_bytes())?;
            Ok(file.persist(&path)?)
        });
        written.with_context(|| format!("writing {}", path.display()))?;
        Ok(path)
    }

    /// How often the operators have asked the API server for what, and how it answered: by verb,
    /// resource and status.
    ///
    /// # Errors
    /// If its log cannot be read.
    pub fn asked(&self) -> anyhow::Result<BTreeMap<(String, String, u16), usize>> {
        let user = self.operators_user();
        let mut asked = BTreeMap::new();
        for request in self.plane.requests()?.into_iter().filter(|request| request.user == user) {
            let resource = match request.subresource.as_str() {
                "" => request.resource,
                part => format!("{}/{part}", request.resource),
            };
            *asked.entry((request.verb, resource, request.code)).or_default() += 1;
        }
        Ok(asked)
    }
}

/// The kinds, as the chart installs them.
fn definitions() -> anyhow::Result<String> {
    let mut text = String::new();
    let reading = || format!("reading {CRDS}");
    for file in fs::read_dir(CRDS).with_context(reading)? {
        text.push_str("---\n");
        text.push_str(
            &fs::read_to_string(file.with_context(reading)?.path()).with_context(reading)?,
        );
    }
    Ok(text)
}

/// Waits until a program answers that it is ready. If it does not, its log says why.
pub(crate) async fn ready(
    name: &str,
    process: &mut Process,
    admin: SocketAddr,
) -> anyhow::Result<()> {
    let waited = until_ready(name, process, admin).await;
    waited.map_err(|error| match process.log() {
        Ok(log) => error.context(format!("{name} wrote: {}", tail(&log))),
        Err(_unread) => error,
    })
}

async fn until_ready(name: &str, process: &mut Process, admin: SocketAddr) -> anyhow::Result<()> {
    let end = clock::now() + DEADLINE;
    let url = format!("http://{admin}/readyz");
    let client = crate::caller::client()?;
    loop {
        let answer = client.get(&url).timeout(DEADLINE).send().await;
        if answer.is_ok_and(|answer| answer.status().is_success()) {
            return Ok(());
        }
        if !process.runs() {
            bail!("{name} ended");
        }
        if end <= clock::now() {
            bail!("{url} is not ready within {DEADLINE:?}");
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// The end of a log, for messages.
fn tail(log: &str) -> &str {
    const BYTES: usize = 4000;
    let start = log.ceil_char_boundary(log.len().saturating_sub(BYTES));
    log.get(start..).unwrap_or_default()
}

pub(crate) fn text(path: &Path) -> &str {
    path.to_str().unwrap_or_default()
}
