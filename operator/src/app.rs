//! The program: arguments, configuration, listeners, metrics, and what runs.

pub mod cli;
pub mod command;
pub mod config;
pub mod settings;
pub mod run;
pub mod admin;
pub mod metrics;
pub mod telemetry;
