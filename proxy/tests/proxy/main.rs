//! The proxy from outside: real sockets, simulated model servers behind it.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;
mod model_routing;
