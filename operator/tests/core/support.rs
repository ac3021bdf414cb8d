//! An operator in this process, against a real control plane.

use k8s_openapi::api::rbac::v1::ClusterRoleBinding;
use kube::{
    Api, Client,
    api::{ApiResource, DynamicObject, GroupVersionKind, PostParams},
};
use llm_cluster::{AuditedRequest, ControlPlane, wait_for, wait_for_some};
use llm_contract::push::{Change, Kind, Name};
use llm_crd::EndpointUrls;
use llm_operator::{
    app::settings::{Images, OperatorSettings, PodSelector, WatchScope},
    cluster_state,
    context::Context,
    resources::{key, model, provider},
    routes::feed::compile,
};
use llm_push::DocumentStore;
use serde_json::{Value, json};
use std::{sync::Arc, time::Duration};
use tokio::{sync::OnceCell, time::Instant};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// How long anything may take on a busy machine.
pub(crate) const DEADLINE: Duration = Duration::from_secs(180);
/// How long an operator asks for nothing that has nothing left to do, though it may stall.
const QUIET: Duration = Duration::from_secs(5);
/// The service account that the operator of a test has.
const ACCOUNT: &str = "operator";

/// A namespace for models, on a control plane that has our kinds.
pub(crate) struct Cluster {
    pub(crate) plane: Arc<ControlPlane>,
    pub(crate) client: Client,
    pub(crate) namespace: String,
}

/// An operator that runs until it is stopped.
pub(crate) struct Operator {
    pub(crate) context: Context,
    pub(crate) table: Arc<DocumentStore>,
    stop: CancellationToken,
    tasks: TaskTracker,
}

pub(crate) const CRDS: &str = concat!(
    include_str!("../../../charts/nebari-llm-serving/crds/llm.nebari.dev_llmmodels.yaml"),
    "\n---\n",
    include_str!("../../../charts/nebari-llm-serving/crds/llm.nebari.dev_passthroughmodels.yaml"),
    "\n---\n",
    include_str!("../../../charts/nebari-llm-serving/crds/llm.nebari.dev_apikeys.yaml"),
);

impl Cluster {
    /// On the control plane that the tests of a file share.
    pub(crate) async fn shared() -> Self {
        static INSTALLED: OnceCell<()> = OnceCell::const_new();
        let plane = ControlPlane::shared().await.unwrap();
        let install = async || {
            install(&plane).await;
            plane.install_foreign_crds().await.unwrap();
        };
        INSTALLED.get_or_init(install).await;
        Self::on(plane).await
    }

    /// On a control plane of its own, with our kinds and no others.
    pub(crate) async fn alone() -> Self {
        let cluster = Self::bare().await;
        install(&cluster.plane).await;
        cluster
    }

    /// On a control plane of its own, without our kinds.
    pub(crate) async fn bare() -> Self {
        Self::on(Arc::new(ControlPlane::start().await.unwrap())).await
    }

    async fn on(plane: Arc<ControlPlane>) -> Self {
        let client = plane.client().await.unwrap();
        let namespace = plane.namespace().await.unwrap();
        plane.kubectl(&["create", "serviceaccount", ACCOUNT, "-n", &namespace]).await.unwrap();
        let binding: ClusterRoleBinding = serde_json::from_value(json!({
            "metadata": {"name": format!("{ACCOUNT}-{namespace}")},
            "roleRef": {
                "apiGroup": "rbac.authorization.k8s.io",
                "kind": "ClusterRole",
                "name": "cluster-admin",
            },
            "subjects": [{"kind": "ServiceAccount", "name": ACCOUNT, "namespace": namespace}],
        }))
        .unwrap();
        Api::all(client.clone()).create(&PostParams::default(), &binding).await.unwrap();
        Self { plane, client, namespace }
    }

    pub(crate) fn settings(&self) -> OperatorSettings {
        OperatorSettings {
            scope: WatchScope::Namespaces([self.namespace.clone()].into()),
            images: Images {
                serving: "ghcr.io/llm-d/llm-d-cuda:v0.7.0".into(),
                downloader: "example.org/llm-download:v1".into(),
            },
            storage_class: None,
            proxies: PodSelector {
                namespace: "llm".into(),
                labels: [("app".to_owned(), "llm-proxy".to_owned())].into(),
            },
            monitoring_namespace: Some("monitoring".into()),
            older_gateways: [].into(),
            urls: EndpointUrls {
                external: Some("https://llm.example.org".into()),
                internal: Some("https://llm-internal.example.org".into()),
            },
        }
    }

