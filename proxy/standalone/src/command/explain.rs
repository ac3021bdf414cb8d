//! `llm-gateway explain`: why would this be refused?

use super::Failure;
use crate::cli::ExplainArgs;
use llm_contract::{KeyId, SecretKey};
use llm_proxy::app::explain;
use std::io::Write;

/// Asks the running gateway. Only the key's public part is sent.
///
/// # Errors
/// [`Failure`].
pub async fn run(args: &ExplainArgs, out: &mut impl Write) -> Result<(), Failure> {
    Ok(explain::explain(&args.admin, key_id(args)?, &args.model, out).await?)
}

/// The id that was named; else that of the key, which may be in the environment for other uses.
fn key_id(args: &ExplainArgs) -> Result<KeyId, Failure> {
    if let Some(id) = args.key_id {
        return Ok(id);
    }
    let key = args.key.as_ref().ok_or(Failure::NoKey)?;
    Ok(SecretKey::parse(key.reveal()).map_err(Failure::Key)?.id())
}
