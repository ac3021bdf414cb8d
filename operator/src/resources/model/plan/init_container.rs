//! The containers that fetch weights and adapters before vLLM starts.

use super::{
    Planner, Style,
    storage::Mount,
    vllm::{ADAPTER_FOLDER, MODEL_FOLDER, mount},
};
use k8s_openapi::api::core::v1::{
    Capabilities, Container, EnvVar, EnvVarSource, SecretKeySelector, SecurityContext,
};
use llm_crd::{Model, Source};
use sha2::{Digest as _, Sha256};

/// Fetches weights from a hub.
const DOWNLOADER: &str = "model-downloader";
/// Copies weights out of an image.
pub const LOADER: &str = "model-loader";
/// Fetches an adapter from a hub; a number follows.
const ADAPTER_DOWNLOADER: &str = "adapter-downloader-";
/// Where the image's weights are copied to.
const SHARED_FOLDER: &str = "/shared-models";
/// Who the downloader runs as.
const DOWNLOADER_USER: i64 = 65532;

/// An adapter, as the engine is told of it.
pub(super) struct Adapter<'a> {
    pub(super) id: &'a str,
    pub(super) folder: String,
    repository: Option<&'a str>,
}

/// Whether a container fetches weights or adapters from a hub.
pub fn is_downloader(container: &str) -> bool {
    container == DOWNLOADER || container.starts_with(ADAPTER_DOWNLOADER)
}

impl Planner<'_> {
    /// The adapters. Those of a hub are fetched into a folder of the pod's own: the volume with
    /// the weights may be shared, or read only.
    pub(super) fn adapters(&self) -> Vec<Adapter<'_>> {
        let adapters = self.model.spec.serving.iter().flat_map(|serving| &serving.adapters);
        let adapters = adapters.map(|adapter| {
            let source = adapter.source.as_str();
            if source.starts_with('/') {
                return Adapter { id: &adapter.name, folder: source.into(), repository: None };
            }
            let folder = format!("{ADAPTER_FOLDER}/{}", folder_name(source));
            Adapter { id: &adapter.name, folder, repository: Some(source) }
        });
        adapters.collect()
    }

    pub(super) fn fetches_adapters(&self) -> bool {
        self.adapters().iter().any(|adapter| adapter.repository.is_some())
    }

    pub(super) fn init_containers(&self, style: &Style, weights: &Mount) -> Vec<Container> {
        let model = &self.model.spec.model;
        let mut containers = Vec::new();
        if self.model.spec.fetches_weights() {
            containers.push(match model.source {
                Source::Oci => loader(model, style, weights),
                Source::HuggingFace | Source::Pvc => self.downloader(style, weights),
            });
        }
        let adapters = self.adapters();
        let fetched = adapters.iter().filter_map(|it| Some((it.repository?, &it.folder)));
        for (number, (repository, folder)) in fetched.enumerate() {
            let args = vec![repository.into(), "--local-dir".into(), folder.clone()];
            containers.push(Container {
                name: format!("{ADAPTER_DOWNLOADER}{number}"),
                args: Some(args),
                volume_mounts: Some(vec![mount("adapters", ADAPTER_FOLDER)]),
                ..hub_client(model, style)
            });
        }
        containers
    }

    fn downloader(&self, style: &Style, weights: &Mount) -> Container {
        let model = &self.model.spec.model;
        let mut args = vec![model.name.clone(), "--local-dir".into(), MODEL_FOLDER.into()];
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
            volume_mounts: Some(vec![weights.for_writing(MODEL_FOLDER)]),
            ..hub_client(model, style)
        }
    }
}

/// A container that talks to the hub.
fn hub_client(model: &Model, style: &Style) -> Container {
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
        image: Some(style.downloader.clone()),
        env: (!env.is_empty()).then_some(env),
        security_context: style.hardened.then(|| SecurityContext {
            run_as_non_root: Some(true),
            run_as_user: Some(DOWNLOADER_USER),
            allow_privilege_escalation: Some(false),
            capabilities: Some(Capabilities {
                drop: Some(vec!["ALL".into()]),
                ..Capabilities::default()
            }),
            ..SecurityContext::default()
        }),
        termination_message_policy: style.hardened.then(|| "FallbackToLogsOnError".into()),
        ..Container::default()
    }
}

/// Copies the weights with the `cp` of their own image, which may have to be root for it.
fn loader(model: &Model, style: &Style, weights: &Mount) -> Container {
    let command = ["cp", "-r", "/models/.", "/shared-models/"].map(str::to_owned);
    Container {
        name: LOADER.into(),
        image: model.image.clone(),
        command: Some(command.into()),
        volume_mounts: Some(vec![weights.for_writing(SHARED_FOLDER)]),
        security_context: style.hardened.then(|| SecurityContext {
            allow_privilege_escalation: Some(false),
            ..SecurityContext::default()
        }),
        termination_message_policy: style.hardened.then(|| "FallbackToLogsOnError".into()),
        ..Container::default()
    }
}

fn given(text: Option<&String>) -> Option<&String> {
    text.filter(|text| !text.is_empty())
}

/// A folder for a repository, whatever its name.
fn folder_name(repository: &str) -> String {
    let digest = Sha256::digest(repository);
    digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}
