//! A gateway that runs: its proxy, its admin listener, its ledger, and what keeps them current.

use crate::{
    command::Failure,
    config::{Config, Listen, Pem},
    ledger::Ledger,
    signals::Signals,
};
use jiff::Timestamp;
use llm_contract::{ModelPattern, SecretKey, Table};
use llm_keys::{FileStore, Keys, NewKey, StoredLimits, StoredOwner};
use llm_proxy::{
    admin,
    app::serving::{self, BODIES_MAX, BODY_WAIT, EVENTS_MAX, Serving},
    auth::{
        key_verifier::KeyVerifier,
        oidc::{Issuers, VERIFIED_TOKENS_DEFAULT},
    },
    clock,
    gateway::{Limits, Shared},
    stage::{accept::Entry, authenticate::Authenticator, read},
    tls::Certificate,
    upstream::Reach,
};
use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io::Write,
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::Path,
    sync::Arc,
    time::Duration,
};
use tokio::sync::mpsc;

const LOCK: &str = "gateway.lock";
/// What the key is called that is made at the first start, and whose it is.
const FIRST_KEY: &str = "first key";
const FIRST_OWNER: &str = "admin";

/// What a start brings forth.
pub struct Started {
    /// The gateway.
    pub node: Node,
    /// The keys in force.
    pub keys: Keys,
    /// The key made because there was none; to be shown once.
    pub first_key: Option<SecretKey>,
}

/// A gateway that runs.
pub struct Node {
    /// The addresses, with real ports.
    pub listen: Listen,
    /// Whether the entries speak TLS.
    pub is_tls: bool,
    /// Where the keys it goes by are kept.
    pub keys: FileStore,
    shared: Arc<Shared>,
    serving: Serving,
    certificate: Option<Certificate>,
    /// Held as long as the process runs, so that no second gateway takes the folder.
    _lock: File,
}

impl Node {
    /// Starts. Everything that can fail is tried before anything is served, and before there is a
    /// data folder, as far as that can be.
    ///
    /// # Errors
    /// A folder or a port that another process has; a configuration that cannot be used.
    pub async fn start(config: &Config, pem: Option<&Pem>) -> Result<Started, Failure> {
        let certificate = pem.map(Pem::parse).transpose()?;
        let (events, written) = mpsc::channel(EVENTS_MAX);
        let shared = Shared::new(authenticator()?, limits(config), Reach::Anywhere, events);
        shared.update(table(config, &Keys::default(), 0)?)?;
        let Listen { external, internal, admin } = config.listen;
        let bind =
            |address, entry, choose| serving::bind(address, entry, choose, certificate.clone());
        let external = bind(external, Entry::External, "--listen")?;
        let internal = internal.map(|it| bind(it, Entry::Internal, "listen.internal"));
        let internal = internal.transpose()?;
        let admin = serving::bind_admin(admin, "--admin").await?;
        let listen = Listen {
            external: external.address,
            internal: internal.as_ref().map(|face| face.address),
            admin: admin.local_addr()?,
        };
        let lock = take(&config.data_dir)?;
        let store = FileStore::at(&config.data_dir);
        let is_first_start = store.read()?.list().is_empty();
        let ledger = Ledger::open(&config.data_dir)?;
        let first_key = is_first_start.then(|| first_key(&store, config, clock::wall()));
        let first_key = first_key.transpose()?;
        let keys = store.read()?;
        put_in_force(&shared, config, &keys, 1)?;
        let faces = [Some(external), internal].into_iter().flatten().collect();
        let router = admin::router(Arc::clone(&shared));
        let usage = Some((ledger, written));
        let node = Self {
            listen,
            is_tls: certificate.is_some(),
            keys: store,
            serving: Serving::start(Arc::clone(&shared), faces, (admin, router), usage),
            shared,
            certificate,
            _lock: lock,
        };
        Ok(Started { node, keys, first_key })
    }

