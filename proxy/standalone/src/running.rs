//! A running gateway: its listeners, its ledger, and the lock on its data folder.

use crate::{
    config::{CertificatePem, Config, Listen, ListenerLimits},
    error::CliError,
    ledger::Ledger,
    signals::ShutdownSignals,
};
use jiff::Timestamp;
use llm_contract::{ModelPattern, SecretKey, Table, document};
use llm_keys::{
    FileStore, Keys, NewKey,
    file_lock::{self, LockAttempt},
};
use llm_proxy::{
    admin,
    app::servers::{self, EVENTS_MAX, Servers},
    clock,
    gateway::Gateway,
    stage::accept::Entry,
    tls::Certificate,
    upstream::AddressPolicy,
};
use std::{
    fs::{DirBuilder, File},
    os::unix::fs::DirBuilderExt as _,
    path::Path,
    sync::Arc,
    time::Duration,
};
use tokio::sync::mpsc;

const LOCK: &str = "gateway.lock";
/// The name and the owner of the key that the first start creates.
const FIRST_KEY: &str = "first key";
const FIRST_OWNER: &str = "admin";

pub struct Started {
    pub gateway: RunningGateway,
    /// The keys in force.
    pub keys: Keys,
    /// Created because there was no key; to be shown once.
    pub first_key: Option<SecretKey>,
}

pub struct RunningGateway {
    /// The addresses with the ports that were bound.
    pub listen: Listen,
    pub is_tls: bool,
    pub keys: FileStore,
    gateway: Arc<Gateway>,
    servers: Servers,
    certificate: Option<Certificate>,
    /// Held as long as the process runs, so that no second gateway uses the folder.
    _lock: File,
}

impl RunningGateway {
    /// Starts a gateway. Whatever can fail does so before anything is served, and if possible before
    /// the data folder is created.
    pub async fn start(config: &Config) -> Result<Started, CliError> {
        let certificate = config.tls.as_ref().map(CertificatePem::parse).transpose()?;
        let (events, written) = mpsc::channel(EVENTS_MAX);
        let authenticator = servers::authenticator(None)?;
        let ListenerLimits { header_bytes_max, body_bytes_max, connections_max } = config.limits;
        let limits = servers::limits(header_bytes_max, body_bytes_max, connections_max);
        let gateway = Gateway::new(authenticator, limits, AddressPolicy::AllowAll, events);
        gateway.update(table(config, &Keys::default(), 0)?)?;
        let Listen { external, internal, admin } = config.listen;
        let bind =
            |address, entry, option| servers::bind(address, entry, option, certificate.clone());
        let external = bind(external, Entry::External, "--listen")?;
        let internal = internal.map(|it| bind(it, Entry::Internal, "listen.internal"));
        let internal = internal.transpose()?;
        let admin = servers::bind_admin(admin, "--admin").await?;
        let listen = Listen {
            external: external.address,
            internal: internal.as_ref().map(|it| it.address),
            admin: admin.local_addr()?,
        };
        let lock = lock(&config.data_dir)?;
        let store = FileStore::at(&config.data_dir);
        let is_first_start = store.read()?.list().is_empty();
        let ledger = Ledger::open(&config.data_dir)?;
        let first_key = is_first_start.then(|| first_key(&store, config, clock::wall()));
        let first_key = first_key.transpose()?;
        let keys = store.read()?;
        apply(&gateway, config, &keys, 1)?;
        let entries = [Some(external), internal].into_iter().flatten().collect();
        let router = admin::router(Arc::clone(&gateway));
        let usage = Some((ledger, written));
        let gateway = Self {
            listen,
            is_tls: certificate.is_some(),
            keys: store,
            servers: Servers::start(Arc::clone(&gateway), entries, (admin, router), usage),
            gateway,
            certificate,
            _lock: lock,
        };
        Ok(Started { gateway, keys, first_key })
    }

    /// Puts a configuration and keys in force, or changes nothing and fails.
    pub fn update(&self, config: &Config, keys: &Keys, revision: u64) -> Result<(), CliError> {
        let renewed = config.tls.as_ref().zip(self.certificate.as_ref());
        apply(&self.gateway, config, keys, revision)?;
        if let Some((pem, certificate)) = renewed {
            certificate.replace(pem.chain.reveal().as_bytes(), pem.key.reveal().as_bytes())?;
        }
        Ok(())
    }

    /// Counts an update that was refused.
    pub fn count_refusal(&self) {
        self.gateway.metrics.tables_refused.inc();
    }

    /// See [`Servers::stop`].
    pub async fn stop(self, drain: Duration, signals: &mut ShutdownSignals) {
        let Self { gateway, servers, .. } = self;
        // The ledger ends when its last sender is dropped.
        drop(gateway);
        servers.stop(drain, signals).await;
    }
}

/// Creates the key of the first start, with access to every model: the user who starts the gateway
/// decides what it serves.
fn first_key(keys: &FileStore, config: &Config, now: Timestamp) -> Result<SecretKey, CliError> {
    let new = NewKey {
        name: FIRST_KEY.to_owned(),
        owner: document::Owner { name: FIRST_OWNER.to_owned(), groups: config.groups() },
        models: vec![ModelPattern::Prefix("".into())],
        not_before: None,
        expires_at: None,
        concurrency: None,
    };
    Ok(keys.create(new, now, &mut llm_keys::system_random)?.1)
}

/// Creates and locks the data folder.
fn lock(folder: &Path) -> Result<File, CliError> {
    let unusable = |source| CliError::DataDir { folder: folder.to_owned(), source };
    DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(unusable)?;
    match file_lock::try_lock(&folder.join(LOCK)).map_err(unusable)? {
        LockAttempt::Acquired(file) => Ok(file),
        LockAttempt::HeldBy(holder) => {
            Err(CliError::DataDirInUse { folder: folder.to_owned(), holder })
        }
    }
}

fn table(config: &Config, keys: &Keys, revision: u64) -> Result<Table, CliError> {
    Ok(Table::try_from(config.table(keys.documents(), revision))?)
}

fn apply(gateway: &Gateway, config: &Config, keys: &Keys, revision: u64) -> Result<(), CliError> {
    gateway.update(table(config, keys, revision)?)?;
    let snapshot = gateway.tables.snapshot();
    let (models, keys) = (snapshot.listed().len(), snapshot.keys.len());
    tracing::info!(revision, models, keys, "table in force");
    Ok(())
}
