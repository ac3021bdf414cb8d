//! The gateway's certificate, read from two files, and again when they change.

use super::{
    failure::Failure,
    watch::{INTERVAL, Watched},
};
use crate::tls::Certificate;
use llm_contract::Chain;
use std::{
    fs,
    path::{Path, PathBuf},
};
use tokio::time::MissedTickBehavior;

/// A certificate and its private key, both in PEM.
#[derive(Clone, Debug)]
pub struct Files {
    /// The certificate, and those that lead to its authority.
    pub chain: PathBuf,
    /// The private key.
    pub key: PathBuf,
}

impl Files {
    /// Reads both.
    ///
    /// # Errors
    /// [`Failure::File`] or [`Failure::Certificate`].
    pub fn load(&self) -> Result<Certificate, Failure> {
        Ok(Certificate::parse(&read(&self.chain)?, &read(&self.key)?)?)
    }

    /// Replaces the certificate when the files have changed, for ever. While they do not fit
    /// together the last good one stays in use.
    pub async fn follow(self, certificate: Certificate) {
        let mut watched = Watched::default();
        watched.follow([self.chain.clone(), self.key.clone()]);
        let mut rounds = tokio::time::interval(INTERVAL);
        rounds.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            rounds.tick().await;
            if !watched.changed() {
                continue;
            }
            match self.renew(&certificate) {
                Ok(()) => tracing::info!("the certificate was read"),
                Err(failure) => {
                    tracing::error!(error = %Chain(&failure), "the last good certificate stays");
                }
            }
        }
    }

    fn renew(&self, certificate: &Certificate) -> Result<(), Failure> {
        Ok(certificate.replace(&read(&self.chain)?, &read(&self.key)?)?)
    }
}

fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    fs::read(path).map_err(|source| Failure::File { path: path.to_owned(), source })
}
