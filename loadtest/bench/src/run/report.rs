//! The tables on standard output, and the verdict.

use std::io::{self, Write};
use std::path::Path;

use crate::error::BenchError;
use crate::row::{Memory, Slice};
use crate::stats::{CLASS_ENDS_US, Quartiles};

/// No chunk of a paced stream at one connection may be held longer: Nagle's 40 ms is far above.
const HELD_NS_MAX: u64 = 10_000_000;
/// Known to hold nothing back: what they show is the machine, and they are not judged.
const REFERENCES: [&str; 2] = ["direct", "nginx"];
const NS_PER_US: f64 = 1e3;
const NS_PER_MS: f64 = 1e6;
const NS_PER_S: f64 = 1e9;

/// Everything that was measured.
pub(crate) struct Report<'a> {
    /// Names, in the order of the tables.
    pub(crate) targets: &'a [&'static str],
    pub(crate) starts: &'a [(&'static str, u64)],
    pub(crate) memories: &'a [Memory],
    pub(crate) slices: &'a [Slice],
}

/// A figure of one slice.
type Figure = fn(&Slice) -> f64;

impl Report<'_> {
    /// Prints the tables.
    pub(crate) fn print(&self, rows: &Path) -> Result<(), BenchError> {
        let mut out = io::stdout().lock();
        self.write(&mut out, rows).map_err(|source| BenchError::Report { source })?;
        let over = self.held_too_long();
        if over > 0 { Err(BenchError::OverLimit { over }) } else { Ok(()) }
    }

    fn write(&self, out: &mut impl Write, rows: &Path) -> io::Result<()> {
        writeln!(out, "Throughput: median and [quartiles] of per-round figures and ratios")?;
        self.throughput(out)?;
        writeln!(out, "\nCPU of the proxy, µs per request or event, and ratio to nginx")?;
        for (scenario, figure) in CPU_FIGURES {
            self.compare(out, scenario, scenario, figure, Comparison::Ratio)?;
        }
        writeln!(out, "\nOne connection, µs, and difference to nginx per round")?;
        for (label, scenario, figure) in LATENCY_FIGURES {
            self.compare(out, label, scenario, figure, Comparison::Difference)?;
        }
        self.delays(out)?;
        self.memory(out)?;
        self.start(out)?;
        writeln!(out, "\nRaw rows: {}", rows.display())
    }

    fn throughput(&self, out: &mut impl Write) -> io::Result<()> {
        let per_s: Figure = |slice| float(slice.requests) * NS_PER_S / float(slice.elapsed_ns);
        let per_cpu_s: Figure = |slice| float(slice.requests) * NS_PER_S / float(slice.cpu_ns);
        let busy: Figure = |slice| float(slice.cpu_ns) / float(slice.elapsed_ns);
        writeln!(
            out,
            "{:<10}{:>10}{:>7}{:>12}  {:<24}{:<24}{:<24}{:<24}",
            "",
            "req/s",
            "busy",
            "req/CPU s",
            "req/s / nginx",
            "req/s / pingora",
            "req/CPU s / nginx",
            "req/CPU s / pingora"
        )?;
        for target in self.targets.iter().copied() {
            let median = |figure| self.median("throughput", target, figure);
            write!(
                out,
                "{target:<10}{:>10.0}{:>7.2}{:>12}  ",
                median(per_s),
                median(busy),
                finite(median(per_cpu_s))
            )?;
            for figure in [per_s, per_cpu_s] {
                for peer in ["nginx", "pingora"] {
                    let ratios = self.pairs("throughput", target, peer, figure, |a, b| a / b);
                    write!(out, "{:<24}", quartiles(&ratios, 3))?;
                }
            }
            writeln!(out)?;
        }
        Ok(())
    }

    fn compare(
        &self,
        out: &mut impl Write,
        label: &str,
        scenario: &str,
        figure: Figure,
        comparison: Comparison,
    ) -> io::Result<()> {
        writeln!(out, "{label}")?;
        for target in self.targets.iter().copied() {
            let (pairs, digits) = match comparison {
                Comparison::Ratio => {
                    (self.pairs(scenario, target, "nginx", figure, |a, b| a / b), 3)
                }
                Comparison::Difference => {
                    (self.pairs(scenario, target, "nginx", figure, |a, b| a - b), 1)
                }
            };
            let median = self.median(scenario, target, figure);
            writeln!(out, "  {target:<10}{median:>10.1}   {}", quartiles(&pairs, digits))?;
        }
        Ok(())
    }

    fn delays(&self, out: &mut impl Write) -> io::Result<()> {
        writeln!(
            out,
            "\nPaced stream, one connection: time from the mock's write to the read, events by class"
        )?;
        write!(out, "{:<10}", "µs below")?;
        for end in CLASS_ENDS_US {
            write!(out, "{end:>8}")?;
        }
        writeln!(out, "{:>8}{:>12}{:>12}", "more", "p99 µs", "max µs")?;
        for target in self.targets.iter().copied() {
            write!(out, "{target:<10}")?;
            for class in 0..=CLASS_ENDS_US.len() {
                let counts = self.of("stream", target);
                let count: u64 = counts.filter_map(|slice| slice.delay_histogram.get(class)).sum();
                write!(out, "{count:>8}")?;
            }
            let (p99, max) = self.held(target);
            writeln!(out, "{:>12.0}{:>12.0}", float(p99) / NS_PER_US, float(max) / NS_PER_US)?;
        }
        if self.stall_ns() >= HELD_NS_MAX {
            writeln!(out, "The machine stalled (see direct and nginx): only the p99 is judged")?;
        }
        for target in self.targets.iter().filter(|target| self.is_held_too_long(target)) {
            writeln!(
                out,
                "{target}: OVER LIMIT, a chunk was held {} ms or more",
                HELD_NS_MAX / 1_000_000
            )?;
        }
        Ok(())
    }

    fn memory(&self, out: &mut impl Write) -> io::Result<()> {
        let Some(Memory { streams, settle_s, .. }) = self.memories.first() else { return Ok(()) };
        writeln!(out, "\nMemory (PSS, KiB) with {streams} idle streams and {settle_s} s after")?;
        writeln!(
            out,
            "{:<10}{:>10}{:>10}{:>12}{:>10}{:>14}",
            "", "before", "with", "per stream", "after", "after/before"
        )?;
        for memory in self.memories {
            let grown = memory.with_streams_kib.saturating_sub(memory.before_kib);
            let streams = u64::try_from(memory.streams).unwrap_or(u64::MAX);
            writeln!(
                out,
                "{:<10}{:>10}{:>10}{:>12.1}{:>10}{:>14.2}",
                memory.target,
                memory.before_kib,
                memory.with_streams_kib,
                float(grown) / float(streams),
                memory.after_kib,
                float(memory.after_kib) / float(memory.before_kib)
            )?;
        }
        Ok(())
    }

    fn start(&self, out: &mut impl Write) -> io::Result<()> {
        writeln!(out, "\nStart to first 200, ms")?;
        for target in self.targets.iter().copied() {
            let of_target = self.starts.iter().filter(|(name, _)| *name == target);
            let figures: Vec<f64> = of_target.map(|(_, ns)| float(*ns) / NS_PER_MS).collect();
            if !figures.is_empty() {
                writeln!(out, "  {target:<10}{}", quartiles(&figures, 1))?;
            }
        }
        Ok(())
    }

    fn of<'a>(&'a self, scenario: &'a str, target: &'a str) -> impl Iterator<Item = &'a Slice> {
        self.slices.iter().filter(move |slice| slice.scenario == scenario && slice.target == target)
    }

    fn median(&self, scenario: &str, target: &str, figure: Figure) -> f64 {
        let figures: Vec<f64> = self.of(scenario, target).map(figure).collect();
        Quartiles::of(&figures).map_or(f64::NAN, |quartiles| quartiles.median)
    }

    /// `target` against `peer`, round by round.
    fn pairs(
        &self,
        scenario: &str,
        target: &str,
        peer: &str,
        figure: Figure,
        compare: fn(f64, f64) -> f64,
    ) -> Vec<f64> {
        let peers = self.of(scenario, peer);
        let pairs = self.of(scenario, target).zip(peers);
        pairs.map(|(one, other)| compare(figure(one), figure(other))).collect()
    }

    /// The middle of the rounds' 99th percentiles and the largest delay of all, in ns.
    fn held(&self, target: &str) -> (u64, u64) {
        let slices = || self.of("stream", target);
        let p99s: Vec<u64> = slices().filter_map(|slice| slice.delay_p99_ns).collect();
        let max = slices().filter_map(|slice| slice.delay_max_ns).max();
        (crate::stats::quantile_ns(&p99s, 500).unwrap_or_default(), max.unwrap_or_default())
    }

    /// The largest delay that the machine alone caused: what even the references show.
    fn stall_ns(&self) -> u64 {
        REFERENCES.iter().map(|target| self.held(target).1).max().unwrap_or_default()
    }

    /// A stall of the machine is no fault; what happens to one event in a hundred is no stall.
    fn is_held_too_long(&self, target: &str) -> bool {
        let (p99, max) = self.held(target);
        let max_counts = self.stall_ns() < HELD_NS_MAX;
        !REFERENCES.contains(&target) && (p99 >= HELD_NS_MAX || (max_counts && max >= HELD_NS_MAX))
    }

    fn held_too_long(&self) -> usize {
        self.targets.iter().filter(|target| self.is_held_too_long(target)).count()
    }
}