    /// Starts an operator that watches the namespace.
    pub(crate) async fn operate(&self) -> Operator {
        let operator = self.watch().await;
        operator.lead();
        operator
    }

    /// Starts a replica that does not lead.
    pub(crate) async fn watch(&self) -> Operator {
        self.watch_with(self.settings()).await
    }

    /// Starts a replica of an installation that says other things.
    pub(crate) async fn watch_with(&self, settings: OperatorSettings) -> Operator {
        let client = self.plane.client_as(&self.namespace, ACCOUNT).await.unwrap();
        Operator::start(&client, settings)
    }

    /// What operators have asked for so far.
    pub(crate) fn requests(&self) -> Vec<AuditedRequest> {
        let user = format!("system:serviceaccount:{}:{ACCOUNT}", self.namespace);
        self.plane.requests(|request| request.user == user).unwrap()
    }

    /// Waits until operators have asked for nothing for a while.
    pub(crate) async fn settle(&self) {
        let mut asked = usize::MAX;
        let quiet = async || {
            let before = std::mem::replace(&mut asked, self.requests().len());
            before == asked && {
                drop(tokio::time::timeout(QUIET, std::future::pending::<()>()).await);
                self.requests().len() == asked
            }
        };
        wait_for("the operator rests", DEADLINE, quiet).await.unwrap();
    }

    pub(crate) fn api(&self, kind: &str) -> Api<DynamicObject> {
        Api::namespaced_with(self.client.clone(), &self.namespace, &resource(kind))
    }

    /// An object as it is, or null.
    pub(crate) async fn get(&self, kind: &str, name: &str) -> Value {
        let object = self.api(kind).get_opt(name).await;
        object.ok().flatten().map_or(Value::Null, |it| serde_json::to_value(it).unwrap())
    }

    /// Waits until an object is as wanted.
    pub(crate) async fn until(
        &self,
        kind: &str,
        name: &str,
        what: &str,
        wanted: impl Fn(&Value) -> bool,
    ) -> Value {
        self.until_while(async || (), kind, name, what, wanted).await
    }

    /// Waits until an object is as wanted, and does something before each look.
    pub(crate) async fn until_while(
        &self,
        again: impl AsyncFn(),
        kind: &str,
        name: &str,
        what: &str,
        wanted: impl Fn(&Value) -> bool,
    ) -> Value {
        let mut last = Value::Null;
        let look = async || {
            again().await;
            last = self.get(kind, name).await;
            wanted(&last).then(|| last.clone())
        };
        match wait_for_some(what, DEADLINE, look).await {
            Ok(found) => found,
            Err(error) => panic!("{kind} {name}: {error}: {last:#}"),
        }
    }

    /// Waits until an object is gone.
    pub(crate) async fn until_gone(&self, kind: &str, name: &str) {
        // An API server that does not answer says nothing of it.
        let gone = async || matches!(self.api(kind).get_opt(name).await, Ok(None));
        wait_for(&format!("{kind} {name} is gone"), DEADLINE, gone).await.unwrap();
    }

    /// Waits until a condition of a resource has a reason, and gives its message.
    pub(crate) async fn until_says(
        &self,
        kind: &str,
        name: &str,
        about: &str,
        reason: &str,
    ) -> String {
        let what = format!("{about} says {reason}");
        let says = |it: &Value| condition(it, about)["reason"] == reason;
        let object = self.until(kind, name, &what, says).await;
        condition(&object, about)["message"].as_str().unwrap().to_owned()
    }

    /// Applies manifests in the namespace.
    pub(crate) async fn apply(&self, manifests: &str) {
        let placed = manifests
            .replace("\nmetadata:\n", &format!("\nmetadata:\n  namespace: {}\n", self.namespace));
        self.plane.apply(&placed).await.unwrap();
    }

    /// Applies manifests that the API server may refuse.
    pub(crate) async fn try_apply(&self, manifests: &str) {
        let namespace = format!("\nmetadata:\n  namespace: {}\n", self.namespace);
        drop(self.plane.apply(&manifests.replace("\nmetadata:\n", &namespace)).await);
    }

    /// Runs kubectl in the namespace.
    pub(crate) async fn kubectl(&self, arguments: &[&str]) -> String {
        let namespace = format!("--namespace={}", self.namespace);
        let mut all = vec![namespace.as_str()];
        all.extend(arguments);
        self.plane.kubectl(&all).await.unwrap()
    }

