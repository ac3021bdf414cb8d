//! Proxy and key manager in one process, for one machine.
//!
//! Its state is a configuration file and a data folder, both watched; everything else is the
//! proxy's and the key manager's.

pub mod cli;
pub mod error;
pub mod command;
pub mod config;
pub mod demo;
pub mod serve;
pub mod model_server;
pub mod running;
pub mod reload;
pub mod banner;

pub use llm_proxy::app::{file_watcher, http_client, ledger, logging, signals};
