//! What a test asks of the API server.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use k8s_openapi::api::authentication::v1::{TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::{Namespace, ServiceAccount};
use kube::api::{ObjectMeta, PostParams};
use kube::config::{AuthInfo, KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use secrecy::SecretString;
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

use crate::error::ClusterError;
use crate::request::{Request, sum};
use crate::script::HOME;
use crate::wait::{wait_for, wait_for_some};

/// How long the API server may take to serve new kinds.
const KINDS_DEADLINE: Duration = Duration::from_secs(90);
/// How long a service account's kubeconfig is good.
const KUBECONFIG_LIFE: Duration = Duration::from_secs(24 * 3600);
/// How long a namespace may take until Pods can be made in it.
const NAMESPACE_DEADLINE: Duration = Duration::from_secs(90);

/// Whether there is a controller manager.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Controllers {
    Run,
    None,
}

/// The way into a cluster.
#[derive(Debug)]
pub struct Api {
    folder: PathBuf,
    kubeconfig: PathBuf,
    controllers: Controllers,
    namespaces: AtomicU32,
}

impl Api {
    pub(crate) fn new(folder: PathBuf, controllers: Controllers) -> Self {
        let kubeconfig = folder.join("pki/admin.kubeconfig");
        Self { folder, kubeconfig, controllers, namespaces: AtomicU32::new(0) }
    }

