//! What the operator says of models whose pods really run: how far a download is, and what a
//! container said before it ended. Needs root, as the node does.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use k8s_openapi::api::{apps::v1::Deployment, core::v1::Pod};
use kube::{
    Api,
    api::{ApiResource, DeleteParams, DynamicObject, ListParams},
};
use llm_cluster::{Node, wait_for, wait_for_some};
use llm_crd::{EndpointUrls, LLMModel};
use llm_operator::{
    app::settings::{Images, OperatorSettings, PodSelector, WatchScope},
    cluster_state,
    context::Context,
    resources::model,
    routes::feed::compile,
};
use serde_json::Value;
use std::{path::Path, time::Duration};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

const DEADLINE: Duration = Duration::from_secs(240);
const IMAGE: &str = "localhost/scripts:1";
const CRDS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../charts/nebari-llm-serving/crds");
/// What runs as the downloader, by the name of the model it is to fetch, and as vLLM.
const SCRIPTS: &[(&str, &str)] = &[
    (
        "/example/endless",
        "echo 'progress {\"state\":\"downloading\",\"bytes\":30,\"total\":120,\"files\":1,\"of\":2}'\n\
         exec /bin/sleep 600\n",
    ),
    ("/example/refused", "echo 'the hub refuses example/refused with 403'; exit 65\n"),
    ("/example/crashing", "echo there\n"),
    ("/vllm", "exec >&2; echo begins; echo 'CUDA error: no device'; exit 3\n"),
];

fn manifest(name: &str, namespace: &str) -> String {
    format!(
        "
apiVersion: llm.nebari.dev/v1alpha1
kind: LLMModel
metadata: {{name: {name}, namespace: {namespace}}}
spec:
  model: {{name: example/{name}, source: huggingface, storage: {{type: emptyDir, size: 1Gi}}}}
  resources: {{gpu: {{count: 0}}}}
  access: {{public: true}}
  serving: {{command: [/bin/sh, /vllm]}}
"
    )
}

/// The Deployment of `crashing` as the first release would have made it: its pods leave no message
/// when they end, so that only their log has their last words.
fn older(namespace: &str, uid: &str) -> String {
    let probe =
        |path: &str, more: &str| format!("{{httpGet: {{path: {path}, port: http}}, {more}}}");
    format!(
        "
apiVersion: apps/v1
kind: Deployment
metadata:
  name: crashing
  namespace: {namespace}
  labels: &labels
    app.kubernetes.io/managed-by: nebari-llm-operator
    app.kubernetes.io/instance: crashing
    app.kubernetes.io/name: llmmodel
    llm.nebari.dev/model: crashing
  ownerReferences:
    - {{apiVersion: llm.nebari.dev/v1alpha1, kind: LLMModel, name: crashing, uid: {uid}, controller: true, blockOwnerDeletion: true}}
spec:
  selector: {{matchLabels: {{app.kubernetes.io/instance: crashing}}}}
  strategy: {{type: Recreate}}
  template:
    metadata: {{labels: *labels}}
    spec:
      serviceAccountName: crashing-sa
      securityContext: {{fsGroup: 65532, fsGroupChangePolicy: OnRootMismatch}}
      initContainers:
        - name: model-downloader
          image: {IMAGE}
          args: [example/crashing, --local-dir, /model-cache]
          volumeMounts: [{{name: model-storage, mountPath: /model-cache}}]
      containers:
        - name: vllm
          image: {IMAGE}
          command: [/bin/sh, /vllm]
          args: [--model, /model-cache, --served-model-name, example/crashing, --tensor-parallel-size, '0', --data-parallel-size, '1']
          ports: [{{name: http, containerPort: 8000}}]
          startupProbe: {}
          livenessProbe: {}
          readinessProbe: {}
          volumeMounts: [{{name: model-storage, mountPath: /model-cache}}, {{name: shm, mountPath: /dev/shm}}]
      volumes:
        - {{name: model-storage, emptyDir: {{sizeLimit: 1Gi}}}}
        - {{name: shm, emptyDir: {{medium: Memory}}}}
",
        probe("/v1/models", "initialDelaySeconds: 15, periodSeconds: 30, failureThreshold: 120"),
        probe("/health", "periodSeconds: 10, failureThreshold: 3"),
        probe("/v1/models", "periodSeconds: 5, failureThreshold: 3"),
    )
}

