//! The container that serves.

use super::{Planner, Style, storage::Mount};
use crate::resources::quantity::units;
use k8s_openapi::{
    api::core::v1::{
        Container, ContainerPort, HTTPGetAction, Lifecycle, LifecycleHandler, Probe,
        ResourceRequirements, SecurityContext, SleepAction, VolumeMount,
    },
    apimachinery::pkg::{api::resource::Quantity, util::intstr::IntOrString},
};
use llm_crd::LLMModelSpec;
use std::collections::BTreeMap;

/// The name of the container.
pub const CONTAINER: &str = "vllm";
/// The port of vLLM, by number and by name.
pub(super) const PORT: (i32, &str) = (8000, "http");
/// Where the weights are.
pub(super) const MODEL_FOLDER: &str = "/model-cache";
/// Where adapters are.
pub(super) const ADAPTER_FOLDER: &str = "/adapters";
const COMMAND: [&str; 3] = ["python3", "-m", "vllm.entrypoints.openai.api_server"];
const GIB: i128 = 1 << 30;
/// How long a pod that is to end has by Kubernetes' default, in seconds.
const GRACE_SECONDS: i64 = 30;
/// What is left of that for vLLM to end by itself, in seconds: it takes two.
const END_SECONDS: i64 = 5;

impl Planner<'_> {
    pub(super) fn vllm(&self, style: &Style, weights: &Mount) -> Container {
        let spec = &self.model.spec;
        let serving = spec.serving.as_ref();
        let image = serving.and_then(|serving| serving.image.as_ref());
        let command = serving.map(|serving| serving.command.clone()).unwrap_or_default();
        let default_command = || COMMAND.map(str::to_owned).to_vec();
        let env = spec.advanced.iter().filter_map(|it| it.vllm.as_ref());
        let env: Vec<_> = env.flat_map(|vllm| vllm.extra_env.iter().cloned()).collect();
        let mut mounts = vec![weights.for_vllm(MODEL_FOLDER), mount("shm", "/dev/shm")];
        if self.fetches_adapters() {
            mounts.push(mount("adapters", ADAPTER_FOLDER));
        }
        Container {
            name: CONTAINER.into(),
            image: image
                .filter(|it| !it.is_empty())
                .or(Some(&self.settings.images.serving))
                .cloned(),
            command: Some(if command.is_empty() { default_command() } else { command }),
            args: Some(self.arguments()),
            env: (!env.is_empty()).then_some(env),
            ports: Some(vec![ContainerPort {
                name: Some(PORT.1.into()),
                container_port: PORT.0,
                protocol: Some("TCP".into()),
                ..ContainerPort::default()
            }]),
            resources: resources(spec),
            startup_probe: Some(Probe {
                initial_delay_seconds: Some(15),
                period_seconds: Some(30),
                failure_threshold: Some(120),
                ..probe("/v1/models")
            }),
            liveness_probe: Some(Probe {
                period_seconds: Some(10),
                failure_threshold: Some(3),
                ..probe("/health")
            }),
            readiness_probe: Some(Probe {
                period_seconds: Some(5),
                failure_threshold: Some(3),
                ..probe("/v1/models")
            }),
            volume_mounts: Some(mounts),
            lifecycle: if style.hardened { lifecycle(spec) } else { None },
            // Many images with vLLM run as root, which is theirs to choose.
            security_context: style.hardened.then(|| SecurityContext {
                allow_privilege_escalation: Some(false),
                ..SecurityContext::default()
            }),
            termination_message_policy: style.hardened.then(|| "FallbackToLogsOnError".into()),
            ..Container::default()
        }
    }

    fn arguments(&self) -> Vec<String> {
        let spec = &self.model.spec;
        let mut args =
            vec!["--model".to_owned(), MODEL_FOLDER.into(), "--served-model-name".into()];
        args.extend(spec.model_ids().map(str::to_owned));
        args.extend(["--tensor-parallel-size".into(), spec.tensor_parallelism().to_string()]);
        args.extend(["--data-parallel-size".into(), spec.data_parallelism().to_string()]);
        let serving = spec.serving.as_ref();
        if let Some(offload) = serving.and_then(|serving| serving.kv_cache_offload.as_ref()) {
            args.extend(["--kv-offloading-size".into(), offload.cpu_memory_gib.to_string()]);
            args.extend(["--kv-offloading-backend".into(), "native".into()]);
        }
        let adapters = self.adapters();
        if !adapters.is_empty() {
            args.extend(["--enable-lora".into(), "--lora-modules".into()]);
            args.extend(adapters.iter().map(|it| format!("{}={}", it.id, it.folder)));
        }
        args.extend(serving.iter().flat_map(|serving| serving.vllm_args.iter().cloned()));
        let extra = spec.advanced.iter().filter_map(|advanced| advanced.vllm.as_ref());
        args.extend(extra.flat_map(|vllm| vllm.extra_args.iter().cloned()));
        args
    }
}

