//! Counts that repeat: user instructions and system calls of one request.
//!
//! A count does not depend on what else the machine does, so it may gate a
//! change, which a clock may not. The difference of two runs takes start, warm-up
//! and shutdown out. With one connection every request waits twice, for the client
//! and for the upstream; so system calls are counted with many connections as well,
//! which share their waits as they do under load, and those are what the limit is on.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::{fs, io};

use crate::command::{CommandLine, StopTarget};
use crate::error::BenchError;
use crate::load::{self, ClosedLoop};
use crate::prompt::Prompt;
use crate::row::{Row, Rows};
use crate::run::{keep_what_explains, record_setup, scratch_folder};
use crate::target::Target;
use crate::target::gateway::gateway;
use crate::target::peers::{bare, mock};

const FEW_REQUESTS: u64 = 500;
const MANY_REQUESTS: u64 = 2_500;
/// Enough to share waits; divides both numbers of requests.
const CONNECTIONS: u64 = 50;
const BODY_BYTES: usize = 1_024;
/// Runs of which the one with the fewest system calls counts: what a busy machine does to them is
/// that connections share fewer waits, which only adds.
const WATCHED_RUNS: usize = 3;

/// What to count, and how much is allowed.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Args {
    /// The gateway's binary; without it only bare Pingora is counted
    #[arg(long)]
    gateway: Option<PathBuf>,
    /// User instructions of the gateway per request, as a multiple of bare Pingora's
    #[arg(long, default_value_t = 1.25)]
    instructions_ratio_max: f64,
    /// System calls of the gateway per request, with 50 connections
    #[arg(long, default_value_t = 6.5)]
    system_calls_max: f64,
    /// File for the raw rows
    #[arg(long, default_value = "count-rows.jsonl")]
    rows: PathBuf,
}

/// What one request of a target costs.
struct Cost {
    target: &'static str,
    /// User instructions, with one connection.
    instructions: f64,
    /// System calls, with one connection.
    alone: Vec<(String, f64)>,
    /// System calls, with many connections.
    crowded: Vec<(String, f64)>,
}

/// How much a target is asked in one run.
#[derive(Clone, Copy)]
struct RequestPlan {
    connections: u64,
    /// Over all connections.
    requests: u64,
}

/// Counts, prints and compares with the limits.
pub(crate) async fn count(args: Args) -> Result<(), BenchError> {
    let folder = scratch_folder()?;
    let result = count_in(&args, folder.path()).await;
    keep_what_explains(folder, &result);
    result
}

async fn count_in(args: &Args, folder: &Path) -> Result<(), BenchError> {
    let mut rows = Rows::create(&args.rows)?;
    let (mock_command, direct) = mock()?;
    let log = folder.join("upstream.log");
    let _mock = mock_command.start(&log)?;
    direct.wait_until_ready(&log).await?;
    let mut targets = vec![bare(direct.address)?];
    if let Some(program) = &args.gateway {
        targets.push(gateway(program, folder, direct.address)?);
    }
    record_setup(&targets, &mut rows)?;
    let mut costs = Vec::new();
    for target in &targets {
        costs.push(cost(target, folder, &mut rows).await?);
    }
    let over = print(args, &costs).map_err(|source| BenchError::Report { source })?;
    if over > 0 { Err(BenchError::OverLimit { over }) } else { Ok(()) }
}

async fn cost(target: &Target, folder: &Path, rows: &mut Rows) -> Result<Cost, BenchError> {
    let few = RequestPlan { connections: 1, requests: FEW_REQUESTS };
    let many = RequestPlan { connections: 1, requests: MANY_REQUESTS };
    let few_instructions = instructions(target, folder, few, rows).await?;
    let many_instructions = instructions(target, folder, many, rows).await?;
    Ok(Cost {
        target: target.name,
        instructions: per_request(few_instructions, many_instructions),
        alone: calls_per_request(target, folder, 1, rows).await?,
        crowded: calls_per_request(target, folder, CONNECTIONS, rows).await?,
    })
}