async fn node() -> Node {
    let node = Node::start().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let mut files = vec![("/bin/sh".into(), "/bin/sh"), ("/bin/sleep".into(), "/bin/sleep")];
    for (number, (place, script)) in SCRIPTS.iter().enumerate() {
        let file = folder.path().join(number.to_string());
        std::fs::write(&file, script).unwrap();
        files.push((file, place));
    }
    let files: Vec<(&Path, &str)> =
        files.iter().map(|(here, there)| (here.as_path(), *there)).collect();
    node.load_image(IMAGE, 65532, &files).await.unwrap();
    node.kubectl(&["apply", "--server-side", "--filename", CRDS]).await.unwrap();
    node.wait_until_kinds_are_served().await.unwrap();
    node
}

fn settings(namespace: &str) -> OperatorSettings {
    OperatorSettings {
        scope: WatchScope::Namespaces([namespace.to_owned()].into()),
        images: Images { serving: IMAGE.into(), downloader: IMAGE.into() },
        storage_class: None,
        proxies: PodSelector { namespace: namespace.into(), labels: [].into() },
        monitoring_namespace: None,
        older_gateways: [].into(),
        urls: EndpointUrls::default(),
    }
}

#[tokio::test]
async fn downloads_and_last_words_are_told_as_they_are_and_a_deleted_download_ends() {
    let node = node().await;
    let (client, namespace) = (node.client().await.unwrap(), node.namespace().await.unwrap());
    let models: Api<DynamicObject> =
        Api::namespaced_with(client.clone(), &namespace, &ApiResource::erase::<LLMModel>(&()));
    for (place, _) in SCRIPTS {
        if let Some(name) = place.strip_prefix("/example/") {
            node.apply(&manifest(name, &namespace)).await.unwrap();
        }
    }
    let uid = models.get("crashing").await.unwrap().metadata.uid.unwrap();
    node.apply(&older(&namespace, &uid)).await.unwrap();

    let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
    let settings = settings(&namespace);
    let (world, feed) =
        cluster_state::start(&client, &settings, model::plan::kinds(), &tasks, &stop);
    let context = Context::new(&client, settings, world, None);
    let _ends = stop.clone().drop_guard();
    tasks.spawn({
        let (context, stop) = (context.clone(), stop.clone());
        async move { stop.run_until_cancelled(compile(&context, feed, |_, _| {})).await }
    });
    tasks.spawn(async move {
        assert!(context.cluster.wait_until_synced().await);
        model::run(&context, &stop).await;
    });

    let until = async |name: &str, what: &str, wanted: &dyn Fn(&Value) -> bool| {
        let mut last = Value::Null;
        let look = async || {
            last = models.get(name).await.ok()?.data["status"].take();
            wanted(&last).then(|| last.clone())
        };
        match wait_for_some(what, DEADLINE, look).await {
            Ok(status) => status,
            Err(error) => panic!("{name}: {error}: {last:#}"),
        }
    };
    let condition = |status: &Value, about: &str| {
        let conditions = status["conditions"].as_array();
        let mut conditions = conditions.into_iter().flatten();
        conditions.find(|it| it["type"] == about).cloned().unwrap_or_default()
    };
    let says = |status: &Value, about: &str, reason: &str, end: &str| {
        let condition = condition(status, about);
        let ends = condition["message"].as_str().is_some_and(|message| message.ends_with(end));
        condition["reason"] == reason && ends
    };

    let status =
        until("endless", "a quarter is there", &|it| it["download"]["percent"] == 25).await;
    assert_eq!((&status["phase"], &status["modelSize"]), (&"Downloading".into(), &"120 B".into()));
    assert_eq!(condition(&status, "WeightsReady")["message"], "30 B of 120 B");

    // It goes while its weights are fetched.
    models.delete("endless", &DeleteParams::default()).await.unwrap();
    let (pods, deployments): (Api<Pod>, Api<Deployment>) =
        (Api::namespaced(client.clone(), &namespace), Api::namespaced(client, &namespace));
    let its = ListParams::default().labels("app.kubernetes.io/instance=endless");
    let gone = async || {
        let (pods, deployments) = (pods.list(&its).await, deployments.list(&its).await);
        pods.is_ok_and(|it| it.items.is_empty()) && deployments.is_ok_and(|it| it.items.is_empty())
    };
    wait_for("its pod is gone, and all that made it", DEADLINE, gone).await.unwrap();

    // A log cannot always be read at once.
    let end = "(exit code 65): the hub refuses example/refused with 403";
    let failed = |it: &Value| says(it, "WeightsReady", "DownloadFailed", end);
    until("refused", "the download failed", &failed).await;
    let end = "exit code 3: CUDA error: no device";
    let crashed = |it: &Value| says(it, "ServingReady", "CrashLoop", end);
    until("crashing", "vLLM crashed", &crashed).await;
    let template = deployments.get("crashing").await.unwrap().spec.template;
    let hardened = template.spec.unwrap().security_context.unwrap().seccomp_profile;
    assert_eq!(hardened, None, "its pods are still as the first release made them");
}
