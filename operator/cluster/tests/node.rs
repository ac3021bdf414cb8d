//! The node is a real one: Pods run, and the network between them obeys its policies.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use k8s_openapi::api::core::v1::{Pod, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::Api;
use kube::api::{ListParams, LogParams};
use llm_cluster::{Node, wait_for, wait_for_some};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

const DEADLINE: Duration = Duration::from_secs(180);
const IMAGE: &str = "localhost/greeter:1";
const GREETER: &str = env!("CARGO_BIN_EXE_greeter");

/// A Pod that greets, and its Service.
const MANIFESTS: &str = "
apiVersion: v1
kind: Pod
metadata: {name: greeter, namespace: NAMESPACE, labels: {app: greeter}}
spec:
  terminationGracePeriodSeconds: 0
  securityContext: {runAsNonRoot: true, seccompProfile: {type: RuntimeDefault}}
  containers:
  - name: greeter
    image: localhost/greeter:1
    imagePullPolicy: Never
    ports: [{name: http, containerPort: 8080}]
    readinessProbe: {httpGet: {path: /ready, port: http}, periodSeconds: 1}
    resources: {limits: {memory: 64Mi, cpu: 500m}}
    securityContext: {allowPrivilegeEscalation: false, readOnlyRootFilesystem: true, capabilities: {drop: [ALL]}}
---
apiVersion: v1
kind: Service
metadata: {name: greeter, namespace: NAMESPACE}
spec: {selector: {app: greeter}, ports: [{port: 80, targetPort: http}]}
";

/// A Pod that can ask.
const ASKER: &str = "
apiVersion: v1
kind: Pod
metadata: {name: asker, namespace: NAMESPACE, labels: {app: asker}}
spec:
  terminationGracePeriodSeconds: 0
  containers: [{name: asker, image: 'localhost/curl:1', imagePullPolicy: Never, command: [/sleep, infinity]}]
";

struct Greeter {
    namespace: String,
    pods: Api<Pod>,
    service: SocketAddr,
}

/// Makes the Pod and its Service in a namespace of their own, and waits until the Pod is ready.
async fn greeter(node: &Node) -> Greeter {
    node.load_image(IMAGE, 65532, &[(Path::new(GREETER), "/greeter")]).await.unwrap();
    let namespace = node.namespace().await.unwrap();
    node.apply(&MANIFESTS.replace("NAMESPACE", &namespace)).await.unwrap();
    let client = node.client().await.unwrap();
    let pods: Api<Pod> = Api::namespaced(client.clone(), &namespace);
    let ready =
        ["-n", &namespace, "wait", "--for=condition=Ready", "pod/greeter", "--timeout=180s"];
    node.kubectl(&ready).await.unwrap();
    let services: Api<Service> = Api::namespaced(client, &namespace);
    let address = services.get("greeter").await.unwrap().spec.unwrap().cluster_ip.unwrap();
    Greeter { namespace, pods, service: format!("{address}:80").parse().unwrap() }
}

/// Asks over plain HTTP, and gives the whole answer if there is one.
async fn ask(address: SocketAddr) -> Option<String> {
    let mut stream = TcpStream::connect(address).await.ok()?;
    stream.write_all(b"GET /asked HTTP/1.0\r\n\r\n").await.ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.ok()?;
    (!answer.is_empty()).then_some(answer)
}

