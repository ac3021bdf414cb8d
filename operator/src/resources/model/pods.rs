//! In which state a pod of a model is.

use crate::resources::model::plan::{self, is_downloader};
use k8s_openapi::api::core::v1::{ContainerState, ContainerStatus, Pod, PodCondition, PodStatus};
use kube::ResourceExt as _;

/// In which state a pod is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PodState {
    /// It serves.
    Ready,
    /// No node takes it.
    Unschedulable {
        /// What the scheduler says.
        message: String,
    },
    /// Its volume is not there, or not bound.
    WaitsForVolume {
        /// What the scheduler says.
        message: String,
    },
    /// An image cannot be pulled.
    PullFailed {
        /// Which image, and what the registry says.
        message: String,
    },
    /// A container cannot be made of what there is.
    Blocked {
        /// What the kubelet says.
        message: String,
    },
    /// Weights are on their way.
    Downloads(ContainerRun),
    /// Weights did not arrive.
    DownloadFailed(Ended),
    /// vLLM is starting, or will.
    Starts,
    /// vLLM ends again and again.
    Crashes(Ended),
}

/// One run of a container.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ContainerRun {
    /// Of which pod.
    pub pod: String,
    /// Which container.
    pub container: String,
    /// How often it was started before.
    pub restarts: i32,
}

/// A run that ended badly.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ended {
    /// The run.
    pub run: ContainerRun,
    /// How it ended, in a word or two.
    pub how: String,
    /// What it said last, if it is known.
    pub last_words: Option<String>,
}

/// In which state a pod is.
pub fn state(pod: &Pod) -> PodState {
    let Some(status) = &pod.status else { return PodState::Starts };
    if condition(status, "Ready").is_some_and(|it| it.status == "True") {
        return PodState::Ready;
    }
    if let Some(unscheduled) = condition(status, "PodScheduled").filter(|it| it.status == "False") {
        return unscheduled_state(unscheduled);
    }
    let init_containers = status.init_container_statuses.iter().flatten();
    let containers = status.container_statuses.iter().flatten();
    let serving = containers.filter(|it| it.name == plan::VLLM);
    let mut states = init_containers
        .filter_map(|container| init_state(pod, container))
        .chain(serving.filter_map(|container| serving_state(pod, container)));
    states.next().unwrap_or(PodState::Starts)
}

fn condition<'a>(status: &'a PodStatus, kind: &str) -> Option<&'a PodCondition> {
    status.conditions.iter().flatten().find(|condition| condition.type_ == kind)
}

fn unscheduled_state(condition: &PodCondition) -> PodState {
    let message = condition.message.clone().unwrap_or_default();
    let text = message.to_ascii_lowercase();
    if text.contains("persistentvolumeclaim") {
        return PodState::WaitsForVolume { message };
    }
    PodState::Unschedulable { message }
}

/// What an init container says of its pod; nothing if it has done its work or has not begun.
fn init_state(pod: &Pod, container: &ContainerStatus) -> Option<PodState> {
    let state = container.state.as_ref()?;
    let fetches = is_downloader(&container.name) || container.name == plan::LOADER;
    if state.running.is_some() {
        return fetches.then(|| PodState::Downloads(run(pod, container)));
    }
    if let Some(ended) = ended(pod, container, state) {
        return Some(PodState::DownloadFailed(ended));
    }
    waiting(container, state)
}

fn serving_state(pod: &Pod, container: &ContainerStatus) -> Option<PodState> {
    let state = container.state.as_ref()?;
    if let Some(ended) = ended(pod, container, state) {
        return Some(PodState::Crashes(ended));
    }
    // It runs again, and has yet to show that it does better this time.
    if let Some(last) = &container.last_state
        && state.running.is_some()
        && let Some(ended) = terminated(pod, container, last)
    {
        return Some(PodState::Crashes(ended));
    }
    waiting(container, state)
}

/// How a container ended, if it ended badly and does not run.
fn ended(pod: &Pod, container: &ContainerStatus, state: &ContainerState) -> Option<Ended> {
    let waits = state.waiting.as_ref().and_then(|waiting| waiting.reason.as_deref());
    if waits == Some("CrashLoopBackOff") {
        return terminated(pod, container, container.last_state.as_ref()?);
    }
    terminated(pod, container, state)
}

fn terminated(pod: &Pod, container: &ContainerStatus, state: &ContainerState) -> Option<Ended> {
    let terminated = state.terminated.as_ref().filter(|it| it.exit_code != 0)?;
    let reason = terminated.reason.as_deref().filter(|reason| *reason != "Error");
    let how = match reason {
        Some(reason) => format!("{reason}, exit code {}", terminated.exit_code),
        None => format!("exit code {}", terminated.exit_code),
    };
    let last_words = terminated.message.as_deref().and_then(last_line);
    Some(Ended { run: run(pod, container), how, last_words })
}

