//! The interleaved run: every target up at once, slices of load in random order.
//!
//! Figures of a shared machine swing by a factor of two from hour to hour; those
//! of neighbouring slices do not. So a result is the ratio of two targets within
//! one round, and of those ratios the quartiles.

mod memory;
mod report;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rand::SeedableRng;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustix::thread::{CpuSet, sched_setaffinity};

use crate::clock;
use crate::command::{RunningProgram, StopTarget};
use crate::error::BenchError;
use crate::load::{self, ClosedLoop};
use crate::process;
use crate::prompt::Prompt;
use crate::row::{Row, Rows, Slice};
use crate::run::report::Report;
use crate::target::gateway::gateway;
use crate::target::peers::{bare, mock, nginx};
use crate::target::{RunningTarget, Target};

const NS_PER_MS: u64 = 1_000_000;
const STARTS: u32 = 5;
const WARM_MS: u64 = 1_000;
const LATENCY_SLICE_MS: u64 = 1_000;
const STREAM_SLICE_MS: u64 = 2_000;
/// A stream whose events a human would see: 20 of them, 5 ms apart.
const PACED: Prompt = Prompt::Stream { events: 20, pause_us: 5_000 };
/// A stream as fast as it goes: what an event costs.
const UNPACED: Prompt = Prompt::Stream { events: 200, pause_us: 0 };

/// What to run, and for how long.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Args {
    /// The gateway's binary; without it only the peers run
    #[arg(long)]
    gateway: Option<PathBuf>,
    /// nginx
    #[arg(long, default_value = "nginx")]
    nginx: PathBuf,
    /// Rounds; in each, every target is measured once in every scenario
    #[arg(long, default_value_t = 10)]
    rounds: u32,
    /// Length of a throughput slice
    #[arg(long, default_value_t = 3_000)]
    slice_ms: u64,
    /// Connections of a throughput slice
    #[arg(long, default_value_t = 64)]
    connections: usize,
    /// Length of a request body
    #[arg(long, default_value_t = 1_024)]
    body_bytes: usize,
    /// Idle streams held to measure memory; 0 skips this part
    #[arg(long, default_value_t = 2_000)]
    idle_streams: usize,
    /// Wait between the end of the idle streams and the last look at memory
    #[arg(long, default_value_t = 60)]
    settle_s: u64,
    /// Processor of the proxies
    #[arg(long, default_value_t = 0)]
    proxy_cpu: usize,
    /// Processor of the mock upstream and the load
    #[arg(long, default_value_t = 1)]
    load_cpu: usize,
    /// Seed of the random order
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// File for the raw rows
    #[arg(long, default_value = "bench-rows.jsonl")]
    rows: PathBuf,
}

/// One kind of slice.
#[derive(Clone, Copy)]
struct Scenario {
    name: &'static str,
    prompt: Prompt,
    connections: usize,
    slice_ms: u64,
}

impl Scenario {
    fn all(args: &Args) -> [Self; 5] {
        let (connections, slice_ms) = (args.connections, args.slice_ms);
        let events = |name, prompt| Self { name, prompt, connections, slice_ms: STREAM_SLICE_MS };
        let one = |name, prompt, slice_ms| Self { name, prompt, connections: 1, slice_ms };
        [
            Self { name: "throughput", prompt: Prompt::Chat, connections, slice_ms },
            one("latency", Prompt::Chat, LATENCY_SLICE_MS),
            one("stream", PACED, STREAM_SLICE_MS),
            events("events_unpaced", UNPACED),
            events("events_paced", PACED),
        ]
    }
}

/// Measures everything, prints the report and writes the rows.
pub(crate) async fn run(args: Args) -> Result<(), BenchError> {
    prepare_process(args.load_cpu)?;
    let folder = scratch_folder()?;
    let result = measure(&args, folder.path()).await;
    keep_what_explains(folder, &result);
    result
}

async fn measure(args: &Args, folder: &Path) -> Result<(), BenchError> {
    let mut rows = Rows::create(&args.rows)?;
    let (mock_command, direct) = mock()?;
    let mock_log = log_of(&direct, folder);
    let _mock = mock_command.start(&mock_log)?;
    let upstream = direct.address;
    direct.wait_until_ready(&mock_log).await?;
    let mut targets = vec![direct, nginx(&args.nginx, folder, upstream)?, bare(upstream)?];
    if let Some(program) = &args.gateway {
        targets.push(gateway(program, folder, upstream)?);
    }
    record_setup(&targets, &mut rows)?;
    let starts = measure_starts(&targets, folder, args.proxy_cpu, &mut rows).await?;
    let mut fleet = Vec::new();
    for target in targets {
        let running = start(&target, folder, args.proxy_cpu)?;
        target.wait_until_ready(&log_of(&target, folder)).await?;
        fleet.push(RunningTarget { target, running });
    }
    let memories = memory::measure(&fleet, args.idle_streams, args.settle_s).await?;
    for memory in &memories {
        rows.push(&Row::Memory(memory.clone()))?;
    }
    let slices = run_rounds(args, &fleet, &mut rows).await?;
    let targets: Vec<_> = fleet.iter().map(|up| up.target.name).collect();
    Report { targets: &targets, starts: &starts, memories: &memories, slices: &slices }
        .print(&args.rows)
}