pub(super) fn mount(name: &str, path: &str) -> VolumeMount {
    VolumeMount { name: name.into(), mount_path: path.into(), ..VolumeMount::default() }
}

fn probe(path: &str) -> Probe {
    Probe {
        http_get: Some(HTTPGetAction {
            path: Some(path.into()),
            port: IntOrString::String(PORT.1.into()),
            ..HTTPGetAction::default()
        }),
        ..Probe::default()
    }
}

/// vLLM cuts what it has begun when it is told to stop. So a pod that is to end, of which the
/// proxies know at once, is told so only when its time is nearly over.
fn lifecycle(spec: &LLMModelSpec) -> Option<Lifecycle> {
    let serving = spec.serving.as_ref();
    let grace = serving.and_then(|serving| serving.termination_grace_period_seconds);
    let seconds = grace.unwrap_or(GRACE_SECONDS) - END_SECONDS;
    let wait = LifecycleHandler { sleep: Some(SleepAction { seconds }), ..Default::default() };
    (0 < seconds).then(|| Lifecycle { pre_stop: Some(wait), ..Lifecycle::default() })
}

/// What each replica gets: as the resource says, with the GPUs, and with the memory that the KV
/// cache may use.
fn resources(spec: &LLMModelSpec) -> Option<ResourceRequirements> {
    let mut requests = spec.resources.requests.clone();
    let mut limits = spec.resources.limits.clone();
    add_offloaded(spec, &mut requests);
    add_offloaded(spec, &mut limits);
    let count = spec.resources.gpu.count();
    if let Some(gpu) = spec.resources.gpu.accelerator().resource()
        && count > 0
    {
        limits.insert(gpu.into(), Quantity(count.to_string()));
    }
    let given = |quantities: BTreeMap<_, _>| (!quantities.is_empty()).then_some(quantities);
    let (requests, limits) = (given(requests), given(limits));
    let any = requests.is_some() || limits.is_some();
    any.then(|| ResourceRequirements { requests, limits, ..ResourceRequirements::default() })
}

/// The most memory a replica may use, which is the most its shared memory may hold.
pub(super) fn memory_limit(spec: &LLMModelSpec) -> Option<Quantity> {
    let mut limits = spec.resources.limits.clone();
    add_offloaded(spec, &mut limits);
    limits.remove("memory")
}

fn add_offloaded(spec: &LLMModelSpec, quantities: &mut BTreeMap<String, Quantity>) {
    let serving = spec.serving.as_ref();
    let offload = serving.and_then(|serving| serving.kv_cache_offload.as_ref());
    if let Some(offload) = offload
        && let Some(memory) = quantities.get_mut("memory")
    {
        let copies = i128::from(spec.data_parallelism().max(1));
        let more = i128::from(offload.cpu_memory_gib) * GIB * copies;
        *memory = plus(memory, more);
    }
}

/// A quantity of memory and some bytes more.
fn plus(memory: &Quantity, bytes: i128) -> Quantity {
    const BILLION: i128 = 1_000_000_000;
    let Some(before) = units(&memory.0) else { return memory.clone() };
    let sum = before / BILLION + bytes;
    for (suffix, factor) in [("Gi", GIB), ("Mi", 1 << 20), ("Ki", 1 << 10)] {
        if sum % factor == 0 {
            return Quantity(format!("{}{suffix}", sum / factor));
        }
    }
    Quantity(sum.to_string())
}