/// System calls of one request by name, most frequent first.
async fn calls_per_request(
    target: &Target,
    folder: &Path,
    connections: u64,
    rows: &mut Rows,
) -> Result<Vec<(String, f64)>, BenchError> {
    let few = RequestPlan { connections, requests: FEW_REQUESTS };
    let many = RequestPlan { connections, requests: MANY_REQUESTS };
    let few = fewest_calls(target, folder, few, rows).await?;
    let many = fewest_calls(target, folder, many, rows).await?;
    let of_few = |name: &str| few.iter().find(|(other, _)| other == name).map_or(0, |(_, n)| *n);
    let per_request = many.iter().map(|(name, n)| (name.clone(), per_request(of_few(name), *n)));
    let mut calls: Vec<_> = per_request.collect();
    calls.sort_by(|(_, one), (_, other)| other.total_cmp(one));
    Ok(calls)
}

/// User instructions of a whole life of the target asked like this.
async fn instructions(
    target: &Target,
    folder: &Path,
    how: RequestPlan,
    rows: &mut Rows,
) -> Result<u64, BenchError> {
    let out = folder.join("callgrind.out");
    let mut option = std::ffi::OsString::from("--callgrind-out-file=");
    option.push(&out);
    let arguments = ["--tool=callgrind".into(), "--separate-threads=no".into(), option];
    let runner = CommandLine::new("valgrind", arguments);
    measure_requests(target, runner, StopTarget::Itself, folder, how).await?;
    let text = read(&out)?;
    let total = callgrind_total(&text).ok_or(BenchError::NoTotal { path: out })?;
    rows.push(&how.row(target, "instructions", total))?;
    Ok(total)
}

/// System calls by name, of the best of several runs.
async fn fewest_calls(
    target: &Target,
    folder: &Path,
    how: RequestPlan,
    rows: &mut Rows,
) -> Result<Vec<(String, u64)>, BenchError> {
    let total = |calls: &[(String, u64)]| calls.iter().map(|(_, calls)| calls).sum::<u64>();
    let mut fewest = system_calls(target, folder, how, rows).await?;
    for _ in 1..WATCHED_RUNS {
        let calls = system_calls(target, folder, how, rows).await?;
        if total(&calls) < total(&fewest) {
            fewest = calls;
        }
    }
    Ok(fewest)
}

/// System calls by name of a whole life of the target asked like this.
async fn system_calls(
    target: &Target,
    folder: &Path,
    how: RequestPlan,
    rows: &mut Rows,
) -> Result<Vec<(String, u64)>, BenchError> {
    let out = folder.join("strace.out");
    let arguments = ["-f", "-c", "-U", "calls,name", "-o"];
    let mut runner = CommandLine::new("strace", arguments);
    runner.arguments.push(out.clone().into_os_string());
    measure_requests(target, runner, StopTarget::Watched, folder, how).await?;
    let calls = strace_calls(&read(&out)?);
    if calls.is_empty() {
        return Err(BenchError::NoTotal { path: out });
    }
    let total = calls.iter().map(|(_, calls)| calls).sum();
    rows.push(&how.row(target, "system_calls", total))?;
    Ok(calls)
}

impl RequestPlan {
    fn row(self, target: &Target, what: &'static str, total: u64) -> Row {
        let Self { connections, requests } = self;
        Row::Count { target: target.name, what, connections, requests, total }
    }
}

/// Starts the target under `runner`, asks it and ends it.
async fn measure_requests(
    target: &Target,
    runner: CommandLine,
    stop: StopTarget,
    folder: &Path,
    RequestPlan { connections, requests }: RequestPlan,
) -> Result<(), BenchError> {
    let Some(command) = target.command.clone() else { return Ok(()) };
    let log = folder.join(format!("{}.log", target.name));
    let mut running = command.under(runner).start(&log)?;
    target.wait_until_ready(&log).await?;
    let request = target.request(Prompt::Chat, BODY_BYTES).into();
    let address = target.address;
    let requests_max = requests.checked_div(connections).unwrap_or_default();
    let each = ClosedLoop { address, request, until_ns: u64::MAX, requests_max };
    let report = load::run(usize::try_from(connections).unwrap_or(1), &each).await;
    running.stop(stop);
    match report.last_error {
        Some(source) => Err(BenchError::Target { target: target.name, source }),
        None => Ok(()),
    }
}

