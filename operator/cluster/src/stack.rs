//! Operators and proxies as processes against a control plane.

mod environment;
mod installation;
mod network;
mod objects;
mod operator;
mod process;
mod programs;
mod proxy;

pub use installation::{Installation, PROXY_SERVICE_ACCOUNT, TOKEN_AUDIENCE};
pub use operator::Operator;
pub use process::{DEADLINE, Process};
pub use programs::Programs;
pub use proxy::{Proxy, external_addresses};
