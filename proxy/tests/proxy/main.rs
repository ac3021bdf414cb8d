//! The proxy from outside: real sockets, simulated model servers behind it.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test that cannot go on has failed"
)]
#![expect(clippy::needless_pass_by_value, reason = "tables are written where they are passed")]

mod support;
mod actors;
mod authentication;
mod large_prompts;
mod retries;
mod limits;
mod identity_headers;
mod providers;
mod model_lists;
mod hostile;
mod model_routing;
mod streaming;
mod broken_replies;
mod cancellation;
mod usage_events;
mod shutdown;
mod admin;
mod operator;
mod pushed;
mod copied;
mod pushed_cost;
mod program;
mod entries;
