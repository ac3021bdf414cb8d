//! Progress on standard error, and the results on standard output at the end.

use llm_cluster::clock;
use std::{
    io::{self, Write as _},
    time::{Duration, Instant},
};

/// Results, each with what was measured and its goal.
pub(crate) struct ResultTable {
    start: Instant,
    rows: Vec<[String; 3]>,
}

impl ResultTable {
    pub(crate) fn new() -> Self {
        Self { start: clock::now(), rows: Vec::new() }
    }

    pub(crate) fn progress(&self, what: &str) {
        let elapsed = (clock::now() - self.start).as_secs();
        // There is no other place to report that standard error is closed.
        drop(writeln!(io::stderr(), "{elapsed:5} s  {what}"));
    }

    pub(crate) fn row(&mut self, what: &str, result: &str, goal: &str) {
        self.progress(&format!("{what}: {result}"));
        self.rows.push([what, result, goal].map(str::to_owned));
    }

    pub(crate) fn write(&self) -> io::Result<()> {
        let mut out = io::stdout().lock();
        writeln!(out, "| | | goal |\n|---|---|---|")?;
        for [what, result, goal] in &self.rows {
            writeln!(out, "| {what} | {result} | {goal} |")?;
        }
        Ok(())
    }
}

pub(crate) fn ms(duration: Duration) -> String {
    format!("{:.1} ms", duration.as_secs_f64() * 1e3)
}

pub(crate) fn mib(bytes: u64) -> String {
    format!("{} MiB", bytes >> 20)
}
