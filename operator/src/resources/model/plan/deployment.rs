//! The Deployment of a model.

use super::{planner::Planner, pod::PodVariant, template::choose_variant};
use crate::{
    apply::{Object, short_hash},
    resources::model::names::{labels, selector},
};
use k8s_openapi::{
    api::{
        apps::v1::{Deployment, DeploymentSpec, DeploymentStrategy},
        core::v1::{PodSecurityContext, PodSpec, PodTemplateSpec, SeccompProfile, Toleration},
    },
    apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta},
};
use llm_crd::{LLMModelSpec, Source, StorageType, UpdateStrategy};
use serde_json::{Value, json};

/// The annotation with the hash that identifies the weights.
///
/// The first release deleted and recreated a Deployment whose hash had changed, so that old pods
/// terminated first. The strategy `Recreate` has the same effect without deleting it; the annotation
/// stays for a rollback to the first release.
const CONFIG_HASH: &str = "llm.nebari.dev/model-config-hash";
/// The group with write access to the volume.
const VOLUME_GROUP: i64 = 65532;

impl Planner<'_> {
    pub(super) fn deployment(&self) -> Object {
        let spec = &self.model.spec;
        let live = self.observed.deployment.as_ref().map(|live| &live.spec.template);
        let downloader = &self.settings.images.downloader;
        let variant = choose_variant(live, downloader, |variant| self.template(variant));
        let mut metadata = self.metadata();
        let hash = config_hash(self.name(), spec);
        metadata.annotations = Some([(CONFIG_HASH.to_owned(), hash)].into());
        let deployment = Deployment {
            metadata,
            spec: DeploymentSpec {
                replicas: Some(spec.replicas()),
                selector: LabelSelector {
                    match_labels: Some(selector(self.name())),
                    ..LabelSelector::default()
                },
                strategy: Some(DeploymentStrategy {
                    type_: Some(strategy(spec.update_strategy()).into()),
                    rolling_update: None,
                }),
                template: self.template(&variant),
                ..DeploymentSpec::default()
            },
            ..Deployment::default()
        };
        let mut object = Object::of(self.model.names.model.clone(), &deployment);
        if spec.update_strategy() == UpdateStrategy::Recreate
            && let Some(strategy) = object.value.pointer_mut("/spec/strategy")
            && let Value::Object(strategy) = strategy
        {
            // The API server defaulted it for the other strategy.
            strategy.insert("rollingUpdate".into(), json!(null));
        }
        object
    }

    fn template(&self, variant: &PodVariant) -> PodTemplateSpec {
        let spec = &self.model.spec;
        let serving = spec.serving.as_ref();
        let vllm = spec.advanced.as_ref().and_then(|advanced| advanced.vllm.as_ref());
        let init_containers = self.init_containers(variant);
        let tolerations = tolerations(spec);
        let node_selector = vllm.map(|vllm| vllm.node_selector.clone()).unwrap_or_default();
        let secrets = serving.map(|serving| serving.image_pull_secrets.clone()).unwrap_or_default();
        let annotations =
            serving.map(|serving| serving.pod_annotations.clone()).unwrap_or_default();
        PodTemplateSpec {
            metadata: Some(ObjectMeta {
                labels: Some(labels(self.name())),
                annotations: (!annotations.is_empty()).then_some(annotations),
                ..ObjectMeta::default()
            }),
            spec: Some(PodSpec {
                service_account_name: Some(self.model.names.service_account.name().into()),
                security_context: Some(PodSecurityContext {
                    fs_group: Some(VOLUME_GROUP),
                    fs_group_change_policy: Some("OnRootMismatch".into()),
                    seccomp_profile: variant.hardened.then(|| SeccompProfile {
                        type_: "RuntimeDefault".into(),
                        ..SeccompProfile::default()
                    }),
                    ..PodSecurityContext::default()
                }),
                // A Service named `vllm` would otherwise set environment variables that vLLM reads.
                enable_service_links: variant.hardened.then_some(false),
                init_containers: (!init_containers.is_empty()).then_some(init_containers),
                containers: vec![self.vllm(variant, &self.weights_mount())],
                volumes: Some(self.volumes()),
                tolerations: (!tolerations.is_empty()).then_some(tolerations),
                node_selector: (!node_selector.is_empty()).then_some(node_selector),
                affinity: vllm.and_then(|vllm| vllm.affinity.clone()),
                image_pull_secrets: (!secrets.is_empty()).then_some(secrets),
                runtime_class_name: serving.and_then(|it| it.runtime_class_name.clone()),
                priority_class_name: serving.and_then(|it| it.priority_class_name.clone()),
                termination_grace_period_seconds: serving
                    .and_then(|it| it.termination_grace_period_seconds),
                ..PodSpec::default()
            }),
        }
    }
}

