//! An installation: a namespace of a control plane, and what its programs need in it.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::{Api, Client};
use secrecy::{ExposeSecret as _, SecretString};
use tempfile::NamedTempFile;

use super::environment::Environment;
use super::operator::{self, Operator};
use super::process::DEADLINE;
use super::proxy::Proxy;
use crate::{ControlPlane, wait_for_some};

/// The audience of the proxies' tokens.
pub const TOKEN_AUDIENCE: &str = "llm-operator";
pub const PROXY_SERVICE_ACCOUNT: &str = "llm-proxy";
const OPERATOR_SERVICE_ACCOUNT: &str = "llm-operator";
/// The ConfigMap in which operators publish their certificate authorities, and its entry.
const AUTHORITIES: (&str, &str) = ("llm-operator-ca", "ca.crt");
const TOKEN_LIFETIME: Duration = Duration::from_secs(24 * 3600);
const CRDS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../charts/nebari-llm-serving/crds");

/// A namespace of a control plane with what the programs need, and a folder for them.
pub struct Installation {
    pub plane: Arc<ControlPlane>,
    /// Where the programs are, and where they look for custom resources.
    pub namespace: String,
    /// A client with every right.
    pub client: Client,
    /// How the operators reach the API server.
    pub kubeconfig: PathBuf,
    environment: Environment,
}

impl Installation {
    /// Creates a namespace with two service accounts: the operators' has the rights that
    /// `llm-operator rbac` prints and no others.
    pub async fn create(plane: Arc<ControlPlane>) -> anyhow::Result<Self> {
        plane.apply(&definitions()?).await.context("installing the kinds")?;
        plane.wait_until_kinds_are_served().await.context("waiting for the kinds")?;
        let namespace = plane.namespace().await?;
        let mut installation = Self {
            client: plane.client().await?,
            plane,
            namespace,
            kubeconfig: PathBuf::new(),
            environment: Environment::new()?,
        };
        installation.create_service_accounts().await.context("creating the service accounts")?;
        let Self { plane, namespace, .. } = &installation;
        installation.kubeconfig = plane.kubeconfig_for(namespace, OPERATOR_SERVICE_ACCOUNT).await?;
        Ok(installation)
    }

    async fn create_service_accounts(&self) -> anyhow::Result<()> {
        let namespace = &self.namespace;
        let mut manifests = self.rbac()?;
        for name in [OPERATOR_SERVICE_ACCOUNT, PROXY_SERVICE_ACCOUNT] {
            let metadata = format!("{{name: {name}, namespace: {namespace}}}");
            manifests = format!(
                "---\napiVersion: v1\nkind: ServiceAccount\nmetadata: {metadata}\n{manifests}"
            );
        }
        self.plane.apply(&manifests).await.map_err(Into::into)
    }

    /// The rights an operator says it needs.
    fn rbac(&self) -> anyhow::Result<String> {
        let program = self.environment.programs.path("llm-operator")?;
        let variables = operator::variables(
            &self.namespace,
            &self.kubeconfig,
            "llm-operator-0",
            Ipv4Addr::LOCALHOST,
        );
        let mut command = Command::new(&program);
        command.arg("rbac").env_clear().envs(variables);
        let output = command.output().with_context(|| format!("running {}", program.display()))?;
        if !output.status.success() {
            bail!("llm-operator rbac: {}", String::from_utf8_lossy(&output.stderr));
        }
        String::from_utf8(output.stdout).context("llm-operator rbac did not print UTF-8")
    }

    /// The user name of the operators on the API server.
    pub fn operator_user(&self) -> String {
        format!("system:serviceaccount:{}:{OPERATOR_SERVICE_ACCOUNT}", self.namespace)
    }

    /// A path in the installation's folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.environment.path(name)
    }

    /// Starts an operator, and waits until its caches are synced; the error has its log.
    pub async fn operator(&self) -> anyhow::Result<Operator> {
        self.operator_with(&self.kubeconfig).await
    }

    /// Starts an operator that reaches the API server through this kubeconfig.
    pub async fn operator_with(&self, kubeconfig: &Path) -> anyhow::Result<Operator> {
        let mut operator = Operator::start(&self.environment, &self.namespace, kubeconfig)?;
        operator.wait_until_ready().await?;
        Ok(operator)
    }

    /// Starts a proxy with a valid token, and waits until it has a table; the error has its log.
    pub async fn proxy(&self) -> anyhow::Result<Proxy> {
        let Self { plane, namespace, .. } = self;
        let token =
            plane.token(namespace, PROXY_SERVICE_ACCOUNT, TOKEN_AUDIENCE, TOKEN_LIFETIME).await?;
        let mut proxy = self.proxy_with(&token).await?;
        proxy.wait_until_ready().await?;
        Ok(proxy)
    }

    pub async fn proxies(&self, count: usize) -> anyhow::Result<Vec<Proxy>> {
        futures::future::try_join_all((0..count).map(|_| self.proxy())).await
    }

    /// Starts a proxy with this token without waiting for it.
    pub async fn proxy_with(&self, token: &SecretString) -> anyhow::Result<Proxy> {
        let authorities = self.write_authorities().await?;
        let name = self.environment.unique_name("llm-proxy");
        let file = self.path(&format!("{name}.token"));
        fs::write(&file, token.expose_secret())
            .with_context(|| format!("writing {}", file.display()))?;
        Proxy::start(&self.environment, name, &file, &authorities)
    }

    /// Waits for the operators' certificate authorities, and writes them to a file for the proxies.
    async fn write_authorities(&self) -> anyhow::Result<PathBuf> {
        let path = self.path("authorities.pem");
        let (map, entry) = AUTHORITIES;
        let maps: Api<ConfigMap> = Api::namespaced(self.client.clone(), &self.namespace);
        let published = async || maps.get_opt(map).await.ok()??.data?.remove(entry);
        let what = "the operators' certificate authority is published";
        let bundle = wait_for_some(what, DEADLINE, published).await?;
        // Running proxies read the file, so it is replaced as a whole.
        let folder = path.parent().unwrap_or(Path::new("."));
        let written = NamedTempFile::new_in(folder).and_then(|mut file| {
            file.write_all(bundle.as_bytes())?;
            Ok(file.persist(&path)?)
        });
        written.with_context(|| format!("writing {}", path.display()))?;
        Ok(path)
    }

    /// Requests of the operators to the API server, counted by verb, resource and status.
    pub fn request_counts(&self) -> anyhow::Result<BTreeMap<(String, String, u16), usize>> {
        let user = self.operator_user();
        let mut counts = BTreeMap::new();
        for request in self.plane.requests(|request| request.user == user)? {
            let resource = match request.subresource.as_str() {
                "" => request.resource,
                part => format!("{}/{part}", request.resource),
            };
            *counts.entry((request.verb, resource, request.code)).or_default() += 1;
        }
        Ok(counts)
    }
}

/// The custom resource definitions of the chart.
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
