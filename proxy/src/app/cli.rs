//! The commands of `llm-proxy` and their arguments.

use super::{admin::Admin, certificate::Files, failure::Failure};
use crate::{control_plane::address::Address, upstream::AddressPolicy};
use clap::{Args, Parser, Subcommand, ValueEnum};
use llm_contract::{KeyId, Secret, SecretKey};
use rustls::pki_types::ServerName;
use std::{
    convert::Infallible, ffi::OsString, net::SocketAddr, num::NonZeroUsize, path::PathBuf,
    time::Duration,
};
use sysexits::ExitCode;

/// The longest name of a proxy, in bytes.
const NAME_BYTES_MAX: usize = 253;

/// The text of `llm-proxy --help`.
#[derive(Debug, Parser)]
#[command(
    name = "llm-proxy",
    version,
    about = "The data plane of the LLM gateway: serves what an operator pushes to it",
    after_help = "Examples:\n  \
        llm-proxy serve --control https://llm-operator:9443 --control-ca ca.crt --control-token token\n  \
        llm-proxy table\n  \
        llm-proxy explain --key-id abcdefgh2345 --model qwen3\n\n\
        Exit codes: 0 done, 64 wrong usage, 65 bad configuration or data, 69 a port, server or \
        file is not available."
)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Start the proxy
    Serve(Box<ServeArgs>),
    /// Print what is in force in a proxy that runs, without its secrets
    Table(TableArgs),
    /// Say why a key may or may not use a model
    Explain(ExplainArgs),
}

/// The arguments of `serve`.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  \
    llm-proxy serve --control https://llm-operator.llm.svc:9443 --control-ca ca.crt \\\n    \
    --control-token /var/run/secrets/llm/token --state /var/lib/llm-proxy")]
pub struct ServeArgs {
    /// The operator; every address of its name is one of its replicas. http only on this machine
    #[arg(long, env = "LLM_PROXY_CONTROL", value_name = "URL", help_heading = "Operator")]
    pub control: Address,
    /// Certificates that vouch for the operator, in PEM; read anew for each connection
    /// [default: the system's]
    #[arg(long, env = "LLM_PROXY_CONTROL_CA", value_name = "FILE", help_heading = "Operator")]
    pub control_ca: Option<PathBuf>,
    /// The token that proves who we are; read anew for each connection
    #[arg(long, env = "LLM_PROXY_CONTROL_TOKEN", value_name = "FILE", help_heading = "Operator")]
    pub control_token: Option<PathBuf>,
    /// The name in the operator's certificate [default: the host of --control]
    #[arg(long, env = "LLM_PROXY_CONTROL_SERVER_NAME", value_name = "NAME",
          value_parser = server_name, help_heading = "Operator")]
    pub control_server_name: Option<ServerName<'static>>,
    /// Our name, by which the operator tells proxies apart [default: POD_NAME, else the host's]
    #[arg(long, env = "LLM_PROXY_NAME", value_name = "NAME", value_parser = name,
          default_value_t = own_name(), hide_default_value = true, help_heading = "Operator")]
    pub name: String,
    /// A folder for a copy of the table, from which we start if no operator answers
    #[arg(long, env = "LLM_PROXY_STATE", value_name = "FOLDER", help_heading = "Operator")]
    pub state: Option<PathBuf>,

    /// Where callers with API keys connect
    #[arg(long, env = "LLM_PROXY_EXTERNAL", value_name = "ADDRESS", default_value = "0.0.0.0:8080",
          value_parser = address, help_heading = "Listeners")]
    pub external: SocketAddr,
    /// Where callers with tokens connect
    #[arg(long, env = "LLM_PROXY_INTERNAL", value_name = "ADDRESS", default_value = "0.0.0.0:8081",
          value_parser = address, help_heading = "Listeners")]
    pub internal: SocketAddr,
    /// Where health, metrics and the table are
    #[arg(long, env = "LLM_PROXY_ADMIN", value_name = "ADDRESS", default_value = "0.0.0.0:9090",
          value_parser = address, help_heading = "Listeners")]
    pub admin: SocketAddr,
    /// The certificate with which callers are served over TLS, in PEM; read anew when it changes
    #[arg(
        long,
        env = "LLM_PROXY_TLS_CERT",
        value_name = "FILE",
        requires = "tls_key",
        help_heading = "Listeners"
    )]
    pub tls_cert: Option<PathBuf>,
    /// Its private key, in PEM
    #[arg(
        long,
        env = "LLM_PROXY_TLS_KEY",
        value_name = "FILE",
        requires = "tls_cert",
        help_heading = "Listeners"
    )]
    pub tls_key: Option<PathBuf>,

    /// The largest body of a request, in bytes
    #[arg(
        long,
        env = "LLM_PROXY_BODY_BYTES",
        value_name = "BYTES",
        default_value = "33554432",
        help_heading = "Limits"
    )]
    pub body_bytes: NonZeroUsize,
    /// The largest header of a request, in bytes
    #[arg(
        long,
        env = "LLM_PROXY_HEADER_BYTES",
        value_name = "BYTES",
        default_value = "65536",
        help_heading = "Limits"
    )]
    pub header_bytes: NonZeroUsize,
    /// Connections of callers at a time, on each listener
    #[arg(
        long,
        env = "LLM_PROXY_CONNECTIONS",
        value_name = "NUMBER",
        default_value = "20000",
        help_heading = "Limits"
    )]
    pub connections: NonZeroUsize,
    /// How long running requests may take to end when we are told to stop
    #[arg(long, env = "LLM_PROXY_DRAIN", value_name = "DURATION", default_value = "30s",
          value_parser = humantime::parse_duration, help_heading = "Limits")]
    pub drain: Duration,

    /// Let upstreams be on this machine and its link; else nobody who names a provider gets there
    #[arg(long, env = "LLM_PROXY_ALLOW_LOCAL_UPSTREAMS")]
    pub allow_local_upstreams: bool,
    /// The secret without which the hashes of keys cannot be tried
    #[arg(long, env = "LLM_PROXY_PEPPER", value_name = "FILE")]
    pub pepper: Option<PathBuf>,
    /// A folder in which to write down what was used, as lines of JSON
    /// [default: usage is only counted]
    #[arg(long, env = "LLM_PROXY_USAGE", value_name = "FOLDER")]
    pub usage: Option<PathBuf>,
}

