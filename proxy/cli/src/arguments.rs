//! Arguments that several programs take.

use crate::{InvalidTimeSpec, TimeSpec};
use clap::Args;
use jiff::Timestamp;
use llm_contract::{Group, InvalidKey, KeyId, Secret, SecretKey};
use std::{convert::Infallible, net::SocketAddr, time::Duration};

/// An existing API key.
#[derive(Debug, Args)]
pub struct KeyIdArgs {
    /// The key's id, as `list` shows it
    #[arg(value_parser = KeyId::parse)]
    pub id: KeyId,
}

#[derive(Debug, Args)]
pub struct RotateArgs {
    /// The key's id, as `list` shows it
    #[arg(value_parser = KeyId::parse)]
    pub id: KeyId,
    /// How long the old key stays valid, at most 90d
    #[arg(long, value_name = "DURATION", default_value = "24h",
          value_parser = humantime::parse_duration)]
    pub overlap: Duration,
}

/// What every new API key has, wherever it is stored.
#[derive(Debug, Args)]
pub struct NewKeyArgs {
    /// A name for the key, at most 200 characters
    #[arg(long)]
    pub name: String,
    /// When the key expires: a duration such as 30d, a date such as 2030-01-31 (midnight UTC), or a
    /// time such as 2030-01-31T12:00:00Z [default: never]
    #[arg(long, value_name = "TIME")]
    expires: Option<TimeSpec>,
    /// Groups of the key's owner
    #[arg(long, value_name = "GROUP", value_delimiter = ',', value_parser = Group::parse)]
    pub groups: Vec<Group>,
    /// Concurrent requests allowed [default: unlimited]
    #[arg(long, value_name = "REQUESTS", value_parser = clap::value_parser!(u32).range(1..))]
    pub concurrency: Option<u32>,
}

impl NewKeyArgs {
    pub fn expires_at(&self, now: Timestamp) -> Result<Option<Timestamp>, InvalidTimeSpec> {
        self.expires.map(|expires| expires.after(now)).transpose()
    }
}

/// An API key, by itself or by its id. Each program has its own `variable` for the key.
#[derive(Debug, Args)]
pub struct KeyArgs {
    /// The API key; set it in the environment, where other users of the machine cannot see it
    #[arg(long, hide_env_values = true, value_parser = secret)]
    key: Option<Secret>,
    /// The key's id; takes precedence over the key
    #[arg(long, value_name = "ID", value_parser = KeyId::parse)]
    key_id: Option<KeyId>,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidKeyArgument {
    #[error("which key? Pass --key-id, or set {variable}")]
    Missing { variable: &'static str },
    #[error("`--key`")]
    Key(#[source] InvalidKey),
}

impl KeyArgs {
    /// The id that was passed, else the one in the key. A key in the environment may be there for
    /// other uses, so it is not even parsed if there is an id.
    pub fn key_id(&self, variable: &'static str) -> Result<KeyId, InvalidKeyArgument> {
        if let Some(id) = self.key_id {
            return Ok(id);
        }
        let key = self.key.as_ref().ok_or(InvalidKeyArgument::Missing { variable })?;
        Ok(SecretKey::parse(key.reveal()).map_err(InvalidKeyArgument::Key)?.id())
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("write an IP address and a port, such as `127.0.0.1:8080`, or `0.0.0.0:8080` for all")]
pub struct InvalidListenAddress;

/// Parses an address to listen on.
pub fn listen_address(text: &str) -> Result<SocketAddr, InvalidListenAddress> {
    text.parse().map_err(|_form| InvalidListenAddress)
}

fn secret(text: &str) -> Result<Secret, Infallible> {
    Ok(Secret::new(text))
}
