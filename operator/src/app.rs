//! The program: command line, configuration, metrics, admin listener, and the tasks that run.

pub mod cli;
pub mod command;
pub mod config;
pub mod settings;
pub mod run;
pub mod admin;
pub mod metrics;
pub mod telemetry;
