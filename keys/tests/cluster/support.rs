//! A namespace of a cluster that knows keys, and the program as a child process.

use kube::{Api, Client};
use llm_cluster::{AuditedRequest, ControlPlane, wait_for, wait_for_some};
use llm_contract::{Group, KeyId};
use llm_crd::ApiKeyResource;
use llm_keys::{KubeKey, KubeOwner, KubeStore, NewKey, ResourceScope, clock, system_random};
use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::Arc,
    time::Duration,
};
use tokio::{runtime::Handle, sync::OnceCell, task::block_in_place};

pub(crate) const DAY: Duration = Duration::from_secs(86_400);

/// How long the API server may take for what it does in its own time.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// A namespace of the cluster that the tests share.
pub(crate) struct Place {
    pub(crate) cluster: Arc<ControlPlane>,
    pub(crate) namespace: String,
    pub(crate) client: Client,
    pub(crate) store: KubeStore,
}

/// What the program did.
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Place {
    pub(crate) async fn new() -> Self {
        static KNOWS_KEYS: OnceCell<()> = OnceCell::const_new();
        let cluster = ControlPlane::shared().await.unwrap();
        KNOWS_KEYS.get_or_init(async || teach(&cluster).await).await;
        Self::of(cluster).await
    }

    /// A namespace of a cluster of its own.
    pub(crate) async fn alone() -> Self {
        let cluster = ControlPlane::options().without_workload_controllers().start().await.unwrap();
        teach(&cluster).await;
        Self::of(cluster.into()).await
    }

    async fn of(cluster: Arc<ControlPlane>) -> Self {
        let namespace = cluster.namespace().await.unwrap();
        let client = cluster.client().await.unwrap();
        let store = KubeStore::new(client.clone(), &namespace);
        Self { cluster, namespace, client, store }
    }

    /// The resources themselves.
    pub(crate) fn resources(&self) -> Api<ApiKeyResource> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    pub(crate) async fn resource(&self, id: &str) -> ApiKeyResource {
        self.resources().get(id).await.unwrap()
    }

    /// Makes a key.
    pub(crate) async fn create(&self) -> (KeyId, llm_contract::SecretKey) {
        let made = self.store.create(laptop(), clock::wall(), &mut system_random).await;
        let (_, key) = made.unwrap();
        (key.id(), key)
    }

    /// Makes a key in place of another.
    pub(crate) async fn rotate(&self, id: KeyId) -> Result<KubeKey, llm_keys::KubeStoreError> {
        let made = self.store.rotate(id, DAY, clock::wall(), &mut system_random).await;
        made.map(|(made, _)| made)
    }

    pub(crate) async fn ids(&self) -> Vec<String> {
        self.store.list().await.unwrap().into_iter().map(|key| key.id).collect()
    }

    /// Runs kubectl in this namespace.
    pub(crate) async fn kubectl(&self, args: &[&str]) {
        let there = ["--namespace", &self.namespace];
        self.cluster.kubectl(&[&there, args].concat()).await.unwrap();
    }

    /// Runs kubectl in this namespace, from where nothing can be awaited.
    pub(crate) fn kubectl_now(&self, args: &[&str]) {
        now(self.kubectl(args));
    }

    /// Changes a key's status, as the operator does at any time.
    pub(crate) fn touch_status(&self, id: KeyId) {
        let patch = r#"{"status": {"observedGeneration": 1}}"#;
        let merge = ["--subresource=status", "--type=merge", "--patch", patch];
        self.kubectl_now(&[&["patch", "apikey", id.as_str()], &merge[..]].concat());
    }

    /// How the server answered the requests that patched this resource, as soon as it has written
    /// down so many.
    pub(crate) async fn patches(&self, id: KeyId, count: usize) -> Vec<u16> {
        let ours = |request: &AuditedRequest| {
            let about = (request.namespace.as_str(), request.name.as_str());
            request.verb == "patch"
                && request.subresource.is_empty()
                && about == (&self.namespace, id.as_str())
        };
        wait_for_some("the requests are on record", PATIENCE, async || {
            let requests = self.cluster.requests(ours).unwrap();
            let codes: Vec<_> = requests.into_iter().map(|request| request.code).collect();
            (count <= codes.len()).then_some(codes)
        })
        .await
        .unwrap()
    }

    /// Runs the program as administrator in this namespace.
    pub(crate) fn run(&self, args: &[&str]) -> Ran {
        let there = ["--namespace", &self.namespace];
        run_with(Some(self.cluster.kubeconfig()), &[args, &there].concat())
    }

    /// What the program prints that succeeds.
    pub(crate) fn ask(&self, args: &[&str]) -> String {
        let ran = self.run(args);
        assert_eq!(ran.code, 0, "{args:?}: {}", ran.err);
        ran.out
    }

    /// Makes a key, as a shell would.
    pub(crate) fn create_key(&self, args: &[&str]) -> String {
        let always = ["create", "--name", "laptop", "--models", "models/qwen3"];
        let owner = ["--team", "ml"];
        self.ask(&[&always[..], &owner, args].concat()).strip_suffix('\n').unwrap().to_owned()
    }

    /// The kubeconfig of a new service account that may do this, as soon as the server knows it.
    pub(crate) async fn kubeconfig_with(&self, name: &str, rules: &str) -> PathBuf {
        let manifests = ACCOUNT
            .replace("NAMESPACE", &self.namespace)
            .replace("NAME", name)
            .replace("RULES", rules);
        self.cluster.apply(&manifests).await.unwrap();
        let account = format!("--as=system:serviceaccount:{}:{name}", self.namespace);
        let rights = ["auth", "can-i", "--list", &account, "--namespace", &self.namespace];
        wait_for("the role is in force", PATIENCE, async || {
            self.cluster.kubectl(&rights).await.is_ok_and(|list| list.contains("apikeys"))
        })
        .await
        .unwrap();
        self.cluster.kubeconfig_for(&self.namespace, name).await.unwrap()
    }
}

