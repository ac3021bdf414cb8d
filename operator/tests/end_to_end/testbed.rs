//! A node with operators and proxies as Pods.

use crate::step_timer::StepTimer;
use k8s_openapi::api::core::v1::Pod;
use kube::{
    Api, Client, ResourceExt as _,
    api::{ApiResource, DynamicObject, GroupVersionKind, ListParams},
};
use llm_cluster::{GatewayClient, Node, Programs, StreamReport, wait_for};
use llm_contract::SecretKey;
use serde_json::Value;
use std::{net::SocketAddr, process::Command, time::Duration};

/// How long anything may take on a busy machine.
pub(crate) const DEADLINE: Duration = Duration::from_secs(180);
const CRDS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../charts/nebari-llm-serving/crds");
const IMAGES: [(&str, &str); 4] = [
    ("localhost/llm-operator:1", "llm-operator"),
    ("localhost/llm-proxy:1", "llm-proxy"),
    ("localhost/llm-download:1", "llm-download"),
    ("localhost/vllm-sim:1", "llm-sim"),
];
const USER: u32 = 65532;
/// The kinds of objects a model owns.
const OWNED: &str = "deployments,replicasets,pods,services,endpointslices,persistentvolumeclaims,\
                     serviceaccounts,networkpolicies";

pub(crate) struct TestBed {
    pub(crate) node: Node,
    pub(crate) namespace: String,
    /// The external entry of each proxy.
    pub(crate) proxies: Vec<SocketAddr>,
    client: Client,
    programs: Programs,
}

impl TestBed {
    pub(crate) async fn start(steps: &mut StepTimer) -> Self {
        let programs = Programs::beside_this().unwrap();
        let node = Node::start().await.unwrap();
        steps.finish("the node is up");
        for (image, program) in IMAGES {
            let file = programs.path(program).unwrap();
            let path = format!("/{program}");
            node.load_image(image, USER, &[(&file, &path)]).await.unwrap();
        }
        steps.finish("images are loaded");
        node.kubectl(&["apply", "--server-side", "--filename", CRDS]).await.unwrap();
        node.wait_until_kinds_are_served().await.unwrap();
        let namespace = node.namespace().await.unwrap();
        let client = node.client().await.unwrap();
        let mut testbed = Self { node, namespace, proxies: Vec::new(), client, programs };
        for account in ["llm-operator", "llm-proxy"] {
            testbed.kubectl(&["create", "serviceaccount", account]).await;
        }
        testbed.node.apply(&testbed.rbac()).await.unwrap();
        steps.finish("definitions, service accounts and RBAC are applied");
        testbed.apply(include_str!("programs.yaml")).await;
        for program in ["llm-operator", "llm-proxy"] {
            let deployment = format!("deployment/{program}");
            testbed.kubectl(&["rollout", "status", &deployment, "--timeout=300s"]).await;
        }
        testbed.find_proxies().await;
        steps.finish("operators and proxies are ready");
        testbed
    }

    /// The RBAC manifests an operator prints for itself.
    fn rbac(&self) -> String {
        let mut command = Command::new(self.programs.path("llm-operator").unwrap());
        command.args(["rbac", "--exposure-mode", "clusterIP", "--base-domain", "example.org"]);
        command.args(["--oidc-issuer-url", "https://sso.example.org/realms/main"]);
        command.args(["--namespace", &self.namespace]);
        let ran = command.output().unwrap();
        assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
        String::from_utf8(ran.stdout).unwrap()
    }

    async fn find_proxies(&mut self) {
        let pods = self.list("app.kubernetes.io/name=llm-proxy").await;
        for pod in pods {
            let address = pod.status.unwrap().pod_ip.unwrap();
            let target = format!("{address}:8080").parse().unwrap();
            self.proxies.push(self.node.forward(target).await.unwrap());
        }
        assert_eq!(self.proxies.len(), 2);
    }

    async fn list(&self, label: &str) -> Vec<Pod> {
        let pods: Api<Pod> = Api::namespaced(self.client.clone(), &self.namespace);
        pods.list(&ListParams::default().labels(label)).await.unwrap().items
    }

    /// The pods of a model.
    pub(crate) async fn pods(&self, model: &str) -> Vec<String> {
        let pods = self.list(&format!("app.kubernetes.io/instance={model}")).await;
        pods.iter().map(|pod| pod.name_any()).collect()
    }

    pub(crate) async fn kubectl(&self, arguments: &[&str]) -> String {
        let here = ["--namespace", &self.namespace];
        self.node.kubectl(&[&here[..], arguments].concat()).await.unwrap()
    }

    pub(crate) async fn apply(&self, manifests: &str) {
        self.node.apply(&manifests.replace("HERE", &self.namespace)).await.unwrap();
    }

    /// `kubectl explain` shows the doc comments of the source.
    pub(crate) async fn check_explain(&self) {
        let explained = self.kubectl(&["explain", "llmmodel.spec"]).await;
        let words = explained.split_whitespace().collect::<Vec<_>>().join(" ");
        for said in [
            "The model to serve and the source of its weights.",
            "Who may use the model: `public: true`, or at least one group.",
        ] {
            assert!(words.contains(said), "{explained}");
        }
    }

