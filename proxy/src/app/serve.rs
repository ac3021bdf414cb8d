//! `llm-proxy serve`: runs until it is told to stop.

use super::{
    cli::ServeArgs,
    failure::Failure,
    http,
    ledger::Ledger,
    serving::{self, BODIES_MAX, BODY_WAIT, EVENTS_MAX, Serving},
    signals::Signals,
};
use crate::{
    admin,
    auth::{
        key_verifier::Keyring,
        oidc::{Issuers, VERIFIED_ENTRIES_DEFAULT},
    },
    control_plane::{
        self, Feed,
        control::{self, Control, Waits},
    },
    gateway::{Gateway, ServerLimits},
    stage::{accept::Entry, authenticate::Authenticator, read::BodyLimits},
};
use llm_contract::{Pepper, Secret, Table};
use std::{fs, io, path::Path, sync::Arc};
use tokio::{sync::mpsc, task::block_in_place};

/// Starts a proxy and serves until it is told to stop.
///
/// # Errors
/// [`Failure`]; nothing was served then.
pub async fn run(args: ServeArgs) -> Result<(), Failure> {
    http::install_crypto();
    let mut signals = Signals::catch()?;
    let control = control(&args)?;
    let certificate = args.certificate();
    let certificate = certificate.map(|files| Ok::<_, Failure>((files.load()?, files)));
    let certificate = certificate.transpose()?;
    let tls = || certificate.as_ref().map(|(certificate, _)| certificate.clone());
    let external = serving::bind(args.external, Entry::External, "--external", tls())?;
    let internal = serving::bind(args.internal, Entry::Internal, "--internal", tls())?;
    let admin = serving::bind_admin(args.admin, "--admin").await?;
    let ledger = args.usage.as_deref().map(Ledger::open).transpose()?;

    let (events, written) = mpsc::channel(EVENTS_MAX);
    let authenticator = authenticator(args.pepper.as_deref())?;
    let shared = Gateway::new(authenticator, limits(&args), args.address_policy(), events);
    let feed = Feed::new(Arc::clone(&shared), Table::BYTES_MAX);
    if let Some(folder) = &args.state {
        let unusable = |source| Failure::State { folder: folder.clone(), source };
        block_in_place(|| feed.keep_in(folder)).map_err(unusable)?;
    }
    tracing::info!(
        external = %external.address,
        internal = %internal.address,
        admin = %admin.local_addr()?,
        control = %control.address.origin,
        "llm-proxy serves"
    );
    if ledger.is_none() {
        tracing::info!("usage is counted and not written down; name a folder with --usage");
    }
    let router = admin::router(Arc::clone(&shared)).merge(control_plane::router(Arc::clone(&feed)));
    let drain = shared.drain.clone();
    shared
        .background
        .spawn(drain.clone().run_until_cancelled_owned(control::follow(feed, control)));
    if let Some((certificate, files)) = certificate {
        shared.background.spawn(drain.run_until_cancelled_owned(files.follow(certificate)));
    }
    let usage = ledger.map(|ledger| (ledger, written));
    let serving = Serving::start(shared, vec![external, internal], (admin, router), usage);
    signals.next().await;
    serving.stop(args.drain, &mut signals).await;
    Ok(())
}

fn control(args: &ServeArgs) -> Result<Control, Failure> {
    let named = args.control_server_name.clone();
    Ok(Control {
        replicas: args.control.replicas(),
        address: args.control.clone(),
        server_name: named.or_else(|| args.control.server_name()).ok_or(Failure::ServerName)?,
        authorities: args.control_ca.clone(),
        token: args.control_token.clone(),
        proxy: args.name.clone(),
        waits: Waits::default(),
        bytes_max: Table::BYTES_MAX,
    })
}

fn authenticator(pepper: Option<&Path>) -> Result<Authenticator, Failure> {
    let mut process_secret = [0; 64];
    getrandom::fill(&mut process_secret).map_err(io::Error::from)?;
    let pepper = pepper.map(read_pepper).transpose()?;
    Ok(Authenticator {
        keyring: Keyring::new(&process_secret, pepper),
        issuers: Issuers::new(VERIFIED_ENTRIES_DEFAULT),
    })
}

/// A line break at its end does not count.
fn read_pepper(path: &Path) -> Result<Pepper, Failure> {
    let file = |source| Failure::File { path: path.to_owned(), source };
    let pepper = Secret::new(fs::read_to_string(path).map_err(file)?);
    if pepper.reveal().trim().is_empty() {
        return Err(Failure::Pepper { path: path.to_owned() });
    }
    Ok(Pepper::new(Secret::new(pepper.reveal().trim())))
}

fn limits(args: &ServeArgs) -> ServerLimits {
    ServerLimits {
        header_bytes: args.header_bytes.get(),
        connections: args.connections.get(),
        body: BodyLimits {
            body_bytes: args.body_bytes.get(),
            bodies_bytes: args.body_bytes.get().saturating_mul(BODIES_MAX),
            body_wait: BODY_WAIT,
        },
    }
}
