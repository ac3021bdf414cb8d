//! The push as a whole: operators and proxies as programs, on a real control plane without nodes.
//! Clients send requests all the time, and none may fail, whatever happens to operators and API
//! server.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test that cannot go on has failed, and measurements are printed"
)]

mod support;
mod link;
mod changes;
mod keys;
mod restarts;
mod leaders;
mod kills;
mod tokens;
mod api_server;
mod neighbours;
mod nonsense;
mod silence;
mod size;
