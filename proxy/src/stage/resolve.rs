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

#[derive(Debug, thiserror::Error)]
pub enum RouteError {
    #[error("no route serves this model")]
    Unknown,
    #[error("the route's upstream does not support this operation")]
    UnsupportedOperation,
}

impl RouteError {
    pub fn rejection(&self, model: &str) -> Rejection {
        let model = model.to_owned();
        match self {
            Self::Unknown => Rejection::UnknownModel { model },
            Self::UnsupportedOperation => Rejection::UnsupportedOperation { model },
        }
    }
}

/// The route of a model, among those at the caller's entry.
pub fn route<'a>(
    tables: &'a Snapshot,
    model: &str,
    principal: &Principal,
) -> Result<&'a Arc<RouteEntry>, RouteError> {
    let route = tables.route(model).filter(|it| principal.sees(it.route.entries));
    route.ok_or(RouteError::Unknown)
}

/// The route of a model, if its upstream supports the operation.
pub fn route_for<'a>(
    operation: &Operation,
    tables: &'a Snapshot,
    model: &str,
    principal: &Principal,
) -> Result<&'a Arc<RouteEntry>, RouteError> {
    let route = route(tables, model, principal)?;
    let is_served = matches!(route.route.upstream, Upstream::Served(_));
    match (operation.upstreams, is_served) {
        (Upstreams::All, _) | (Upstreams::Served, true) | (Upstreams::Provider, false) => Ok(route),
        (Upstreams::Served, false) | (Upstreams::Provider, true) => {
            Err(RouteError::UnsupportedOperation)
        }
    }
}
