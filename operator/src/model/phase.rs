//! What can be said of a model: its phase, and whether its weights are there and it serves. Pure.

use crate::model::{
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
                0 => (Reason::NotDesired, "nothing is fetched for a model that is not accepted".into()),
                _ => (Reason::Downloaded, "the weights are there".into()),
            };
        };
        if checked.spec.model.source == Source::Pvc && self.observed.claim.is_none() {
            let claim = checked.spec.model.storage.as_ref().and_then(|it| it.claim_name.clone());
            let claim = claim.unwrap_or_default();
            let message = format!("PersistentVolumeClaim {claim} is not there: create it, or correct spec.model.storage.claimName");
            return (Reason::ClaimMissing, message);
        }
        if !checked.spec.fetches_weights() {
            return (Reason::NotNeeded, "nothing has to be fetched".into());
        }
        let fetched = |pod: &PodState| {
            matches!(pod, PodState::Ready | PodState::Crashes(_))
        };
        if ready > 0 || self.pods.iter().any(fetched) {
            return (Reason::Downloaded, "the weights are there".into());
        }
        for pod in self.pods {
            match pod {
                PodState::DownloadFailed(Ended { run, how, last_words }) => {
                    let said = last_words.as_deref().unwrap_or("it said nothing");
                    return (Reason::DownloadFailed, format!("{} ended ({how}): {said}", run.container));
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
        PodState::Downloads(_) => (1, Reason::WaitingForWeights, "the weights are being fetched".into()),
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
