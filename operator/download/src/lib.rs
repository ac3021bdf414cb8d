//! Fetches the weights of a model onto a volume once, safely.
//!
//! ```text
//! survey ──► lock ──► verify ──► room? ──► fetch ──► publish
//!   │          └─ waits for the one writer, or finds that it has done the work
//!   └─ a complete marker of the same weights: nothing to do
//! ```
//!
//! A file appears under its name only whole and verified; the marker appears only after every
//! file. What a stopped download leaves is resumed by the next one.

mod checksum;
pub mod cli;
mod clock;
mod failure;
mod fetch;
mod filter;
mod folder;
mod hub;
mod lock;
mod name;
mod part;
mod progress;
mod report;
mod retry;
mod run;
mod stop;
mod tally;
mod volume;
mod weights;

pub use failure::{Exit, Failure};
pub use progress::{InvalidProgress, Progress, State};
pub use report::report;
pub use run::{Job, run};
