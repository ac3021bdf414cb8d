//! The commands of `llm-proxy` and their arguments.

use super::{certificate::CertificateFiles, explain::ExplainArgs};
use crate::{control_plane::address::Address, upstream::AddressPolicy};
use clap::{Args, Parser, Subcommand};
use llm_cli::{AdminAddress, OutputArgs, listen_address};
use rustls::pki_types::ServerName;
use std::{net::SocketAddr, num::NonZeroUsize, path::PathBuf, time::Duration};

/// The environment variable for an API key.
pub const KEY_VARIABLE: &str = "LLM_PROXY_KEY";
/// The longest name of a proxy, in bytes.
const NAME_BYTES_MAX: usize = 253;

#[derive(Debug, Parser)]
#[command(
    name = "llm-proxy",
    version,
    about = "The data plane of the LLM gateway, configured by an operator",
    after_help = "Examples:\n  \
        llm-proxy serve --control https://llm-operator:9443 --control-ca ca.crt --control-token token\n  \
        llm-proxy table\n  \
        llm-proxy explain --key-id abcdefgh2345 --model qwen3\n\n\
        Exit codes: 0 success, 64 wrong usage, 65 invalid configuration or data, 69 a port, \
        server or file is unavailable."
)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the proxy
    Serve(Box<ServeArgs>),
    /// Print the route table in force in a running proxy, without secrets
    Table(TableArgs),
    /// Explain why a key may or may not use a model
    #[command(mut_arg("key", |key| key.env(KEY_VARIABLE)),
              after_help = "Example:\n  llm-proxy explain --key-id abcdefgh2345 --model qwen3")]
    Explain(ExplainArgs),
}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  \
    llm-proxy serve --control https://llm-operator.llm.svc:9443 --control-ca ca.crt \\\n    \
    --control-token /var/run/secrets/llm/token --state /var/lib/llm-proxy")]