    async fn get(&self, kind: &str, name: &str) -> Option<Value> {
        let kind = match kind {
            "llmmodel" => "LLMModel",
            "apikey" => "ApiKey",
            _ => "PassthroughModel",
        };
        let resource = GroupVersionKind::gvk("llm.nebari.dev", "v1alpha1", kind);
        let resource = ApiResource::from_gvk(&resource);
        let api: Api<DynamicObject> =
            Api::namespaced_with(self.client.clone(), &self.namespace, &resource);
        Some(api.get_opt(name).await.unwrap()?.data)
    }

    pub(crate) async fn phase(&self, kind: &str, name: &str) -> String {
        let found = self.get(kind, name).await.unwrap_or_default();
        found["status"]["phase"].as_str().unwrap_or_default().to_owned()
    }

    pub(crate) async fn wait_until_ready(&self, kind: &str, name: &str) {
        let ready = async || self.phase(kind, name).await == "Ready";
        let waited = wait_for(&format!("{kind} {name} is ready"), DEADLINE, ready).await;
        if let Err(late) = waited {
            let said = self.kubectl(&["get", kind, name, "-o", "yaml"]).await;
            let pods = self.kubectl(&["describe", "pods"]).await;
            assert!(said.is_empty(), "{late}: {said}\n{pods}");
        }
    }

    async fn condition(&self, kind: &str, name: &str, wanted: &str) -> Option<Value> {
        let found = self.get(kind, name).await?;
        let mut conditions = found["status"]["conditions"].as_array()?.iter();
        conditions.find(|condition| condition["type"] == wanted).cloned()
    }

    /// Waits until the status and message of a condition start so.
    pub(crate) async fn wait_for_condition(
        &self,
        kind: &str,
        name: &str,
        condition: &str,
        wanted: &str,
    ) {
        let said = async || {
            let found = self.condition(kind, name, condition).await.unwrap_or_default();
            let word = |field: &str| found[field].as_str().unwrap_or_default().to_owned();
            format!("{} {}", word("status"), word("message"))
        };
        let says = async || said().await.starts_with(wanted);
        let what = format!("{kind} {name} says {condition} {wanted}");
        if let Err(late) = wait_for(&what, DEADLINE, says).await {
            assert_eq!(said().await, wanted, "{late}");
        }
    }

    pub(crate) async fn reason(&self, kind: &str, name: &str, condition: &str) -> String {
        let found = self.condition(kind, name, condition).await.unwrap_or_default();
        found["reason"].as_str().unwrap_or_default().to_owned()
    }

    /// Runs `llm-keys`, and returns its standard output.
    pub(crate) fn keys(&self, arguments: &[&str]) -> String {
        let mut command = Command::new(self.programs.path("llm-keys").unwrap());
        command.args(arguments).args(["--namespace", &self.namespace]);
        let ran = command.env("KUBECONFIG", self.node.kubeconfig()).output().unwrap();
        assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
        String::from_utf8(ran.stdout).unwrap()
    }

    pub(crate) fn create_key(&self, arguments: &[&str]) -> SecretKey {
        let printed = self.keys(&[&["create"], arguments].concat());
        SecretKey::parse(printed.trim_end()).unwrap()
    }

    /// Streamed answers arrive in several chunks.
    pub(crate) async fn check_stream(&self, client: &GatewayClient, model: &str) {
        for proxy in &self.proxies {
            let StreamReport { chunks, duration } = client.stream(*proxy, model).await.unwrap();
            println!(
                "{model}: a stream of {chunks} chunks, {duration:?} from the first to the last"
            );
            assert!(2 < chunks, "{model}: {chunks} chunks");
        }
    }

    /// Running requests of a model's pod; none if it does not answer.
    pub(crate) async fn requests_running(&self, pod: &str) -> Option<f64> {
        let path = format!("/api/v1/namespaces/{}/pods/{pod}:8000/proxy/metrics", self.namespace);
        let metrics = self.node.kubectl(&["get", "--raw", &path]).await.ok()?;
        let line = metrics.lines().find(|line| line.starts_with("vllm:num_requests_running"))?;
        line.rsplit(' ').next()?.parse().ok()
    }

    pub(crate) async fn wait_until_models_are_gone(&self) {
        let ours =
            "app.kubernetes.io/managed-by=nebari-llm-operator,app.kubernetes.io/name=llmmodel";
        let list = ["get", OWNED, "-l", ours, "-o", "name"];
        let bare = async || self.kubectl(&list).await.is_empty();
        if let Err(late) = wait_for("all objects of the models are gone", DEADLINE, bare).await {
            assert_eq!(self.kubectl(&list).await, "", "{late}");
        }
    }

    /// The operator needs no right beyond those that `llm-operator rbac` prints.
    pub(crate) fn assert_no_forbidden_requests(&self) {
        let user = format!("system:serviceaccount:{}:llm-operator", self.namespace);
        let ours = self.node.requests(|request| request.user == user).unwrap();
        let denied: Vec<_> = ours.iter().filter(|request| request.code == 403).collect();
        println!("{} requests of the operators", ours.len());
        assert!(!ours.is_empty());
        assert!(denied.is_empty(), "{denied:#?}");
    }
}