fn waiting(container: &ContainerStatus, state: &ContainerState) -> Option<PodState> {
    let waiting = state.waiting.as_ref()?;
    let reason = waiting.reason.as_deref()?;
    let message = waiting.message.clone().unwrap_or_else(|| reason.to_owned());
    match reason {
        "ErrImagePull"
        | "ImagePullBackOff"
        | "InvalidImageName"
        | "ErrImageNeverPull"
        | "RegistryUnavailable"
        | "ImageInspectError"
        | "SignatureValidationFailed" => {
            let message = format!("image {}: {message}", container.image);
            Some(PodState::PullFailed { message })
        }
        "CreateContainerConfigError" | "CreateContainerError" | "RunContainerError" => {
            let message = format!("container {}: {message}", container.name);
            Some(PodState::Blocked { message })
        }
        _ => None,
    }
}

fn run(pod: &Pod, container: &ContainerStatus) -> ContainerRun {
    ContainerRun {
        pod: pod.name_any(),
        container: container.name.clone(),
        restarts: container.restart_count,
    }
}

/// The last line of a text that says something.
pub fn last_line(text: &str) -> Option<String> {
    let lines = text.lines().rev().map(str::trim);
    lines.into_iter().find(|line| !line.is_empty()).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn pod(conditions: &Value, init: &Value, containers: &Value) -> Pod {
        serde_json::from_value(json!({
            "metadata": {"name": "qwen3-1", "namespace": "models"},
            "status": {
                "conditions": conditions,
                "initContainerStatuses": init,
                "containerStatuses": containers,
            },
        }))
        .unwrap()
    }

    fn container(name: &str, state: &Value) -> Value {
        let mut status =
            json!({"name": name, "image": "i:1", "imageID": "", "ready": false, "restartCount": 3});
        status.as_object_mut().unwrap().extend(state.as_object().unwrap().clone());
        status
    }

    fn unscheduled(message: &str) -> Pod {
        let condition = json!([{"type": "PodScheduled", "status": "False", "message": message}]);
        pod(&condition, &json!([]), &json!([]))
    }

    #[test]
    fn a_pod_without_a_node_says_whether_it_waits_for_a_node_or_a_volume() {
        let message = "0/3 nodes are available: 3 Insufficient nvidia.com/gpu.".to_owned();
        assert_eq!(state(&unscheduled(&message)), PodState::Unschedulable { message });
        let message = "pod has unbound immediate PersistentVolumeClaims".to_owned();
        assert_eq!(state(&unscheduled(&message)), PodState::WaitsForVolume { message });
    }

    #[test]
    fn containers_say_what_they_do_in_the_order_in_which_they_run() {
        let done = json!({"state": {"terminated": {"exitCode": 0}}});
        let runs = json!({"state": {"running": {}}});
        let waits = |reason: &str| json!({"state": {"waiting": {"reason": reason}}});
        let run = |name: &str| ContainerRun {
            pod: "qwen3-1".into(),
            container: name.into(),
            restarts: 3,
        };
        for (init, vllm, expected) in [
            (runs.clone(), waits("PodInitializing"), PodState::Downloads(run("model-downloader"))),
            (waits("PodInitializing"), waits("PodInitializing"), PodState::Starts),
            (done.clone(), waits("ContainerCreating"), PodState::Starts),
            (done.clone(), runs, PodState::Starts),
            (
                waits("ErrImagePull"),
                waits("PodInitializing"),
                PodState::PullFailed { message: "image i:1: ErrImagePull".into() },
            ),
            (
                done,
                waits("CreateContainerConfigError"),
                PodState::Blocked { message: "container vllm: CreateContainerConfigError".into() },
            ),
        ] {
            let pod = pod(
                &json!([]),
                &json!([container("model-downloader", &init)]),
                &json!([container("vllm", &vllm)]),
            );
            assert_eq!(state(&pod), expected);
        }
    }

    #[test]
    fn init_containers_that_others_added_are_not_taken_for_a_download() {
        let running = container("istio-proxy", &json!({"state": {"running": {}}}));
        assert_eq!(state(&pod(&json!([]), &json!([running]), &json!([]))), PodState::Starts);
    }

    #[test]
    fn a_container_that_runs_again_has_not_shown_yet_that_it_does_better() {
        let ended = json!({"terminated": {"exitCode": 1, "reason": "Error", "message": "x\nCUDA error\n\n"}});
        let ended_again = json!({"state": {"running": {}}, "lastState": ended});
        let pod = pod(&json!([]), &json!([]), &json!([container("vllm", &ended_again)]));
        let PodState::Crashes(ended) = state(&pod) else { panic!("{:?}", state(&pod)) };
        assert_eq!(
            (ended.how.as_str(), ended.last_words.as_deref()),
            ("exit code 1", Some("CUDA error"))
        );
    }

    #[test]
    fn a_pod_that_is_ready_serves_whatever_happened_before() {
        let ended = json!({"state": {"running": {}}, "lastState": {"terminated": {"exitCode": 1}}});
        let ready = json!([{"type": "Ready", "status": "True"}]);
        let pod = pod(&ready, &json!([]), &json!([container("vllm", &ended)]));
        assert_eq!(state(&pod), PodState::Ready);
    }
}
