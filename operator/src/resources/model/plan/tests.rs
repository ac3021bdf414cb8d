//! Manifests are reviewed as manifests: what a model becomes is in `snapshots`.

use super::{plan, pod::PodVariant, template::choose_variant};
use crate::{
    app::settings::{Images, OperatorSettings, PodSelector, WatchScope},
    apply::Plan,
    resources::model::{
        check::{CheckedModel, check},
        observe::{HubToken, ObservedModel},
    },
    routes::RouteStatus,
};
use k8s_openapi::api::{
    apps::v1::Deployment,
    core::v1::{PersistentVolumeClaim, PodTemplateSpec},
};
use llm_contract::ResourceName;
use llm_crd::{EndpointUrls, LLMModel};
use serde_json::{Value, json};

fn settings() -> OperatorSettings {
    OperatorSettings {
        scope: WatchScope::Labelled,
        images: Images {
            serving: "registry.example.org/vllm:v1".into(),
            downloader: "registry.example.org/llm-download:v1".into(),
        },
        storage_class: None,
        proxies: PodSelector {
            namespace: "llm".into(),
            labels: [("app".to_owned(), "llm-proxy".to_owned())].into(),
        },
        monitoring_namespace: Some("monitoring".into()),
        older_gateways: [].into(),
        urls: EndpointUrls::default(),
    }
}

fn model(manifest: &str) -> LLMModel {
    let mut model: LLMModel = serde_saphyr::from_str(manifest).unwrap();
    model.metadata.namespace = Some("models".into());
    model.metadata.uid = Some("7d9f".into());
    model
}

fn checked(model: &LLMModel) -> CheckedModel {
    let name = format!("models/{}", model.metadata.name.as_deref().unwrap());
    let observed = ObservedModel {
        is_managed_namespace: true,
        token: HubToken::Found,
        ..ObservedModel::default()
    };
    let name = ResourceName::parse(&name).unwrap();
    check(&name, model, &observed, &RouteStatus::default()).unwrap()
}

fn planned(model: LLMModel) -> Plan {
    let observed = ObservedModel { has_pod_monitors: true, ..ObservedModel::default() };
    plan(&checked(&model), &settings(), &observed)
}

fn manifests(model: LLMModel) -> Vec<Value> {
    planned(model).objects.into_iter().map(|object| object.value).collect()
}

/// The Deployment of a model.
fn deployment(model: LLMModel) -> Value {
    let objects = manifests(model).into_iter();
    objects.into_iter().find(|it| it["kind"] == "Deployment").unwrap()
}

/// The first of the models in an example.
macro_rules! example {
    ($name:literal) => {
        model(
            include_str!(concat!("../../../../../docs/examples/", $name, ".yaml"))
                .split("\n---\n")
                .next()
                .unwrap(),
        )
    };
    ($name:literal, $index:literal) => {
        model(
            include_str!(concat!("../../../../../docs/examples/", $name, ".yaml"))
                .split("\n---\n")
                .nth($index)
                .unwrap(),
        )
    };
}

#[test]
fn a_minimal_model_becomes_five_objects() {
    insta::assert_yaml_snapshot!(manifests(example!("minimal")));
}

#[test]
fn a_small_model_on_a_volume() {
    insta::assert_yaml_snapshot!(deployment(example!("devstral-small")));
}

#[test]
fn a_quantised_model_passes_its_arguments_on() {
    insta::assert_yaml_snapshot!(deployment(example!("qwen3-5-35b-a3b-gptq-int4")));
}

#[test]
fn weights_are_copied_out_of_an_image() {
    insta::assert_yaml_snapshot!(manifests(example!("oci-model")));
}

#[test]
fn an_image_with_weights_is_mounted() {
    insta::assert_yaml_snapshot!(deployment(example!("weights-on-a-claim", 1)));
}

#[test]
fn weights_on_an_existing_claim_are_only_read() {
    insta::assert_yaml_snapshot!(manifests(example!("weights-on-a-claim")));
}

#[test]
fn a_model_that_says_where_it_runs() {
    insta::assert_yaml_snapshot!(deployment(example!("advanced-scheduling")));
}

#[test]
fn a_model_with_everything_that_was_added() {
    insta::assert_yaml_snapshot!(manifests(example!("limits-and-aliases")));
}

const SMALL: &str = "
metadata: {name: small}
spec:
  model: {name: example/small, source: huggingface, storage: {type: emptyDir}}
  resources: {gpu: {count: 0}}
  access: {public: true}
";

fn small(change: impl FnOnce(&mut LLMModel)) -> LLMModel {
    let mut model = model(SMALL);
    change(&mut model);
    model
}

