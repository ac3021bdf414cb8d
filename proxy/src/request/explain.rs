//! Why would a request be rejected? Asks the stages that decide, without a request.

use crate::{
    response::{dialect::Dialect, rejection::Rejection},
    stage::{
        authenticate::{self, KeyError, Principal},
        authorize,
        pick::Candidates,
        resolve,
    },
    tables::{RouteEntry, Snapshot},
};
use http::StatusCode;
use jiff::Timestamp;
use llm_contract::{KeyId, Upstream};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Question {
    /// The public part of a key; never the key.
    pub key: String,
    /// As a client would write it.
    pub model: String,
}

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Explanation {
    /// 200, or the status of the rejection.
    pub status: u16,
    /// In the order of the stages.
    pub steps: Vec<ExplainedStage>,
}

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExplainedStage {
    pub stage: String,
    pub passes: bool,
    pub because: String,
}

pub fn explain(question: &Question, tables: &Snapshot, now: Timestamp) -> Explanation {
    let mut steps = Vec::new();
    let status = match walk(question, tables, now, &mut steps) {
        Ok(()) => StatusCode::OK,
        Err(rejection) => rejection.status(Dialect::OpenAi),
    };
    Explanation { status: status.as_u16(), steps }
}

fn walk(
    question: &Question,
    tables: &Snapshot,
    now: Timestamp,
    steps: &mut Vec<ExplainedStage>,
) -> Result<(), Rejection> {
    let mut step = |stage: &str, because: String, rejection: Option<Rejection>| {
        let (stage, passes) = (stage.to_owned(), rejection.is_none());
        steps.push(ExplainedStage { stage, passes, because });
        rejection.map_or(Ok(()), Err)
    };
    let model = &*question.model;
    let id = KeyId::parse(&question.key).map_err(|_form| KeyError::Unknown);
    let entry = match id.and_then(|id| authenticate::active_key(tables, &id, now)) {
        Ok(entry) => entry,
        Err(error) => return step("authenticate", error.to_string(), Some(error.rejection())),
    };
    step("authenticate", format!("the key of {} is in force", entry.record.owner.name), None)?;
    let principal = Principal::Key(Arc::clone(entry));
    let route = match resolve::route(tables, model, &principal) {
        Ok(route) => route,
        Err(error) => return step("resolve", error.to_string(), Some(error.rejection(model))),
    };
    step("resolve", format!("served as {} by {}", route.label, upstream(route)), None)?;
    for check in authorize::checks(&principal, route, model) {
        let rejection = (!check.passes()).then(|| check.rejection());
        step("authorize", check.to_string(), rejection)?;
    }
    let readiness = Candidates::all(route).readiness();
    step("pick", readiness.to_string(), (!readiness.passes()).then(|| readiness.rejection()))
}

fn upstream(route: &RouteEntry) -> String {
    match &route.route.upstream {
        Upstream::Served(served) => match served.endpoints.len() {
            1 => "one model server".to_owned(),
            count => format!("{count} model servers"),
        },
        Upstream::Provider(provider, _) => format!("the provider {}", provider.name),
    }
}