/// The arguments of `table`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    llm-proxy table --admin http://llm-proxy.llm.svc:9090\n  \
    llm-proxy table --output json | jq '.refused'")]
pub struct TableArgs {
    /// Where the proxy's admin listener is: an address or a URL
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:9090")]
    pub admin: Admin,
    /// In which form [default: a table on a terminal, JSON elsewhere]
    #[arg(long, short, value_name = "FORM")]
    pub output: Option<Output>,
}

/// The form of what is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// For people.
    Table,
    /// For programs.
    Json,
}

/// The arguments of `explain`.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  llm-proxy explain --key-id abcdefgh2345 --model qwen3")]
pub struct ExplainArgs {
    /// The key; better given in the environment, where nobody else sees it
    #[arg(long, env = "LLM_PROXY_KEY", hide_env_values = true, value_parser = secret)]
    pub key: Option<Secret>,
    /// The key's id; goes before a key
    #[arg(long, value_name = "ID", value_parser = KeyId::parse)]
    pub key_id: Option<KeyId>,
    /// The model, as a request names it
    #[arg(long)]
    pub model: String,
    /// Where the proxy's admin listener is: an address or a URL
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:9090")]
    pub admin: Admin,
}

impl Cli {
    /// Reads arguments, the program's name first. Prints help, version and what is wrong.
    ///
    /// # Errors
    /// How to exit instead.
    pub fn read(arguments: impl IntoIterator<Item = OsString>) -> Result<Self, ExitCode> {
        Self::try_parse_from(arguments).map_err(|error| {
            // Nobody is left to tell if this fails.
            let _ = error.print();
            if error.use_stderr() { ExitCode::Usage } else { ExitCode::Ok }
        })
    }
}

impl ExplainArgs {
    /// The id that was named; else that of the key, which may be in the environment for other
    /// uses.
    ///
    /// # Errors
    /// [`Failure::NoKey`] or [`Failure::Key`].
    pub fn key_id(&self) -> Result<KeyId, Failure> {
        if let Some(id) = self.key_id {
            return Ok(id);
        }
        let key = self.key.as_ref().ok_or(Failure::NoKey)?;
        Ok(SecretKey::parse(key.reveal()).map_err(Failure::Key)?.id())
    }
}

impl ServeArgs {
    /// Which addresses upstreams may have.
    pub fn address_policy(&self) -> AddressPolicy {
        if self.allow_local_upstreams { AddressPolicy::AllowAll } else { AddressPolicy::DenyLocal }
    }

    /// The files of our certificate, if there are any.
    pub fn certificate(&self) -> Option<Files> {
        let (chain, key) = self.tls_cert.clone().zip(self.tls_key.clone())?;
        Some(Files { chain, key })
    }
}

/// Why a text is no address to listen on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("write an IP address and a port, such as `127.0.0.1:8080`, or `0.0.0.0:8080` for all")]
pub struct InvalidListen;

/// Reads an address to listen on.
///
/// # Errors
/// [`InvalidListen`].
pub fn address(text: &str) -> Result<SocketAddr, InvalidListen> {
    text.parse().map_err(|_form| InvalidListen)
}

/// Why a text is no name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
enum InvalidName {
    #[error("write 1 to {NAME_BYTES_MAX} visible ASCII characters")]
    Proxy,
    #[error("write a host's name, or its IP address")]
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

fn secret(text: &str) -> Result<Secret, Infallible> {
    Ok(Secret::new(text))
}

#[cfg(test)]
mod tests;
