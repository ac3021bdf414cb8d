//! The commands that start no gateway. Output, clock and random bytes are arguments.

pub mod check;
pub mod config_schema;
pub mod data_dir;
pub mod keys;
pub mod usage;
