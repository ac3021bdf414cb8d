//! Proxy and key manager in one process, for one machine.
//!
//! What it knows comes from a configuration file and a data folder, both watched; everything
//! else is the proxy's and the key manager's own.

pub mod cli;
pub mod command;
pub mod config;
pub mod demo;
pub mod follow;
pub mod http;
pub mod ledger;
pub mod logging;
pub mod node;
pub mod serve;
pub mod signals;
pub mod upstream;
pub mod watch;
pub mod welcome;
