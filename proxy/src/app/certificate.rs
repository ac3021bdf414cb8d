//! The gateway's certificate files, reloaded when they change.

use super::{
    error::CliError,
    file_watcher::{FileWatcher, POLL_INTERVAL},
};
use crate::tls::Certificate;
use llm_contract::Chain;
use std::{
    fs,
    path::{Path, PathBuf},
};
use tokio::time::MissedTickBehavior;

/// A certificate chain and its private key, both in PEM.
#[derive(Clone, Debug)]
pub struct CertificateFiles {
    pub chain: PathBuf,
    pub key: PathBuf,
}

impl CertificateFiles {
    pub fn load(&self) -> Result<Certificate, CliError> {
        Ok(Certificate::parse(&read(&self.chain)?, &read(&self.key)?)?)
    }

    /// Replaces the certificate whenever the files change. While they do not match, the last good
    /// certificate stays in use.
    pub async fn reload_on_change(self, certificate: Certificate) {
        let mut watcher = FileWatcher::default();
        watcher.watch([self.chain.clone(), self.key.clone()]);
        let mut interval = tokio::time::interval(POLL_INTERVAL);
        interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            interval.tick().await;
            if !watcher.poll() {
                continue;
            }
            match self.reload(&certificate) {
                Ok(()) => tracing::info!("certificate loaded"),
                Err(error) => {
                    tracing::error!(error = %Chain(&error), "the last good certificate stays in use");
                }
            }
        }
    }

    fn reload(&self, certificate: &Certificate) -> Result<(), CliError> {
        Ok(certificate.replace(&read(&self.chain)?, &read(&self.key)?)?)
    }
}

fn read(path: &Path) -> Result<Vec<u8>, CliError> {
    fs::read(path).map_err(|source| CliError::ReadFile { path: path.to_owned(), source })
}
