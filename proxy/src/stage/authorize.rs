//! May this principal use this route?

use super::authenticate::Principal;
use crate::{response::rejection::Rejection, tables::RouteEntry};
use llm_contract::{Access, RouteMatch};
use std::{fmt, sync::Arc};

/// Proof that a principal may use a route. Only this stage makes one, so that no stage after it
/// checks again.
#[derive(Clone, Copy)]
pub struct Permit<'a> {
    principal: &'a Principal,
    route: &'a Arc<RouteEntry>,
}

/// One condition of a permit. Its text is its reason, whether it holds or not.
#[derive(Clone, Copy)]
pub struct AuthorizeCheck<'a> {
    condition: Condition,
    principal: &'a Principal,
    route: &'a RouteEntry,
    model: &'a str,
}

#[derive(Clone, Copy)]
enum Condition {
    /// The key's scope includes the model. Tokens have no scope.
    KeyScope,
    /// The model is served at the principal's entry, to one of its groups or to everyone.
    Access,
}

impl<'a> Permit<'a> {
    pub fn principal(&self) -> &'a Principal {
        self.principal
    }

    pub fn route(&self) -> &'a Arc<RouteEntry> {
        self.route
    }
}

/// A permit, or the check that failed.
pub fn permit<'a>(
    principal: &'a Principal,
    route: &'a Arc<RouteEntry>,
    model: &'a str,
) -> Result<Permit<'a>, AuthorizeCheck<'a>> {
    let failed = checks(principal, route, model).into_iter().find(|check| !check.passes());
    let Some(failed) = failed else { return Ok(Permit { principal, route }) };
    tracing::debug!(reason = %failed, gen_ai.request.model = model, "request not authorized");
    Err(failed)
}

/// What [`permit`] decides by.
pub fn checks<'a>(
    principal: &'a Principal,
    route: &'a RouteEntry,
    model: &'a str,
) -> [AuthorizeCheck<'a>; 2] {
    [Condition::KeyScope, Condition::Access].map(|condition| AuthorizeCheck {
        condition,
        principal,
        route,
        model,
    })
}

impl AuthorizeCheck<'_> {
    pub fn passes(&self) -> bool {
        let Self { condition, principal, route, model } = self;
        match (condition, principal) {
            (Condition::KeyScope, Principal::Key(entry)) => {
                // A scope names the model's id; an alias neither widens nor narrows it.
                let id = match &route.route.matches {
                    RouteMatch::Model { id, .. } => id.as_str(),
                    RouteMatch::CatchAll => model,
                };
                entry.record.covers(id, route.route.resource.as_ref())
            }
            (Condition::KeyScope, Principal::Token(_)) => true,
            (Condition::Access, _) => {
                principal.sees(route.route.entries)
                    && route.route.access.admits(|group| principal.is_member(group))
            }
        }
    }

    pub fn rejection(&self) -> Rejection {
        Rejection::ModelNotAllowed { model: self.model.to_owned() }
    }
}

impl fmt::Display for AuthorizeCheck<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { condition, principal, route, .. } = self;
        let name = principal.name();
        match (condition, principal, &route.route.access) {
            (Condition::KeyScope, Principal::Key(entry), _) => {
                write!(f, "the key's models are [{}]", join(&entry.record.models))
            }
            (Condition::KeyScope, Principal::Token(_), _) => f.write_str("a token has no scope"),
            (Condition::Access, ..) if !principal.sees(route.route.entries) => {
                f.write_str("the model is not served at this entry")
            }
            (Condition::Access, _, Access::Public) => f.write_str("the model is public"),
            (Condition::Access, _, Access::Groups(groups)) => {
                match groups.iter().find(|group| principal.is_member(group.as_str())) {
                    Some(group) => write!(f, "{name} is in {group}"),
                    None => write!(f, "{name} is in none of [{}]", join(groups)),
                }
            }
        }
    }
}

fn join<T: ToString>(items: &[T]) -> String {
    items.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}
