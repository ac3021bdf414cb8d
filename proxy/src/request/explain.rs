//! Why would this be refused?

use crate::{
    stage::authenticate::Principal,
    tables::{RouteEntry, Snapshot},
};
use jiff::Timestamp;
use llm_contract::{Access, KeyId, KeyState, RouteMatch, Upstream};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// What somebody wonders about.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Question {
    /// The public part of a key; never the key.
    pub key: String,
    /// As a client would write it.
    pub model: String,
}

/// What would happen, and why.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Explanation {
    /// What a client would be told: 200, or the status of the refusal.
    pub status: u16,
    /// The stages a request passes, and what each finds.
    pub steps: Vec<Step>,
}

/// What one stage finds.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// Its name.
    pub stage: String,
    /// Whether a request passes it.
    pub passes: bool,
    /// Why.
    pub because: String,
}

/// Goes through the stages that decide, without a request.
pub fn explain(question: &Question, tables: &Snapshot, now: Timestamp) -> Explanation {
    let mut steps = Vec::new();
    let status = decide(question, tables, now, &mut steps);
    Explanation { status, steps }
}

fn decide(question: &Question, tables: &Snapshot, now: Timestamp, steps: &mut Vec<Step>) -> u16 {
    let mut say = |stage: &str, passes: bool, because: String| {
        steps.push(Step { stage: stage.to_owned(), passes, because });
        passes
    };
    if !tables.is_loaded {
        say("authenticate", false, "no table is in force yet".to_owned());
        return 503;
    }
    let entry = KeyId::parse(&question.key).ok().and_then(|id| tables.keys.get(&id));
    let Some(entry) = entry else {
        say("authenticate", false, "no key of this id is in force here".to_owned());
        return 401;
    };
    let record = &entry.record;
    let (active, because) = match record.state(now) {
        KeyState::Active => (true, format!("the key of {} is in force", record.owner.name)),
        KeyState::NotYetValid => (false, "the key is not valid yet".to_owned()),
        KeyState::Expired => (false, "the key has expired".to_owned()),
        KeyState::Suspended => (false, "the key is suspended".to_owned()),
    };
    if !say("authenticate", active, because) {
        return 401;
    }
    let at_entry = |it: &&Arc<RouteEntry>| it.route.entries.external;
    let Some(route) = tables.route(&question.model).filter(at_entry) else {
        say("resolve", false, "no route serves this model".to_owned());
        return 404;
    };
    say("resolve", true, format!("served as {} by {}", route.label, leads_to(route)));
    let id = match &route.route.matches {
        RouteMatch::Model { id, .. } => id.as_str(),
        RouteMatch::CatchAll => &question.model,
    };
    let covered = record.covers(id, route.route.resource.as_ref());
    let scope: Vec<_> = record.models.iter().map(ToString::to_string).collect();
    if !say("authorize", covered, format!("the key's models are [{}]", scope.join(", "))) {
        return 403;
    }
    let principal = Principal::Key(entry.clone());
    let admitted = route.route.access.admits(|group| principal.is_member(group));
    if !say("authorize", admitted, access(&route.route.access, &principal)) {
        return 403;
    }
    let ready = route.endpoints.iter().filter(|it| it.state.health.is_ready()).count();
    let because = format!("{ready} of {} endpoints are ready", route.endpoints.len());
    if say("pick", 0 < ready, because) { 200 } else { 503 }
}

fn leads_to(route: &RouteEntry) -> String {
    match &route.route.upstream {
        Upstream::Served(served) => match served.endpoints.len() {
            1 => "one model server".to_owned(),
            count => format!("{count} model servers"),
        },
        Upstream::Provider(provider, _) => format!("the provider {}", provider.name),
    }
}

fn access(access: &Access, principal: &Principal) -> String {
    let Access::Groups(groups) = access else {
        return "the model is public".to_owned();
    };
    let wanted: Vec<_> = groups.iter().map(ToString::to_string).collect();
    let matching = groups.iter().find(|group| principal.is_member(group.as_str()));
    match matching {
        Some(group) => format!("{} is in {group}", principal.name()),
        None => format!("{} is in none of [{}]", principal.name(), wanted.join(", ")),
    }
}
