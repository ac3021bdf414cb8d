//! What is told: how far it is on standard error, the figures on standard output at the end.

use llm_scale::clock;
use std::{
    io::{self, Write as _},
    time::{Duration, Instant},
};

/// Figures, each with what it is of and what it should be.
pub(crate) struct Report {
    began: Instant,
    rows: Vec<[String; 3]>,
}

impl Report {
    pub(crate) fn begin() -> Self {
        Self { began: clock::now(), rows: Vec::new() }
    }

    /// Says how far it is.
    pub(crate) fn at(&self, what: &str) {
        let elapsed = (clock::now() - self.began).as_secs();
        // Nobody is left to tell if this fails.
        drop(writeln!(io::stderr(), "{elapsed:5} s  {what}"));
    }

    pub(crate) fn row(&mut self, what: &str, figure: &str, goal: &str) {
        self.at(&format!("{what}: {figure}"));
        self.rows.push([what, figure, goal].map(str::to_owned));
    }

    pub(crate) fn write(&self) -> io::Result<()> {
        let mut out = io::stdout().lock();
        writeln!(out, "| | | goal |\n|---|---|---|")?;
        for [what, figure, goal] in &self.rows {
            writeln!(out, "| {what} | {figure} | {goal} |")?;
        }
        Ok(())
    }
}

/// Milliseconds, for people.
pub(crate) fn ms(duration: Duration) -> String {
    format!("{:.1} ms", duration.as_secs_f64() * 1e3)
}

/// Mebibytes, for people.
pub(crate) fn mib(bytes: u64) -> String {
    format!("{} MiB", bytes >> 20)
}
