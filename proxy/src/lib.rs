//! The gateway's data plane: authenticate, authorize, route, relay, account.
//!
//! A request passes the ten stages of [`stage`], led by [`gateway`]. What they decide by is in
//! [`tables`], swapped whole while requests run.

pub mod clock;
pub mod ids;
pub mod server;
pub mod gateway;
pub mod ask;
pub mod attempt;
pub mod exchange;
pub mod halt;
pub mod rejection;
pub mod stage;
pub mod answer;
pub mod explain;
pub mod tables;
pub mod feed;
pub mod keyring;
pub mod uses;
pub mod oidc;
pub mod balance;
pub mod limit;
pub mod upstream;
pub mod responses;
pub mod usage;
pub mod json;
pub mod splice;
pub mod multipart;
pub mod tls;
pub mod metrics;
pub mod admin;
pub mod program;