fn read(path: &Path) -> Result<String, BenchError> {
    fs::read_to_string(path).map_err(|source| BenchError::File { path: path.to_owned(), source })
}

/// The sum over all parts of a callgrind file: one `totals:` line each.
fn callgrind_total(text: &str) -> Option<u64> {
    let totals = text.lines().filter_map(|line| line.strip_prefix("totals:"));
    let totals: Vec<u64> = totals.filter_map(|total| total.trim().parse().ok()).collect();
    if totals.is_empty() { None } else { Some(totals.iter().sum()) }
}

/// Calls and names of a summary of strace; its rules and its last line, the sum, are left out.
fn strace_calls(text: &str) -> Vec<(String, u64)> {
    let rows = text.lines().filter_map(|line| {
        let (calls, name) = line.trim().split_once(char::is_whitespace)?;
        let name = name.trim();
        (name != "total").then(|| Some((name.to_owned(), calls.parse().ok()?)))?
    });
    rows.collect()
}

fn per_request(few: u64, many: u64) -> f64 {
    (many as f64 - few as f64) / (MANY_REQUESTS - FEW_REQUESTS) as f64
}

fn sum(calls: &[(String, f64)]) -> f64 {
    calls.iter().map(|(_, calls)| calls).sum()
}

/// Those made more often than once in a hundred requests.
fn named(calls: &[(String, f64)]) -> String {
    let often = calls.iter().filter(|(_, calls)| *calls >= 0.01);
    let texts: Vec<_> = often.map(|(name, calls)| format!("{name} {calls:.2}")).collect();
    texts.join(", ")
}

/// Prints the table and says how many limits do not hold.
fn print(args: &Args, costs: &[Cost]) -> io::Result<usize> {
    let mut out = io::stdout().lock();
    writeln!(
        out,
        "Per request, 1 KB chat: (N({MANY_REQUESTS}) - N({FEW_REQUESTS})) / {}",
        MANY_REQUESTS - FEW_REQUESTS
    )?;
    for cost in costs {
        let Cost { target, instructions, alone, crowded } = cost;
        writeln!(out, "{target}")?;
        writeln!(out, "  user instructions, 1 connection {instructions:>12.0}")?;
        writeln!(out, "  system calls, 1 connection      {:>12.2}  {}", sum(alone), named(alone))?;
        writeln!(
            out,
            "  system calls, {CONNECTIONS} connections    {:>12.2}  {}",
            sum(crowded),
            named(crowded)
        )?;
    }
    let [bare, ours, ..] = costs else { return Ok(0) };
    let ratio = ours.instructions / bare.instructions;
    let checks = [
        ("instructions against bare Pingora", ratio, args.instructions_ratio_max),
        ("system calls", sum(&ours.crowded), args.system_calls_max),
    ];
    for (what, figure, max) in checks {
        let verdict = if figure <= max { "holds" } else { "OVER LIMIT" };
        writeln!(out, "{what}: {figure:.3}, at most {max}: {verdict}")?;
    }
    Ok(checks.iter().filter(|(_, figure, max)| figure > max).count())
}

#[cfg(test)]
mod tests {
    use super::{callgrind_total, per_request, strace_calls};

    #[test]
    fn a_callgrind_file_may_have_several_parts() {
        let text = "events: Ir\nfn=(1) main\n12 40\ntotals: 40\npart: 2\ntotals: 2\n";
        assert_eq!(callgrind_total(text), Some(42));
        assert_eq!(callgrind_total("events: Ir\n"), None);
    }

    #[test]
    fn a_summary_of_strace_is_read_without_its_frame() {
        let text = "    calls syscall\n--------- ----------------\n     5016 sendto\n       12 epoll_wait\n--------- ----------------\n     5028 total\n";
        let calls = strace_calls(text);
        assert_eq!(calls, [("sendto".to_owned(), 5016), ("epoll_wait".to_owned(), 12)]);
    }

    #[test]
    fn a_cost_is_a_difference_so_the_start_does_not_count() {
        assert!((per_request(1_500, 3_500) - 1.0).abs() < f64::EPSILON);
    }
}
