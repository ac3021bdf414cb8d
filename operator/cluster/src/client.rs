//! Clients of the proxies, and what they measure.

mod durations;
mod gateway_client;
mod http;
mod load;
mod metrics;
mod propagation;

pub use durations::Durations;
pub use gateway_client::{GatewayClient, StreamReport};
pub(crate) use http::http_client;
pub use load::{LoadGenerator, LoadReport};
pub use metrics::Metrics;
pub use propagation::wait_for_status;
