//! `llm-proxy table`: what is in force in a proxy that runs.

use super::{
    explain::{ask, unreachable},
    failure::Failure,
};
use serde_json::Value;
use std::{io::Write, net::SocketAddr};

/// Asks the admin listener and prints what it says. It has replaced credentials and hashes.
///
/// # Errors
/// [`Failure`].
pub async fn run(address: SocketAddr, out: &mut impl Write) -> Result<(), Failure> {
    let answer = ask(address, "/table", &[]).await?;
    let table: Value = answer.json().await.map_err(|error| unreachable(address, error))?;
    serde_json::to_writer_pretty(&mut *out, &table)?;
    Ok(writeln!(out)?)
}
