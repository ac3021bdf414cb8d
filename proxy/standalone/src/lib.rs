//! Proxy and key manager in one process, for one machine.
//!
//! What it knows comes from a configuration file and a data folder, both watched; everything
//! else is the proxy's and the key manager's own.

pub mod cli;
pub mod command;
pub mod config;
pub mod demo;
pub mod follow;
pub mod node;
pub mod serve;
pub mod upstream;
pub mod welcome;

pub use llm_proxy::app::{http, ledger, logging, signals, watch};
