//! What the kernel tells about a process and those it started.

use std::fs;
use std::path::Path;

/// Ticks of `/proc/PID/stat` per second: `USER_HZ`, which is 100 on every Linux of today.
const TICK_NS: u64 = 10_000_000;
/// Where `utime` stands in `/proc/PID/stat`, counted behind the command's closing parenthesis.
const UTIME_FIELD: usize = 11;
/// A tree deeper or wider than this is not one of ours.
const PROCESSES_MAX: usize = 64;

/// `root` and its descendants.
pub(crate) fn tree(root: u32) -> Vec<u32> {
    let mut found = vec![root];
    let mut next = 0;
    while let Some(pid) = found.get(next).copied() {
        if found.len() >= PROCESSES_MAX {
            break;
        }
        let path = format!("/proc/{pid}/task/{pid}/children");
        let children = fs::read_to_string(path).unwrap_or_default();
        found.extend(children.split_whitespace().filter_map(|word| word.parse::<u32>().ok()));
        next = next.saturating_add(1);
    }
    found
}

/// CPU time that the tree of `root` has used, user and system, ended threads included.
pub(crate) fn cpu_ns(root: u32) -> u64 {
    let ticks = tree(root).into_iter().map(|pid| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
        fields.skip(UTIME_FIELD).take(2).filter_map(|field| field.parse::<u64>().ok()).sum::<u64>()
    });
    ticks.sum::<u64>().saturating_mul(TICK_NS)
}

/// Proportional set size of the tree of `root` in KiB.
pub(crate) fn pss_kib(root: u32) -> u64 {
    tree(root).into_iter().filter_map(pss_of_one_kib).sum()
}

fn pss_of_one_kib(pid: u32) -> Option<u64> {
    let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?;
    let line = rollup.lines().find_map(|line| line.strip_prefix("Pss:"))?;
    line.split_whitespace().next()?.parse().ok()
}

/// Kernel and processor, for the record.
pub(crate) fn machine() -> String {
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let processors = fs::read_to_string(Path::new("/proc/cpuinfo")).unwrap_or_default();
    let model = processors.lines().find_map(|line| line.strip_prefix("model name"));
    let model = model.unwrap_or("unknown").trim_start_matches([' ', '\t', ':']);
    format!("Linux {}, {model}", kernel.trim())
}

#[cfg(test)]
mod tests {
    use super::{pss_kib, tree};

    #[test]
    fn this_process_has_memory_and_is_the_root_of_its_tree() {
        let own = std::process::id();
        assert!(pss_kib(own) > 0);
        assert_eq!(tree(own).first(), Some(&own));
    }
}