    /// A folder for a cluster, which the script that runs the cluster removes.
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
    #[must_use]
    pub fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }

    /// A client that may do everything. Each call makes one of its own, because a client ends with
    /// the runtime of the test that made it.
    ///
    /// # Errors
    /// When the kubeconfig cannot be used.
    pub async fn client(&self) -> Result<Client, ClusterError> {
        client(&self.kubeconfig).await
    }

    /// A client that may do what a service account may.
    ///
    /// # Errors
    /// When there is no such service account.
    pub async fn client_as(&self, namespace: &str, name: &str) -> Result<Client, ClusterError> {
        client(&self.kubeconfig_for(namespace, name).await?).await
    }

    /// The kubeconfig of a service account, which must exist.
    ///
    /// # Errors
    /// When there is no such service account.
    pub async fn kubeconfig_for(
        &self,
        namespace: &str,
        name: &str,
    ) -> Result<PathBuf, ClusterError> {
        let token = self.request_token(namespace, name, None, KUBECONFIG_LIFE).await?;
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

    /// A token of a service account for an audience, as a Pod gets it; the shortest life that the
    /// API server gives one is ten minutes.
    ///
    /// # Errors
    /// When there is no such service account, or the life is too short.
    pub async fn token(
        &self,
        namespace: &str,
        name: &str,
        audience: &str,
        life: Duration,
    ) -> Result<SecretString, ClusterError> {
        self.request_token(namespace, name, Some(audience), life).await
    }

    async fn request_token(
        &self,
        namespace: &str,
        name: &str,
        audience: Option<&str>,
        life: Duration,
    ) -> Result<SecretString, ClusterError> {
        let accounts: kube::Api<ServiceAccount> =
            kube::Api::namespaced(self.client().await?, namespace);
        let spec = TokenRequestSpec {
            audiences: audience.map(|audience| vec![audience.to_owned()]),
            expiration_seconds: i64::try_from(life.as_secs()).ok(),
            ..TokenRequestSpec::default()
        };
        let request = TokenRequest { spec: Some(spec), ..TokenRequest::default() };
        let answer = accounts
            .create_token_request(name, &PostParams::default(), &request)
            .await
            .map_err(|source| ClusterError::Api { what: "give a token", source })?;
        let token = answer.status.and_then(|status| status.token);
        token.map(SecretString::from).ok_or(ClusterError::Missing { what: "a token" })
    }

    /// Runs kubectl as administrator, and returns what it wrote to standard output.
    ///
    /// # Errors
    /// When it ends with an error; the message is what it wrote to standard error.
    pub async fn kubectl(&self, arguments: &[&str]) -> Result<String, ClusterError> {
        output(self.kubectl_command(arguments)?).await
    }

    /// Applies manifests, server-side, as administrator.
    ///
    /// # Errors
    /// When the API server refuses one of them.
    pub async fn apply(&self, manifests: &str) -> Result<(), ClusterError> {
        let arguments = ["apply", "--server-side", "--force-conflicts", "--filename=-"];
        let command = self.kubectl_command(&arguments)?;
        output_with_input(command, manifests).await.map(drop)
    }

    fn kubectl_command(&self, arguments: &[&str]) -> Result<Command, ClusterError> {
        // The script that runs the cluster has written down where its programs are.
        let path = self.folder.join("kubernetes");
        let bin = fs::read_to_string(&path)
            .map_err(|source| ClusterError::File { path: path.clone(), source })?;
        let mut command = Command::new(Path::new(bin.trim_end()).join("kubectl"));
        // What it remembers of an API server is of no use for a later one on the same port.
        command.arg("--cache-dir").arg(self.folder.join("kubectl"));
        command.arg("--kubeconfig").arg(&self.kubeconfig).args(arguments);
        Ok(command)
    }

    /// A new namespace, in which Pods can be made at once if there is a controller manager.
    ///
    /// # Errors
    /// When the API server refuses it.
    pub async fn namespace(&self) -> Result<String, ClusterError> {
        let name = format!("test-{}", self.namespaces.fetch_add(1, Ordering::Relaxed));
        let metadata = ObjectMeta { name: Some(name.clone()), ..ObjectMeta::default() };
        let namespace = Namespace { metadata, ..Namespace::default() };
        let client = self.client().await?;
        kube::Api::all(client.clone())
            .create(&PostParams::default(), &namespace)
            .await
            .map_err(|source| ClusterError::Api { what: "make a namespace", source })?;
        if self.controllers == Controllers::Run {
            let accounts: kube::Api<ServiceAccount> = kube::Api::namespaced(client, &name);
            let what = format!("the service account of namespace {name}");
            wait_for(&what, NAMESPACE_DEADLINE, async || accounts.get("default").await.is_ok())
                .await?;
        }
        Ok(name)
    }

    /// Installs the kinds of the Gateway API, of cert-manager and of the Prometheus operator, and
    /// waits until objects of them can be made.
    ///
    /// # Errors
    /// When they cannot be fetched, or the API server refuses one.
    pub async fn install_foreign_crds(&self) -> Result<(), ClusterError> {
        let script = Path::new(HOME).join("../../.ci/real/foreign-crds.sh");
        let folder = output(Command::new(script)).await?;
        let files = format!("--filename={}", folder.trim_end());
        self.kubectl(&["apply", "--server-side", "--force-conflicts", &files]).await?;
        self.until_kinds_are_served().await
    }

    /// Waits until objects can be made of all kinds that definitions are there for. That one is
    /// established is known to the parts of the API server one after the other, and last to that
    /// which lists the kinds; `kubectl wait` fails at once on one that has no conditions yet.
    ///
    /// # Errors
    /// When they are not served in time.
    pub async fn until_kinds_are_served(&self) -> Result<(), ClusterError> {
        let served = async || {
            let defined = self.kubectl(&["get", "crd", "--output=name"]).await.ok()?;
            let served = self.kubectl(&["api-resources", "--output=name"]).await.ok()?;
            let mut kinds = defined.lines().filter_map(|line| line.split_once('/'));
            kinds.all(|(_, kind)| served.lines().any(|it| it == kind)).then_some(())
        };
        wait_for_some("the kinds that are defined are served", KINDS_DEADLINE, served).await
    }

    /// The API server's metrics, as text.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn metrics(&self) -> Result<String, ClusterError> {
        self.kubectl(&["get", "--raw", "/metrics"]).await
    }

    /// How many requests the API server has counted for a verb, such as `LIST`, and a resource, such
    /// as `pods`, whoever asked. Who asked is in [`Self::requests`].
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn requests_total(&self, verb: &str, resource: &str) -> Result<f64, ClusterError> {
        let labels = [("verb", verb), ("resource", resource)];
        Ok(sum(&self.metrics().await?, "apiserver_request_total", &labels))
    }

    /// Every request that the API server has answered since it first started, in the order in which
    /// it wrote them down, which may be a moment after the answer.
    ///
    /// # Errors
    /// When its log cannot be read.
    pub fn requests(&self) -> Result<Vec<Request>, ClusterError> {
        let path = self.folder.join("audit.jsonl");
        let log = fs::read_to_string(&path)
            .map_err(|source| ClusterError::File { path: path.clone(), source })?;
        Request::parse_all(&log)
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

/// What a command wrote to standard output; an error if it ended with one.
pub(crate) async fn output(command: Command) -> Result<String, ClusterError> {
    output_with_input(command, "").await
}

async fn output_with_input(mut command: Command, input: &str) -> Result<String, ClusterError> {
    let program = PathBuf::from(command.as_std().get_program());
    let run = |source| ClusterError::Run { program: program.clone(), source };
    command.kill_on_drop(true).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(run)?;
    let stdin = child.stdin.take();
    let write = async {
        // A command that ends without reading says itself what it does not like.
        if let Some(mut stdin) = stdin {
            drop(stdin.write_all(input.as_bytes()).await);
        }
    };
    let ((), output) = tokio::join!(write, child.wait_with_output());
    let output = output.map_err(run)?;
    if !output.status.success() {
        return Err(ClusterError::Failed {
            command: format!("{:?}", command.as_std()),
            code: output.status.code(),
            message: String::from_utf8_lossy(&output.stderr).into_owned(),
        });
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
