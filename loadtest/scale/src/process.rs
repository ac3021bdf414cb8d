//! A program that runs as a process of its own, and ends with this one.

use crate::clock;
use anyhow::{Context, bail};
use rustix::process::{Pid, Signal, kill_process};
use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    time::Duration,
};

/// Between two looks at a process that ends.
const LOOK: Duration = Duration::from_millis(10);
/// Ticks of `/proc/PID/stat` per second: `USER_HZ`, which is 100 on every Linux of today.
const TICK: Duration = Duration::from_millis(10);
/// Where `utime` stands in `/proc/PID/stat`, counted behind the command's closing parenthesis.
const UTIME_FIELD: usize = 11;

/// A process; it is killed when this is dropped, and when this program dies.
#[derive(Debug)]
pub struct Process {
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts a program with nothing but these variables. What it writes goes to the end of `log`.
    ///
    /// # Errors
    /// If it cannot be started.
    pub fn start<'a>(
        program: &Path,
        arguments: impl IntoIterator<Item = &'a str>,
        variables: impl IntoIterator<Item = (&'a str, String)>,
        log: &Path,
    ) -> anyhow::Result<Self> {
        let doing = || format!("starting {}", program.display());
        let output = File::options().create(true).append(true).open(log).with_context(doing)?;
        let child = Command::new("setpriv")
            .args(["--pdeathsig", "KILL"])
            .arg(program)
            .args(arguments)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .envs(variables)
            .stdin(Stdio::null())
            .stdout(output.try_clone().with_context(doing)?)
            .stderr(output)
            .spawn()
            .with_context(doing)?;
        Ok(Self { child, log: log.to_owned() })
    }

    /// What it has written so far, both streams, and what its predecessors with this log did.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub fn log(&self) -> anyhow::Result<String> {
        fs::read_to_string(&self.log).with_context(|| format!("reading {}", self.log.display()))
    }

    /// Whether it runs.
    pub fn runs(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Tells it to stop.
    ///
    /// # Errors
    /// If it has ended already.
    pub fn terminate(&self) -> anyhow::Result<()> {
        let id = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        kill_process(id.context("a process without a number")?, Signal::TERM)
            .context("telling a process to stop")
    }

    /// Waits until it has ended.
    ///
    /// # Errors
    /// If it has not by then.
    pub async fn ended(&mut self, deadline: Duration) -> anyhow::Result<ExitStatus> {
        let end = clock::now() + deadline;
        loop {
            if let Some(status) = self.child.try_wait().context("waiting for a process")? {
                return Ok(status);
            }
            if end <= clock::now() {
                bail!("process {} did not end within {deadline:?}", self.child.id());
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Kills it, which it cannot notice.
    pub fn kill(&mut self) {
        // It may have ended by itself.
        drop(self.child.kill());
        drop(self.child.wait());
    }

    /// The time it has had a processor, its own and the kernel's, in steps of 10 ms.
    ///
    /// # Errors
    /// If it has ended.
    pub fn cpu(&self) -> anyhow::Result<Duration> {
        let stat = self.read("stat")?;
        let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
        let ticks = fields.skip(UTIME_FIELD).take(2).filter_map(|field| field.parse::<u32>().ok());
        Ok(TICK * ticks.sum::<u32>())
    }

    /// The memory that counts as its own, in bytes: its proportional set size.
    ///
    /// # Errors
    /// If it has ended.
    pub fn memory(&self) -> anyhow::Result<u64> {
        let rollup = self.read("smaps_rollup")?;
        let kib = rollup.lines().find_map(|line| line.strip_prefix("Pss:"));
        let kib = kib.and_then(|text| text.split_whitespace().next()?.parse::<u64>().ok());
        Ok(kib.context("the kernel does not say a process's memory")? * 1024)
    }

    fn read(&self, file: &str) -> anyhow::Result<String> {
        let path = format!("/proc/{}/{file}", self.child.id());
        fs::read_to_string(&path).with_context(|| format!("reading {path}"))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}
