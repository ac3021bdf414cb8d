//! A program under measurement, and how to talk to it.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use crate::client::Connection;
use crate::clock;
use crate::command::{CommandLine, RunningProgram};
use crate::error::{BenchError, ExchangeError};
use crate::prompt::{PATH, Prompt};

/// How long a program may take to answer with a 200; under valgrind everything is 50 times slower.
const READY_MS_MAX: u64 = 120_000;
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

impl Target {
    /// A whole request of `body_bytes`, or as short as it can be.
    pub(crate) fn request(&self, prompt: Prompt, body_bytes: usize) -> Vec<u8> {
        let body = prompt.body(body_bytes);
        let mut head = format!(
            "POST {PATH} HTTP/1.1\r\nHost: {}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n",
            self.address,
            body.len()
        );
        for (name, value) in &self.headers {
            // Writing to a `String` cannot fail.
            let _ = write!(head, "{name}: {value}\r\n");
        }
        head.push_str("\r\n");
        head.push_str(&body);
        head.into_bytes()
    }

    /// Waits for the first 200 and returns when it came.
    pub(crate) async fn wait_until_ready(&self, log: &Path) -> Result<u64, BenchError> {
        let request = self.request(Prompt::Chat, 0);
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

/// A running target; without a program for the mock, which all targets share.
pub(crate) struct RunningTarget {
    pub(crate) target: Target,
    pub(crate) running: Option<RunningProgram>,
}
