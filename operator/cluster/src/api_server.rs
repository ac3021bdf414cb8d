//! The API server of a cluster.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use k8s_openapi::api::authentication::v1::{TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::{Namespace, ServiceAccount};
use kube::api::{ObjectMeta, PostParams};
use kube::config::{AuthInfo, KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use parking_lot::Mutex;
use secrecy::SecretString;
use tokio::process::Command;

use crate::audit::{AuditLog, AuditedRequest};
use crate::command::{output, output_with_input};
use crate::error::ClusterError;
use crate::script::HOME;
use crate::wait::{wait_for, wait_for_some};

/// How long the API server may take to serve new kinds.
const KINDS_DEADLINE: Duration = Duration::from_secs(90);
/// Lifetime of a service account's kubeconfig.
const KUBECONFIG_LIFETIME: Duration = Duration::from_secs(24 * 3600);
/// How long the controller manager may take to prepare a namespace for Pods.
const NAMESPACE_DEADLINE: Duration = Duration::from_secs(90);

/// Whether there is a controller manager.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Controllers {
    Run,
    None,
}

/// The API server, with clients and kubectl for it.
#[derive(Debug)]
pub struct ApiServer {
    folder: PathBuf,
    kubeconfig: PathBuf,
    controllers: Controllers,
    namespaces: AtomicU32,
    audit: Mutex<AuditLog>,
}

impl ApiServer {
    pub(crate) fn new(folder: PathBuf, controllers: Controllers) -> Self {
        let kubeconfig = folder.join("pki/admin.kubeconfig");
        Self {
            folder,
            kubeconfig,
            controllers,
            namespaces: AtomicU32::new(0),
            audit: Mutex::default(),
        }
    }

    /// A folder for a cluster; the script that runs the cluster removes it.
    pub(crate) fn new_folder() -> Result<PathBuf, ClusterError> {
        let folder = tempfile::Builder::new()
            .prefix("llm-cluster-")
            .tempdir()
            .map_err(|source| ClusterError::File { path: std::env::temp_dir(), source })?;
        Ok(folder.keep())
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// The administrator's kubeconfig.
    pub fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }

    /// A client with every right, for the runtime of one test: it ends with that.
    pub async fn client(&self) -> Result<Client, ClusterError> {
        client(&self.kubeconfig).await
    }

    /// A client with the rights of a service account.
    pub async fn client_as(&self, namespace: &str, name: &str) -> Result<Client, ClusterError> {
        client(&self.kubeconfig_for(namespace, name).await?).await
    }