/// One processor for the load and what it starts; files for thousands of connections.
fn prepare_process(load_cpu: usize) -> Result<(), BenchError> {
    let process = |source| BenchError::Process { source };
    let mut cpus = CpuSet::new();
    cpus.set(load_cpu);
    sched_setaffinity(None, &cpus).map_err(process)?;
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    setrlimit(Resource::Nofile, raised).map_err(process)
}

/// A folder for configurations, logs and data, gone at the end.
pub(crate) fn scratch_folder() -> Result<tempfile::TempDir, BenchError> {
    tempfile::tempdir().map_err(|source| BenchError::File { path: std::env::temp_dir(), source })
}

/// Leaves the logs where an error says they are; removes them after a whole measurement.
pub(crate) fn keep_what_explains(folder: tempfile::TempDir, result: &Result<(), BenchError>) {
    if !matches!(result, Ok(()) | Err(BenchError::OverLimit { .. })) {
        drop(folder.keep());
    }
}

/// Writes what was measured with what.
pub(crate) fn record_setup(targets: &[Target], rows: &mut Rows) -> Result<(), BenchError> {
    let arguments = std::env::args().skip(1).collect();
    let version = env!("CARGO_PKG_VERSION");
    rows.push(&Row::Setup { version, machine: process::machine(), arguments })?;
    for target in targets {
        let (version, configuration) = (target.version.clone(), target.configuration.clone());
        rows.push(&Row::Target { target: target.name, version, configuration })?;
    }
    Ok(())
}

fn log_of(target: &Target, folder: &Path) -> PathBuf {
    folder.join(format!("{}.log", target.name))
}

fn start(target: &Target, folder: &Path, cpu: usize) -> Result<Option<RunningProgram>, BenchError> {
    let Some(command) = target.command.clone() else { return Ok(None) };
    command.pinned(cpu).start(&log_of(target, folder)).map(Some)
}

async fn measure_starts(
    targets: &[Target],
    folder: &Path,
    cpu: usize,
    rows: &mut Rows,
) -> Result<Vec<(&'static str, u64)>, BenchError> {
    let mut starts = Vec::new();
    for attempt in 0..STARTS {
        for target in targets {
            let started_ns = clock::now_ns();
            let Some(mut running) = start(target, folder, cpu)? else { continue };
            let ready_ns = target.wait_until_ready(&log_of(target, folder)).await?;
            running.stop(StopTarget::Itself);
            let first_200_ns = ready_ns.saturating_sub(started_ns);
            rows.push(&Row::Start { target: target.name, attempt, first_200_ns })?;
            starts.push((target.name, first_200_ns));
        }
    }
    Ok(starts)
}

async fn run_rounds(
    args: &Args,
    fleet: &[RunningTarget],
    rows: &mut Rows,
) -> Result<Vec<Slice>, BenchError> {
    let mut random = StdRng::seed_from_u64(args.seed);
    let scenarios = Scenario::all(args);
    for up in fleet {
        let [throughput, ..] = scenarios;
        let warm = Scenario { slice_ms: WARM_MS, ..throughput };
        run_slice(up, warm, 0, args.body_bytes).await?;
    }
    let mut slices = Vec::new();
    for round in 1..=args.rounds {
        for scenario in scenarios {
            let mut order: Vec<&RunningTarget> = fleet.iter().collect();
            order.shuffle(&mut random);
            for up in order {
                let slice = run_slice(up, scenario, round, args.body_bytes).await?;
                rows.push(&Row::Slice(slice.clone()))?;
                slices.push(slice);
            }
        }
    }
    Ok(slices)
}

async fn run_slice(
    up: &RunningTarget,
    scenario: Scenario,
    round: u32,
    body_bytes: usize,
) -> Result<Slice, BenchError> {
    let request: Arc<[u8]> = up.target.request(scenario.prompt, body_bytes).into();
    let cpu_ns = || up.running.as_ref().map_or(0, |running| process::cpu_ns(running.pid()));
    let cpu_before_ns = cpu_ns();
    let started_ns = clock::now_ns();
    let until_ns = started_ns.saturating_add(scenario.slice_ms.saturating_mul(NS_PER_MS));
    let each = ClosedLoop { address: up.target.address, request, until_ns, requests_max: u64::MAX };
    let mut report = load::run(scenario.connections, &each).await;
    let spent =
        (clock::now_ns().saturating_sub(started_ns), cpu_ns().saturating_sub(cpu_before_ns));
    let target = up.target.name;
    // Errors must be 0: a target that refuses half of its requests looks fast.
    if let Some(source) = report.last_error.take() {
        return Err(BenchError::Target { target, source });
    }
    Ok(Slice::new((round, scenario.name, target), spent, &report))
}
