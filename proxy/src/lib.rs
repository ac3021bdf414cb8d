//! The data plane: authenticate, authorize, route, relay, account.
//!
//! [`server`] accepts connections, [`gateway`] serves each request, and a request passes the ten
//! stages of [`stage`]. They decide by [`tables`], which are replaced while requests run.

pub mod server;
pub mod gateway;
pub mod request;
pub mod stage;
pub mod response;
pub mod auth;
pub mod upstream;
pub mod body;
pub mod usage;
pub mod limit;
pub mod tables;
#[cfg(feature = "control-plane")]
pub mod control_plane;
pub mod metrics;
pub mod admin;
pub mod tls;
pub mod clock;
pub mod random_id;
pub mod app;
