//! Programs: how to start and how to stop them.

use std::ffi::OsString;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::clock;
use crate::error::BenchError;
use crate::process;

/// How long a program may take to end after SIGTERM before it is killed.
const STOP_MS_MAX: u64 = 60_000;
const POLL_NS: u64 = 1_000_000;
const NS_PER_MS: u64 = 1_000_000;

/// A program and its arguments.
#[derive(Clone, Debug)]
pub(crate) struct CommandLine {
    pub(crate) program: PathBuf,
    pub(crate) arguments: Vec<OsString>,
}

impl CommandLine {
    /// The program with `arguments`.
    pub(crate) fn new<A: Into<OsString>>(
        program: impl Into<PathBuf>,
        arguments: impl IntoIterator<Item = A>,
    ) -> Self {
        let arguments = arguments.into_iter().map(Into::into).collect();
        Self { program: program.into(), arguments }
    }

    /// The same program, run by another one (`taskset`, `valgrind`, `strace`).
    pub(crate) fn under(self, runner: Self) -> Self {
        let mut arguments = runner.arguments;
        arguments.push(self.program.into_os_string());
        arguments.extend(self.arguments);
        Self { program: runner.program, arguments }
    }

    /// The same program on one processor only.
    pub(crate) fn pinned(self, cpu: usize) -> Self {
        self.under(Self::new("taskset", [String::from("-c"), cpu.to_string()]))
    }

    /// Starts it; what it prints goes to `log`.
    pub(crate) fn start(&self, log: &Path) -> Result<RunningProgram, BenchError> {
        let file = |source| BenchError::File { path: log.to_owned(), source };
        let out = File::options().create(true).append(true).open(log).map_err(file)?;
        let err = out.try_clone().map_err(file)?;
        let child = Command::new(&self.program)
            .args(&self.arguments)
            .stdin(Stdio::null())
            .stdout(out)
            .stderr(err)
            .spawn()
            .map_err(|source| BenchError::Start { program: self.program.clone(), source })?;
        Ok(RunningProgram { child })
    }

    /// The first line that the program prints.
    pub(crate) fn first_line(&self) -> String {
        let output = Command::new(&self.program).args(&self.arguments).output();
        let Ok(output) = output else { return String::from("unknown") };
        let text = if output.stdout.is_empty() { output.stderr } else { output.stdout };
        String::from_utf8_lossy(&text).lines().next().unwrap_or("unknown").to_owned()
    }
}

/// A started program, ended when this is dropped.
pub(crate) struct RunningProgram {
    child: Child,
}

impl RunningProgram {
    /// Its process id.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends SIGTERM to it or, when a runner only watches, to what it runs; waits for the end.
    pub(crate) fn stop(&mut self, whom: StopTarget) {
        let pid = match whom {
            StopTarget::Itself => self.pid(),
            StopTarget::Watched => process::tree(self.pid()).get(1).copied().unwrap_or(self.pid()),
        };
        if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) {
            // It may have ended by itself.
            let _ = kill_process(pid, Signal::TERM);
        }
        let deadline_ns = clock::now_ns().saturating_add(STOP_MS_MAX * NS_PER_MS);
        while clock::now_ns() < deadline_ns {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return;
            }
            std::thread::sleep(Duration::from_nanos(POLL_NS));
        }
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Which process gets the signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StopTarget {
    /// The process that was started.
    Itself,
    /// Its first child, because the process started only watches (strace).
    Watched,
}

impl Drop for RunningProgram {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            self.stop(StopTarget::Itself);
        }
    }
}
