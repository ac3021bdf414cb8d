//! Which route serves the model?

use super::{
    accept::{Operation, Upstreams},
    authenticate::Principal,
};
use crate::{
    response::rejection::Rejection,
    tables::{RouteEntry, Snapshot},
};
use llm_contract::Upstream;
use std::sync::Arc;

/// Finds the route of a model for an operation, among those at the caller's entry.
///
/// # Errors
/// [`Rejection::UnknownModel`], or [`Rejection::UnsupportedOperation`] if its upstream does not
/// know the operation.
pub fn route(
    tables: &Snapshot,
    model: &str,
    operation: &Operation,
    principal: &Principal,
) -> Result<Arc<RouteEntry>, Rejection> {
    let unknown = || Rejection::UnknownModel { model: model.to_owned() };
    let entry =
        tables.route(model).filter(|it| principal.sees(it.route.entries)).ok_or_else(unknown)?;
    let served = matches!(entry.route.upstream, Upstream::Served(_));
    match (operation.upstreams, served) {
        (Upstreams::All, _) | (Upstreams::Served, true) | (Upstreams::Provider, false) => {
            Ok(Arc::clone(entry))
        }
        (Upstreams::Served, false) | (Upstreams::Provider, true) => {
            Err(Rejection::UnsupportedOperation { model: model.to_owned() })
        }
    }
}
