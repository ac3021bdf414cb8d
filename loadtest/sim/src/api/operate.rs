//! What operators ask: models, health, version, load, metrics.

use bytes::Bytes;
use http::StatusCode;
use serde::Serialize;

use super::call::{Call, Reply};
use crate::clock;
use crate::config::Role;

const METRICS_MEDIA: &str = "text/plain; version=1.0.0; charset=utf-8";
/// Where the weights would be; vLLM leaks this path, so a gateway must not pass it on.
const ROOT: &str = "/models/weights";

#[derive(Serialize)]
struct Models<'a> {
    object: &'static str,
    data: Vec<Model<'a>>,
}

#[derive(Serialize)]
struct Model<'a> {
    id: &'a str,
    object: &'static str,
    created: u64,
    owned_by: &'static str,
    #[serde(flatten)]
    vllm: Option<VllmModel>,
}

/// What only vLLM says about a model.
#[derive(Serialize)]
struct VllmModel {
    root: &'static str,
    parent: (),
    max_model_len: usize,
    permission: [Permission; 1],
}

#[derive(Serialize)]
struct Permission {
    id: String,
    object: &'static str,
    created: u64,
    allow_create_engine: bool,
    allow_sampling: bool,
    allow_logprobs: bool,
    allow_search_indices: bool,
    allow_view: bool,
    allow_fine_tuning: bool,
    organization: &'static str,
    group: (),
    is_blocking: bool,
}

#[derive(Serialize)]
struct Version {
    version: &'static str,
}

#[derive(Serialize)]
struct Load {
    server_load: usize,
}

pub(super) fn models(call: &Call) -> Reply {
    let created = clock::unix_seconds();
    let vllm = || VllmModel {
        root: ROOT,
        parent: (),
        max_model_len: call.shared.config.max_model_len,
        permission: [Permission {
            id: call.id("modelperm-"),
            object: "model_permission",
            created,
            allow_create_engine: false,
            allow_sampling: true,
            allow_logprobs: true,
            allow_search_indices: false,
            allow_view: true,
            allow_fine_tuning: false,
            organization: "*",
            group: (),
            is_blocking: false,
        }],
    };
    let data = call.shared.config.models.iter().map(|id| match call.role() {
        Role::Vllm => Model { id, object: "model", created, owned_by: "vllm", vllm: Some(vllm()) },
        Role::Provider => Model { id, object: "model", created, owned_by: "system", vllm: None },
    });
    call.json(&Models { object: "list", data: data.collect() })
}

pub(super) fn health(call: &Call) -> Reply {
    call.raw(StatusCode::OK, "", Bytes::new())
}

pub(super) fn version(call: &Call) -> Reply {
    call.json(&Version { version: "0.32.0" })
}

pub(super) fn load(call: &Call) -> Reply {
    let state = call.shared.state.now();
    call.json(&Load { server_load: state.running + state.waiting })
}

pub(super) fn metrics(call: &Call) -> Reply {
    call.raw(StatusCode::OK, METRICS_MEDIA, call.shared.engine.render_metrics())
}
