//! The push from outside: real sockets, TLS, and proxies that speak the protocol.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;
mod following;
mod in_force;
mod tokens;
mod hostile;
mod strangers;
mod certificates;
mod cost;
