//! A namespace in which the older pack ran.

use kube::{
    Api, Client, CustomResourceExt,
    api::{Patch, PatchParams},
};
use llm_cluster::{ControlPlane, wait_for};
use llm_crd::{
    ApiKeyResource, ConditionType, EndpointUrls, Finding, LLMModel, PassthroughModel, Reason,
    set_condition,
};
use llm_operator::{
    app::settings::{Images, OperatorSettings, PodSelector, WatchScope},
    cluster_state,
    context::Context,
    edge::{EdgeState, Readiness},
    legacy::{self, Mode},
};
use serde_json::json;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};
use tokio::{
    sync::{OnceCell, watch as value},
    task::JoinSet,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// How long anything may take on a busy machine.
pub(crate) const DEADLINE: Duration = Duration::from_secs(180);
/// What should go.
pub(crate) const GOES: &str = include_str!("goes.yaml");
/// What should not.
pub(crate) const STAYS: &str = include_str!("stays.yaml");
const KINDS: &str = include_str!("kinds.yaml");

pub(crate) struct Cluster {
    pub(crate) plane: Arc<ControlPlane>,
    client: Client,
    pub(crate) namespace: String,
    /// Where the first releases kept keys, if that was somewhere else.
    pub(crate) keys_namespace: Option<String>,
}

/// What runs until it is dropped.
pub(crate) struct Running {
    edge: value::Sender<Option<EdgeState>>,
    stop: CancellationToken,
    _tasks: JoinSet<()>,
}

impl Cluster {
    /// On the shared API server, with all kinds.
    pub(crate) async fn start() -> Self {
        static INSTALLED: OnceCell<()> = OnceCell::const_new();
        let cluster = Self::on(ControlPlane::shared().await.unwrap()).await;
        let install = async || {
            cluster.plane.install_foreign_crds().await.unwrap();
            cluster.plane.apply(KINDS).await.unwrap();
            cluster.install_own_kinds().await;
        };
        INSTALLED.get_or_init(install).await;
        cluster
    }

    pub(crate) async fn on(plane: Arc<ControlPlane>) -> Self {
        let client = plane.client().await.unwrap();
        let namespace = plane.namespace().await.unwrap();
        Self { plane, client, namespace, keys_namespace: None }
    }

    pub(crate) async fn install_own_kinds(&self) {
        let kinds = [LLMModel::crd(), PassthroughModel::crd(), ApiKeyResource::crd()];
        // JSON is YAML.
        let texts = kinds.map(|kind| serde_json::to_string(&kind).unwrap());
        self.plane.apply(&texts.join("\n---\n")).await.unwrap();
        self.plane.wait_until_kinds_are_served().await.unwrap();
    }

    /// Objects of the older pack, of a model that is there or not.
    pub(crate) async fn apply(&self, manifests: &str, model: &str) {
        let text = manifests.replace("NAMESPACE", &self.namespace).replace("NAME", model);
        let place = format!("\nmetadata:\n  namespace: {}\n", self.namespace);
        self.plane.apply(&text.replace("\nmetadata:\n", &place)).await.unwrap();
    }

    pub(crate) async fn make_model(&self, name: &str) {
        let text = format!(
            r"
apiVersion: llm.nebari.dev/v1alpha1
kind: LLMModel
metadata: {{ name: {name}, namespace: {namespace} }}
spec:
  model: {{ name: example/{name}, source: huggingface, storage: {{ type: emptyDir, size: 1Gi }} }}
  resources: {{ gpu: {{ count: 0 }} }}
  access: {{ public: true }}
",
            namespace = self.namespace
        );
        self.plane.apply(&text).await.unwrap();
    }

    /// Sets the status of a model as if every proxy had its route.
    pub(crate) async fn program(&self, model: &str) {
        let mut conditions = Vec::new();
        let finding = Finding::new(ConditionType::RouteProgrammed, Reason::Programmed, "");
        set_condition(&mut conditions, finding, None, jiff::Timestamp::UNIX_EPOCH);
        let api: Api<LLMModel> = Api::namespaced(self.client.clone(), &self.namespace);
        let patch = Patch::Merge(json!({ "status": { "conditions": conditions } }));
        api.patch_status(model, &PatchParams::default(), &patch).await.unwrap();
    }

    /// Which of some manifests are there.
    pub(crate) async fn there(&self, manifests: &str, model: &str) -> Vec<String> {
        let text = manifests.replace("NAMESPACE", &self.namespace).replace("NAME", model);
        let mut kinds: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for object in text.split("---\n") {
            let line = |start: &str| {
                let mut lines = object.lines();
                lines
                    .find_map(|line| line.strip_prefix(start))
                    .unwrap_or_default()
                    .trim()
                    .to_owned()
            };
            let (api, kind, name) = (line("apiVersion:"), line("kind:"), line("  name:"));
            let group =
                api.split_once('/').map_or_else(String::new, |(group, _)| format!(".{group}"));
            kinds.entry(format!("{}{group}", kind.to_lowercase())).or_default().insert(name);
        }
        let mut there = Vec::new();
        for (kind, names) in kinds {
            let found = self.kubectl(&["get", &kind, "--output=name"]).await;
            for name in names {
                if found.lines().any(|it| it.rsplit_once('/').is_some_and(|(_, it)| it == name)) {
                    there.push(format!("{kind}/{name}"));
                }
            }
        }
        there
    }

    pub(crate) async fn until_gone(&self, manifests: &str, model: &str) {
        let gone = async || self.there(manifests, model).await.is_empty();
        if wait_for("", DEADLINE, gone).await.is_err() {
            panic!("still there: {:?}", self.there(manifests, model).await);
        }
    }

    pub(crate) async fn kubectl(&self, arguments: &[&str]) -> String {
        let arguments = [&["--namespace", &self.namespace], arguments].concat();
        self.plane.kubectl(&arguments).await.unwrap()
    }

    /// What was deleted, in order.
    pub(crate) fn deleted(&self) -> Vec<String> {
        let ours = self.plane.requests(|it| it.verb == "delete" && it.namespace == self.namespace);
        ours.unwrap().iter().map(|it| format!("{} {}", it.resource, it.name)).collect()
    }

    /// Runs, with this said of both entries.
    pub(crate) async fn run(&self, mode: Mode, edge: Option<Reason>) -> Running {
        let settings = OperatorSettings {
            scope: WatchScope::Namespaces([self.namespace.clone()].into()),
            images: Images { serving: "serving".into(), downloader: "downloader".into() },
            storage_class: None,
            proxies: PodSelector { namespace: self.namespace.clone(), labels: BTreeMap::new() },
            monitoring_namespace: None,
            older_gateways: [].into(),
            urls: EndpointUrls::default(),
        };
        let (tracker, stop) = (TaskTracker::new(), CancellationToken::new());
        let (world, mut feed) =
            cluster_state::start(&self.client, &settings, Vec::new(), &tracker, &stop);
        assert!(world.wait_until_synced().await);
        let context = Context::new(&self.client, settings, world, None);
        let (edge, seen) = value::channel(edge.map(state));
        let settings = legacy::LegacySettings { mode, keys_namespace: self.keys_namespace.clone() };
        let mut tasks = JoinSet::new();
        tasks.spawn(async move { while feed.recv().await.is_some() {} });
        let over = stop.clone();
        tasks.spawn(async move { legacy::run(&context, settings, seen, &over).await });
        Running { edge, stop, _tasks: tasks }
    }
}

impl Running {
    /// Says something else of both entries.
    pub(crate) fn edge(&self, reason: Reason) {
        self.edge.send_replace(Some(state(reason)));
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

fn state(reason: Reason) -> EdgeState {
    let readiness = Readiness { reason, message: String::new() };
    EdgeState { external: readiness.clone(), internal: readiness }
}
