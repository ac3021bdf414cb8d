//! The program from outside: a child process on ports and folders of its own, simulated model
//! servers behind it.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test that cannot go on has failed"
)]

mod support;
mod upstream;
mod reload;
mod certificate;
mod keys;
mod refusals;
mod explain;
mod usage;
mod shutdown;
mod demo;
mod secrets;
mod readme;
