//! A whole installation: operators and proxies as programs, on a real control plane.
//!
//! Tests and measurements start one, make resources in it, and look from outside: at what callers
//! are answered, at what the programs count, and at what the API server was asked. Each program has
//! an address of its own on loopback, as each pod has one in a cluster; the proxies see a hosts
//! file in which the operators' name has the addresses of those that run.

pub mod clock;
pub mod programs;
pub mod process;
mod names;
pub mod installation;
pub mod operator;
pub mod proxy;
pub mod resources;
pub mod caller;
pub mod load;
pub mod reach;
pub mod metrics;
pub mod figures;
