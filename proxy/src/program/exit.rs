//! What the exit code says; sysexits' numbers.

use std::process::ExitCode;

/// How a program ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// 0: done.
    Done,
    /// 64: wrong usage.
    Usage,
    /// 65: a bad configuration, or damaged data.
    Config,
    /// 69: a port, a server or a file is not available.
    Unavailable,
    /// 70: a defect of ours.
    Defect,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(match exit {
            Exit::Done => 0,
            Exit::Usage => 64,
            Exit::Config => 65,
            Exit::Unavailable => 69,
            Exit::Defect => 70,
        })
    }
}