pub struct ServeArgs {
    #[command(flatten, next_help_heading = "Operator")]
    pub operator: OperatorArgs,
    #[command(flatten, next_help_heading = "Listeners")]
    pub listeners: ListenerArgs,
    #[command(flatten, next_help_heading = "Limits")]
    pub limits: LimitArgs,
    /// Allow upstreams on this machine and its link-local network, which are otherwise refused
    #[arg(long, env = "LLM_PROXY_ALLOW_LOCAL_UPSTREAMS")]
    pub allow_local_upstreams: bool,
    /// The pepper of the keys' hashes: a secret without which they cannot be guessed
    #[arg(long, env = "LLM_PROXY_PEPPER", value_name = "FILE")]
    pub pepper: Option<PathBuf>,
    /// A folder for the usage ledger, as lines of JSON [default: metrics only]
    #[arg(long, env = "LLM_PROXY_USAGE", value_name = "FOLDER")]
    pub usage: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub struct OperatorArgs {
    /// The operator's URL; each address of its host is one replica. http only on this machine
    #[arg(long, env = "LLM_PROXY_CONTROL", value_name = "URL")]
    pub control: Address,
    /// CA certificates for the operator, in PEM; read again for each connection
    /// [default: the system's]
    #[arg(long, env = "LLM_PROXY_CONTROL_CA", value_name = "FILE")]
    pub control_ca: Option<PathBuf>,
    /// A token that authenticates this proxy; read again for each connection
    #[arg(long, env = "LLM_PROXY_CONTROL_TOKEN", value_name = "FILE")]
    pub control_token: Option<PathBuf>,
    /// The name in the operator's certificate [default: the host in --control]
    #[arg(long, env = "LLM_PROXY_CONTROL_SERVER_NAME", value_name = "NAME",
          value_parser = server_name)]
    pub control_server_name: Option<ServerName<'static>>,
    /// This proxy's name, unique per operator [default: POD_NAME, or else the host name]
    #[arg(long, env = "LLM_PROXY_NAME", value_name = "NAME", value_parser = name,
          default_value_t = own_name(), hide_default_value = true)]
    pub name: String,
    /// A folder for a copy of the route table, used at start while no operator answers
    #[arg(long, env = "LLM_PROXY_STATE", value_name = "FOLDER")]
    pub state: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub struct ListenerArgs {
    /// Where clients with API keys connect
    #[arg(long, env = "LLM_PROXY_EXTERNAL", value_name = "ADDRESS", default_value = "0.0.0.0:8080",
          value_parser = listen_address)]
    pub external: SocketAddr,
    /// Where clients with OIDC tokens connect
    #[arg(long, env = "LLM_PROXY_INTERNAL", value_name = "ADDRESS", default_value = "0.0.0.0:8081",
          value_parser = listen_address)]
    pub internal: SocketAddr,
    /// Where health, metrics and the route table are served
    #[arg(long, env = "LLM_PROXY_ADMIN", value_name = "ADDRESS", default_value = "0.0.0.0:9090",
          value_parser = listen_address)]
    pub admin: SocketAddr,
    /// The certificate for TLS, in PEM; reloaded when it changes
    #[arg(long, env = "LLM_PROXY_TLS_CERT", value_name = "FILE", requires = "tls_key")]
    pub tls_cert: Option<PathBuf>,
    /// Its private key, in PEM
    #[arg(long, env = "LLM_PROXY_TLS_KEY", value_name = "FILE", requires = "tls_cert")]
    pub tls_key: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub struct LimitArgs {
    /// The largest request body, in bytes
    #[arg(long, env = "LLM_PROXY_BODY_BYTES", value_name = "BYTES", default_value = "33554432")]
    pub body_bytes: NonZeroUsize,
    /// The largest request header, in bytes
    #[arg(long, env = "LLM_PROXY_HEADER_BYTES", value_name = "BYTES", default_value = "65536")]
    pub header_bytes: NonZeroUsize,
    /// The most client connections on each listener
    #[arg(long, env = "LLM_PROXY_CONNECTIONS", value_name = "NUMBER", default_value = "20000")]
    pub connections: NonZeroUsize,
    /// How long running requests may take to finish at shutdown
    #[arg(long, env = "LLM_PROXY_DRAIN", value_name = "DURATION", default_value = "30s",
          value_parser = humantime::parse_duration)]
    pub drain: Duration,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    llm-proxy table --admin http://llm-proxy.llm.svc:9090\n  \
    llm-proxy table --output json | jq '.refused'")]
pub struct TableArgs {
    /// The proxy's admin listener: an address or a URL
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:9090")]
    pub admin: AdminAddress,
    #[command(flatten)]
    pub output: OutputArgs,
}

impl ServeArgs {
    pub fn address_policy(&self) -> AddressPolicy {
        if self.allow_local_upstreams { AddressPolicy::AllowAll } else { AddressPolicy::DenyLocal }
    }
}

impl ListenerArgs {
    pub fn certificate(&self) -> Option<CertificateFiles> {
        let (chain, key) = self.tls_cert.clone().zip(self.tls_key.clone())?;
        Some(CertificateFiles { chain, key })
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
enum InvalidName {
    #[error("write 1 to {NAME_BYTES_MAX} visible ASCII characters")]
    Proxy,
    #[error("write a host name or an IP address")]
    Server,
}

fn name(text: &str) -> Result<String, InvalidName> {
    let is_plain = text.bytes().all(|byte| byte.is_ascii_graphic());
    if text.is_empty() || NAME_BYTES_MAX < text.len() || !is_plain {
        return Err(InvalidName::Proxy);
    }
    Ok(text.to_owned())
}

fn own_name() -> String {
    let pod = std::env::var("POD_NAME").ok();
    let host = || std::fs::read_to_string("/proc/sys/kernel/hostname").ok();
    let own = pod.or_else(host).map(|it| it.trim().to_owned());
    own.filter(|it| name(it).is_ok()).unwrap_or_else(|| "llm-proxy".to_owned())
}

fn server_name(text: &str) -> Result<ServerName<'static>, InvalidName> {
    ServerName::try_from(text.to_owned()).map_err(|_name| InvalidName::Server)
}

#[cfg(test)]
mod tests;
