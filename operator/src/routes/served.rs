//! From an `LLMModel` to its routes.

use super::{Verdict, won};
use llm_contract::{Entries, ModelId, ResourceName, Timeouts, document};
use llm_crd::{Access, LLMModel, Limits};
use std::{net::SocketAddr, time::Duration};

/// Every id that a model wants: its own, its aliases, its adapters.
pub(super) fn ids(model: &LLMModel) -> impl Iterator<Item = &str> {
    model.spec.model_ids().chain(adapters(model))
}

fn adapters(model: &LLMModel) -> impl Iterator<Item = &str> {
    let serving = model.spec.serving.iter();
    serving.flat_map(|serving| serving.adapters.iter().map(|adapter| adapter.name.as_str()))
}

/// The routes of a model, given where its ready pods listen and who has an id instead of it.
pub(super) fn compile(
    model: &LLMModel,
    endpoints: &[SocketAddr],
    winner: &impl Fn(&str) -> Option<ResourceName>,
) -> (Option<document::Routes>, Verdict) {
    let mut verdict = Verdict::default();
    let spec = &model.spec;
    let names = won(spec.model_ids(), winner, &mut verdict.ids_taken);
    let adapters = won(adapters(model), winner, &mut verdict.ids_taken);
    let access = match access(&spec.access) {
        Ok(access) => access,
        Err(wrong) => {
            verdict.invalid = Some(wrong);
            return (None, verdict);
        }
    };
    let Ok(id) = ModelId::parse(&spec.model.name) else {
        verdict.invalid = Some(format!("spec.model.name: {}", llm_contract::InvalidModelId));
        return (None, verdict);
    };
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
    // Without its own id the model goes by the aliases that are left to it.
    let mut names = names.into_iter();
    if let Some(first) = names.next() {
        // The engine knows its own id, whichever alias a client wrote.
        routes.push(route(first, names.collect(), served(Some(id))));
    }
    routes.extend(adapters.into_iter().map(|id| route(id.clone(), Vec::new(), served(Some(id)))));
    let entries = spec.external_enabled() || spec.internal_enabled();
    let any = entries && !routes.is_empty();
    (any.then_some(document::Routes { provider: None, routes }), verdict)
}

/// Who may use a model: a list of groups beside `public: true` has no effect.
pub(super) fn access(access: &Access) -> Result<document::Access, String> {
    if access.is_public() {
        return Ok(document::Access { groups: Vec::new(), public: true });
    }
    let parse = |name: &String| {
        llm_contract::Group::parse(name).map_err(|wrong| format!("spec.access.groups: {wrong}"))
    };
    let groups = access.groups.iter().map(parse).collect::<Result<Vec<_>, _>>()?;
    if groups.is_empty() {
        return Err("spec.access: say who may use it: public: true, or groups".into());
    }
    Ok(document::Access { groups, public: false })
}

pub(super) fn limits(limits: Option<&Limits>) -> document::RequestLimits {
    document::RequestLimits {
        concurrency: limits.and_then(|it| it.concurrency).filter(|it| 0 < *it),
    }
}

fn timeouts(request: Duration) -> Timeouts {
    let request = request.max(Duration::from_millis(1));
    Timeouts { request, idle: Timeouts::SERVED.idle.min(request), ..Timeouts::SERVED }
}