const ACCOUNT: &str = "
apiVersion: v1
kind: ServiceAccount
metadata: {name: NAME, namespace: NAMESPACE}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: NAME, namespace: NAMESPACE}
rules: RULES
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: NAME, namespace: NAMESPACE}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: NAME}
subjects: [{kind: ServiceAccount, name: NAME}]
";

/// Waits where nothing can be awaited.
pub(crate) fn now<T>(work: impl Future<Output = T>) -> T {
    block_in_place(|| Handle::current().block_on(work))
}

/// Runs the program with this kubeconfig, or as on a machine without one.
pub(crate) fn run_with(kubeconfig: Option<&Path>, args: &[&str]) -> Ran {
    let home = tempfile::tempdir().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_llm-keys"));
    command.args(args).current_dir(home.path()).env("HOME", home.path()).stdin(Stdio::null());
    match kubeconfig {
        Some(file) => command.env("KUBECONFIG", file),
        None => command.env_remove("KUBECONFIG"),
    };
    let ran = command.output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Ran { code: ran.status.code().unwrap_or(-1), out: text(ran.stdout), err: text(ran.stderr) }
}

/// A key for a team.
pub(crate) fn laptop() -> NewKey<KubeOwner, ResourceScope> {
    NewKey {
        name: "laptop".into(),
        owner: KubeOwner::team(Group::parse("ml").unwrap()),
        models: vec!["models/qwen3".parse().unwrap()],
        not_before: None,
        expires_at: None,
        concurrency: None,
    }
}

/// The public part of a key.
pub(crate) fn id(key: &str) -> String {
    llm_contract::SecretKey::parse(key).unwrap().id().to_string()
}

/// The secret part of a key.
pub(crate) fn secret(key: &str) -> &str {
    key.rsplit('-').next().unwrap()
}

/// Installs the kind, and waits until the server takes objects of it.
async fn teach(cluster: &ControlPlane) {
    let [_, _, keys] = llm_crd::definitions().unwrap();
    cluster.apply(&serde_json::to_string(&keys).unwrap()).await.unwrap();
    cluster.wait_until_kinds_are_served().await.unwrap();
}
