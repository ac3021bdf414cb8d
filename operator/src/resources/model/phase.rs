//! What can be said of a model: its phase, and whether its weights are there and it serves. Pure.

use crate::resources::model::{
    check::{Checked, Refusal},
    observe::Observed,
    pods::{Ended, PodState},
    progress::Progress,
};
use llm_crd::{ConditionType, Finding, Phase, Reason, ReplicaCounts, Source};

/// What is known of a model.
#[derive(Clone, Debug)]
pub struct Seen<'a> {
    /// What is made of it, or why not.
    pub checked: Result<&'a Checked, &'a Refusal>,
    /// What there is of it.
    pub observed: &'a Observed,
    /// Its pods.
    pub pods: &'a [PodState],
    /// How far its download is.
    pub progress: Option<Progress>,
    /// What the cluster refused.
    pub refused: Option<&'a str>,
}

impl Seen<'_> {
    /// How many replicas serve, and how many should.
    pub fn replicas(&self) -> ReplicaCounts {
        let deployment = self.observed.deployment.as_ref();
        let status = deployment.and_then(|it| it.status.as_ref());
        let live = deployment.and_then(|it| it.spec.replicas);
        let desired = self.checked.ok().map(|checked| checked.spec.replicas()).or(live);
        ReplicaCounts {
            ready: status.and_then(|status| status.ready_replicas).unwrap_or(0),
            desired: desired.unwrap_or(0),
        }
    }

    /// The state in one word.
    pub fn phase(&self) -> Phase {
        let ReplicaCounts { ready, desired } = self.replicas();
        let exists = self.observed.deployment.is_some();
        if exists && desired > 0 && ready >= desired {
            return Phase::Ready;
        }
        if ready > 0 && desired > 0 {
            return Phase::Degraded;
        }
        if self.refused.is_some() || self.checked.is_err() {
            return Phase::Error;
        }
        if desired == 0 {
            return Phase::Idle;
        }
        if !exists {
            return Phase::Pending;
        }
        if self.pods.iter().any(|pod| matches!(pod, PodState::Downloads(_))) {
            return Phase::Downloading;
        }
        Phase::Starting
    }

    /// Whether the weights are where vLLM looks for them.
    pub fn weights(&self) -> Finding {
        let (reason, message) = self.weights_reason();
        Finding::new(ConditionType::WeightsReady, reason, message)
    }

    fn weights_reason(&self) -> (Reason, String) {
        let ReplicaCounts { ready, desired } = self.replicas();
        let Ok(checked) = self.checked else {
            return match ready {
                0 => (
                    Reason::NotDesired,
                    "nothing is fetched for a model that is not accepted".into(),
                ),
                _ => (Reason::Downloaded, "the weights are there".into()),
            };
        };
        if checked.spec.model.source == Source::Pvc && self.observed.claim.is_none() {
            let claim = checked.spec.model.storage.as_ref().and_then(|it| it.claim_name.clone());
            let claim = claim.unwrap_or_default();
            let message = format!(
                "PersistentVolumeClaim {claim} is not there: create it, or correct spec.model.storage.claimName"
            );
            return (Reason::ClaimMissing, message);
        }
        if !checked.spec.fetches_weights() {
            return (Reason::NotNeeded, "nothing has to be fetched".into());
        }
        let fetched = |pod: &PodState| matches!(pod, PodState::Ready | PodState::Crashes(_));
        if ready > 0 || self.pods.iter().any(fetched) {
            return (Reason::Downloaded, "the weights are there".into());
        }
        for pod in self.pods {
            match pod {
                PodState::DownloadFailed(Ended { run, how, last_words }) => {
                    let said = last_words.as_deref().unwrap_or("it said nothing");
                    return (
                        Reason::DownloadFailed,
                        format!("{} ended ({how}): {said}", run.container),
                    );
                }
                PodState::WaitsForVolume { message } => {
                    return (Reason::WaitingForVolume, message.clone());
                }
                PodState::Ready
                | PodState::Unschedulable { .. }
                | PodState::PullFailed { .. }
                | PodState::Blocked { .. }
                | PodState::Downloads(_)
                | PodState::Starts
                | PodState::Crashes(_) => {}
            }
        }
        if desired == 0 {
            return (Reason::NotDesired, "no replica runs that would fetch them".into());
        }
        let message = match self.progress {
            Some(Progress { bytes, total }) if total > 0 => {
                format!("{} of {}", human(bytes), human(total))
            }
            Some(_) | None if self.phase() == Phase::Downloading => "the download has begun".into(),
            Some(_) | None => "the download begins when a pod runs".into(),
        };
        (Reason::Downloading, message)
    }

    /// Whether replicas serve.
    pub fn serving(&self) -> Finding {
        let (reason, message) = self.serving_reason();
        Finding::new(ConditionType::ServingReady, reason, message)
    }

    fn serving_reason(&self) -> (Reason, String) {
        let ReplicaCounts { ready, desired } = self.replicas();
        let serve = format!("{ready} of {desired} replicas serve");
        let but = |what: Option<&str>| match what {
            Some(what) => format!("{serve}; {what}"),
            None => serve.clone(),
        };
        match self.phase() {
            Phase::Ready => return (Reason::Ready, but(self.refused)),
            Phase::Idle => return (Reason::ScaledToZero, "no replica is wanted now".into()),
            Phase::Degraded => {
                let (_, why) = self.obstacle();
                return (Reason::Degraded, but(self.refused.or(Some(&why))));
            }
            Phase::Pending | Phase::Downloading | Phase::Starting | Phase::Error => {}
        }
        if let Some(refused) = self.refused {
            return (Reason::ApplyFailed, refused.to_owned());
        }
        if self.checked.is_err() {
            return (Reason::NotDesired, "a model that is not accepted is not served".into());
        }
        self.obstacle()
    }

    /// What keeps replicas from serving: the worst that is seen.
    fn obstacle(&self) -> (Reason, String) {
        let obstacles = self.pods.iter().filter_map(obstacle);
        let worst = obstacles.max_by_key(|(rank, ..)| *rank);
        let starting = || (Reason::Starting, "vLLM starts".to_owned());
        worst.map_or_else(starting, |(_, reason, message)| (reason, message))
    }
}

