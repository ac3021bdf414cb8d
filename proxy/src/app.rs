//! What programs need around a gateway: arguments, logs, signals, listeners, files that change.

pub mod logging;
pub mod signals;
pub mod http;
pub mod watch;
pub mod ledger;
pub mod serving;
pub mod admin;
pub mod explain;
pub mod cli;
pub mod serve;
pub mod certificate;
pub mod table;
pub mod failure;
