//! Asking a gateway that runs why a request would be refused.

use super::{admin::Admin, http};
use crate::request::explain::{ExplainedStage, Explanation};
use llm_contract::KeyId;
use reqwest::Response;
use serde::de::DeserializeOwned;
use std::{
    io::{self, Write},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Duration,
};

/// How long the gateway may take to answer.
const WAIT: Duration = Duration::from_secs(5);

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum NoAnswer {
    /// The gateway that was asked does not answer.
    #[error("asking the gateway at {admin}; is it running, with this admin address?")]
    Admin {
        /// Where.
        admin: Admin,
        /// What went wrong.
        source: reqwest::Error,
    },
    /// Standard output is closed or full.
    #[error("the operating system refused")]
    Out(#[from] io::Error),
}

/// Asks, and prints the answer. Only the key's public part is sent.
///
/// # Errors
/// [`NoAnswer`].
pub async fn explain(
    admin: &Admin,
    key: KeyId,
    model: &str,
    out: &mut impl Write,
) -> Result<(), NoAnswer> {
    let question = [("key", key.as_str()), ("model", model)];
    let explanation: Explanation = ask(admin, "/explain", &question).await?;
    for ExplainedStage { stage, passes, because } in explanation.steps {
        let mark = if passes { "✓" } else { "✗" };
        writeln!(out, "{mark} {stage:<13} {because}")?;
    }
    Ok(writeln!(out, "→ {}", explanation.status)?)
}

/// Asks the admin listener of a gateway.
///
/// # Errors
/// [`NoAnswer::Admin`].
pub async fn ask<T: DeserializeOwned>(
    admin: &Admin,
    path: &str,
    query: &[(&str, &str)],
) -> Result<T, NoAnswer> {
    // The address is said already.
    let failed = |error: reqwest::Error| NoAnswer::Admin {
        admin: admin.clone(),
        source: error.without_url(),
    };
    let asking = http::client(admin.scheme()).map_err(failed)?.get(admin.at(path));
    let answer = asking.query(query).timeout(WAIT).send().await;
    let answer = answer.and_then(Response::error_for_status).map_err(failed)?;
    answer.json().await.map_err(failed)
}

/// An address to connect to: from this machine, if it listens on all.
pub fn reachable(mut address: SocketAddr) -> SocketAddr {
    if address.ip().is_unspecified() {
        address.set_ip(match address.ip() {
            IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
            IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
        });
    }
    address
}
