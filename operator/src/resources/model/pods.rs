//! The state of a model's pods.

use crate::resources::model::names::{LOADER, VLLM, is_downloader};
use k8s_openapi::api::core::v1::{ContainerState, ContainerStatus, Pod, PodCondition, PodStatus};
use kube::ResourceExt as _;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PodState {
    Ready,
    /// No node fits; with the scheduler's message.
    Unschedulable {
        message: String,
    },
    /// The volume is missing or unbound; with the scheduler's message.
    WaitingForVolume {
        message: String,
    },
    ImagePullFailed {
        message: String,
    },
    /// A container cannot be created or started; with the kubelet's message.
    ContainerBlocked {
        message: String,
    },
    Downloading(ContainerRun),
    DownloadFailed(Termination),
    /// vLLM is starting, or about to.
    Starting,
    /// vLLM terminates repeatedly.
    CrashLooping(Termination),
}

/// One run of a container.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ContainerRun {
    pub pod: String,
    pub container: String,
    /// The number of restarts before this run.
    pub restarts: i32,
}

/// A run that failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Termination {
    pub run: ContainerRun,
    /// Reason and exit code.
    pub cause: String,
    /// The last line of the log, if known.
    pub log_tail: Option<String>,
}

pub fn pod_state(pod: &Pod) -> PodState {
    let Some(status) = &pod.status else { return PodState::Starting };
    if condition(status, "Ready").is_some_and(|it| it.status == "True") {
        return PodState::Ready;
    }
    if let Some(unscheduled) = condition(status, "PodScheduled").filter(|it| it.status == "False") {
        return unscheduled_state(unscheduled);
    }
    let init_containers = status.init_container_statuses.iter().flatten();
    let containers = status.container_statuses.iter().flatten();
    let vllm = containers.filter(|it| it.name == VLLM);
    let mut states = init_containers
        .filter_map(|container| init_state(pod, container))
        .chain(vllm.filter_map(|container| vllm_state(pod, container)));
    states.next().unwrap_or(PodState::Starting)
}

fn condition<'a>(status: &'a PodStatus, kind: &str) -> Option<&'a PodCondition> {
    status.conditions.iter().flatten().find(|condition| condition.type_ == kind)
}

fn unscheduled_state(condition: &PodCondition) -> PodState {
    let message = condition.message.clone().unwrap_or_default();
    if message.to_ascii_lowercase().contains("persistentvolumeclaim") {
        return PodState::WaitingForVolume { message };
    }
    PodState::Unschedulable { message }
}

/// `None` if the init container has completed or has not started.
fn init_state(pod: &Pod, container: &ContainerStatus) -> Option<PodState> {
    let state = container.state.as_ref()?;
    let fetches = is_downloader(&container.name) || container.name == LOADER;
    if state.running.is_some() {
        return fetches.then(|| PodState::Downloading(run(pod, container)));
    }
    if let Some(failed) = termination(pod, container, state) {
        return Some(PodState::DownloadFailed(failed));
    }
    waiting(container, state)
}

fn vllm_state(pod: &Pod, container: &ContainerStatus) -> Option<PodState> {
    let state = container.state.as_ref()?;
    if let Some(failed) = termination(pod, container, state) {
        return Some(PodState::CrashLooping(failed));
    }
    // It was restarted, and has yet to become ready.
    if let Some(last) = &container.last_state
        && state.running.is_some()
        && let Some(failed) = terminated(pod, container, last)
    {
        return Some(PodState::CrashLooping(failed));
    }
    waiting(container, state)
}

/// How a container failed, unless it is running again.
fn termination(
    pod: &Pod,
    container: &ContainerStatus,
    state: &ContainerState,
) -> Option<Termination> {
    let waiting = state.waiting.as_ref().and_then(|waiting| waiting.reason.as_deref());
    if waiting == Some("CrashLoopBackOff") {
        return terminated(pod, container, container.last_state.as_ref()?);
    }
    terminated(pod, container, state)
}

fn terminated(
    pod: &Pod,
    container: &ContainerStatus,
    state: &ContainerState,
) -> Option<Termination> {
    let terminated = state.terminated.as_ref().filter(|it| it.exit_code != 0)?;
    let reason = terminated.reason.as_deref().filter(|reason| *reason != "Error");
    let cause = match reason {
        Some(reason) => format!("{reason}, exit code {}", terminated.exit_code),
        None => format!("exit code {}", terminated.exit_code),
    };
    let log_tail = terminated.message.as_deref().and_then(last_line);
    Some(Termination { run: run(pod, container), cause, log_tail })
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
            Some(PodState::ImagePullFailed { message })
        }
        "CreateContainerConfigError" | "CreateContainerError" | "RunContainerError" => {
            let message = format!("container {}: {message}", container.name);
            Some(PodState::ContainerBlocked { message })
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

/// The last line of a text that is not blank.
pub(super) fn last_line(text: &str) -> Option<String> {
    let mut lines = text.lines().rev().map(str::trim);
    lines.find(|line| !line.is_empty()).map(str::to_owned)
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
        assert_eq!(pod_state(&unscheduled(&message)), PodState::Unschedulable { message });
        let message = "pod has unbound immediate PersistentVolumeClaims".to_owned();
        assert_eq!(pod_state(&unscheduled(&message)), PodState::WaitingForVolume { message });
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
            (
                runs.clone(),
                waits("PodInitializing"),
                PodState::Downloading(run("model-downloader")),
            ),
            (waits("PodInitializing"), waits("PodInitializing"), PodState::Starting),
            (done.clone(), waits("ContainerCreating"), PodState::Starting),
            (done.clone(), runs, PodState::Starting),
            (
                waits("ErrImagePull"),
                waits("PodInitializing"),
                PodState::ImagePullFailed { message: "image i:1: ErrImagePull".into() },
            ),
            (
                done,
                waits("CreateContainerConfigError"),
                PodState::ContainerBlocked {
                    message: "container vllm: CreateContainerConfigError".into(),
                },
            ),
        ] {
            let pod = pod(
                &json!([]),
                &json!([container("model-downloader", &init)]),
                &json!([container("vllm", &vllm)]),
            );
            assert_eq!(pod_state(&pod), expected);
        }
    }

    #[test]
    fn init_containers_that_others_added_are_not_taken_for_a_download() {
        let running = container("istio-proxy", &json!({"state": {"running": {}}}));
        assert_eq!(pod_state(&pod(&json!([]), &json!([running]), &json!([]))), PodState::Starting);
    }

    #[test]
    fn a_container_that_runs_again_has_not_shown_yet_that_it_does_better() {
        let ended = json!({"terminated": {"exitCode": 1, "reason": "Error", "message": "x\nCUDA error\n\n"}});
        let ended_again = json!({"state": {"running": {}}, "lastState": ended});
        let pod = pod(&json!([]), &json!([]), &json!([container("vllm", &ended_again)]));
        let PodState::CrashLooping(ended) = pod_state(&pod) else {
            panic!("{:?}", pod_state(&pod))
        };
        assert_eq!(
            (ended.cause.as_str(), ended.log_tail.as_deref()),
            ("exit code 1", Some("CUDA error"))
        );
    }

    #[test]
    fn a_pod_that_is_ready_serves_whatever_happened_before() {
        let ended = json!({"state": {"running": {}}, "lastState": {"terminated": {"exitCode": 1}}});
        let ready = json!([{"type": "Ready", "status": "True"}]);
        let pod = pod(&ready, &json!([]), &json!([container("vllm", &ended)]));
        assert_eq!(pod_state(&pod), PodState::Ready);
    }
}
