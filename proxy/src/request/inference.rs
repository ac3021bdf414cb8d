//! Inference: from a request's body to the last byte of the reply.

use super::{
    call::Call,
    exchange::ExchangeOutcome,
    stored_responses::{ResponseOwner, StoredResponses},
    upstream_attempts::{UpstreamClient, UpstreamRequest},
};
use crate::{
    response::{rejection::Rejection, request_error::RequestError},
    stage::{
        accept::Operation,
        authenticate::Principal,
        authorize,
        forward::usage_injection,
        pick::Candidates,
        read::{BodyBudget, Prompt, scan::PromptFields},
        reserve, resolve,
    },
    tables::{RouteEntry, Snapshot, Tables},
    usage::UsageFormat,
};
use std::sync::Arc;

/// Serves the model that the body names.
pub async fn infer(
    call: Call<'_>,
    tables: &Tables,
    bodies: &BodyBudget,
    responses: &StoredResponses,
    client: &UpstreamClient,
) -> Result<ExchangeOutcome, RequestError> {
    let Call { session, exchange, snapshot, principal, operation } = call;
    exchange.operation = Some(operation);
    let mut prompt = Prompt::read(session, operation, bodies).await?;
    let scan = prompt.scan.as_ref().ok_or(Rejection::Internal)?;
    exchange.stream = scan.stream;
    let model = scan.model.clone();
    // The body may have taken long to arrive; what was revoked meanwhile is revoked.
    let tables = &*reauthenticate(principal, snapshot, tables)?;
    let route = resolve::route_for(operation, tables, &model, principal);
    let route = Arc::clone(route.map_err(|error| error.rejection(&model))?);
    exchange.route = Some(Arc::clone(&route));
    let permit = authorize::permit(principal, &route, &model).map_err(|it| it.rejection())?;
    let _lease = reserve::lease(permit)?;
    let candidates = candidates(operation, &route, scan, principal, responses)?;
    let (usage, filter) = usage_injection(operation, &route, scan.usage);
    // Only one of the two bodies is held while the upstream works.
    prompt.body = prompt.for_upstream(route.upstream_model(&model), usage);
    let body = prompt.body.clone();
    let request = UpstreamRequest { permit, operation, path: operation.path, body };
    let reply = client.send(session, exchange, candidates, &request).await?;
    if operation.usage_format == UsageFormat::Responses {
        responses.remember(reply.head.buffered(), || ResponseOwner {
            model: model.as_str().into(),
            endpoint: Arc::clone(&reply.picked.endpoint.name),
            identity: principal.identity(),
        });
    }
    reply.relay(session, exchange, filter, client).await
}

/// The tables in force now, if they still hold the caller's key.
fn reauthenticate(
    principal: &Principal,
    before: &Snapshot,
    tables: &Tables,
) -> Result<Arc<Snapshot>, Rejection> {
    let now = tables.snapshot();
    let is_known = match principal {
        Principal::Key(entry) if !std::ptr::eq(&*now, before) => {
            now.keys.get(&entry.record.id).is_some_and(|it| Arc::ptr_eq(it, entry))
        }
        Principal::Key(_) | Principal::Token(_) => true,
    };
    if is_known { Ok(now) } else { Err(Rejection::Unauthenticated) }
}

/// All endpoints of the route, or the one that has the response which this one continues. Only
/// its owner may continue it.
fn candidates<'a>(
    operation: &Operation,
    route: &'a RouteEntry,
    scan: &PromptFields,
    principal: &Principal,
    responses: &StoredResponses,
) -> Result<Candidates<'a>, Rejection> {
    if operation.usage_format != UsageFormat::Responses {
        return Ok(Candidates::all(route));
    }
    if scan.background {
        let message = "`background` is not supported, since its usage could not be counted";
        let (message, param) = (message.to_owned(), Some("background"));
        return Err(Rejection::InvalidBody { message, param });
    }
    match &scan.previous {
        Some(id) => responses.owned(id, principal)?.pinned_endpoint(id, route),
        None => Ok(Candidates::all(route)),
    }
}
