//! The vLLM container.

use super::{
    planner::Planner,
    pod::{
        ADAPTER_DIR, ADAPTERS_VOLUME, MODEL_DIR, PORT, PodVariant, SHARED_MEMORY_VOLUME,
        WeightsMount, mount,
    },
};
use crate::resources::{model::names::VLLM, units};
use k8s_openapi::{
    api::core::v1::{
        Container, ContainerPort, HTTPGetAction, Lifecycle, LifecycleHandler, Probe,
        ResourceRequirements, SleepAction,
    },
    apimachinery::pkg::{api::resource::Quantity, util::intstr::IntOrString},
};
use llm_crd::LLMModelSpec;
use std::collections::BTreeMap;

const COMMAND: [&str; 3] = ["python3", "-m", "vllm.entrypoints.openai.api_server"];
const GIB: i128 = 1 << 30;
/// Kubernetes' default termination grace period.
const GRACE_SECONDS: i64 = 30;
/// Reserved for vLLM to exit by itself, which takes two seconds.
const EXIT_SECONDS: i64 = 5;

impl Planner<'_> {
    pub(super) fn vllm(&self, variant: &PodVariant, weights: &WeightsMount) -> Container {
        let spec = &self.model.spec;
        let serving = spec.serving.as_ref();
        let image = serving.and_then(|serving| serving.image.as_ref());
        let command = serving.map(|serving| serving.command.clone()).unwrap_or_default();
        let default_command = || COMMAND.map(str::to_owned).to_vec();
        let env = spec.advanced.iter().filter_map(|it| it.vllm.as_ref());
        let env: Vec<_> = env.flat_map(|vllm| vllm.extra_env.iter().cloned()).collect();
        let mut mounts = vec![weights.for_vllm(), mount(SHARED_MEMORY_VOLUME, "/dev/shm")];
        if self.fetches_adapters() {
            mounts.push(mount(ADAPTERS_VOLUME, ADAPTER_DIR));
        }
        Container {
            name: VLLM.into(),
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
            lifecycle: if variant.hardened { lifecycle(spec) } else { None },
            security_context: variant.security_context(),
            termination_message_policy: variant.termination_message_policy(),
            ..Container::default()
        }
    }

    fn arguments(&self) -> Vec<String> {
        let spec = &self.model.spec;
        let mut args = vec!["--model".to_owned(), MODEL_DIR.into(), "--served-model-name".into()];
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
            args.extend(adapters.iter().map(|it| format!("{}={}", it.id, it.dir)));
        }
        args.extend(serving.iter().flat_map(|serving| serving.vllm_args.iter().cloned()));
        let extra = spec.advanced.iter().filter_map(|advanced| advanced.vllm.as_ref());
        args.extend(extra.flat_map(|vllm| vllm.extra_args.iter().cloned()));
        args
    }
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

/// vLLM aborts running requests on SIGTERM. The proxies know of a terminating pod immediately, so
/// the signal is delayed until the grace period is almost over.
fn lifecycle(spec: &LLMModelSpec) -> Option<Lifecycle> {
    let serving = spec.serving.as_ref();
    let grace = serving.and_then(|serving| serving.termination_grace_period_seconds);
    let seconds = grace.unwrap_or(GRACE_SECONDS) - EXIT_SECONDS;
    let wait = LifecycleHandler { sleep: Some(SleepAction { seconds }), ..Default::default() };
    (0 < seconds).then(|| Lifecycle { pre_stop: Some(wait), ..Lifecycle::default() })
}

/// The resources of each replica: as specified, plus GPUs and memory for the KV cache.
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

/// The memory limit of a replica, which is also that of its shared memory.
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
