//! Compiles an `LLMModel` into its routes.

use super::{compiler::available_ids, status::RouteStatus};
use llm_contract::{Entries, ModelId, ResourceName, Timeouts, document};
use llm_crd::{Access, LLMModel, ModelLimits};
use std::{net::SocketAddr, time::Duration};

/// Every id that a model declares: its own, its aliases, its adapters.
pub(super) fn ids(model: &LLMModel) -> impl Iterator<Item = &str> {
    model.spec.model_ids().chain(adapters(model))
}

fn adapters(model: &LLMModel) -> impl Iterator<Item = &str> {
    let serving = model.spec.serving.iter();
    serving.flat_map(|serving| serving.adapters.iter().map(|adapter| adapter.name.as_str()))
}

/// `owner` gives the other resource that owns an id; an error says why the model is invalid.
pub(super) fn compile(
    model: &LLMModel,
    endpoints: &[SocketAddr],
    owner: &impl Fn(&str) -> Option<ResourceName>,
    status: &mut RouteStatus,
) -> Result<Option<document::Routes>, String> {
    let spec = &model.spec;
    let names = available_ids(spec.model_ids(), owner, &mut status.ids_taken);
    let adapters = available_ids(adapters(model), owner, &mut status.ids_taken);
    let access = access(&spec.access)?;
    let id = ModelId::parse(&spec.model.name);
    let id = id.map_err(|error| format!("spec.model.name: {error}"))?;
    let served = |model: Option<ModelId>| {
        document::Upstream::Served(document::Served {
            endpoints: endpoints.iter().map(|address| format!("http://{address}")).collect(),
            model,
            api_key: None,
            timeouts: timeouts(spec.request_timeout()),
        })
    };
    let route = |id: ModelId, aliases, upstream| document::Route {
        model: Some(id),
        aliases,
        access: access.clone(),
        entries: Entries { external: spec.external_enabled(), internal: spec.internal_enabled() },
        upstream,
        limits: limits(spec.limits.as_ref()),
    };
    let mut routes = Vec::new();
    // Without its own id the model is served under its remaining aliases.
    let mut names = names.into_iter();
    if let Some(first) = names.next() {
        // The engine knows its own id, whichever alias a client wrote.
        routes.push(route(first, names.collect(), served(Some(id))));
    }
    routes.extend(adapters.into_iter().map(|id| route(id.clone(), Vec::new(), served(Some(id)))));
    Ok(Some(document::Routes { provider: None, routes }))
}

/// Groups beside `public: true` have no effect.
pub(super) fn access(access: &Access) -> Result<document::Access, String> {
    if access.is_public() {
        return Ok(document::Access { groups: Vec::new(), public: true });
    }
    let parse = |name: &String| {
        llm_contract::Group::parse(name).map_err(|error| format!("spec.access.groups: {error}"))
    };
    let groups = access.groups.iter().map(parse).collect::<Result<Vec<_>, _>>()?;
    if groups.is_empty() {
        return Err("spec.access: set either public: true or groups".into());
    }
    Ok(document::Access { groups, public: false })
}

pub(super) fn limits(limits: Option<&ModelLimits>) -> document::RequestLimits {
    document::RequestLimits {
        concurrency: limits.and_then(|it| it.concurrency).filter(|it| 0 < *it),
    }
}

fn timeouts(request: Duration) -> Timeouts {
    let request = request.max(Duration::from_millis(1));
    Timeouts { request, idle: Timeouts::SERVED.idle.min(request), ..Timeouts::SERVED }
}
