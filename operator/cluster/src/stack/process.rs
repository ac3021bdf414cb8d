//! A program that runs as a process of its own, and ends with this one.

use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context as _, bail};
use rustix::process::{Pid, Signal, kill_process};

use crate::{client::http_client, clock};

/// How long anything may take on a busy machine.
pub const DEADLINE: Duration = Duration::from_secs(60);
const POLL_INTERVAL: Duration = Duration::from_millis(10);
/// Ticks of `/proc/PID/stat` per second: `USER_HZ`, which is 100 on every Linux of today.
const TICK: Duration = Duration::from_millis(10);
/// Where `utime` stands in `/proc/PID/stat`, counted behind the command's closing parenthesis.
const UTIME_FIELD: usize = 11;

/// A process; killed when this is dropped, and when this program dies.
#[derive(Debug)]
pub struct Process {
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts a program with only these variables, appending both streams to `log`.
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

    /// Its log, with that of earlier processes with the same file.
    pub fn log(&self) -> anyhow::Result<String> {
        fs::read_to_string(&self.log).with_context(|| format!("reading {}", self.log.display()))
    }

    pub fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Sends SIGTERM.
    pub fn terminate(&self) -> anyhow::Result<()> {
        let id = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        kill_process(id.context("a process without a number")?, Signal::TERM)
            .context("sending SIGTERM")
    }

    /// Waits until it exits.
    pub async fn wait(&mut self) -> anyhow::Result<ExitStatus> {
        let end = clock::now() + DEADLINE;
        loop {
            if let Some(status) = self.child.try_wait().context("waiting for a process")? {
                return Ok(status);
            }
            if end <= clock::now() {
                bail!("process {} did not exit within {DEADLINE:?}", self.child.id());
            }
            tokio::time::sleep(POLL_INTERVAL).await;
        }
    }

    /// Waits until `/readyz` on its admin listener answers; the error has the end of its log.
    pub(crate) async fn wait_until_ready(&mut self, admin: SocketAddr) -> anyhow::Result<()> {
        let ready = self.poll_readiness(admin).await;
        ready.map_err(|error| match self.log() {
            Ok(log) => error.context(format!("the log ends with: {}", tail(&log))),
            Err(_unread) => error,
        })
    }

    async fn poll_readiness(&mut self, admin: SocketAddr) -> anyhow::Result<()> {
        let end = clock::now() + DEADLINE;
        let url = format!("http://{admin}/readyz");
        let client = http_client()?;
        loop {
            let response = client.get(&url).timeout(DEADLINE).send().await;
            if response.is_ok_and(|response| response.status().is_success()) {
                return Ok(());
            }
            if !self.is_running() {
                bail!("the process ended before {url} was ready");
            }
            if end <= clock::now() {
                bail!("{url} is not ready within {DEADLINE:?}");
            }
            tokio::time::sleep(POLL_INTERVAL).await;
        }
    }

    /// Sends SIGKILL and waits for its end.
    pub fn kill(&mut self) {
        // It may have ended by itself.
        drop(self.child.kill());
        drop(self.child.wait());
    }

    /// CPU time so far, user and system, in steps of 10 ms.
    pub fn cpu_time(&self) -> anyhow::Result<Duration> {
        let stat = self.read_proc("stat")?;
        let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
        let ticks = fields.skip(UTIME_FIELD).take(2).filter_map(|field| field.parse::<u32>().ok());
        Ok(TICK * ticks.sum::<u32>())
    }

    /// Proportional set size, in bytes.
    pub fn memory_bytes(&self) -> anyhow::Result<u64> {
        let rollup = self.read_proc("smaps_rollup")?;
        let kib = rollup.lines().find_map(|line| line.strip_prefix("Pss:"));
        let kib = kib.and_then(|text| text.split_whitespace().next()?.parse::<u64>().ok());
        Ok(kib.context("smaps_rollup has no Pss")? * 1024)
    }

    fn read_proc(&self, file: &str) -> anyhow::Result<String> {
        let path = format!("/proc/{}/{file}", self.child.id());
        fs::read_to_string(&path).with_context(|| format!("reading {path}"))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

pub(crate) fn utf8(path: &Path) -> &str {
    path.to_str().unwrap_or_default()
}

fn tail(log: &str) -> &str {
    const BYTES: usize = 4000;
    let start = log.ceil_char_boundary(log.len().saturating_sub(BYTES));
    log.get(start..).unwrap_or_default()
}