fn strategy(strategy: UpdateStrategy) -> &'static str {
    match strategy {
        UpdateStrategy::Recreate => "Recreate",
        UpdateStrategy::RollingUpdate => "RollingUpdate",
    }
}

/// Those of the resource, and one for GPU nodes unless they already tolerate those.
fn tolerations(spec: &LLMModelSpec) -> Vec<Toleration> {
    let vllm = spec.advanced.iter().filter_map(|advanced| advanced.vllm.as_ref());
    let mut tolerations: Vec<_> = vllm.flat_map(|vllm| vllm.tolerations.iter().cloned()).collect();
    let Some(gpu) = spec.resources.gpu.accelerator().resource() else { return tolerations };
    let tolerates_gpu = |toleration: &Toleration| match toleration.key.as_deref() {
        Some(key) if !key.is_empty() => key == gpu,
        Some(_) | None => toleration.operator.as_deref() == Some("Exists"),
    };
    if spec.resources.gpu.count() > 0 && !tolerations.iter().any(tolerates_gpu) {
        tolerations.push(Toleration {
            key: Some(gpu.into()),
            operator: Some("Exists".into()),
            effect: Some("NoSchedule".into()),
            ..Toleration::default()
        });
    }
    tolerations
}

/// Identifies the weights, like the first release did.
fn config_hash(name: &str, spec: &LLMModelSpec) -> String {
    let source = match spec.model.source {
        Source::HuggingFace => "huggingface",
        Source::Oci => "oci",
        Source::Pvc => "pvc",
    };
    let storage = match spec.model.storage.as_ref().and_then(|storage| storage.kind) {
        None => "",
        Some(StorageType::Pvc) => "pvc",
        Some(StorageType::EmptyDir) => "emptyDir",
        Some(StorageType::Image) => "image",
    };
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    let (image, revision) = (text(&spec.model.image), text(&spec.model.revision));
    let parts = [name, source, storage, &image, &revision, &spec.model.name];
    short_hash(parts.concat())
}

#[cfg(test)]
mod tests {
    use super::*;
    use llm_crd::{Model, Storage};

    #[test]
    fn the_hash_of_the_weights_is_that_of_the_first_release() {
        let storage = |kind| Some(Storage { kind: Some(kind), ..Storage::default() });
        let image = Some("registry.example.com/models/my-model:v1".to_owned());
        for (name, source, storage, image, model, hash) in [
            (
                "qwen3-5-35b-a3b-gptq-int4",
                Source::HuggingFace,
                storage(StorageType::Pvc),
                None,
                "Qwen/Qwen3.5-35B-A3B-GPTQ-Int4",
                "a41c5a7e99d73b54",
            ),
            (
                "devstral-small",
                Source::HuggingFace,
                storage(StorageType::Pvc),
                None,
                "mistralai/Devstral-Small-2505",
                "4f5219cead6c8c9e",
            ),
            ("my-oci-model", Source::Oci, None, image, "my-org/my-model", "58c2bca1d00bfdb1"),
            (
                "test-model",
                Source::HuggingFace,
                storage(StorageType::EmptyDir),
                None,
                "test/tiny-model",
                "44ce0624214e420b",
            ),
        ] {
            let model = Model { name: model.into(), source, storage, image, ..Model::default() };
            let spec = LLMModelSpec { model, ..LLMModelSpec::default() };
            assert_eq!(config_hash(name, &spec), hash, "{name}");
        }
    }
}
