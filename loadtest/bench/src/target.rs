//! What is measured: a program, how to start it and how to talk to it.

pub(crate) mod gateway;
pub(crate) mod peers;

use std::ffi::OsString;
use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::client::Connection;
use crate::clock;
use crate::error::{BenchError, ExchangeError};
use crate::prompt::Prompt;

/// How long a program may take to answer with a 200; under valgrind everything is 50 times slower.
const READY_MS_MAX: u64 = 120_000;
/// How long a program may take to end after SIGTERM before it is killed.
const STOP_MS_MAX: u64 = 60_000;
const POLL_NS: u64 = 1_000_000;
const NS_PER_MS: u64 = 1_000_000;

/// A program to measure.
pub(crate) struct Target {
    /// Its name in tables and rows.
    pub(crate) name: &'static str,
    /// `None` for the mock upstream itself, which is running anyway.
    pub(crate) command: Option<CommandLine>,
    /// Where it answers.
    pub(crate) address: SocketAddr,
    /// What every request must carry; holds a key, so it is never printed.
    pub(crate) headers: Vec<(&'static str, String)>,
    /// What its version command says.
    pub(crate) version: String,
    /// Its configuration, for the record.
    pub(crate) configuration: String,
}

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
    ///
    /// # Errors
    ///
    /// When the program or the log cannot be opened.
    pub(crate) fn start(&self, log: &Path) -> Result<Running, BenchError> {
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
        Ok(Running { child })
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
pub(crate) struct Running {
    child: Child,
}

impl Running {
    /// Its process id.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends SIGTERM to it or, when a runner only watches, to what it runs; waits for the end.
    pub(crate) fn stop(&mut self, whom: Stop) {
        let pid = match whom {
            Stop::Itself => self.pid(),
            Stop::Watched => crate::process::tree(self.pid()).get(1).copied().unwrap_or(self.pid()),
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

/// Who is told to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stop {
    /// The process that was started.
    Itself,
    /// Its first child, because the process started only watches (strace).
    Watched,
}

impl Drop for Running {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            self.stop(Stop::Itself);
        }
    }
}

impl Target {
    /// Waits for the first 200 and returns when it came.
    ///
    /// # Errors
    ///
    /// When there is none in time.
    pub(crate) async fn ready(&self, log: &Path) -> Result<u64, BenchError> {
        let request = Prompt::Chat.request(self, 0);
        let deadline_ns = clock::now_ns().saturating_add(READY_MS_MAX * NS_PER_MS);
        let mut last = None;
        while clock::now_ns() < deadline_ns {
            match self.try_once(&request).await {
                Ok(()) => return Ok(clock::now_ns()),
                Err(error) => last = Some(error),
            }
            tokio::time::sleep(Duration::from_nanos(POLL_NS)).await;
        }
        let log = log.to_owned();
        let target = self.name;
        Err(BenchError::NotReady { target, waited_ms: READY_MS_MAX, log, source: last })
    }

    async fn try_once(&self, request: &[u8]) -> Result<(), ExchangeError> {
        Connection::open(self.address).await?.exchange(request, &mut Vec::new()).await
    }
}

/// A loopback address that nobody listens on at this moment.
///
/// # Errors
///
/// When the kernel has none.
pub(crate) fn free_address() -> Result<SocketAddr, BenchError> {
    let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let listener = TcpListener::bind(any).and_then(|listener| listener.local_addr());
    listener.map_err(|source| BenchError::Listen { address: any, source })
}

/// Writes a generated file.
///
/// # Errors
///
/// When it cannot be written.
pub(crate) fn write(path: &Path, text: &str) -> Result<(), BenchError> {
    std::fs::write(path, text).map_err(|source| BenchError::File { path: path.to_owned(), source })
}
