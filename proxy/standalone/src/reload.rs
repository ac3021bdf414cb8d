//! Reloads configuration and keys of a running gateway when their files change.
//!
//! Files are polled first and read afterwards, so that no change is lost. Keys are read at once,
//! because their file is replaced atomically. A configuration is read when its files have not changed
//! for one poll, because an editor may write them in pieces, and half a configuration may be a valid
//! one with fewer models.

use crate::{
    config::{Config, LoadedConfig},
    error::CliError,
    file_watcher::{FileWatcher, POLL_INTERVAL},
    running::RunningGateway,
};
use llm_contract::Chain;
use llm_keys::Keys;

pub type LoadConfig = Box<dyn Fn() -> Result<LoadedConfig, CliError> + Send + Sync>;

/// Configuration and keys in force, and the files that they come from.
pub struct Reloader {
    pub config: Config,
    keys: Keys,
    revision: u64,
    load: Option<LoadConfig>,
    config_files: FileWatcher,
    /// The configuration's files changed at the last poll, and may still be changing.
    is_changing: bool,
    key_file: FileWatcher,
}

impl Reloader {
    /// Starts from what the gateway was started with. Without `load` the configuration is fixed.
    pub fn new(
        gateway: &RunningGateway,
        loaded: LoadedConfig,
        keys: Keys,
        load: Option<LoadConfig>,
    ) -> Self {
        let LoadedConfig { config, files } = loaded;
        let mut reloader = Self {
            config,
            keys,
            revision: 1,
            load,
            config_files: FileWatcher::default(),
            is_changing: false,
            key_file: FileWatcher::default(),
        };
        reloader.config_files.watch(files);
        reloader.key_file.watch([gateway.keys.path()]);
        reloader
    }

    /// Polls and reloads until it is dropped.
    pub async fn run(&mut self, gateway: &RunningGateway) {
        loop {
            // Reading many keys would block a thread that serves requests.
            tokio::task::block_in_place(|| self.poll(gateway));
            // A whole interval, however long the poll took: so long files have to stay unchanged.
            tokio::time::sleep(POLL_INTERVAL).await;
        }
    }

    fn poll(&mut self, gateway: &RunningGateway) {
        let is_changing = self.config_files.poll();
        let has_settled = self.is_changing && !is_changing;
        self.is_changing = is_changing;
        let mut result = Ok(());
        if has_settled && let Some(load) = &self.load {
            let loaded = load();
            // A file that was written meanwhile may have been read half.
            self.is_changing = self.config_files.poll();
            if !self.is_changing {
                result = loaded.and_then(|loaded| self.apply_config(gateway, loaded));
            }
            if let Err(CliError::Config(errors)) = &result {
                self.config_files.watch(errors.files.iter().cloned());
            }
        }
        report(gateway, result, "the last good configuration stays in force");
        if self.key_file.poll() {
            let result = gateway.keys.read().map_err(CliError::from);
            let result = result.and_then(|keys| self.apply_keys(gateway, keys));
            report(gateway, result, "the last good keys stay in force");
        }
    }

    fn apply_config(
        &mut self,
        gateway: &RunningGateway,
        loaded: LoadedConfig,
    ) -> Result<(), CliError> {
        let LoadedConfig { config, files } = loaded;
        self.config_files.watch(files);
        if config == self.config {
            return Ok(());
        }
        gateway.update(&config, &self.keys, self.revision + 1)?;
        self.revision += 1;
        if needs_restart(&self.config, &config) {
            tracing::warn!(
                "changes of listen, dataDir, limits or tls take effect at the next start"
            );
        }
        self.config = config;
        Ok(())
    }

    fn apply_keys(&mut self, gateway: &RunningGateway, keys: Keys) -> Result<(), CliError> {
        if keys == self.keys {
            return Ok(());
        }
        gateway.update(&self.config, &keys, self.revision + 1)?;
        self.revision += 1;
        self.keys = keys;
        Ok(())
    }
}

/// Counts and logs an error, one line for each in a configuration.
fn report(gateway: &RunningGateway, result: Result<(), CliError>, consequence: &'static str) {
    let Err(error) = result else {
        return;
    };
    gateway.count_refusal();
    if let CliError::Config(errors) = error {
        for line in errors.to_string().lines() {
            tracing::error!(error = line, "{consequence}");
        }
        return;
    }
    tracing::error!(error = %Chain(&error), "{consequence}");
}

/// Whether a setting changed that only a start applies.
fn needs_restart(before: &Config, after: &Config) -> bool {
    before.listen != after.listen
        || before.data_dir != after.data_dir
        || before.limits != after.limits
        || before.tls.is_some() != after.tls.is_some()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{config, running::Started};
    use std::{
        fs,
        sync::atomic::{AtomicUsize, Ordering},
    };

    #[tokio::test]
    async fn a_file_that_is_written_while_it_is_read_is_read_again_before_it_is_used() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("gateway.yaml");
        let text = |drain: &str| {
            let data = folder.path().join("data");
            format!(
                "listen: {{external: '127.0.0.1:0', admin: '127.0.0.1:0'}}\n\
                 dataDir: {}\nshutdown: {{drain: {drain}}}\n",
                data.display()
            )
        };
        fs::write(&file, text("1s")).unwrap();
        let load = |file: &std::path::Path| config::load(file, &|_| None);
        let loaded = load(&file).unwrap();
        let Started { gateway, keys, .. } = RunningGateway::start(&loaded.config).await.unwrap();

        let reads = AtomicUsize::new(0);
        let (half, whole) = (text("2s"), text("30s"));
        let edited = file.clone();
        let reload: LoadConfig = Box::new(move || {
            let loaded = load(&edited)?;
            if reads.fetch_add(1, Ordering::Relaxed) == 0 {
                fs::write(&edited, &whole).unwrap();
            }
            Ok(loaded)
        });
        let mut reloader = Reloader::new(&gateway, loaded, keys, Some(reload));
        fs::write(&file, half).unwrap();
        let mut drains = Vec::new();
        for _ in 0..4 {
            reloader.poll(&gateway);
            drains.push(reloader.config.drain.as_secs());
        }
        // Changed; settled, but written while it is read; settled again; unchanged.
        assert_eq!(drains, [1, 1, 30, 30]);
    }
}