fn obstacle(pod: &PodState) -> Option<(u8, Reason, String)> {
    let found = match pod {
        PodState::Ready => return None,
        PodState::Starts => (0, Reason::Starting, "vLLM starts".into()),
        PodState::Downloads(_) => {
            (1, Reason::WaitingForWeights, "the weights are being fetched".into())
        }
        PodState::WaitsForVolume { message } => {
            (2, Reason::WaitingForWeights, format!("the volume is not bound: {message}"))
        }
        PodState::Unschedulable { message } => (3, Reason::Unschedulable, message.clone()),
        PodState::Blocked { message } => (4, Reason::Starting, message.clone()),
        PodState::DownloadFailed(_) => {
            (5, Reason::WaitingForWeights, "the download failed, and is tried again".into())
        }
        PodState::PullFailed { message } => (6, Reason::ImagePullFailed, message.clone()),
        PodState::Crashes(Ended { run, how, last_words }) => {
            let times = run.restarts.max(1);
            let said = last_words.as_deref().unwrap_or("it said nothing");
            (7, Reason::CrashLoop, format!("vLLM has ended {times} times, last with {how}: {said}"))
        }
    };
    Some(found)
}

/// A number of bytes for people.
pub fn human(bytes: u64) -> String {
    const UNITS: [(&str, u32); 4] = [("TiB", 40), ("GiB", 30), ("MiB", 20), ("KiB", 10)];
    let unit = UNITS.iter().find(|(_, shift)| bytes >> shift > 0);
    let Some((unit, shift)) = unit else { return format!("{bytes} B") };
    let tenths = (u128::from(bytes) * 10) >> shift;
    format!("{}.{} {unit}", tenths / 10, tenths % 10)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resources::model::{observe::HubToken, pods::ContainerRun};
    use k8s_openapi::api::apps::v1::Deployment;
    use serde_json::json;

    fn observed(ready: i32, desired: i32) -> Observed {
        let deployment: Deployment = serde_json::from_value(json!({
            "metadata": {},
            "spec": {"replicas": desired, "selector": {}, "template": {}},
            "status": {"readyReplicas": ready},
        }))
        .unwrap();
        Observed {
            is_managed: true,
            token: HubToken::NotNeeded,
            deployment: Some(deployment),
            claim: None,
            pods: Vec::new(),
            pod_monitors: false,
        }
    }

    fn refusal() -> Refusal {
        Refusal { reason: Reason::ModelIdTaken, message: "taken".into() }
    }

    fn checked(replicas: i32) -> Checked {
        use crate::resources::model::{check::Weights, names::Names};
        let serving = llm_crd::Serving { replicas: Some(replicas), ..llm_crd::Serving::default() };
        let spec =
            llm_crd::LLMModelSpec { serving: Some(serving), ..llm_crd::LLMModelSpec::default() };
        let name = llm_contract::ResourceName::parse("models/qwen3").unwrap();
        Checked {
            names: Names::of(&name).unwrap(),
            owner: Default::default(),
            spec,
            weights: Weights::Volume { size: "1Gi".into() },
            flaws: Vec::new(),
        }
    }

    fn run() -> ContainerRun {
        ContainerRun { pod: "p".into(), container: "model-downloader".into(), restarts: 1 }
    }

    #[test]
    fn the_phase_is_what_is_the_case() {
        let downloads = [PodState::Downloads(run())];
        let starts = [PodState::Starts];
        for (ready, desired, pods, phase, reason) in [
            (0, 0, &starts[..0], Phase::Idle, Reason::ScaledToZero),
            (0, 2, &downloads[..], Phase::Downloading, Reason::WaitingForWeights),
            (0, 2, &starts[..], Phase::Starting, Reason::Starting),
            (1, 2, &downloads[..], Phase::Degraded, Reason::Degraded),
            (2, 2, &starts[..], Phase::Ready, Reason::Ready),
            (3, 2, &starts[..], Phase::Ready, Reason::Ready),
        ] {
            let (checked, observed) = (checked(desired), observed(ready, desired));
            let seen = Seen {
                checked: Ok(&checked),
                observed: &observed,
                pods,
                progress: None,
                refused: None,
            };
            assert_eq!(
                (seen.phase(), seen.serving().reason),
                (phase, reason),
                "{ready} of {desired}"
            );
        }
    }

    #[test]
    fn a_refused_model_that_serves_still_serves() {
        let refusal = refusal();
        for (ready, phase, serving, weights) in [
            (0, Phase::Error, Reason::NotDesired, Reason::NotDesired),
            (1, Phase::Ready, Reason::Ready, Reason::Downloaded),
        ] {
            let observed = observed(ready, 1);
            let seen = Seen {
                checked: Err(&refusal),
                observed: &observed,
                pods: &[],
                progress: None,
                refused: None,
            };
            let found = (seen.phase(), seen.serving().reason, seen.weights().reason);
            assert_eq!(found, (phase, serving, weights));
        }
    }

    #[test]
    fn what_the_cluster_refuses_is_said_and_does_not_hide_what_serves() {
        let checked = checked(1);
        for (ready, phase, message) in
            [(0, Phase::Error, "no quota"), (1, Phase::Ready, "1 of 1 replicas serve; no quota")]
        {
            let observed = observed(ready, 1);
            let seen = Seen {
                checked: Ok(&checked),
                observed: &observed,
                pods: &[],
                progress: None,
                refused: Some("no quota"),
            };
            assert_eq!((seen.phase(), seen.serving().message.as_str()), (phase, message));
        }
    }

    #[test]
    fn of_several_obstacles_the_worst_is_said() {
        let (checked, observed) = (checked(3), observed(0, 3));
        let ended =
            Ended { run: run(), how: "exit code 1".into(), last_words: Some("no CUDA".into()) };
        let pods = [
            PodState::Starts,
            PodState::Crashes(ended),
            PodState::Unschedulable { message: "no GPU".into() },
        ];
        let seen = Seen {
            checked: Ok(&checked),
            observed: &observed,
            pods: &pods,
            progress: None,
            refused: None,
        };
        let finding = seen.serving();
        assert_eq!(finding.reason, Reason::CrashLoop);
        assert_eq!(finding.message, "vLLM has ended 1 times, last with exit code 1: no CUDA");
    }

    #[test]
    fn sizes_are_written_for_people() {
        for (bytes, text) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.0 KiB"),
            (16_428_044_595, "15.2 GiB"),
            (u64::MAX, "16777215.9 TiB"),
        ] {
            assert_eq!(human(bytes), text);
        }
    }
}
