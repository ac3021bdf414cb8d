//! The volumes of a model, and its PersistentVolumeClaim.

use super::{
    planner::Planner,
    pod::{ADAPTERS_VOLUME, SHARED_MEMORY_VOLUME, WEIGHTS_VOLUME, WeightsMount},
    vllm,
};
use crate::{
    apply::Object,
    labels::KEEP,
    resources::{model::check::WeightStorage, units},
};
use k8s_openapi::{
    api::core::v1::{
        EmptyDirVolumeSource, ImageVolumeSource, PersistentVolumeClaim, PersistentVolumeClaimSpec,
        PersistentVolumeClaimVolumeSource, Volume, VolumeResourceRequirements,
    },
    apimachinery::pkg::api::resource::Quantity,
};

/// The directory with the weights in an image that is mounted.
const IMAGE_DIR: &str = "models";

impl Planner<'_> {
    pub(super) fn weights_mount(&self) -> WeightsMount {
        match &self.model.weights {
            WeightStorage::Volume { .. } | WeightStorage::EmptyDir { .. } => {
                WeightsMount { sub_path: None, read_only: false }
            }
            WeightStorage::Image { .. } => {
                WeightsMount { sub_path: Some(IMAGE_DIR), read_only: true }
            }
            WeightStorage::ExistingClaim { .. } => WeightsMount { sub_path: None, read_only: true },
        }
    }

    pub(super) fn volumes(&self) -> Vec<Volume> {
        let volume = |name: &str| Volume { name: name.into(), ..Volume::default() };
        let claim = |name: &str| PersistentVolumeClaimVolumeSource {
            claim_name: name.into(),
            ..PersistentVolumeClaimVolumeSource::default()
        };
        let weights = match &self.model.weights {
            WeightStorage::Volume { .. } => Volume {
                persistent_volume_claim: Some(claim(self.model.names.claim.name())),
                ..volume(WEIGHTS_VOLUME)
            },
            // Read-only, so that mounting does not change the group of existing files.
            WeightStorage::ExistingClaim { name } => Volume {
                persistent_volume_claim: Some(PersistentVolumeClaimVolumeSource {
                    read_only: Some(true),
                    ..claim(name)
                }),
                ..volume(WEIGHTS_VOLUME)
            },
            WeightStorage::EmptyDir { size_limit } => Volume {
                empty_dir: Some(EmptyDirVolumeSource {
                    size_limit: size_limit.clone().map(Quantity),
                    ..EmptyDirVolumeSource::default()
                }),
                ..volume(WEIGHTS_VOLUME)
            },
            WeightStorage::Image { reference } => Volume {
                image: Some(ImageVolumeSource {
                    reference: Some(reference.clone()),
                    ..ImageVolumeSource::default()
                }),
                ..volume(WEIGHTS_VOLUME)
            },
        };
        let memory = Volume {
            empty_dir: Some(EmptyDirVolumeSource {
                medium: Some("Memory".into()),
                size_limit: vllm::memory_limit(&self.model.spec),
                ..EmptyDirVolumeSource::default()
            }),
            ..volume(SHARED_MEMORY_VOLUME)
        };
        let adapters = self.fetches_adapters().then(|| Volume {
            empty_dir: Some(EmptyDirVolumeSource::default()),
            ..volume(ADAPTERS_VOLUME)
        });
        [weights, memory].into_iter().chain(adapters).collect()
    }

    /// The claim may only grow: a live one is never shrunk or replaced. It is deleted with the model,
    /// but kept while the model does not use it, because its content took hours to download.
    pub(super) fn claim(&self) -> Option<Object> {
        let WeightStorage::Volume { size } = &self.model.weights else { return None };
        let live = self.observed.claim.as_ref().and_then(|claim| claim.spec.as_ref());
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
            metadata,
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