#[test]
fn a_model_in_a_folder_of_its_node_has_no_volume() {
    insta::assert_yaml_snapshot!(deployment(small(|_| {}))["spec"]["template"]["spec"]["volumes"], @r#"
    - emptyDir:
        sizeLimit: "0"
      name: model-storage
    - emptyDir:
        medium: Memory
      name: shm
    "#);
}

#[test]
fn a_pod_monitor_is_made_only_where_it_is_wanted_and_known() {
    let monitored = |it: &mut LLMModel| {
        it.spec.serving =
            Some(serde_json::from_value(json!({"monitoring": {"enabled": true}})).unwrap());
    };
    let kinds =
        |plan: Plan| plan.objects.into_iter().map(|it| it.resource.kind).collect::<Vec<_>>();
    assert!(kinds(planned(small(monitored))).contains(&"PodMonitor".to_owned()));
    assert!(!kinds(planned(small(|_| {}))).contains(&"PodMonitor".to_owned()));
    let unknown = plan(&checked(&small(monitored)), &settings(), &ObservedModel::default());
    assert!(!kinds(unknown).contains(&"PodMonitor".to_owned()));
}

#[test]
fn gateways_reach_pods_themselves_only_while_routes_of_the_first_release_may_be_in_force() {
    let sources = |older: &[&str]| {
        let mut settings = settings();
        settings.older_gateways = older.iter().map(|&it| it.to_owned()).collect();
        let plan = plan(&checked(&small(|_| {})), &settings, &ObservedModel::default());
        let policy =
            plan.objects.into_iter().find(|it| it.resource.kind == "NetworkPolicy").unwrap();
        policy.value["spec"]["ingress"].as_array().unwrap().to_vec()
    };
    assert_eq!(sources(&[]).len(), 2);
    insta::assert_yaml_snapshot!(sources(&["envoy-gateway-system"])[2], @r"
    from:
      - namespaceSelector:
          matchLabels:
            kubernetes.io/metadata.name: envoy-gateway-system
      - podSelector:
          matchLabels:
            app.kubernetes.io/name: epp
    ");
}

#[test]
fn the_kind_of_gpu_chooses_the_resource_and_the_toleration() {
    for (kind, resource) in [
        ("nvidia", Some("nvidia.com/gpu")),
        ("amd", Some("amd.com/gpu")),
        ("intel", Some("gpu.intel.com/i915")),
        ("other", Some("nvidia.com/gpu")),
        ("none", None),
    ] {
        let template = deployment(small(|it| {
            it.spec.resources.gpu.count = 2;
            it.spec.resources.gpu.kind = kind.into();
        }));
        let pod = &template["spec"]["template"]["spec"];
        let limits = &pod["containers"][0]["resources"]["limits"];
        match resource {
            Some(resource) => {
                assert_eq!(limits[resource], "2", "{kind}");
                assert_eq!(pod["tolerations"][0]["key"], resource, "{kind}");
            }
            None => assert!(limits.is_null() && pod["tolerations"].is_null(), "{kind}"),
        }
    }
}

#[test]
fn a_toleration_of_the_resource_that_says_it_already_is_enough() {
    for (toleration, tolerations) in [
        (json!({"key": "nvidia.com/gpu", "operator": "Equal", "value": "yes"}), 1),
        (json!({"operator": "Exists"}), 1),
        (json!({"key": "dedicated", "operator": "Exists"}), 2),
    ] {
        let deployment = deployment(small(|it| {
            it.spec.resources.gpu = serde_json::from_value(json!({"count": 1})).unwrap();
            it.spec.advanced = Some(
                serde_json::from_value(json!({"vllm": {"tolerations": [toleration]}})).unwrap(),
            );
        }));
        let found = deployment["spec"]["template"]["spec"]["tolerations"].as_array().unwrap();
        assert_eq!(found.len(), tolerations, "{toleration}");
    }
}

#[test]
fn a_volume_grows_and_never_becomes_smaller_or_another_one() {
    for (live, wanted, size) in [
        (None, "80Gi", "80Gi"),
        (Some("80Gi"), "100Gi", "100Gi"),
        (Some("80Gi"), "40Gi", "80Gi"),
        (Some("80Gi"), "81920Mi", "80Gi"),
    ] {
        let mut model = example!("minimal");
        model.spec.model.storage.as_mut().unwrap().size = Some(wanted.into());
        let claim: Option<PersistentVolumeClaim> = live.map(|live| {
            serde_json::from_value(json!({"metadata": {}, "spec": {
                "accessModes": ["ReadWriteMany"],
                "storageClassName": "slow",
                "resources": {"requests": {"storage": live}},
            }}))
            .unwrap()
        });
        let observed = ObservedModel { claim, ..ObservedModel::default() };
        let plan = plan(&checked(&model), &settings(), &observed);
        let spec = &plan.objects[0].value["spec"];
        assert_eq!(spec["resources"]["requests"]["storage"], size, "{live:?} {wanted}");
        if live.is_some() {
            assert_eq!(
                (&spec["storageClassName"], &spec["accessModes"][0]),
                (&json!("slow"), &json!("ReadWriteMany"))
            );
        }
    }
}

/// A Deployment as the first release made it, and as the API server filled it in.
fn older_template() -> PodTemplateSpec {
    serde_saphyr::from_str(include_str!("../../../../tests/older/template.yaml")).unwrap()
}

fn older_model() -> LLMModel {
    example!("qwen3-5-35b-a3b-gptq-int4")
}

fn observed(template: PodTemplateSpec) -> ObservedModel {
    let mut deployment = Deployment::default();
    deployment.spec.template = template;
    ObservedModel { deployment: Some(deployment), ..ObservedModel::default() }
}

fn taken_over(model: LLMModel, template: PodTemplateSpec) -> Value {
    let plan = plan(&checked(&model), &settings(), &observed(template));
    let objects = plan.objects.into_iter();
    objects.into_iter().find(|it| it.resource.kind == "Deployment").unwrap().value
}

fn is_hardened(deployment: &Value) -> bool {
    let pod = &deployment["spec"]["template"]["spec"];
    !pod["securityContext"]["seccompProfile"].is_null()
}

fn downloader(deployment: &Value) -> &str {
    deployment["spec"]["template"]["spec"]["initContainers"][0]["image"].as_str().unwrap()
}

#[test]
fn what_the_first_release_made_stays_as_it_is() {
    let mut settings = settings();
    settings.images.serving = "ghcr.io/llm-d/llm-d-cuda:v0.7.0".into();
    let plan = plan(&checked(&older_model()), &settings, &observed(older_template()));
    let planned =
        plan.objects.into_iter().find(|it| it.resource.kind == "Deployment").unwrap().value;
    let live = serde_json::to_value(older_template()).unwrap();
    assert!(!is_hardened(&planned));
    assert!(crate::apply::covers(&live, &planned["spec"]["template"]));
}

#[test]
fn what_a_user_changes_brings_the_current_variant() {
    let changes: [fn(&mut LLMModel); 3] = [
        |it| it.spec.serving.as_mut().unwrap().vllm_args.push("--seed".into()),
        |it| it.spec.model.revision = Some("v2".into()),
        |it| it.spec.serving.as_mut().unwrap().image = Some("other:v1".into()),
    ];
    for change in changes {
        let mut model = older_model();
        model.spec.serving.as_mut().unwrap().image = Some("ghcr.io/llm-d/llm-d-cuda:v0.7.0".into());
        assert!(!is_hardened(&taken_over(model.clone(), older_template())));
        change(&mut model);
        let changed = taken_over(model, older_template());
        assert!(is_hardened(&changed));
        assert_eq!(downloader(&changed), "registry.example.org/llm-download:v1");
    }
}

#[test]
fn what_a_user_removes_brings_the_current_variant() {
    let mut template = older_template();
    let pod = template.spec.as_mut().unwrap();
    pod.node_selector = Some([("gpu".to_owned(), "l4".to_owned())].into());
    let mut model = older_model();
    model.spec.serving.as_mut().unwrap().image = Some("ghcr.io/llm-d/llm-d-cuda:v0.7.0".into());
    assert!(is_hardened(&taken_over(model, template)));
}

#[test]
fn a_newer_downloader_alone_changes_no_deployment() {
    let model = older_model();
    let first = deployment(model.clone());
    let template: PodTemplateSpec =
        serde_json::from_value(first["spec"]["template"].clone()).unwrap();
    let mut newer = settings();
    newer.images.downloader = "registry.example.org/llm-download:v2".into();
    let plan = plan(&checked(&model), &newer, &observed(template));
    let planned =
        plan.objects.into_iter().find(|it| it.resource.kind == "Deployment").unwrap().value;
    assert_eq!(planned["spec"]["template"], first["spec"]["template"]);
}

#[test]
fn a_new_deployment_has_the_current_variant() {
    let render = |_: &PodVariant| PodTemplateSpec::default();
    let current = PodVariant { hardened: true, downloader_image: "v2".into() };
    assert_eq!(choose_variant(None, "v2", render), current);
}
