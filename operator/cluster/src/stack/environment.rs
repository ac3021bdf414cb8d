//! What every program of an installation is started with.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};

use anyhow::Context as _;
use tempfile::TempDir;

use super::network::{HostsFile, LoopbackNetwork};
use super::programs::Programs;

/// Programs, addresses, names and files for the processes of an installation.
pub(crate) struct Environment {
    pub(crate) programs: Programs,
    pub(crate) network: LoopbackNetwork,
    pub(crate) hosts: Arc<HostsFile>,
    folder: TempDir,
    started: AtomicU16,
}

impl Environment {
    pub(crate) fn new() -> anyhow::Result<Self> {
        let folder = tempfile::tempdir().context("creating a folder")?;
        Ok(Self {
            programs: Programs::beside_this()?,
            network: LoopbackNetwork::random(),
            hosts: Arc::new(HostsFile::create(folder.path().join("hosts"))?),
            folder,
            started: AtomicU16::new(0),
        })
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A process name no other process of the installation has.
    pub(crate) fn unique_name(&self, program: &str) -> String {
        format!("{program}-{}", self.started.fetch_add(1, Ordering::Relaxed))
    }
}
