//! Assesses a model: its phase, and the conditions of its weights and replicas. Pure.

use crate::resources::model::{
    check::{CheckedModel, ValidationError},
    observe::ObservedModel,
    pods::{PodState, Termination},
    progress::{DownloadProgress, human_size},
};
use llm_crd::{ConditionType, Finding, Phase, Reason, ReplicaCounts, Source};

/// Everything known about a model.
#[derive(Clone, Debug)]
pub struct ModelView<'a> {
    pub checked: Result<&'a CheckedModel, &'a ValidationError>,
    pub observed: &'a ObservedModel,
    pub pods: &'a [PodState],
    pub progress: Option<DownloadProgress>,
    /// The API server's message if it rejected an object.
    pub apply_error: Option<&'a str>,
}

/// What follows from a [`ModelView`] for the status.
#[derive(Clone, Debug)]
pub struct Assessment {
    pub phase: Phase,
    pub replicas: ReplicaCounts,
    pub weights: Finding,
    pub serving: Finding,
}

impl ModelView<'_> {
    pub fn assess(&self) -> Assessment {
        let replicas = self.replicas();
        let phase = self.phase(replicas);
        let (reason, message) = self.weights(replicas, phase);
        let weights = Finding::new(ConditionType::WeightsReady, reason, message);
        let (reason, message) = self.serving(replicas, phase);
        let serving = Finding::new(ConditionType::ServingReady, reason, message);
        Assessment { phase, replicas, weights, serving }
    }

    fn replicas(&self) -> ReplicaCounts {
        let deployment = self.observed.deployment.as_ref();
        let status = deployment.and_then(|it| it.status.as_ref());
        let live = deployment.and_then(|it| it.spec.replicas);
        let desired = self.checked.ok().map(|checked| checked.spec.replicas()).or(live);
        ReplicaCounts {
            ready: status.and_then(|status| status.ready_replicas).unwrap_or(0),
            desired: desired.unwrap_or(0),
        }
    }

    fn phase(&self, ReplicaCounts { ready, desired }: ReplicaCounts) -> Phase {
        let exists = self.observed.deployment.is_some();
        if exists && desired > 0 && ready >= desired {
            return Phase::Ready;
        }
        if ready > 0 && desired > 0 {
            return Phase::Degraded;
        }
        if self.apply_error.is_some() || self.checked.is_err() {
            return Phase::Error;
        }
        if desired == 0 {
            return Phase::Idle;
        }
        if !exists {
            return Phase::Pending;
        }
        if self.pods.iter().any(|pod| matches!(pod, PodState::Downloading(_))) {
            return Phase::Downloading;
        }
        Phase::Starting
    }

    fn weights(&self, replicas: ReplicaCounts, phase: Phase) -> (Reason, String) {
        let ReplicaCounts { ready, desired } = replicas;
        let downloaded = || (Reason::Downloaded, "the weights are in place".into());
        let Ok(checked) = self.checked else {
            return match ready {
                0 => (Reason::NotDesired, "the model is not accepted".into()),
                _ => downloaded(),
            };
        };
        let model = &checked.spec.model;
        if model.source == Source::Pvc && self.observed.claim.is_none() {
            let claim = model.storage.as_ref().and_then(|it| it.claim_name.as_deref());
            let message = format!(
                "PersistentVolumeClaim {} does not exist: create it or correct \
                 spec.model.storage.claimName",
                claim.unwrap_or_default()
            );
            return (Reason::ClaimMissing, message);
        }
        if !checked.spec.fetches_weights() {
            return (Reason::NotNeeded, "no download is required".into());
        }
        let has_weights =
            |pod: &PodState| matches!(pod, PodState::Ready | PodState::CrashLooping(_));
        if ready > 0 || self.pods.iter().any(has_weights) {
            return downloaded();
        }
        let problem = self.pods.iter().find_map(|pod| match pod {
            PodState::DownloadFailed(failed) => {
                let message =
                    format!("{} failed ({}): {}", failed.run.container, failed.cause, tail(failed));
                Some((Reason::DownloadFailed, message))
            }
            PodState::WaitingForVolume { message } => {
                Some((Reason::WaitingForVolume, message.clone()))
            }
            PodState::Ready
            | PodState::Unschedulable { .. }
            | PodState::ImagePullFailed { .. }
            | PodState::ContainerBlocked { .. }
            | PodState::Downloading(_)
            | PodState::Starting
            | PodState::CrashLooping(_) => None,
        });
        if let Some(problem) = problem {
            return problem;
        }
        if desired == 0 {
            return (Reason::NotDesired, "no replica is requested".into());
        }
        let message = match self.progress {
            Some(DownloadProgress { bytes, total }) if total > 0 => {
                format!("{} of {}", human_size(bytes), human_size(total))
            }
            Some(_) | None if phase == Phase::Downloading => "the download has started".into(),
            Some(_) | None => "the download starts once a pod is running".into(),
        };
        (Reason::Downloading, message)
    }

    fn serving(&self, replicas: ReplicaCounts, phase: Phase) -> (Reason, String) {
        let ReplicaCounts { ready, desired } = replicas;
        let counts = format!("{ready} of {desired} replicas ready");
        let with = |detail: Option<&str>| match detail {
            Some(detail) => format!("{counts}; {detail}"),
            None => counts.clone(),
        };
        match phase {
            Phase::Ready => return (Reason::Ready, with(self.apply_error)),
            Phase::Idle => return (Reason::ScaledToZero, "no replica is requested".into()),
            Phase::Degraded => {
                let (_, obstacle) = self.worst_obstacle();
                return (Reason::Degraded, with(self.apply_error.or(Some(&obstacle))));
            }
            Phase::Pending | Phase::Downloading | Phase::Starting | Phase::Error => {}
        }
        if let Some(error) = self.apply_error {
            return (Reason::ApplyFailed, error.to_owned());
        }
        if self.checked.is_err() {
            return (Reason::NotDesired, "the model is not accepted".into());
        }
        self.worst_obstacle()
    }

    /// The most severe reason for which pods are not ready.
    fn worst_obstacle(&self) -> (Reason, String) {
        let worst = self.pods.iter().filter_map(obstacle).max_by_key(|(severity, ..)| *severity);
        let starting = || (Reason::Starting, "vLLM is starting".to_owned());
        worst.map_or_else(starting, |(_, reason, message)| (reason, message))
    }
}