    /// Writes a status as a controller of the cluster would.
    pub(crate) async fn set_status(&self, kind: &str, name: &str, status: Value) {
        let patch = json!({"status": status}).to_string();
        let arguments = ["patch", kind, name, "--subresource=status", "--type=merge", "-p", &patch];
        self.kubectl(&arguments).await;
    }
}

impl Operator {
    pub(crate) fn start(client: &Client, settings: OperatorSettings) -> Self {
        let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
        let (world, feed) =
            cluster_state::start(client, &settings, model::plan::kinds(), &tasks, &stop);
        let context = Context::new(client, settings, world, Some("operator-0".into()));
        let table = Arc::new(DocumentStore::new());
        let (own, publish, ends) = (context.clone(), Arc::clone(&table), stop.clone());
        tasks.spawn(async move {
            let publish =
                |change: Change, _| drop(publish.publish(change, Instant::now().into_std()));
            ends.run_until_cancelled(compile(&own, feed, publish)).await;
        });
        Self { context, table, stop, tasks }
    }

    pub(crate) fn lead(&self) {
        let (context, stop) = (self.context.clone(), self.stop.clone());
        let table = Arc::clone(&self.table);
        self.tasks.spawn(async move {
            if !context.cluster.wait_until_synced().await {
                return;
            }
            tokio::join!(
                model::run(&context, &stop),
                provider::run(&context, &stop),
                key::run(&context, &table, &stop),
            );
        });
    }

    /// The resources that have routes in the table.
    pub(crate) fn routes(&self) -> Vec<String> {
        let table = self.table.documents();
        let names = table.iter().map(|(name, _)| name).filter(|name| name.kind == Kind::Routes);
        names.map(|name| name.name.to_string()).collect()
    }

    /// The routes of a resource as they are pushed; nothing if there are none.
    pub(crate) fn document(&self, resource: &str) -> String {
        let table = self.table.documents();
        let text = table.get(&Name::new(Kind::Routes, resource)).map(|text| text.to_vec());
        String::from_utf8(text.unwrap_or_default()).unwrap()
    }

    /// Everything ends where it waits.
    pub(crate) async fn stop(self) {
        self.stop.cancel();
        self.tasks.close();
        tokio::time::timeout(DEADLINE, self.tasks.wait()).await.expect("it ends");
    }
}

impl Drop for Operator {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

pub(crate) async fn install(plane: &ControlPlane) {
    plane.apply(CRDS).await.unwrap();
    plane.wait_until_kinds_are_served().await.unwrap();
}

/// A condition of an object, or null.
pub(crate) fn condition(object: &Value, about: &str) -> Value {
    let conditions = object.pointer("/status/conditions").and_then(Value::as_array);
    let mut conditions = conditions.into_iter().flatten();
    conditions.find(|it| it["type"] == about).cloned().unwrap_or_default()
}

pub(crate) fn phase(object: &Value) -> &str {
    object.pointer("/status/phase").and_then(Value::as_str).unwrap_or_default()
}

pub(crate) fn is_there(object: &Value) -> bool {
    !object.is_null()
}

pub(crate) fn resource(kind: &str) -> ApiResource {
    let (group, version, plural) = match kind {
        "LLMModel" => ("llm.nebari.dev", "v1alpha1", "llmmodels"),
        "PassthroughModel" => ("llm.nebari.dev", "v1alpha1", "passthroughmodels"),
        "ApiKey" => ("llm.nebari.dev", "v1alpha1", "apikeys"),
        "Deployment" => ("apps", "v1", "deployments"),
        "ReplicaSet" => ("apps", "v1", "replicasets"),
        "NetworkPolicy" => ("networking.k8s.io", "v1", "networkpolicies"),
        "PodMonitor" => ("monitoring.coreos.com", "v1", "podmonitors"),
        "PersistentVolumeClaim" => ("", "v1", "persistentvolumeclaims"),
        "ServiceAccount" => ("", "v1", "serviceaccounts"),
        "Service" => ("", "v1", "services"),
        "Secret" => ("", "v1", "secrets"),
        "Pod" => ("", "v1", "pods"),
        "Event" => ("events.k8s.io", "v1", "events"),
        other => panic!("which plural has {other}?"),
    };
    ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk(group, version, kind), plural)
}
