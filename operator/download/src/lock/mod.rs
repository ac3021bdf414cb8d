//! One writer per volume, also where machines share it.
//!
//! The lock is `flock` on `.llm-download/lock`: the kernel frees it when its holder dies, whatever
//! the cause. On some file systems `flock` fails, and on some it excludes only processes of one
//! machine and does not say so. So each holder also has a folder of its own, `work-ID`, with a
//! heartbeat, and a process becomes the holder only while every other such folder is *abandoned*:
//!
//! - released: its holder said that it writes no more; or
//! - dead: its holder had `flock` on this very kernel and mount, and now we have it; or
//! - stale: its heartbeat has not changed for `takeover_after` by our own monotonic clock.
//!
//! Each of several that try at once first makes its folder and then looks for others, so that at
//! least one sees the other, and gives way.
//!
//! A stale holder may only be asleep. Therefore partial files are in the holder's folder, what is
//! published is renamed out of it, what is removed is renamed into it, and a new holder removes
//! all other folders before it does anything else (fencing). One that wakes up finds its folder
//! gone, and can neither publish nor remove a file. All this needs is an atomic `rename`.

mod file_lock;
mod heartbeat;
mod acquire;
mod volume_lock;

pub(crate) use acquire::{LockConfig, acquire};
pub(crate) use volume_lock::VolumeLock;

#[cfg(test)]
mod tests;
