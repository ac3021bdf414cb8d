//! The push from outside: real sockets, TLS, and proxies that speak the protocol.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;
mod updates;
mod proxy_state;
mod tokens;
mod hostile;
mod preauth_limit;
mod certificates;
mod cost;