/// Severity, reason and message of a pod that is not ready.
fn obstacle(pod: &PodState) -> Option<(u8, Reason, String)> {
    let found = match pod {
        PodState::Ready => return None,
        PodState::Starting => (0, Reason::Starting, "vLLM is starting".into()),
        PodState::Downloading(_) => {
            (1, Reason::WaitingForWeights, "the weights are being downloaded".into())
        }
        PodState::WaitingForVolume { message } => {
            (2, Reason::WaitingForWeights, format!("the volume is not bound: {message}"))
        }
        PodState::Unschedulable { message } => (3, Reason::Unschedulable, message.clone()),
        PodState::ContainerBlocked { message } => (4, Reason::Starting, message.clone()),
        PodState::DownloadFailed(_) => {
            (5, Reason::WaitingForWeights, "the download failed and is being retried".into())
        }
        PodState::ImagePullFailed { message } => (6, Reason::ImagePullFailed, message.clone()),
        PodState::CrashLooping(crash) => {
            let times = match crash.run.restarts {
                ..=1 => "once".to_owned(),
                times => format!("{times} times"),
            };
            let message = format!(
                "vLLM crashed {times}, most recently with {}: {}",
                crash.cause,
                tail(crash)
            );
            (7, Reason::CrashLoop, message)
        }
    };
    Some(found)
}

