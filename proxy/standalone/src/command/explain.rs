//! `llm-gateway explain`: why would this be refused?

use super::Failure;
use crate::{cli::ExplainArgs, http};
use llm_contract::{ApiKey, KeyId};
use llm_proxy::explain::{Explanation, Step};
use std::{io::Write, time::Duration};

/// How long the gateway may take to answer.
const WAIT: Duration = Duration::from_secs(5);

/// Asks the running gateway. Only the key's public part is sent.
///
/// # Errors
/// [`Failure`].
pub async fn run(args: &ExplainArgs, out: &mut impl Write) -> Result<(), Failure> {
    let id = key_id(args)?.to_string();
    let address = args.admin;
    // The address is said already.
    let unreachable =
        |error: reqwest::Error| Failure::Admin { address, source: error.without_url() };
    let question = [("key", id.as_str()), ("model", args.model.as_str())];
    let explanation: Explanation = http::client("http")
        .map_err(unreachable)?
        .get(format!("http://{address}/explain"))
        .query(&question)
        .timeout(WAIT)
        .send()
        .await
        .and_then(reqwest::Response::error_for_status)
        .map_err(unreachable)?
        .json()
        .await
        .map_err(unreachable)?;
    for Step { stage, passes, because } in explanation.steps {
        let mark = if passes { "✓" } else { "✗" };
        writeln!(out, "{mark} {stage:<13} {because}")?;
    }
    Ok(writeln!(out, "→ {}", explanation.status)?)
}

/// The id that was named; else that of the key, which may be in the environment for other uses.
fn key_id(args: &ExplainArgs) -> Result<KeyId, Failure> {
    if let Some(id) = args.key_id {
        return Ok(id);
    }
    let key = args.key.as_ref().ok_or(Failure::NoKey)?;
    Ok(ApiKey::parse(key.reveal()).map_err(Failure::Key)?.id())
}
