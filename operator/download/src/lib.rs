//! Downloads the weights of a model onto a volume once, safely.
//!
//! ```text
//! volume status ──► lock ──► verify ──► enough space? ──► fetch ──► commit
//!        │            └─ waits for the one writer, or finds its work done
//!        └─ a marker of the same weights: nothing to do
//! ```
//!
//! A file appears at its path only complete and verified, and the marker only after all files. A
//! download that was interrupted is resumed by the next one.

mod checksum;
pub mod cli;
mod clock;
mod error;
mod fetch;
mod filter;
mod folder;
mod fs;
mod hub;
mod lock;
mod manifest;
mod name;
mod output;
mod part;
mod progress;
mod progress_reporter;
mod run;
mod volume;

pub use error::{DownloadError, ExitStatus};
pub use output::report;
pub use progress::{Progress, State};
pub use run::{Downloader, run};
