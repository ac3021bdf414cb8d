//! The program around a gateway: arguments, logs, signals, listeners, files that change.

#[cfg(feature = "control-plane")]
pub mod cli;
pub mod error;
#[cfg(feature = "control-plane")]
pub mod serve;
#[cfg(feature = "control-plane")]
pub mod table;
pub mod explain;
pub mod admin_client;
pub mod http_client;
pub mod servers;
pub mod signals;
pub mod certificate;
pub mod file_watcher;
pub mod ledger;
pub mod logging;
