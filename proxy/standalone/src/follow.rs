//! Keeps a gateway current: what its files say comes into force while it runs.
//!
//! Files are looked at first and read afterwards, so that no change is lost. Keys are read as soon
//! as they changed: their file is replaced whole. A configuration is read when its files have
//! been left alone for one round, because an editor may write them in pieces, and half a
//! configuration may be a good one with fewer models.

use crate::{
    command::Failure,
    config::{Config, Loaded, Pem},
    node::Node,
    watch::{INTERVAL, Watched},
};
use llm_contract::Chain;
use llm_keys::Keys;

/// Reads the configuration anew.
pub type Read = Box<dyn Fn() -> Result<Loaded, Failure> + Send + Sync>;

/// What is in force, and how to notice that it should not be any more.
pub struct Follower {
    /// The configuration in force.
    pub config: Config,
    pem: Option<Pem>,
    keys: Keys,
    revision: u64,
    read: Option<Read>,
    config_files: Watched,
    /// The configuration's files changed, and may change more.
    unsettled: bool,
    key_file: Watched,
}

impl Follower {
    /// Follows what a gateway was started with. A configuration that is in no file has no `read`,
    /// and stays.
    pub fn new(node: &Node, loaded: Loaded, keys: Keys, read: Option<Read>) -> Self {
        let Loaded { config, certificate, files } = loaded;
        let mut follower = Self {
            config,
            pem: certificate,
            keys,
            revision: 1,
            read,
            config_files: Watched::default(),
            unsettled: false,
            key_file: Watched::default(),
        };
        follower.config_files.follow(files);
        follower.key_file.follow([node.keys.path()]);
        follower
    }

    /// Looks at the files and puts in force what they say, for ever.
    pub async fn run(&mut self, node: &Node) {
        loop {
            // Reading many keys takes a while, and is not for a thread that serves requests.
            tokio::task::block_in_place(|| self.round(node));
            // A whole interval, however late the round was: as long are files left alone.
            tokio::time::sleep(INTERVAL).await;
        }
    }

    fn round(&mut self, node: &Node) {
        let changing = self.config_files.changed();
        let settled = self.unsettled && !changing;
        self.unsettled = changing;
        let mut result = Ok(());
        if settled && let Some(read) = &self.read {
            let loaded = read();
            // What was written to meanwhile may have been read half.
            self.unsettled = self.config_files.changed();
            if !self.unsettled {
                result = loaded.and_then(|loaded| self.use_config(node, loaded));
            }
            if let Err(Failure::Config(mistakes)) = &result {
                self.config_files.follow(mistakes.files.iter().cloned());
            }
        }
        self.refused(node, result, "the last good configuration stays in force");
        if self.key_file.changed() {
            let result = node.keys.read().map_err(Failure::from);
            let result = result.and_then(|keys| self.use_keys(node, keys));
            self.refused(node, result, "the last good keys stay in force");
        }
    }

    fn use_config(&mut self, node: &Node, loaded: Loaded) -> Result<(), Failure> {
        let Loaded { config, certificate, files } = loaded;
        self.config_files.follow(files);
        if config == self.config && certificate == self.pem {
            return Ok(());
        }
        node.update(&config, certificate.as_ref(), &self.keys, self.revision + 1)?;
        self.revision += 1;
        if needs_restart(&self.config, &config) {
            tracing::warn!("a change of listen, dataDir, limits or tls counts from the next start");
        }
        (self.config, self.pem) = (config, certificate);
        Ok(())
    }

    fn use_keys(&mut self, node: &Node, keys: Keys) -> Result<(), Failure> {
        if keys == self.keys {
            return Ok(());
        }
        node.update(&self.config, self.pem.as_ref(), &keys, self.revision + 1)?;
        self.revision += 1;
        self.keys = keys;
        Ok(())
    }

    fn refused(&self, node: &Node, result: Result<(), Failure>, consequence: &'static str) {
        let Err(failure) = result else {
            return;
        };
        node.count_refusal();
        if let Failure::Config(mistakes) = failure {
            for line in mistakes.to_string().lines() {
                tracing::error!(error = line, "{consequence}");
            }
            return;
        }
        tracing::error!(error = %Chain(&failure), "{consequence}");
    }
}

/// Whether something changed that is made at the start and cannot be made anew.
fn needs_restart(before: &Config, after: &Config) -> bool {
    before.listen != after.listen
        || before.data_dir != after.data_dir
        || before.limits != after.limits
        || before.tls.is_some() != after.tls.is_some()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{config, node::Started};
    use std::{
        fs,
        sync::atomic::{AtomicUsize, Ordering},
    };

    #[tokio::test]
    async fn what_is_written_to_while_it_is_read_is_not_used_but_read_again() {
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
        let Started { node, keys, .. } = Node::start(&loaded.config, None).await.unwrap();

        let reads = AtomicUsize::new(0);
        let (half, whole) = (text("2s"), text("30s"));
        let edited = file.clone();
        let read: Read = Box::new(move || {
            let loaded = load(&edited)?;
            if reads.fetch_add(1, Ordering::Relaxed) == 0 {
                fs::write(&edited, &whole).unwrap();
            }
            Ok(loaded)
        });
        let mut follower = Follower::new(&node, loaded, keys, Some(read));
        fs::write(&file, half).unwrap();
        let mut drains = Vec::new();
        for _ in 0..4 {
            follower.round(&node);
            drains.push(follower.config.drain.as_secs());
        }
        // Changed; left alone, and written to while it is read; left alone again; nothing new.
        assert_eq!(drains, [1, 1, 30, 30]);
    }
}
