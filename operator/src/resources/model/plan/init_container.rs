//! The init containers that fetch weights and adapters.

use super::{
    planner::Planner,
    pod::{ADAPTER_DIR, ADAPTERS_VOLUME, MODEL_DIR, PodVariant, WEIGHTS_VOLUME, mount},
};
use crate::{
    apply::short_hash,
    resources::model::names::{ADAPTER_DOWNLOADER, DOWNLOADER, LOADER},
};
use k8s_openapi::api::core::v1::{
    Capabilities, Container, EnvVar, EnvVarSource, SecretKeySelector, SecurityContext,
};
use llm_crd::{Model, Source};

/// Where the loader mounts the volume for the weights.
const LOADER_DIR: &str = "/shared-models";
const DOWNLOADER_USER: i64 = 65532;

/// A LoRA adapter as passed to vLLM.
pub(super) struct Adapter<'a> {
    pub(super) id: &'a str,
    pub(super) dir: String,
    repository: Option<&'a str>,
}

impl Planner<'_> {
    /// Adapters from a hub are downloaded to a volume of their own: that with the weights may be
    /// shared or read-only.
    pub(super) fn adapters(&self) -> Vec<Adapter<'_>> {
        let adapters = self.model.spec.serving.iter().flat_map(|serving| &serving.adapters);
        let adapters = adapters.map(|adapter| {
            let source = adapter.source.as_str();
            if source.starts_with('/') {
                return Adapter { id: &adapter.name, dir: source.into(), repository: None };
            }
            let dir = format!("{ADAPTER_DIR}/{}", short_hash(source));
            Adapter { id: &adapter.name, dir, repository: Some(source) }
        });
        adapters.collect()
    }

    pub(super) fn fetches_adapters(&self) -> bool {
        self.adapters().iter().any(|adapter| adapter.repository.is_some())
    }

    pub(super) fn init_containers(&self, variant: &PodVariant) -> Vec<Container> {
        let model = &self.model.spec.model;
        let mut containers = Vec::new();
        if self.model.spec.fetches_weights() {
            containers.push(match model.source {
                Source::Oci => loader(model, variant),
                Source::HuggingFace | Source::Pvc => self.downloader(variant),
            });
        }
        let adapters = self.adapters();
        let fetched = adapters.iter().filter_map(|it| Some((it.repository?, &it.dir)));
        for (number, (repository, dir)) in fetched.enumerate() {
            let args = vec![repository.into(), "--local-dir".into(), dir.clone()];
            containers.push(Container {
                name: format!("{ADAPTER_DOWNLOADER}{number}"),
                args: Some(args),
                volume_mounts: Some(vec![mount(ADAPTERS_VOLUME, ADAPTER_DIR)]),
                ..hub_client(model, variant)
            });
        }
        containers
    }

    fn downloader(&self, variant: &PodVariant) -> Container {
        let model = &self.model.spec.model;
        let mut args = vec![model.name.clone(), "--local-dir".into(), MODEL_DIR.into()];
        if let Some(revision) = given(model.revision.as_ref()) {
            args.extend(["--revision".into(), revision.clone()]);
        }
        if let Some(files) = &model.files {
            args.extend(files.include.iter().flat_map(|it| ["--include".into(), it.clone()]));
            args.extend(files.exclude.iter().flat_map(|it| ["--exclude".into(), it.clone()]));
        }
        Container {
            name: DOWNLOADER.into(),
            args: Some(args),
            volume_mounts: Some(vec![mount(WEIGHTS_VOLUME, MODEL_DIR)]),
            ..hub_client(model, variant)
        }
    }
}

/// The base of containers that download from the hub.
fn hub_client(model: &Model, variant: &PodVariant) -> Container {
    let token = given(model.auth_secret_name.as_ref()).map(|secret| EnvVar {
        name: "HF_TOKEN".into(),
        value_from: Some(EnvVarSource {
            secret_key_ref: Some(SecretKeySelector {
                name: secret.clone(),
                key: "HF_TOKEN".into(),
                ..SecretKeySelector::default()
            }),
            ..EnvVarSource::default()
        }),
        ..EnvVar::default()
    });
    let endpoint = given(model.endpoint.as_ref()).map(|endpoint| EnvVar {
        name: "HF_ENDPOINT".into(),
        value: Some(endpoint.clone()),
        ..EnvVar::default()
    });
    let env: Vec<_> = token.into_iter().chain(endpoint).collect();
    Container {
        image: Some(variant.downloader_image.clone()),
        env: (!env.is_empty()).then_some(env),
        security_context: variant.security_context().map(|base| SecurityContext {
            run_as_non_root: Some(true),
            run_as_user: Some(DOWNLOADER_USER),
            capabilities: Some(Capabilities {
                drop: Some(vec!["ALL".into()]),
                ..Capabilities::default()
            }),
            ..base
        }),
        termination_message_policy: variant.termination_message_policy(),
        ..Container::default()
    }
}

/// Copies the weights with the image's own `cp`.
fn loader(model: &Model, variant: &PodVariant) -> Container {
    let command = ["cp", "-r", "/models/.", "/shared-models/"].map(str::to_owned);
    Container {
        name: LOADER.into(),
        image: model.image.clone(),
        command: Some(command.into()),
        volume_mounts: Some(vec![mount(WEIGHTS_VOLUME, LOADER_DIR)]),
        security_context: variant.security_context(),
        termination_message_policy: variant.termination_message_policy(),
        ..Container::default()
    }
}

fn given(text: Option<&String>) -> Option<&String> {
    text.filter(|text| !text.is_empty())
}