#[tokio::test]
async fn a_pod_is_reached_through_its_service_and_its_log_is_read() {
    let node = Node::shared().await.unwrap();
    let greeter = greeter(&node).await;

    let name = format!("http://greeter.{}.svc.cluster.local/", greeter.namespace);
    let greeting = wait_for_some("the Service answers on the node", DEADLINE, async || {
        node.run(&["curl", "--silent", "--fail", "--max-time", "5", &name]).await.ok()
    })
    .await
    .unwrap();
    assert_eq!(greeting, "hello from greeter\n");

    let near = node.forward(greeter.service).await.unwrap();
    assert!(ask(near).await.unwrap().ends_with("hello from greeter\n"));
    wait_for("the question is in the log", DEADLINE, async || {
        let log = greeter.pods.logs("greeter", &LogParams::default()).await.unwrap();
        log.contains("asked for GET /asked")
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn the_endpoint_slice_names_the_pod() {
    let node = Node::shared().await.unwrap();
    let greeter = greeter(&node).await;
    let slices: Api<EndpointSlice> =
        Api::namespaced(node.client().await.unwrap(), &greeter.namespace);
    let pod = greeter.pods.get("greeter").await.unwrap();
    let address = pod.status.unwrap().pod_ip.unwrap();

    let of_service = ListParams::default().labels("kubernetes.io/service-name=greeter");
    wait_for("the slice has the Pod's address, ready", DEADLINE, async || {
        let slices = slices.list(&of_service).await.unwrap();
        let endpoints = slices.iter().flat_map(|slice| slice.endpoints.iter().flatten());
        endpoints.into_iter().any(|endpoint| {
            let ready = endpoint.conditions.as_ref().and_then(|conditions| conditions.ready);
            endpoint.addresses.contains(&address) && ready == Some(true)
        })
    })
    .await
    .unwrap();
}

/// A Pod that asks the greeter.
struct Asker<'a> {
    node: &'a Node,
    namespace: &'a str,
}

impl<'a> Asker<'a> {
    /// Makes the Pod beside the greeter, and waits until the greeter answers it.
    async fn start(node: &'a Node, namespace: &'a str) -> Self {
        let (curl, sleep) = (Path::new("/usr/bin/curl"), Path::new("/usr/bin/sleep"));
        let files = [(curl, "/curl"), (sleep, "/sleep")];
        node.load_image("localhost/curl:1", 65532, &files).await.unwrap();
        node.apply(&ASKER.replace("NAMESPACE", namespace)).await.unwrap();
        let ready =
            ["-n", namespace, "wait", "--for=condition=Ready", "pod/asker", "--timeout=180s"];
        node.kubectl(&ready).await.unwrap();
        let asker = Self { node, namespace };
        asker.is_answered_at_last().await;
        asker
    }

    async fn is_answered(&self) -> bool {
        let curl = ["/curl", "--silent", "--fail", "--max-time", "2", "http://greeter/"];
        let exec = ["-n", self.namespace, "exec", "asker", "--"];
        self.node.kubectl(&[&exec[..], &curl[..]].concat()).await.is_ok()
    }

    async fn is_answered_at_last(&self) {
        wait_for("the asker is answered", DEADLINE, async || self.is_answered().await)
            .await
            .unwrap();
    }

    async fn is_refused_at_last(&self) {
        wait_for("the asker is refused", DEADLINE, async || !self.is_answered().await)
            .await
            .unwrap();
    }
}

#[tokio::test]
async fn a_policy_lets_in_only_whom_it_names_and_the_probes() {
    let node = Node::shared().await.unwrap();
    let greeter = greeter(&node).await;
    let asker = Asker::start(&node, &greeter.namespace).await;
    let policy = |ingress: &str| {
        format!(
            "
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {{name: greeter, namespace: {}}}
spec: {{podSelector: {{matchLabels: {{app: greeter}}}}, policyTypes: [Ingress], ingress: [{ingress}]}}
",
            greeter.namespace
        )
    };

    node.apply(&policy("")).await.unwrap();
    asker.is_refused_at_last().await;
    let pod = greeter.pods.get("greeter").await.unwrap();
    let conditions = pod.status.unwrap().conditions.unwrap();
    assert!(conditions.iter().any(|held| held.type_ == "Ready" && held.status == "True"));

    let near = format!("{{matchLabels: {{kubernetes.io/metadata.name: {}}}}}", greeter.namespace);
    let from =
        format!("{{namespaceSelector: {near}, podSelector: {{matchLabels: {{app: asker}}}}}}");
    node.apply(&policy(&format!("{{from: [{from}], ports: [{{port: http}}]}}"))).await.unwrap();
    asker.is_answered_at_last().await;
    node.apply(&policy(&format!("{{from: [{from}], ports: [{{port: 8081}}]}}"))).await.unwrap();
    asker.is_refused_at_last().await;
}

#[tokio::test]
async fn a_policy_lets_out_only_to_whom_it_names() {
    let node = Node::shared().await.unwrap();
    let greeter = greeter(&node).await;
    let asker = Asker::start(&node, &greeter.namespace).await;
    let policy = |egress: &str| {
        format!(
            "
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {{name: asker, namespace: {}}}
spec: {{podSelector: {{matchLabels: {{app: asker}}}}, policyTypes: [Egress], egress: [{egress}]}}
",
            greeter.namespace
        )
    };
    let names = "{to: [{namespaceSelector: {}}], ports: [{port: 53, protocol: UDP}]}";

    node.apply(&policy(names)).await.unwrap();
    asker.is_refused_at_last().await;

    let there = "{to: [{podSelector: {matchLabels: {app: greeter}}}], ports: [{port: http}]}";
    node.apply(&policy(&format!("{names}, {there}"))).await.unwrap();
    asker.is_answered_at_last().await;
}

#[tokio::test]
async fn a_program_of_this_machine_runs_on_the_node_until_it_is_dropped() {
    let node = Node::shared().await.unwrap();
    let program = node.spawn(&[GREETER]).unwrap();
    let address = "127.0.0.1:8080".parse().unwrap();
    let near = node.forward(address).await.unwrap();

    wait_for("the program answers", DEADLINE, async || ask(near).await.is_some()).await.unwrap();
    assert!(program.log().unwrap().contains("asked for GET /asked"));
    drop(program);

    wait_for("the program is gone", DEADLINE, async || ask(near).await.is_none()).await.unwrap();
}

#[tokio::test]
async fn nothing_leads_off_the_node() {
    let node = Node::shared().await.unwrap();
    let routes = node.run(&["ip", "route"]).await.unwrap();
    assert!(routes.contains("unreachable default"), "{routes}");
    assert!(node.run(&["curl", "--silent", "--max-time", "2", "http://192.0.2.1/"]).await.is_err());
}
