//! The last good table on disk: a proxy that starts without an operator serves it.

pub mod journal;
mod dir;
mod writer;

pub use dir::{CacheDir, CacheError, CachedTable};
pub use writer::TableCache;

#[cfg(test)]
mod tests;