    /// Puts a configuration and these keys in force.
    ///
    /// # Errors
    /// If they cannot be used; then nothing changes.
    pub fn update(
        &self,
        config: &Config,
        pem: Option<&Pem>,
        keys: &Keys,
        revision: u64,
    ) -> Result<(), Failure> {
        let renew = pem.zip(self.certificate.as_ref());
        renew.map(|(pem, _)| pem.parse()).transpose()?;
        put_in_force(&self.shared, config, keys, revision)?;
        if let Some((pem, certificate)) = renew {
            certificate.replace(pem.chain.as_bytes(), pem.key.reveal().as_bytes())?;
        }
        Ok(())
    }

    /// Counts documents that were refused, so that the last good ones stay in force.
    pub fn count_refusal(&self) {
        self.shared.metrics.tables_refused.inc();
    }

    /// Stops: lets what runs end, and cuts it off after `drain`, or when it is told to stop once
    /// more. Writes all usage down.
    pub async fn stop(self, drain: Duration, signals: &mut Signals) {
        let Self { shared, serving, .. } = self;
        // The ledger ends when the last of those who write to it are gone.
        drop(shared);
        serving.stop(drain, signals).await;
    }
}

/// Makes a key, so that the first start is not a dead end. Who starts the gateway decides what it
/// serves, so that key may use all of it.
fn first_key(keys: &FileStore, config: &Config, now: Timestamp) -> Result<SecretKey, Failure> {
    let new = NewKey {
        name: FIRST_KEY.to_owned(),
        owner: StoredOwner { name: FIRST_OWNER.to_owned(), groups: config.groups() },
        models: vec![ModelPattern::Prefix("".into())],
        not_before: None,
        expires_at: None,
        limits: StoredLimits { concurrency: None },
    };
    Ok(keys.create(new, now, &mut llm_keys::system_random)?.1)
}

/// Takes the data folder for this process.
fn take(folder: &Path) -> Result<File, Failure> {
    let unusable = |source| Failure::Folder { folder: folder.to_owned(), source };
    fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(unusable)?;
    let path = folder.join(LOCK);
    let mut file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .read(true)
        .write(true)
        .mode(0o600)
        .open(&path)
        .map_err(unusable)?;
    match file.try_lock() {
        Ok(()) => {
            file.set_len(0).map_err(unusable)?;
            write!(file, "{}", std::process::id()).map_err(unusable)?;
            Ok(file)
        }
        Err(TryLockError::WouldBlock) => {
            let holder = fs::read_to_string(&path).unwrap_or_default().trim().to_owned();
            Err(Failure::FolderTaken { folder: folder.to_owned(), holder })
        }
        Err(TryLockError::Error(source)) => Err(unusable(source)),
    }
}

fn authenticator() -> Result<Authenticator, Failure> {
    let mut process_secret = [0; 64];
    llm_keys::system_random(&mut process_secret)?;
    Ok(Authenticator {
        key_verifier: KeyVerifier::new(&process_secret, None),
        issuers: Issuers::new(VERIFIED_TOKENS_DEFAULT),
    })
}

fn limits(config: &Config) -> Limits {
    let body_bytes = config.limits.body_bytes_max;
    Limits {
        header_bytes: config.limits.header_bytes_max,
        connections: config.limits.connections_max,
        read: read::Limits {
            body_bytes,
            bodies_bytes: body_bytes.saturating_mul(BODIES_MAX),
            body_wait: BODY_WAIT,
        },
    }
}

fn table(config: &Config, keys: &Keys, revision: u64) -> Result<Table, Failure> {
    Ok(Table::try_from(config.table(keys.documents(), revision))?)
}

fn put_in_force(
    shared: &Shared,
    config: &Config,
    keys: &Keys,
    revision: u64,
) -> Result<(), Failure> {
    shared.update(table(config, keys, revision)?)?;
    let snapshot = shared.tables.snapshot();
    let (models, keys) = (snapshot.listed().len(), snapshot.keys.len());
    tracing::info!(revision, models, keys, "table in force");
    Ok(())
}
