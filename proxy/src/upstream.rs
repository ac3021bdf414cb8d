//! Endpoints: addresses, connections, health, load balancing.

pub mod endpoint;
pub mod address_policy;
pub mod connection;
pub mod error;
pub mod balance;
pub mod health;
pub mod probe;

pub use address_policy::AddressPolicy;
pub use endpoint::Endpoint;
pub use error::UpstreamError;
