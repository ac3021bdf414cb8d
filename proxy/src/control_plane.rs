//! The connection to the operator: receives its route table, applies it, and keeps a copy on disk.

pub mod address;
pub mod config;
pub mod client;
mod stream;
pub mod reassembly;
pub mod replica;
mod applier;
pub mod cache;
mod metrics;
mod status_page;

pub use applier::TableApplier;
pub use status_page::router;
