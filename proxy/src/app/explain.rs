//! The `explain` command: why a key may or may not use a model.

use super::admin_client::{self, AdminError};
use crate::request::explain::{ExplainedStage, Explanation};
use clap::Args;
use llm_cli::{AdminAddress, InvalidKeyArgument, KeyArgs};
use std::io::{self, Write};

#[derive(Debug, Args)]
pub struct ExplainArgs {
    #[command(flatten)]
    pub key: KeyArgs,
    /// The model, as requests name it
    #[arg(long)]
    pub model: String,
    /// The gateway's admin listener: an address or a URL
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:9090")]
    pub admin: AdminAddress,
}

#[derive(Debug, thiserror::Error)]
pub enum ExplainError {
    #[error(transparent)]
    Key(#[from] InvalidKeyArgument),
    #[error(transparent)]
    Admin(#[from] AdminError),
    #[error("I/O error")]
    Io(#[from] io::Error),
}

/// Asks the gateway and prints its explanation. Only the key's id is sent.
pub async fn run(
    args: &ExplainArgs,
    key_variable: &'static str,
    out: &mut impl Write,
) -> Result<(), ExplainError> {
    let ExplainArgs { key, model, admin } = args;
    let id = key.key_id(key_variable)?;
    let query = [("key", id.as_str()), ("model", model)];
    let explanation: Explanation = admin_client::get(admin, "/explain", &query).await?;
    for ExplainedStage { stage, passes, because } in explanation.steps {
        let mark = if passes { "✓" } else { "✗" };
        writeln!(out, "{mark} {stage:<13} {because}")?;
    }
    Ok(writeln!(out, "→ {}", explanation.status)?)
}
