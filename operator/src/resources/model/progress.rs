//! How far a download is, from the log of the container that fetches.

use crate::resources::model::pods::ContainerRun;
use k8s_openapi::api::core::v1::Pod;
use kube::{Api, Client, api::LogParams};
use llm_crd::Download;
use parking_lot::Mutex;
use serde::Deserialize;
use std::{collections::HashMap, sync::Arc, time::Duration};

/// How often the log of a running download is read. Nothing else is polled.
pub const EVERY: Duration = Duration::from_secs(5);
/// How many lines of a log are read.
const LINES: i64 = 20;
/// How many bytes of a log are read.
const LOG_BYTES_MAX: i64 = 16 * 1024;
/// How many last lines are remembered.
const REMEMBERED_MAX: usize = 1024;
/// What a line of progress begins with.
const WORD: &str = "progress ";

/// How far a download is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub struct Progress {
    /// Bytes on the volume.
    pub bytes: u64,
    /// Bytes there will be; 0 until that is known.
    pub total: u64,
}

/// Reads logs of containers. Cheap to clone.
#[derive(Clone)]
pub struct Logs(Arc<Inner>);

struct Inner {
    client: Client,
    /// What containers said last before they ended.
    last_words: Mutex<HashMap<(String, ContainerRun), Option<String>>>,
}

impl Logs {
    /// Reads with a client.
    pub fn new(client: Client) -> Self {
        Self(Arc::new(Inner { client, last_words: Mutex::default() }))
    }

    /// How far a running download is; `None` if it does not say.
    pub async fn progress(&self, namespace: &str, run: &ContainerRun) -> Option<Progress> {
        progress(&self.read(namespace, run, false).await?)
    }

    /// What a container said last before it ended. The log of each run is read once.
    pub async fn last_words(&self, namespace: &str, run: &ContainerRun) -> Option<String> {
        let key = (namespace.to_owned(), run.clone());
        if let Some(known) = self.0.last_words.lock().get(&key) {
            return known.clone();
        }
        // A container that is started again has its old log as the one before.
        let said = match self.read(namespace, run, true).await {
            Some(text) => Some(text),
            None => self.read(namespace, run, false).await,
        };
        // What could not be read is asked for again at the next look.
        let line = super::pods::last_line(&said?);
        let mut last_words = self.0.last_words.lock();
        if last_words.len() >= REMEMBERED_MAX {
            last_words.clear();
        }
        last_words.insert(key, line.clone());
        line
    }

    /// A log is for people: without it the rest of the status is still true.
    async fn read(&self, namespace: &str, run: &ContainerRun, previous: bool) -> Option<String> {
        let pods: Api<Pod> = Api::namespaced(self.0.client.clone(), namespace);
        let params = LogParams {
            container: Some(run.container.clone()),
            previous,
            tail_lines: Some(LINES),
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

/// The last line of progress in a log.
fn progress(log: &str) -> Option<Progress> {
    let lines = log.lines().rev().filter_map(|line| line.trim().strip_prefix(WORD));
    lines.into_iter().find_map(|json| serde_json::from_str(json).ok())
}

impl Progress {
    /// As it stands in the status.
    pub fn download(self) -> Download {
        let whole = |bytes: u64| i64::try_from(bytes).unwrap_or(i64::MAX);
        let percent = u128::from(self.bytes) * 100 / u128::from(self.total.max(1));
        Download {
            bytes: whole(self.bytes),
            total: whole(self.total),
            percent: if self.total == 0 {
                0
            } else {
                i32::try_from(percent.min(100)).unwrap_or(100)
            },
        }
    }
}

impl std::fmt::Debug for Logs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Logs").finish_non_exhaustive()
    }
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
        let read = progress(&log).unwrap();
        assert_eq!(read, Progress { bytes: 30, total: 120 });
        assert_eq!(read.download(), Download { bytes: 30, total: 120, percent: 25 });
    }

    #[test]
    fn a_log_without_progress_says_nothing() {
        for log in ["", "Fetching 12 files\n", "progress soon\n"] {
            assert_eq!(progress(log), None, "{log:?}");
        }
    }

    #[test]
    fn nothing_is_done_before_it_is_known_how_much_there_is() {
        assert_eq!(Progress { bytes: 0, total: 0 }.download().percent, 0);
    }
}
