//! Keys on a real API server, through the library and through the program.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that cannot go on has failed"
)]

mod support;
mod life;
mod races;
mod program;
mod access;