fn tail(Termination { log_tail, .. }: &Termination) -> &str {
    log_tail.as_deref().unwrap_or("no log output")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resources::model::pods::ContainerRun;
    use k8s_openapi::api::apps::v1::Deployment;
    use serde_json::json;

    fn observed(ready: i32, desired: i32) -> ObservedModel {
        let deployment: Deployment = serde_json::from_value(json!({
            "metadata": {},
            "spec": {"replicas": desired, "selector": {}, "template": {}},
            "status": {"readyReplicas": ready},
        }))
        .unwrap();
        ObservedModel { deployment: Some(deployment), ..ObservedModel::default() }
    }

    fn invalid() -> ValidationError {
        ValidationError { reason: Reason::ModelIdTaken, message: "taken".into() }
    }

    fn checked(replicas: i32) -> CheckedModel {
        use crate::resources::model::{check::WeightStorage, names::ObjectNames};
        let serving = llm_crd::Serving { replicas: Some(replicas), ..llm_crd::Serving::default() };
        let spec =
            llm_crd::LLMModelSpec { serving: Some(serving), ..llm_crd::LLMModelSpec::default() };
        let name = llm_contract::ResourceName::parse("models/qwen3").unwrap();
        CheckedModel {
            names: ObjectNames::of(&name).unwrap(),
            owner: Default::default(),
            spec,
            weights: WeightStorage::Volume { size: "1Gi".into() },
            skipped_ids: Vec::new(),
        }
    }

    fn run() -> ContainerRun {
        ContainerRun { pod: "p".into(), container: "model-downloader".into(), restarts: 1 }
    }

    #[test]
    fn the_phase_follows_from_replicas_and_pods() {
        let downloads = [PodState::Downloading(run())];
        let starts = [PodState::Starting];
        for (ready, desired, pods, phase, reason) in [
            (0, 0, &starts[..0], Phase::Idle, Reason::ScaledToZero),
            (0, 2, &downloads[..], Phase::Downloading, Reason::WaitingForWeights),
            (0, 2, &starts[..], Phase::Starting, Reason::Starting),
            (1, 2, &downloads[..], Phase::Degraded, Reason::Degraded),
            (2, 2, &starts[..], Phase::Ready, Reason::Ready),
            (3, 2, &starts[..], Phase::Ready, Reason::Ready),
        ] {
            let (checked, observed) = (checked(desired), observed(ready, desired));
            let view = ModelView {
                checked: Ok(&checked),
                observed: &observed,
                pods,
                progress: None,
                apply_error: None,
            };
            let Assessment { phase: found, serving, .. } = view.assess();
            assert_eq!((found, serving.reason), (phase, reason), "{ready} of {desired}");
        }
    }

    #[test]
    fn a_model_that_serves_still_serves_when_it_is_no_longer_accepted() {
        let invalid = invalid();
        for (ready, phase, serving, weights) in [
            (0, Phase::Error, Reason::NotDesired, Reason::NotDesired),
            (1, Phase::Ready, Reason::Ready, Reason::Downloaded),
        ] {
            let observed = observed(ready, 1);
            let view = ModelView {
                checked: Err(&invalid),
                observed: &observed,
                pods: &[],
                progress: None,
                apply_error: None,
            };
            let found = view.assess();
            let found = (found.phase, found.serving.reason, found.weights.reason);
            assert_eq!(found, (phase, serving, weights));
        }
    }

    #[test]
    fn a_rejected_object_is_reported_and_does_not_hide_what_serves() {
        let checked = checked(1);
        for (ready, phase, message) in
            [(0, Phase::Error, "no quota"), (1, Phase::Ready, "1 of 1 replicas ready; no quota")]
        {
            let observed = observed(ready, 1);
            let view = ModelView {
                checked: Ok(&checked),
                observed: &observed,
                pods: &[],
                progress: None,
                apply_error: Some("no quota"),
            };
            let found = view.assess();
            assert_eq!((found.phase, found.serving.message.as_str()), (phase, message));
        }
    }

    #[test]
    fn of_several_obstacles_the_worst_is_reported() {
        let (checked, observed) = (checked(3), observed(0, 3));
        let crash = Termination {
            run: run(),
            cause: "exit code 1".into(),
            log_tail: Some("no CUDA".into()),
        };
        let pods = [
            PodState::Starting,
            PodState::CrashLooping(crash),
            PodState::Unschedulable { message: "no GPU".into() },
        ];
        let view = ModelView {
            checked: Ok(&checked),
            observed: &observed,
            pods: &pods,
            progress: None,
            apply_error: None,
        };
        let finding = view.assess().serving;
        assert_eq!(finding.reason, Reason::CrashLoop);
        assert_eq!(finding.message, "vLLM crashed once, most recently with exit code 1: no CUDA");
    }
}