    /// The kubeconfig of a service account, which must exist.
    pub async fn kubeconfig_for(
        &self,
        namespace: &str,
        name: &str,
    ) -> Result<PathBuf, ClusterError> {
        let token = self.request_token(namespace, name, None, KUBECONFIG_LIFETIME).await?;
        let mut config = read(&self.kubeconfig)?;
        for user in &mut config.auth_infos {
            user.auth_info = Some(AuthInfo { token: Some(token.clone()), ..AuthInfo::default() });
        }
        for context in config.contexts.iter_mut().filter_map(|named| named.context.as_mut()) {
            context.namespace = Some(namespace.to_owned());
        }
        let path = self.folder.join(format!("{namespace}-{name}.kubeconfig"));
        // JSON is YAML.
        let text = serde_json::to_vec(&config)
            .map_err(|source| ClusterError::File { path: path.clone(), source: source.into() })?;
        fs::OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&path)
            .and_then(|mut file| file.write_all(&text))
            .map_err(|source| ClusterError::File { path: path.clone(), source })?;
        Ok(path)
    }

    /// A token of a service account for an audience, as a Pod gets it. The API server gives none a
    /// lifetime under ten minutes.
    pub async fn token(
        &self,
        namespace: &str,
        name: &str,
        audience: &str,
        lifetime: Duration,
    ) -> Result<SecretString, ClusterError> {
        self.request_token(namespace, name, Some(audience), lifetime).await
    }

    async fn request_token(
        &self,
        namespace: &str,
        name: &str,
        audience: Option<&str>,
        lifetime: Duration,
    ) -> Result<SecretString, ClusterError> {
        let accounts: kube::Api<ServiceAccount> =
            kube::Api::namespaced(self.client().await?, namespace);
        let spec = TokenRequestSpec {
            audiences: audience.map(|audience| vec![audience.to_owned()]),
            expiration_seconds: i64::try_from(lifetime.as_secs()).ok(),
            ..TokenRequestSpec::default()
        };
        let request = TokenRequest { spec: Some(spec), ..TokenRequest::default() };
        let answer = accounts
            .create_token_request(name, &PostParams::default(), &request)
            .await
            .map_err(|source| ClusterError::Api { what: "issue a token", source })?;
        let token = answer.status.and_then(|status| status.token);
        token.map(SecretString::from).ok_or(ClusterError::Missing { what: "a token" })
    }

    /// Runs kubectl as administrator, and returns its standard output.
    pub async fn kubectl(&self, arguments: &[&str]) -> Result<String, ClusterError> {
        output(self.kubectl_command(arguments)?).await
    }

    /// Applies manifests, server-side, as administrator.
    pub async fn apply(&self, manifests: &str) -> Result<(), ClusterError> {
        let arguments = ["apply", "--server-side", "--force-conflicts", "--filename=-"];
        let command = self.kubectl_command(&arguments)?;
        output_with_input(command, manifests).await.map(drop)
    }

    fn kubectl_command(&self, arguments: &[&str]) -> Result<Command, ClusterError> {
        // Written by the script that runs the cluster.
        let path = self.folder.join("kubernetes");
        let bin = fs::read_to_string(&path)
            .map_err(|source| ClusterError::File { path: path.clone(), source })?;
        let mut command = Command::new(Path::new(bin.trim_end()).join("kubectl"));
        // A discovery cache must not outlive the cluster: a later one may have the same port.
        command.arg("--cache-dir").arg(self.folder.join("kubectl"));
        command.arg("--kubeconfig").arg(&self.kubeconfig).args(arguments);
        Ok(command)
    }

    /// Creates a namespace, ready for Pods if there is a controller manager.
    pub async fn namespace(&self) -> Result<String, ClusterError> {
        let name = format!("test-{}", self.namespaces.fetch_add(1, Ordering::Relaxed));
        let metadata = ObjectMeta { name: Some(name.clone()), ..ObjectMeta::default() };
        let namespace = Namespace { metadata, ..Namespace::default() };
        let client = self.client().await?;
        kube::Api::all(client.clone())
            .create(&PostParams::default(), &namespace)
            .await
            .map_err(|source| ClusterError::Api { what: "create a namespace", source })?;
        if self.controllers == Controllers::Run {
            let accounts: kube::Api<ServiceAccount> = kube::Api::namespaced(client, &name);
            let what = format!("the service account of namespace {name}");
            wait_for(&what, NAMESPACE_DEADLINE, async || accounts.get("default").await.is_ok())
                .await?;
        }
        Ok(name)
    }

    /// Installs the kinds of the Gateway API, cert-manager and the Prometheus operator, and waits
    /// until they are served.
    pub async fn install_foreign_crds(&self) -> Result<(), ClusterError> {
        let script = Path::new(HOME).join("../../.ci/real/foreign-crds.sh");
        let folder = output(Command::new(script)).await?;
        let files = format!("--filename={}", folder.trim_end());
        self.kubectl(&["apply", "--server-side", "--force-conflicts", &files]).await?;
        self.wait_until_kinds_are_served().await
    }

    /// Waits until the kinds of all definitions are served. The parts of the API server learn of a
    /// new kind one after the other, discovery last; `kubectl wait` fails at once on a definition
    /// that has no conditions yet.
    pub async fn wait_until_kinds_are_served(&self) -> Result<(), ClusterError> {
        let served = async || {
            let defined = self.kubectl(&["get", "crd", "--output=name"]).await.ok()?;
            let served = self.kubectl(&["api-resources", "--output=name"]).await.ok()?;
            let mut kinds = defined.lines().filter_map(|line| line.split_once('/'));
            kinds.all(|(_, kind)| served.lines().any(|it| it == kind)).then_some(())
        };
        wait_for_some("all defined kinds are served", KINDS_DEADLINE, served).await
    }

    /// The API server's metrics, as text.
    pub async fn metrics(&self) -> Result<String, ClusterError> {
        self.kubectl(&["get", "--raw", "/metrics"]).await
    }

    /// The API server's count of requests for a verb, such as `LIST`, and a resource, such as
    /// `pods`, of all users. [`Self::requests`] has the users.
    pub async fn requests_total(&self, verb: &str, resource: &str) -> Result<f64, ClusterError> {
        let labels = [("verb", verb), ("resource", resource)];
        Ok(sum_series(&self.metrics().await?, "apiserver_request_total", &labels))
    }

    /// The matching requests that the API server has answered since it first started, in the order of its
    /// audit log, which may be a moment behind the answers.
    pub fn requests(
        &self,
        filter: impl Fn(&AuditedRequest) -> bool,
    ) -> Result<Vec<AuditedRequest>, ClusterError> {
        let mut log = self.audit.lock();
        log.update(&self.folder.join("audit.jsonl"))?;
        Ok(log.requests.iter().filter(|request| filter(request)).cloned().collect())
    }
}

fn read(path: &Path) -> Result<Kubeconfig, ClusterError> {
    Kubeconfig::read_from(path)
        .map_err(|source| ClusterError::Kubeconfig { path: path.to_owned(), source })
}

async fn client(kubeconfig: &Path) -> Result<Client, ClusterError> {
    let config = Config::from_custom_kubeconfig(read(kubeconfig)?, &KubeConfigOptions::default())
        .await
        .map_err(|source| ClusterError::Kubeconfig { path: kubeconfig.to_owned(), source })?;
    Client::try_from(config).map_err(|source| ClusterError::Api { what: "accept a client", source })
}

/// Sums a counter over all series that have every one of `labels`.
fn sum_series(metrics: &str, name: &str, labels: &[(&str, &str)]) -> f64 {
    let wanted: Vec<String> =
        labels.iter().map(|(label, value)| format!("{label}=\"{value}\"")).collect();
    metrics
        .lines()
        .filter_map(|line| line.strip_prefix(name)?.strip_prefix('{')?.rsplit_once("} "))
        .filter(|(set, _)| wanted.iter().all(|label| set.split(',').any(|held| held == label)))
        .filter_map(|(_, value)| value.trim().parse::<f64>().ok())
        .sum()
}

#[cfg(test)]
mod tests {
    use super::sum_series;

    #[test]
    fn a_sum_is_over_the_label_sets_that_hold_what_is_asked_for() {
        let metrics = "\
# TYPE total counter
total{resource=\"pods\",verb=\"GET\"} 2
total{resource=\"pods\",verb=\"LIST\"} 3
total{resource=\"pods\",verb=\"GET\",code=\"404\"} 1
total_other{resource=\"pods\",verb=\"GET\"} 100
";
        assert_eq!(sum_series(metrics, "total", &[("verb", "GET"), ("resource", "pods")]), 3.0);
        assert_eq!(sum_series(metrics, "total", &[]), 6.0);
    }
}
