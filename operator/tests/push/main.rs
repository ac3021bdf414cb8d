//! The push as a whole: operators and proxies as programs, on a real control plane without nodes.
//! Callers ask all the time, and whatever happens to operators and API server, none may notice.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test that cannot go on has failed, and what was measured is told"
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
