//! May this principal use this route?

use super::authenticate::Principal;
use crate::{response::rejection::Rejection, tables::RouteEntry};
use llm_contract::RouteMatch;
use std::sync::Arc;

/// Proof that a principal may use a route. Only this stage makes one, so that no stage after it
/// checks again.
#[derive(Clone)]
pub struct Permit {
    principal: Principal,
    route: Arc<RouteEntry>,
}

impl Permit {
    /// Who may.
    pub fn principal(&self) -> &Principal {
        &self.principal
    }

    /// What they may use.
    pub fn route(&self) -> &Arc<RouteEntry> {
        &self.route
    }
}

/// Decides whether a principal may use a route: their groups must be admitted and, for a key,
/// its own scope must hold the model.
///
/// # Errors
/// [`Rejection::ModelNotAllowed`].
pub fn permit(
    principal: &Principal,
    route: &Arc<RouteEntry>,
    model: &str,
) -> Result<Permit, Rejection> {
    if !is_allowed(principal, route, model) {
        return Err(Rejection::ModelNotAllowed { model: model.to_owned() });
    }
    Ok(Permit { principal: principal.clone(), route: Arc::clone(route) })
}

/// Whether a principal may use a route, for lists.
pub fn is_allowed(principal: &Principal, route: &RouteEntry, model: &str) -> bool {
    // A scope names the model's id; an alias neither widens nor narrows it.
    let id = match &route.route.matches {
        RouteMatch::Model { id, .. } => id.as_str(),
        RouteMatch::CatchAll => model,
    };
    let in_scope = match principal {
        Principal::Key(entry) => entry.record.covers(id, route.route.resource.as_ref()),
        Principal::Token(_) => true,
    };
    in_scope
        && principal.sees(route.route.entries)
        && route.route.access.admits(|group| principal.is_member(group))
}
