//! A simulated vLLM for the demo, the tests and load tests.
//!
//! It answers like vLLM 0.32 in what a gateway can see: bodies field by field, streams
//! event by event, errors, queueing, the prefix cache, metrics, what happens when a client
//! leaves. It can also play an OpenAI provider, and it can fail in the ways networks and
//! servers fail. Everything it says follows from its seed and the prompt.

mod clock;
mod tasks;
mod config;
mod handle;
mod server;
mod exchange;
mod serve;
mod shared;
mod stored_responses;
mod wire;
mod body;
mod fault;
mod received;
mod state;
mod api;
mod engine;
mod cache;
mod text;
mod token;
mod metrics;

pub use config::{Config, Overload, Role};
pub use fault::{Fault, Injection, InvalidFault};
pub use handle::{Sim, WAIT_MAX, WaitTimeout};
pub use received::{Ended, Received};
pub use state::State;
pub use wire::Ending;
