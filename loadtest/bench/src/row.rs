//! The raw rows: one JSON object a line, so that anyone can compute anew.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use serde::Serialize;

use crate::error::BenchError;
use crate::load::LoadReport;
use crate::stats::{histogram, quantile_ns};

/// What was measured once.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "row", rename_all = "snake_case")]
pub(crate) enum Row {
    /// Where and with what; first in the file.
    Setup { version: &'static str, machine: String, arguments: Vec<String> },
    /// A target, its version and its configuration.
    Target { target: &'static str, version: String, configuration: String },
    /// From the start of the program to its first 200.
    Start { target: &'static str, attempt: u32, first_200_ns: u64 },
    /// Proportional set size around the idle streams.
    Memory(Memory),
    /// One slice of load.
    Slice(Slice),
    /// One count under valgrind or strace.
    Count { target: &'static str, what: &'static str, connections: u64, requests: u64, total: u64 },
}

/// Memory of one target in KiB.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Memory {
    pub(crate) target: &'static str,
    pub(crate) streams: usize,
    pub(crate) before_kib: u64,
    pub(crate) with_streams_kib: u64,
    pub(crate) after_kib: u64,
    pub(crate) settle_s: u64,
}

/// What one slice of load saw.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Slice {
    pub(crate) round: u32,
    pub(crate) scenario: &'static str,
    pub(crate) target: &'static str,
    pub(crate) elapsed_ns: u64,
    pub(crate) cpu_ns: u64,
    pub(crate) requests: u64,
    pub(crate) events: u64,
    pub(crate) errors: u64,
    pub(crate) latency_p50_ns: Option<u64>,
    pub(crate) latency_p99_ns: Option<u64>,
    pub(crate) first_event_p50_ns: Option<u64>,
    pub(crate) delay_p50_ns: Option<u64>,
    pub(crate) delay_p99_ns: Option<u64>,
    pub(crate) delay_max_ns: Option<u64>,
    /// Delays by the classes of [`crate::stats::CLASS_ENDS_US`].
    pub(crate) delay_histogram: Vec<u64>,
}

impl Slice {
    /// Sums up what the load saw.
    pub(crate) fn new(
        (round, scenario, target): (u32, &'static str, &'static str),
        (elapsed_ns, cpu_ns): (u64, u64),
        report: &LoadReport,
    ) -> Self {
        Self {
            round,
            scenario,
            target,
            elapsed_ns,
            cpu_ns,
            requests: report.requests,
            events: report.events,
            errors: report.errors,
            latency_p50_ns: quantile_ns(&report.latencies_ns, 500),
            latency_p99_ns: quantile_ns(&report.latencies_ns, 990),
            first_event_p50_ns: quantile_ns(&report.first_events_ns, 500),
            delay_p50_ns: quantile_ns(&report.delays_ns, 500),
            delay_p99_ns: quantile_ns(&report.delays_ns, 990),
            delay_max_ns: quantile_ns(&report.delays_ns, 1000),
            delay_histogram: histogram(&report.delays_ns).to_vec(),
        }
    }
}

/// The file of rows.
pub(crate) struct Rows {
    out: BufWriter<File>,
}

impl Rows {
    /// Starts a new file.
    pub(crate) fn create(path: &Path) -> Result<Self, BenchError> {
        let file = File::create(path)
            .map_err(|source| BenchError::File { path: path.to_owned(), source })?;
        Ok(Self { out: BufWriter::new(file) })
    }

    /// Writes a row at once, so that a run that is cut short leaves what it has.
    pub(crate) fn push(&mut self, row: &Row) -> Result<(), BenchError> {
        let mut line = serde_json::to_vec(row).map_err(|source| BenchError::Row { source })?;
        line.push(b'\n');
        let written = self.out.write_all(&line).and_then(|()| self.out.flush());
        written.map_err(|source| BenchError::Report { source })
    }
}
