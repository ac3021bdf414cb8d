//! The programs that are measured.

mod files;
pub(crate) mod gateway;
mod measured;
pub(crate) mod peers;

pub(crate) use measured::{RunningTarget, Target};