#[derive(Clone, Copy)]
enum Comparison {
    Ratio,
    Difference,
}

const CPU_FIGURES: [(&str, Figure); 3] = [
    ("throughput", |slice| float(slice.cpu_ns) / float(slice.requests) / NS_PER_US),
    ("events_unpaced", |slice| float(slice.cpu_ns) / float(slice.events) / NS_PER_US),
    ("events_paced", |slice| float(slice.cpu_ns) / float(slice.events) / NS_PER_US),
];

const LATENCY_FIGURES: [(&str, &str, Figure); 4] = [
    ("latency p50", "latency", |slice| micros(slice.latency_p50_ns)),
    ("latency p99", "latency", |slice| micros(slice.latency_p99_ns)),
    ("first event p50", "stream", |slice| micros(slice.first_event_p50_ns)),
    ("chunk delay p50", "stream", |slice| micros(slice.delay_p50_ns)),
];

fn micros(ns: Option<u64>) -> f64 {
    ns.map_or(f64::NAN, |ns| float(ns) / NS_PER_US)
}

/// Exact below 2^53, which no figure of ours reaches.
fn float(figure: u64) -> f64 {
    figure as f64
}

/// The mock runs for all, so it has no CPU time of its own.
fn finite(figure: f64) -> String {
    if figure.is_finite() { format!("{figure:.0}") } else { String::from("-") }
}

fn quartiles(figures: &[f64], digits: usize) -> String {
    let finite = figures.iter().all(|figure| figure.is_finite());
    let quartiles = Quartiles::of(figures).filter(|_| finite);
    quartiles.map_or_else(
        || String::from("-"),
        |Quartiles { lower, median, upper }| {
            format!("{median:.digits$} [{lower:.digits$}, {upper:.digits$}]")
        },
    )
}
