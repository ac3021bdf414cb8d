//! The downloader from outside: the program, real folders, and a hub that misbehaves on demand.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that cannot go on has failed"
)]

mod hub;
mod program;
mod downloading;
mod markers;
mod transfers;
mod hostile;
mod encryption;
mod refusals;
mod room;
mod stopping;
mod sharing;
mod crashes;
mod copying;
