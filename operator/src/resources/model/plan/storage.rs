//! Where the weights are kept.

use super::{Planner, vllm};
use crate::{
    apply::Object,
    labels::KEEP,
    resources::{model::check::Weights, quantity::units},
};
use k8s_openapi::{
    api::core::v1::{
        EmptyDirVolumeSource, ImageVolumeSource, PersistentVolumeClaim, PersistentVolumeClaimSpec,
        PersistentVolumeClaimVolumeSource, Volume, VolumeMount, VolumeResourceRequirements,
    },
    apimachinery::pkg::{api::resource::Quantity, apis::meta::v1::ObjectMeta},
};

const VOLUME: &str = "model-storage";
/// Where the weights are in an image that holds them.
const IMAGE_FOLDER: &str = "models";

/// How the volume with the weights is mounted.
pub(super) struct Mount {
    sub_path: Option<&'static str>,
    read_only: bool,
}

impl Mount {
    /// Where vLLM reads.
    pub(super) fn for_vllm(&self, path: &str) -> VolumeMount {
        VolumeMount {
            sub_path: self.sub_path.map(str::to_owned),
            read_only: self.read_only.then_some(true),
            ..vllm::mount(VOLUME, path)
        }
    }

    /// Where the weights are written.
    pub(super) fn for_writing(&self, path: &str) -> VolumeMount {
        vllm::mount(VOLUME, path)
    }
}

impl Planner<'_> {
    pub(super) fn mount(&self) -> Mount {
        match &self.model.weights {
            Weights::Volume { .. } | Weights::Folder { .. } => {
                Mount { sub_path: None, read_only: false }
            }
            Weights::Image { .. } => Mount { sub_path: Some(IMAGE_FOLDER), read_only: true },
            Weights::Claim { .. } => Mount { sub_path: None, read_only: true },
        }
    }

    pub(super) fn volumes(&self) -> Vec<Volume> {
        let volume = |name: &str| Volume { name: name.into(), ..Volume::default() };
        let claim = |name: &str| PersistentVolumeClaimVolumeSource {
            claim_name: name.into(),
            ..PersistentVolumeClaimVolumeSource::default()
        };
        let weights = match &self.model.weights {
            Weights::Volume { .. } => Volume {
                persistent_volume_claim: Some(claim(self.model.names.claim.name())),
                ..volume(VOLUME)
            },
            // Read only, so that nobody changes the group of somebody else's files.
            Weights::Claim { name } => Volume {
                persistent_volume_claim: Some(PersistentVolumeClaimVolumeSource {
                    read_only: Some(true),
                    ..claim(name)
                }),
                ..volume(VOLUME)
            },
            Weights::Folder { size } => Volume {
                empty_dir: Some(EmptyDirVolumeSource {
                    size_limit: size.clone().map(Quantity),
                    ..EmptyDirVolumeSource::default()
                }),
                ..volume(VOLUME)
            },
            Weights::Image { reference } => Volume {
                image: Some(ImageVolumeSource {
                    reference: Some(reference.clone()),
                    ..ImageVolumeSource::default()
                }),
                ..volume(VOLUME)
            },
        };
        let memory = Volume {
            empty_dir: Some(EmptyDirVolumeSource {
                medium: Some("Memory".into()),
                size_limit: vllm::memory_limit(&self.model.spec),
                ..EmptyDirVolumeSource::default()
            }),
            ..volume("shm")
        };
        let adapters = self.fetches_adapters().then(|| Volume {
            empty_dir: Some(EmptyDirVolumeSource::default()),
            ..volume("adapters")
        });
        [weights, memory].into_iter().chain(adapters).collect()
    }

    /// The volume of a model. What is there is never given up for a smaller or another one: it may
    /// only grow. It goes when the model goes, and not when the model no longer uses it, because
    /// what it holds took hours to fetch.
    pub(super) fn claim(&self) -> Option<Object> {
        let Weights::Volume { size } = &self.model.weights else { return None };
        let live = self.present.claim.and_then(|claim| claim.spec.as_ref());
        let live_size =
            live.and_then(|spec| spec.resources.as_ref()?.requests.as_ref()?.get("storage"));
        let size = match live_size {
            Some(live) if units(&live.0) >= units(size) => live.clone(),
            Some(_) | None => Quantity(size.clone()),
        };
        let wanted_mode = || vec![self.model.spec.storage_access_mode().as_str().to_owned()];
        let storage = self.model.spec.model.storage.as_ref();
        let class = storage.and_then(|storage| storage.storage_class_name.as_ref());
        let class =
            class.filter(|class| !class.is_empty()).or(self.settings.storage_class.as_ref());
        let mut metadata = self.metadata();
        metadata.annotations = Some([(KEEP.to_owned(), "true".to_owned())].into());
        let claim = PersistentVolumeClaim {
            metadata: ObjectMeta { ..metadata },
            spec: Some(PersistentVolumeClaimSpec {
                access_modes: live
                    .map_or_else(|| Some(wanted_mode()), |live| live.access_modes.clone()),
                storage_class_name: match live {
                    Some(live) => live.storage_class_name.clone(),
                    None => class.cloned(),
                },
                resources: Some(VolumeResourceRequirements {
                    requests: Some([("storage".to_owned(), size)].into()),
                    ..VolumeResourceRequirements::default()
                }),
                ..PersistentVolumeClaimSpec::default()
            }),
            ..PersistentVolumeClaim::default()
        };
        Some(Object::of(self.model.names.claim.clone(), &claim))
    }
}
