//! Reads download progress and failure messages from container logs.

use crate::resources::model::pods::{ContainerRun, last_line};
use k8s_openapi::api::core::v1::Pod;
use kube::{Api, Client, api::LogParams};
use llm_crd::Download;
use parking_lot::Mutex;
use serde::Deserialize;
use std::{collections::HashMap, time::Duration};

/// How often the log of a running download is read. Nothing else is polled.
pub const POLL_INTERVAL: Duration = Duration::from_secs(5);
const LOG_LINES_MAX: i64 = 20;
const LOG_BYTES_MAX: i64 = 16 * 1024;
const CACHED_TAILS_MAX: usize = 1024;
/// The prefix of the downloader's progress lines; JSON follows.
const PREFIX: &str = "progress ";

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub struct DownloadProgress {
    pub bytes: u64,
    /// 0 until known.
    pub total: u64,
}

/// Reads container logs. They are a courtesy to users: without them the rest of the status is still
/// correct, so errors are only logged.
pub struct ContainerLogs {
    client: Client,
    /// The last lines of failed runs, by namespace.
    tails: Mutex<HashMap<(String, ContainerRun), Option<String>>>,
}

impl ContainerLogs {
    pub fn new(client: Client) -> Self {
        Self { client, tails: Mutex::default() }
    }

    /// The progress of a running download, if its log has any.
    pub async fn progress(&self, namespace: &str, run: &ContainerRun) -> Option<DownloadProgress> {
        parse_progress(&self.read(namespace, run, false).await?)
    }

    /// The last line of a failed run. Each log is read once.
    pub async fn tail(&self, namespace: &str, run: &ContainerRun) -> Option<String> {
        let key = (namespace.to_owned(), run.clone());
        if let Some(tail) = self.tails.lock().get(&key) {
            return tail.clone();
        }
        // After a restart, the log of this run is the previous one.
        let log = match self.read(namespace, run, true).await {
            Some(text) => Some(text),
            None => self.read(namespace, run, false).await,
        };
        // An unreadable log is retried on the next reconcile.
        let tail = last_line(&log?);
        let mut tails = self.tails.lock();
        if tails.len() >= CACHED_TAILS_MAX {
            tails.clear();
        }
        tails.insert(key, tail.clone());
        tail
    }

    async fn read(&self, namespace: &str, run: &ContainerRun, previous: bool) -> Option<String> {
        let pods: Api<Pod> = Api::namespaced(self.client.clone(), namespace);
        let params = LogParams {
            container: Some(run.container.clone()),
            previous,
            tail_lines: Some(LOG_LINES_MAX),
            limit_bytes: Some(LOG_BYTES_MAX),
            ..LogParams::default()
        };
        match pods.logs(&run.pod, &params).await {
            Ok(text) => Some(text),
            Err(error) => {
                tracing::debug!(pod = run.pod, container = run.container, %error, "no log");
                None
            }
        }
    }
}

fn parse_progress(log: &str) -> Option<DownloadProgress> {
    let mut lines = log.lines().rev().filter_map(|line| line.trim().strip_prefix(PREFIX));
    lines.find_map(|json| serde_json::from_str(json).ok())
}

impl From<DownloadProgress> for Download {
    fn from(DownloadProgress { bytes, total }: DownloadProgress) -> Self {
        let saturate = |bytes: u64| i64::try_from(bytes).unwrap_or(i64::MAX);
        let percent = u128::from(bytes) * 100 / u128::from(total.max(1));
        let percent = if total == 0 { 0 } else { i32::try_from(percent.min(100)).unwrap_or(100) };
        Self { bytes: saturate(bytes), total: saturate(total), percent }
    }
}

/// Formats a size for people.
pub(super) fn human_size(bytes: u64) -> String {
    const UNITS: [(&str, u32); 4] = [("TiB", 40), ("GiB", 30), ("MiB", 20), ("KiB", 10)];
    let unit = UNITS.iter().find(|(_, shift)| bytes >> shift > 0);
    let Some((unit, shift)) = unit else { return format!("{bytes} B") };
    let tenths = (u128::from(bytes) * 10) >> shift;
    format!("{}.{} {unit}", tenths / 10, tenths % 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_downloader_writes_is_understood() {
        let written = llm_download::Progress {
            state: llm_download::State::Downloading,
            bytes: 30,
            total: 120,
            files: 1,
            of: 3,
        };
        let log =
            format!("progress {{\"bytes\":1,\"total\":120}}\n{written}\nfetching b.safetensors\n");
        let read = parse_progress(&log).unwrap();
        assert_eq!(read, DownloadProgress { bytes: 30, total: 120 });
        assert_eq!(Download::from(read), Download { bytes: 30, total: 120, percent: 25 });
    }

    #[test]
    fn a_log_without_progress_says_nothing() {
        for log in ["", "Fetching 12 files\n", "progress soon\n"] {
            assert_eq!(parse_progress(log), None, "{log:?}");
        }
    }

    #[test]
    fn nothing_is_done_before_it_is_known_how_much_there_is() {
        assert_eq!(Download::from(DownloadProgress { bytes: 0, total: 0 }).percent, 0);
    }

    #[test]
    fn sizes_are_written_for_people() {
        for (bytes, text) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.0 KiB"),
            (16_428_044_595, "15.2 GiB"),
            (u64::MAX, "16777215.9 TiB"),
        ] {
            assert_eq!(human_size(bytes), text);
        }
    }
}
